"""Bidirectional: one recurrent layer forwards, one backwards, merged."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack import _core, backend, symbolic
from rnnpack.engine import masking, state
from rnnpack.explain import Explanation
from rnnpack.layers import arguments, context, device, masked, native_call, native_pair, ragged
from rnnpack.layers.base import Layer, call_signature
from rnnpack.layers.building import build_cell
from rnnpack.layers.device import DeviceControl
from rnnpack.layers.input_spec import surely_fits
from rnnpack.layers.recorded import states_kept_on_error
from rnnpack.layers.serialization import deserialize, serialize

_NEEDED = ("go_backwards", "stateful", "return_sequences", "return_state")
MERGE_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(DeviceControl, Layer):
    """Runs a recurrent layer over the inputs in both directions and merges the outputs.

    The forward layer is made anew from the configuration of `layer`, without its weights, and so is the
    backward layer unless one is given. Sequence outputs are zero at masked steps; the backward sequence is
    turned into input order.

    Args:
        layer: the layer to make the two from.
        merge_mode: "concat" (last axis), "sum", "mul", "ave", or None for a list of both outputs.
        weights: initial weights, in the order of `get_weights()`: forward, then backward.
        backward_layer: layer to use as it is for the backward direction, with `go_backwards` opposite to
            `layer`.
        **kwargs: `device` of both directions (default: that of `layer`), and those of `Layer`.

    Call arguments as for `RNN`; `initial_state` holds the forward states, then as many backward ones.

    Raises:
        ValueError: not a layer, unknown merge mode, or layers that do not agree.
    """

    _untracked = frozenset({"layer"})
    _plain_call: Any = None

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        for role, given in (("layer", layer), ("backward_layer", backward_layer)):
            if role == "backward_layer" and given is None:
                continue
            if not isinstance(given, Layer):
                raise ValueError(f"`{role}` of Bidirectional must be a Layer instance, got {given!r}")
            missing = [name for name in _NEEDED if not hasattr(given, name)]
            if missing:
                raise ValueError(f"`{role}` of Bidirectional must have attributes {missing}, got {given!r}")
        if merge_mode not in MERGE_MODES:
            raise ValueError(
                f"Invalid merge mode: `merge_mode` must be one of {MERGE_MODES}, got {merge_mode!r}"
            )
        word = device.checked(kwargs.pop("device", getattr(layer, "_device", "cpu")))
        backward_config = None if backward_layer is None else serialize(backward_layer)
        forward = _recreate(layer, flip=False)
        backward = _recreate(layer, flip=True) if backward_layer is None else backward_layer
        _check_pair(forward, backward)
        # Each direction casts its own inputs, to its own precision.
        super().__init__(**{"autocast": False, "weights": weights, **kwargs})
        self.layer = layer
        self.merge_mode = merge_mode
        self.forward_layer = forward
        self.backward_layer = backward
        self._backward_config = backward_config
        forward.name = f"forward_{forward.name}"
        backward.name = f"backward_{backward.name}"
        for one in (forward, backward):
            if hasattr(one, "zero_output_for_mask"):
                one.zero_output_for_mask = forward.return_sequences
        self.stateful = forward.stateful
        self.return_sequences = forward.return_sequences
        self.return_state = forward.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec
        self._num_constants = 0
        if word != self.device:
            self.device = word

    @property
    def _directions(self) -> tuple[Any, Any]:
        return self.forward_layer, self.backward_layer

    def _precision_layers(self) -> list[Any]:
        return [layer for layer in self._directions if isinstance(layer, DeviceControl)]

    def build(self, input_shape: Any) -> None:
        """Builds both layers."""
        for layer in self._directions:
            build_cell(layer, input_shape)

    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any) -> Any:
        """Runs both directions; arguments and errors as for `RNN`."""
        plain_call = self._plain_call  # once, and first: it notices layers that are replaced meanwhile
        if plain_call is not None and constants is None:
            outputs = plain_call(inputs, initial_state, kwargs, self.forward_layer, self.backward_layer)
            if outputs is not None:
                return outputs
        if type(inputs) is np.ndarray and constants is None and not isinstance(initial_state, np.ndarray):
            outputs = self._quick(inputs, initial_state, kwargs)
            if outputs is not None:
                return outputs
        elif device.inputs_on_gpu(inputs):
            return device.call_on_gpu(self, inputs, initial_state, constants, kwargs)
        rows = ragged.recognized(inputs)
        if rows is not None:
            given = {"initial_state": initial_state, "constants": constants}
            given = {key: value for key, value in given.items() if value is not None}
            with states_kept_on_error(self._directions):
                return ragged.call(self, rows, self._call_ragged, {**given, **kwargs})
        inputs, initial_state, constants = arguments.split_list(
            inputs, initial_state, constants, self._num_constants
        )
        arguments.check_symbolic([initial_state or [], constants or []])
        if initial_state is not None:
            if len(initial_state) % 2:
                raise ValueError(
                    "`initial_state` of Bidirectional must hold forward states and as many backward states, "
                    f"got {len(initial_state)} entries"
                )
            kwargs["initial_state"] = initial_state
        if constants:
            kwargs["constants"] = constants
        with states_kept_on_error(self._directions):
            outputs = super().__call__(inputs, **kwargs)
        if constants:
            for layer in (self, *self._directions):
                layer._num_constants = len(constants)
        return outputs

    def call(
        self,
        inputs: Any,
        training: Any = None,
        mask: Any = None,
        initial_state: Any = None,
        constants: Any = None,
    ) -> Any:
        """Computes and merges both directions."""
        given = {
            "initial_state": initial_state,
            "constants": constants,
            "mask": mask,
            "training": training,
        }
        if not constants and type(inputs) is np.ndarray:
            results = self._run_native(inputs, given)
            if results is not None:
                return arguments.assembled(self._merge(*results[0]), results[1], self.return_state)
        return self._call_each(inputs, given)

    def _quick(self, inputs: Any, initial_state: Any, keywords: dict[str, Any]) -> Any:
        """A whole call for the plainest arguments; None where anything is unusual, or does not fit."""
        epoch = _core.epoch()
        mask = keywords.get("mask")
        if not (
            self._takes_plain_calls(keywords)
            and (mask is None or type(mask) is np.ndarray)
            and (initial_state is None or len(initial_state) % 2 == 0)
            and (self.input_spec is None or surely_fits(self.input_spec, inputs))
        ):
            return None
        training = context.resolve_training(keywords.get("training"), None, backend.learning_phase())
        if training:  # a refusal would come after dropout masks were drawn
            return None
        try:
            with states_kept_on_error(self._directions):
                results = self._run_native(
                    inputs, {"mask": mask, "initial_state": initial_state, "training": training}
                )
                if results is None:
                    return None
                outputs = arguments.assembled(self._merge(*results[0]), results[1], self.return_state)
        except (TypeError, ValueError):
            return None
        self._clear_losses()
        if not native_call.is_prepared(self):
            self._plain_call = native_pair.prepared(self, inputs.shape, epoch)
        return outputs if mask is None else masked.attach(outputs, self.compute_mask(inputs, mask))

    def _takes_plain_calls(self, keywords: dict[str, Any]) -> bool:
        """Whether a call with these keywords is what the two layers compute and nothing else."""
        return self._ready and keywords.keys() <= {"mask", "training"} and native_pair.adds_nothing(self)

    def _run_native(self, inputs: Any, given: dict[str, Any], rows: Any = None) -> Any:
        """Outputs and states of one native call; None where it cannot be. `rows`: ragged."""
        cells = native_pair.cells_of(self, inputs.shape if rows is None else rows.padded_shape)
        if cells is None or inputs.dtype != self.forward_layer.compute_dtype:
            return None
        keep = None
        if rows is None:
            time_major = self.forward_layer.time_major
            keep = masking.as_mask(given["mask"], inputs.shape[0], inputs.shape[1], time_major)
            arguments.sizes_of(inputs, time_major)
        halves = [share.get("initial_state") for _, share in self._split(given)]
        splits = None if rows is None else rows.row_splits
        return native_pair.run(self, cells, inputs, halves, keep, bool(given["training"]), splits)

    def _call_each(self, inputs: Any, given: dict[str, Any]) -> Any:
        """Calls one layer after the other."""
        results = []
        for layer, share in self._split(given):
            names = call_signature(layer.call)
            results.append(layer(inputs, **{key: share[key] for key in share if names.names(key)}))
        (forward, forward_states), (backward, backward_states) = map(self._parts, results)
        if self.return_sequences:
            axis = 0 if getattr(self.forward_layer, "time_major", False) else 1
            backward = np.flip(backward, axis)
        merged = self._merge(forward, backward)
        return arguments.assembled(merged, forward_states + backward_states, self.return_state)

    def _call_ragged(self, rows: ragged.Ragged, keywords: dict[str, Any]) -> list[Any] | None:
        """Outputs and states of a native call on ragged rows; None if it cannot be."""
        others = {name: value for name, value in keywords.items() if name != "initial_state"}
        if not self._takes_plain_calls(others) or rows.batch == 0:
            return None
        values = arguments.prepared(rows.values, self.forward_layer._policy.compute_dtype, True)
        training = context.resolve_training(keywords.get("training"), None, backend.learning_phase())
        given = {"initial_state": keywords.get("initial_state"), "training": training}
        results = self._run_native(values, given, rows)
        if results is None:
            return None
        self._clear_losses()
        merged = self._merge(*results[0])
        outputs = merged if self.merge_mode is None else [merged]
        return [*outputs, *results[1]] if self.return_state else outputs

    def _split(self, given: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
        """Each layer with its share of the call arguments."""
        states = given.get("initial_state")
        if states is None:
            return [(self.forward_layer, dict(given)), (self.backward_layer, dict(given))]
        half = len(states) // 2
        return [
            (self.forward_layer, {**given, "initial_state": states[:half]}),
            (self.backward_layer, {**given, "initial_state": states[half:]}),
        ]

    def _parts(self, result: Any) -> tuple[Any, list[Any]]:
        """Output (a plain array) and states of one direction."""
        output, states = (result[0], list(result[1:])) if self.return_state else (result, [])
        return (np.asarray(output) if isinstance(output, np.ndarray) else output), states

    def _merge(self, forward: Any, backward: Any = None) -> Any:
        """The result of both outputs; of one, if they are concatenated already."""
        if backward is None:
            return forward
        if self.merge_mode is None:
            return [forward, backward]
        if self.merge_mode == "concat":
            return np.concatenate([forward, backward], axis=-1)
        if self.merge_mode == "mul":
            return forward * backward
        total = forward + backward
        return total / 2 if self.merge_mode == "ave" else total

    def _prepare_inputs(self, inputs: Any) -> Any:
        return arguments.prepared(inputs, self._policy.compute_dtype, self.autocast)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask for sequences (twice for `merge_mode=None`), else None; and None for every state."""
        output_mask = masking.first_mask(mask) if self.return_sequences else None
        masks = [output_mask, output_mask] if self.merge_mode is None else [output_mask]
        if self.return_state:
            return masks + [None] * (2 * len(self.forward_layer.states))
        return masks if self.merge_mode is None else output_mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the merged output; with `return_state` a list: output shape(s), then all state shapes."""
        (forward, forward_states), (backward, backward_states) = (
            self._parts(layer.compute_output_shape(input_shape)) for layer in self._directions
        )
        shape = self._merged_shape(tuple(forward), tuple(backward))
        return arguments.assembled(shape, forward_states + backward_states, self.return_state)

    def _merged_shape(self, forward: tuple[Any, ...], backward: tuple[Any, ...]) -> Any:
        if self.merge_mode is None:
            return [forward, backward]
        if self.merge_mode == "concat":
            return (*forward[:-1], forward[-1] + backward[-1])
        if forward != backward:
            raise ValueError(
                f"merge_mode={self.merge_mode!r} needs equal outputs of both directions, got shapes "
                f"{forward} and {backward}"
            )
        return forward

    def _prepare_symbolic(self, inputs: Any, given: dict[str, Any]) -> None:
        super()._prepare_symbolic(inputs, given)
        for layer, share in self._split(given):
            layer._prepare_symbolic(inputs, share)

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        results = [layer._symbolic_outputs(inputs, (), {}) for layer in self._directions]
        (forward, forward_states), (backward, backward_states) = map(self._parts, results)
        shapes = self._merged_shape(forward.shape, backward.shape)
        outputs = [
            symbolic.SymbolicArray(shape, forward.dtype, self.name)
            for shape in (shapes if isinstance(shapes, list) else [shapes])
        ]
        merged = outputs if self.merge_mode is None else outputs[0]
        return arguments.assembled(merged, forward_states + backward_states, self.return_state)

    def reset_states(self, states: Any = None) -> None:
        """Resets both layers; `states` holds the forward values, then as many backward ones.

        Raises:
            AttributeError: the layer is not stateful.
            ValueError: the values do not fit; neither layer has changed then.
        """
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        halves: list[Any] = [None, None]
        if states is not None:
            entries = state.as_list(states)
            if len(entries) % 2:
                raise ValueError(
                    f"`states` must hold forward and as many backward states, got {len(entries)} entries"
                )
            halves = [entries[: len(entries) // 2], entries[len(entries) // 2 :]]
        with states_kept_on_error(self._directions):
            self.forward_layer.reset_states(halves[0])
            self.backward_layer.reset_states(halves[1])

    def explain(self, training: bool | None = None) -> Explanation:
        """How both directions run: native only if both are; the first reason otherwise."""
        forward, backward = self.forward_layer.explain(training), self.backward_layer.explain(training)
        if forward.native and backward.native and forward != backward:
            kernels = f"{forward.kernel}|{backward.kernel}"
            return Explanation(True, kernels, forward.isa, forward.dtype, None, device=forward.device)
        return forward if not forward.native or backward.native else backward  # type: ignore[no-any-return]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values; layers under their original names."""
        config = {**super().get_config(), "layer": serialize(self.layer), "merge_mode": self.merge_mode}
        if self._num_constants:
            config["num_constants"] = self._num_constants
        if self._backward_config is not None:
            config["backward_layer"] = self._backward_config
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new layer without weights from what `get_config` returned."""
        config = dict(config)
        num_constants = config.pop("num_constants", 0)
        layers = {
            key: deserialize(config.pop(key), custom_objects)
            for key in ("layer", "backward_layer")
            if key in config
        }
        layer = cls(**layers, **config)
        layer._num_constants = num_constants
        return layer


def _recreate(layer: Any, flip: bool) -> Any:
    """A new layer from the configuration of `layer`, running the other way if `flip`."""
    config = layer.get_config()
    if flip:
        config["go_backwards"] = not config["go_backwards"]
    cell = getattr(layer, "cell", None)
    if "custom_objects" not in call_signature(type(layer).from_config).parameters:
        return type(layer).from_config(config)
    cells = [cell, *getattr(cell, "cells", [])]
    return type(layer).from_config(config, custom_objects={type(one).__name__: type(one) for one in cells})


def _check_pair(forward: Any, backward: Any) -> None:
    """Raises ValueError unless the two layers run in opposite directions and agree in the rest."""
    if forward.go_backwards == backward.go_backwards:
        raise ValueError(
            "Forward layer and backward layer should have different `go_backwards` value. Received: "
            f"forward_layer.go_backwards={forward.go_backwards}, "
            f"backward_layer.go_backwards={backward.go_backwards}"
        )
    for name in _NEEDED[1:]:
        values = getattr(forward, name), getattr(backward, name)
        if values[0] != values[1]:
            raise ValueError(
                "Forward layer and backward layer are expected to have the same value for attribute "
                f'"{name}", got "{values[0]}" for forward layer and "{values[1]}" for backward layer'
            )
