"""Runs the golden cases of built-in cells on the oracle: expected values with error bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import reference
import tolerance
from numpy.typing import NDArray

Case = dict[str, Any]
Spec = dict[str, Any]

_KINDS = {"SimpleRNN": "simple_rnn", "LSTM": "lstm", "GRU": "gru"}
_LAYERS = (*_KINDS, "RNN", "Bidirectional")
_KNOWN = {*_LAYERS, *(name + "Cell" for name in _KINDS), "StackedRNNCells"}


def _specs(value: Any) -> Iterator[Spec]:
    """Every layer specification inside a value."""
    if isinstance(value, dict):
        if "$layer" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for member in value:
            yield from _specs(member)


def supports(case: Case) -> bool:
    """Whether the oracle can run the case: a layer of built-in cells, called after its weights are set."""
    names = {spec["$layer"] for spec in _specs(case["layer"])}
    has_weights = any(s["op"] == "set_weights" for s in case["steps"]) or "weights" in case["layer"]["config"]
    calls = any(step["op"] == "call" and "result" in step for step in case["steps"])
    return names <= _KNOWN and case["layer"]["$layer"] in _LAYERS and has_weights and calls


def flatten(value: Any) -> list[Any]:
    """The arrays of a nested value."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if isinstance(value, list | tuple):
        return [leaf for member in value for leaf in flatten(member)]
    return [] if value is None else [value]


def _cell_specs(spec: Spec) -> list[Spec]:
    """The cells of a layer in order; a plain layer is its own cell."""
    if spec["$layer"] != "RNN":
        return [spec]
    cell = spec["config"]["cell"]
    if isinstance(cell, list | tuple):
        return list(cell)
    return list(cell["config"]["cells"]) if cell["$layer"] == "StackedRNNCells" else [cell]


def _make_cell(spec: Spec, weights: list[NDArray[Any]]) -> reference.Cell:
    config = spec["config"]
    kind = _KINDS[spec["$layer"].removesuffix("Cell")]
    if kind == "gru" and not config.get("reset_after", True):
        kind = "gru_reset_before"
    arrays = [np.asarray(array, np.float64) for array in weights]
    return reference.CELLS[kind](
        arrays[0],
        arrays[1],
        arrays[2] if config.get("use_bias", True) else None,
        config.get("activation", "tanh") or "linear",
        config.get("recurrent_activation", "sigmoid") or "linear",
    )


def _make_layer(spec: Spec, weights: Sequence[NDArray[Any]], turn: bool = False) -> reference.Layer:
    """The oracle's layer; weights of frozen cells come last, a cell used twice has its weights once."""
    specs = _cell_specs(spec)
    keys = [s.get("id", str(i)) for i, s in enumerate(specs)]
    unique = dict(zip(keys, specs, strict=True))
    made, rest = {}, list(weights)
    for key, cell in sorted(unique.items(), key=lambda item: not item[1]["config"].get("trainable", True)):
        count = 3 if cell["config"].get("use_bias", True) else 2
        made[key], rest = _make_cell(cell, rest[:count]), rest[count:]
    assert not rest, "weights left over"
    flags = {name: spec["config"].get(name, False) for name in (
        "return_sequences", "go_backwards", "time_major", "zero_output_for_mask")}  # fmt: skip
    flags["go_backwards"] ^= turn
    return reference.Layer(tuple(made[key] for key in keys), **flags)


class Oracle:
    """A layer of a golden case: weights, recorded states, calls."""

    def __init__(self, spec: Spec) -> None:
        """Describe the layer; weights come later."""
        self.two_way = spec["$layer"] == "Bidirectional"
        self.spec = spec
        self.inner: Spec = spec["config"]["layer"] if self.two_way else spec
        self.stateful = self.inner["config"].get("stateful", False)
        self.recorded: list[Any] | None = None
        if self.two_way and "weights" in spec["config"]:
            self.set_weights(spec["config"]["weights"])

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        """Weights in Keras order."""
        half_precision = "float16" in self.inner["config"].get("dtype", "")
        self.dtype = np.dtype(np.float16) if half_precision else weights[0].dtype
        if not self.two_way:
            self.layers = [_make_layer(self.spec, weights)]
            return
        other = self.spec["config"].get("backward_layer")
        half = len(weights) // 2
        backward = _make_layer(other or self.inner, weights[half:], turn=other is None)
        self.layers = [_make_layer(self.inner, weights[:half]), backward]

    def reset_states(self, states: Any = None) -> None:
        """Zeros, or the given values."""
        self.recorded = None if states is None else [np.asarray(s, np.float64) for s in flatten(states)]

    def call(
        self, inputs: Any, initial_state: Any = None, _constants: Any = None, *, mask: Any = None, **_: Any
    ) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Flat list of (value, bound): outputs, then states if the layer returns them."""
        if isinstance(inputs, list):
            inputs, initial_state = inputs[0], inputs[1:] or None
        start = flatten(initial_state) or None
        if self.stateful and self.recorded is not None and any(_parts(s)[0].any() for s in self.recorded):
            start = self.recorded
        if self.two_way:
            mode = self.spec["config"].get("merge_mode", "concat")
            forward, backward = self.layers
            result = tolerance.run_bidirectional(
                forward, backward, mode, inputs, mask, start, dtype=self.dtype
            )
        else:
            result = tolerance.run(self.layers[0], inputs, mask, start, dtype=self.dtype)
        if self.stateful:
            self.recorded = result.states
        outputs = result.output if isinstance(result.output, list) else [result.output]
        if self.inner["config"].get("return_state", False):
            outputs = [*outputs, *result.states]
        return [_parts(array) for array in outputs]


def _parts(array: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Value and error bound; a plain array is exact."""
    if isinstance(array, tolerance.Bounded):
        return array.value, array.error
    return array, np.zeros_like(array)


def expectations(case: Case) -> list[list[tuple[NDArray[Any], NDArray[Any]]] | None]:
    """For every step of a supported case: the oracle's answer to a call, None for everything else."""
    oracle = Oracle(case["layer"])
    answers: list[Any] = []
    for step in case["steps"]:
        answer = None
        if step["op"] == "call" and "result" in step:
            answer = oracle.call(*step["args"], **step["kwargs"])
        elif step["op"] == "set_weights" and "raises" not in step:
            oracle.set_weights(*step["args"])
        elif step["op"] == "reset_states" and "raises" not in step:
            oracle.reset_states(*step["args"], **step["kwargs"])
        elif step["op"] == "set_attribute" and step["args"][0] == "states":
            oracle.reset_states(step["args"][1])
        answers.append(answer)
    return answers
