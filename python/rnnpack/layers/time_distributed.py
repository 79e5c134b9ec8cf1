"""TimeDistributed: one layer for all timesteps."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack import symbolic
from rnnpack.engine import nest
from rnnpack.layers.base import Layer, call_signature
from rnnpack.layers.building import build_cell
from rnnpack.layers.input_spec import InputSpec, first_shape, map_shapes, shapes_of
from rnnpack.layers.serialization import deserialize, serialize


class TimeDistributed(Layer):
    """Applies a layer to every timestep: time becomes part of the batch, in one call of the layer.

    A stateful layer is called timestep by timestep instead, and where the mask is False the outputs repeat
    those before (zeros at first).

    Args:
        layer: the layer.
        **kwargs: those of `Layer`.

    Call: inputs (batch, time, ...), or a nest of these, give (batch, time, ...). A mask (batch, time, ...)
    goes to the layer without its time axis if the layer's `call` has a `mask`, and decides on the outputs'.

    Raises:
        ValueError: `layer` is not a layer; from a call, inputs with fewer than three axes.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        """See the class."""
        if not isinstance(layer, Layer):
            raise ValueError(f"`layer` of TimeDistributed must be a layer, got {type(layer).__name__}")
        super().__init__(**kwargs)
        self.layer = layer
        if not self.trainable:
            self.trainable = False  # now for the layer too
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Builds the layer for inputs without the time axis."""
        specs = nest.flatten(map_shapes(lambda shape: InputSpec(shape=(None, None, *shape[2:])), input_shape))
        if min(len(shape) for shape in _all_shapes(input_shape)) < 3:
            raise ValueError(
                f"`inputs` of TimeDistributed must have at least 3 axes, got shape {input_shape}"
            )
        self.input_spec = specs
        build_cell(self.layer, map_shapes(_without_time, input_shape))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """One call of the layer, for the timesteps of all rows (see the class)."""
        keywords = {"training": training} if call_signature(self.layer.call).names("training") else {}
        leading = nest.flatten(inputs)[0].shape[:2]
        if self.layer.stateful:
            return self._step_by_step(inputs, leading[1], mask, keywords)
        if mask is not None and call_signature(self.layer.call).names("mask"):
            keywords["mask"] = nest.map_structure(_merge_time, mask)
        outputs = self.layer(nest.map_structure(_merge_time, inputs), **keywords)
        return nest.map_structure(
            lambda value: np.asarray(value).reshape(*leading, *value.shape[1:]), outputs
        )

    def _step_by_step(self, inputs: Any, length: int, mask: Any, keywords: dict[str, Any]) -> Any:
        outputs: list[Any] = []
        for step in range(length):
            new = self.layer(nest.map_structure(lambda value, at=step: value[:, at], inputs), **keywords)
            if mask is not None:
                kept, old = np.asarray(mask, np.bool_)[:, step], outputs[-1] if outputs else None
                new = np.where(kept.reshape(-1, *[1] * (new.ndim - 1)), new, 0 if old is None else old)
            outputs.append(new)
        return np.stack(outputs, axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The layer's own mask for the timesteps, else True at timesteps where any part of `mask` is."""
        if self.layer.stateful:
            return mask
        inner_inputs = nest.map_structure(_merge_time, inputs)
        inner = self.layer.compute_mask(inner_inputs, nest.map_structure(_merge_time, mask))
        if inner is not None:
            shape = (*nest.flatten(inputs)[0].shape[:2], *inner.shape[1:])
            return _reshaped(inner, shape)
        if mask is None:
            return None
        if isinstance(mask, symbolic.SymbolicArray):
            return symbolic.SymbolicArray(mask.shape[:2], np.bool_)
        mask = np.asarray(mask, np.bool_)
        return mask.reshape(*mask.shape[:2], -1).any(axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The layer's output shape with the time axis put back."""
        length = first_shape(input_shape)[1]
        inner = self.layer.compute_output_shape(map_shapes(_without_time, input_shape))
        return map_shapes(lambda shape: (shape[0], length, *shape[1:]), inner)

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Shapes from the layer, tried out where it cannot tell them."""
        if type(self.layer).compute_output_shape is Layer.compute_output_shape:
            return symbolic.trial_outputs(self, inputs, args, kwargs)
        shapes = self.compute_output_shape(shapes_of(inputs))
        return map_shapes(
            lambda shape: symbolic.SymbolicArray(shape, self.layer.compute_dtype, self.name), shapes
        )

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "layer": serialize(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TimeDistributed:
        """A new layer from what `get_config` returned; without weights."""
        config = dict(config)
        return cls(deserialize(config.pop("layer"), custom_objects), **config)


def _all_shapes(shapes: Any) -> list[Any]:
    found: list[Any] = []
    map_shapes(found.append, shapes)
    return found


def _without_time(shape: Any) -> Any:
    return (shape[0], *shape[2:])


def _merge_time(value: Any) -> Any:
    """Batch and time as one axis."""
    if value is None:
        return None
    batch, length = value.shape[:2]
    merged = None if None in (batch, length) else batch * length
    return _reshaped(value, (merged, *value.shape[2:]))


def _reshaped(value: Any, shape: Any) -> Any:
    if isinstance(value, symbolic.SymbolicArray):
        return symbolic.SymbolicArray(shape, value.dtype, value.name)
    return np.asarray(value).reshape(shape)
