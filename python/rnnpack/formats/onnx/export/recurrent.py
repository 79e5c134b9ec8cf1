"""Recurrent layers as the operators LSTM, GRU and RNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnpack import layers
from rnnpack.formats.onnx.export.builder import Builder, Call, Value, exports
from rnnpack.formats.onnx.export.functions import recurrent_attributes

# Keras' gates i, f, candidate, o in ONNX's order i, o, f, candidate; peepholes i, f, o as i, o, f.
_LSTM_ORDER = [0, 3, 1, 2]
_PEEPHOLE_ORDER = [0, 2, 1]
_OPERATORS: dict[type[Any], str] = {
    layers.LSTMCell: "LSTM",
    layers.PeepholeLSTMCell: "LSTM",
    layers.GRUCell: "GRU",
    layers.SimpleRNNCell: "RNN",
}
_STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}


@dataclass(frozen=True)
class _Weights:
    """One direction's W, R, B and P in ONNX's layout; None without peepholes."""

    w: Any
    r: Any
    b: Any
    p: Any


def _weights(cell: Any, operator: str) -> _Weights:
    kernel, recurrent, *rest = (np.asarray(array) for array in cell.get_weights())
    units, gates = recurrent.shape[0], recurrent.shape[1] // recurrent.shape[0]
    bias = rest.pop(0) if cell.use_bias else np.zeros(gates * units, kernel.dtype)
    # All of it belongs to the inputs, where there is one row.
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    order = np.arange(gates)
    if operator == "LSTM":
        order = np.array(_LSTM_ORDER)
    columns = np.add.outer(order * units, np.arange(units)).ravel()
    peepholes = np.concatenate([rest[at] for at in _PEEPHOLE_ORDER]) if rest else None
    return _Weights(kernel.T[columns], recurrent.T[columns], both[:, columns].ravel(), peepholes)


def _operator(builder: Builder, cell: Any) -> str:
    if type(cell) not in _OPERATORS:
        raise builder.error(f"ONNX has no operator for the cell {type(cell).__name__}")
    return _OPERATORS[type(cell)]


def _node(
    builder: Builder, x: str, cells: list[Any], direction: str, states: list[str] | None
) -> tuple[str, list[str]]:
    """One recurrent node.

    Args:
        builder: to write with.
        x: `(time, batch, features)`.
        cells: of each direction; all of one kind.
        direction: "forward", "reverse" or "bidirectional".
        states: names of first states `(directions, batch, units)`, or None for zeros.

    Returns:
        Names of Y `(time, directions, batch, units)` and of the final states.
    """
    operator = _operator(builder, cells[0])
    parts = [_weights(cell, operator) for cell in cells]
    dtype = parts[0].w.dtype
    w, r, b = (
        builder.constant(np.stack([getattr(part, name) for part in parts]), dtype) for name in ("w", "r", "b")
    )
    functions = []
    for cell in cells:
        gate = [] if operator == "RNN" else [cell.recurrent_activation]
        functions += [*gate, cell.activation, *([cell.activation] if operator == "LSTM" else [])]
    attributes = recurrent_attributes(builder, functions)
    if operator == "GRU":
        attributes["linear_before_reset"] = int(cells[0].reset_after)
    inputs = [x, w, r, b, "", *(states or [])]
    if parts[0].p is not None:
        inputs += [""] * (7 - len(inputs))
        inputs.append(builder.constant(np.stack([part.p for part in parts]), dtype))
    while not inputs[-1]:
        inputs.pop()
    y, *finals = builder.several(
        operator,
        1 + _STATES[operator],
        *inputs,
        direction=direction,
        hidden_size=cells[0].units,
        **attributes,
    )
    return y, finals


def _cells(layer: Any) -> list[Any]:
    cell = layer.cell
    return list(cell.cells) if type(cell) is layers.StackedRNNCells else [cell]


def _check(builder: Builder, layer: Any) -> None:
    if layer.stateful:
        raise builder.error("a stateful layer keeps its states between calls")


def _first_states(builder: Builder, call: Call, count: int) -> list[str] | None:
    """The names of all first states, flat, `(batch, units)`; None for zeros."""
    if call.keywords.keys() - {"initial_state", "training"}:
        raise builder.error(f"call arguments {sorted(call.keywords)}")
    given = call.keywords.get("initial_state")
    values = call.inputs[1:]
    if given is not None:
        values = _flat(given)
    if not values:
        return None
    if len(values) != count or not all(isinstance(value, Value) for value in values):
        raise builder.error(f"{len(values)} first states, expected {count}")
    return [value.name for value in values]


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _flat(item)]
    return [value]


@exports(layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN, keywords=True)
def _recurrent(builder: Builder, layer: Any, call: Call) -> list[str]:
    cells = _cells(layer)
    states = _first_states(builder, call, sum(_STATES[_operator(builder, cell)] for cell in cells))
    x = call.x.name if layer.time_major else builder.transposed(call.x.name, 1, 0, 2)
    sequence, finals = _direction(builder, layer, x, states)
    if layer.return_sequences:
        output = sequence if layer.time_major else builder.transposed(sequence, 1, 0, 2)
    else:
        output = finals[-_STATES[_operator(builder, cells[-1])]]
    return [output, *(finals if layer.return_state else [])]


def _direction(builder: Builder, layer: Any, x: str, states: list[str] | None) -> tuple[str, list[str]]:
    """Sequence `(time, batch, units)`, in processing order, and final states `(batch, units)` of a layer."""
    _check(builder, layer)
    direction = "reverse" if layer.go_backwards else "forward"
    finals: list[str] = []
    for cell in _cells(layer):
        count = _STATES[_operator(builder, cell)]
        first = None
        if states is not None:
            at = len(finals)
            first = [builder.unsqueeze(name, 0) for name in states[at : at + count]]
        y, ends = _node(builder, x, [cell], direction, first)
        x = builder.squeeze(y, 1)
        finals += [builder.squeeze(end, 0) for end in ends]
    return (builder.reversed(x, 0) if layer.go_backwards else x), finals


@exports(layers.Bidirectional, keywords=True)
def _bidirectional(builder: Builder, layer: Any, call: Call) -> list[str]:
    forward, backward = layer.forward_layer, layer.backward_layer
    count = sum(_STATES[_operator(builder, cell)] for one in (forward, backward) for cell in _cells(one))
    states = _first_states(builder, call, count)
    time_major = forward.time_major
    x = call.x.name if time_major else builder.transposed(call.x.name, 1, 0, 2)
    if _is_one_node(forward, backward):
        y, sequences, finals = _both(builder, forward, backward, x, states)
    else:
        half = None if states is None else len(states) // 2
        y, sequences, finals = None, [], []
        for one, share in ((forward, slice(0, half)), (backward, slice(half, None))):
            sequence, ends = _direction(builder, one, x, None if states is None else states[share])
            sequences.append(sequence)
            finals.append(ends)
        sequences[1] = builder.reversed(sequences[1], 0)
    if forward.return_sequences:
        parts = [one if time_major else builder.transposed(one, 1, 0, 2) for one in sequences]
    else:
        kinds = [_STATES[_operator(builder, _cells(one)[-1])] for one in (forward, backward)]
        parts = [ends[-kind] for ends, kind in zip(finals, kinds, strict=True)]
    if y is not None and layer.merge_mode == "concat" and forward.return_sequences:
        # The node's own layout is nearly it already.
        outputs = [
            builder.reshape(builder.transposed(y, *((0, 2) if time_major else (2, 0)), 1, 3), 0, 0, -1)
        ]
    else:
        outputs = _merged(builder, layer.merge_mode, parts, call.x.dtype)
    return [*outputs, *(finals[0] + finals[1] if forward.return_state else [])]


def _is_one_node(forward: Any, backward: Any) -> bool:
    """Whether both directions are one bidirectional node."""
    cells = [*_cells(forward), *_cells(backward)]
    return (
        len(cells) == 2
        and not forward.go_backwards
        and type(cells[0]) is type(cells[1])
        and cells[0].units == cells[1].units
        and getattr(cells[0], "reset_after", None) == getattr(cells[1], "reset_after", None)
    )


def _both(
    builder: Builder, forward: Any, backward: Any, x: str, states: list[str] | None
) -> tuple[str | None, list[str], list[list[str]]]:
    """Y, and the sequence and final states of each direction, from one node."""
    for layer in (forward, backward):
        _check(builder, layer)
    first = None
    if states is not None:
        count = len(states) // 2
        ends = [builder.unsqueeze(name, 0) for name in states]
        first = [builder.add("Concat", ends[at], ends[count + at], axis=0) for at in range(count)]
    cells = [forward.cell, backward.cell]
    cells = [cell.cells[0] if type(cell) is layers.StackedRNNCells else cell for cell in cells]
    y, finals = _node(builder, x, cells, "bidirectional", first)
    sequences = [builder.squeeze(part, 1) for part in builder.several("Split", 2, y, axis=1)]
    halves = [
        [builder.squeeze(part, 0) for part in builder.several("Split", 2, end, axis=0)] for end in finals
    ]
    return y, sequences, [[half[at] for half in halves] for at in range(2)]


def _merged(builder: Builder, mode: str | None, parts: list[str], dtype: Any) -> list[str]:
    if mode is None:
        return parts
    if mode == "concat":
        return [builder.add("Concat", *parts, axis=-1)]
    if mode == "mul":
        return [builder.add("Mul", *parts)]
    total = builder.add("Add", *parts)
    return [total if mode == "sum" else builder.add("Mul", total, builder.constant(0.5, dtype))]
