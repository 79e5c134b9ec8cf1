"""Runs one case through rnnpack's public API on a GPU and compares it with the float64 oracle."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import reference
import tolerance
from numpy.typing import NDArray

import rnnpack
from gpu_stages import grid_rounding
from gpu_stages.check_cases import Case

Array = NDArray[Any]
LAYERS = {"lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU", "simple_rnn": "SimpleRNN"}
STORED = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # unit roundoff of arrays of these
WIDTH = {"exponential": 0.3}  # of the weights, for activations that would grow without bound


@dataclass(frozen=True)
class Problem:
    """The arrays of a case: weights by direction and cell, inputs, mask or lengths, states by state."""

    weights: list[list[list[Array]]]
    inputs: Array
    mask: Array | None
    lengths: Array | None
    states: list[Array] | None


def _mask(kind: str, batch: int, timesteps: int, rng: np.random.Generator) -> Array | None:
    steps = np.arange(timesteps)
    lengths = rng.integers(1, timesteps + 1, batch)[:, None]
    if kind == "right":
        return np.asarray(steps < lengths)
    if kind == "left":
        return np.asarray(steps >= timesteps - lengths)
    if kind == "holes":
        return rng.random((batch, timesteps)) < 0.6
    if kind == "empty":
        return (rng.random((batch, timesteps)) < 0.6) & (np.arange(batch)[:, None] % 2 == 1)
    return None


def problem(case: Case) -> Problem:
    """The arrays of a case, always the same ones; 16-bit arrays hold numbers of their own format."""
    rng = np.random.default_rng(zlib.crc32(case.key.encode()))
    batch, timesteps, features, units = case.shape
    dtype = np.float64 if case.format == "float64" else np.float32
    gates = {"lstm": 4, "simple_rnn": 1}.get(case.kind, 3)
    width = WIDTH.get(case.activation, WIDTH.get(case.recurrent_activation, 0.9))

    def stored(values: Array) -> Array:
        exact = case.on_gpu and case.format in STORED
        return (grid_rounding.nearest(values, case.format) if exact else values).astype(dtype)

    def cell(width_in: int) -> list[Array]:
        made = [
            rng.uniform(-width, width, (rows, gates * units)) / np.sqrt(rows) for rows in (width_in, units)
        ]
        if case.use_bias:
            shape = (2, gates * units) if case.kind == "gru" else (gates * units,)
            made.append(rng.uniform(-0.3, 0.3, shape))
        return [weights.astype(dtype) for weights in made]

    directions = 2 if case.merge else 1
    weights = [[cell(features if i == 0 else units) for i in range(case.depth)] for _ in range(directions)]
    count = directions * case.depth * (2 if case.kind == "lstm" else 1)
    states = [stored(rng.uniform(-0.5, 0.5, (batch, units))) for _ in range(count)]
    return Problem(
        weights,
        stored(rng.normal(size=(batch, timesteps, features))),
        _mask(case.mask, batch, timesteps, rng),
        rng.integers(1, timesteps + 1, batch) if case.lengths else None,
        states if case.states else None,
    )


def make_layer(case: Case, weights: Sequence[Sequence[Sequence[Array]]], device: str = "cuda") -> Any:
    """The layer of a case with its weights, on the device and in the precision of the format."""
    options: dict[str, Any] = {"activation": case.activation, "use_bias": case.use_bias}
    if case.kind != "simple_rnn":
        options["recurrent_activation"] = case.recurrent_activation
    if LAYERS[case.kind] == "GRU":
        options["reset_after"] = case.kind == "gru"
    dtype = "float64" if case.format == "float64" else "float32"
    cell = getattr(rnnpack, LAYERS[case.kind] + "Cell")
    cells = [cell(case.shape[3], dtype=dtype, **options) for _ in range(case.depth)]
    layer = rnnpack.RNN(
        cells if case.depth > 1 else cells[0],
        return_sequences=case.return_sequences,
        return_state=True,
        go_backwards=case.go_backwards,
        time_major=case.time_major,
        zero_output_for_mask=case.zero_output_for_mask,
        dtype=dtype,
    )
    if case.merge:
        layer = rnnpack.Bidirectional(layer, merge_mode=case.merge)
    layer.build((None, None, case.shape[2]))
    layer.set_weights([array for direction in weights for one in direction for array in one])
    if device != "cpu":
        layer.device = device
        if case.format not in ("float32", "float64"):
            layer.set_precision(case.format)
    return layer


def flat(nest: Any) -> list[Any]:
    """The arrays of a nest of lists and tuples."""
    return [a for item in nest for a in flat(item)] if isinstance(nest, (list, tuple)) else [nest]


def compute(case: Case, given: Problem, device: str = "cuda") -> list[Array]:
    """What the layer returns: output, or the rows' outputs one after the other, and final states."""
    layer = make_layer(case, given.weights, device)
    inputs, mask, states = given.inputs, given.mask, given.states
    if case.time_major:
        inputs = np.ascontiguousarray(inputs.swapaxes(0, 1))
        mask = None if mask is None else np.ascontiguousarray(mask.T)
    if given.lengths is not None:
        rows = [row[:length] for row, length in zip(inputs, given.lengths, strict=True)]
        inputs = (np.concatenate(rows), given.lengths)
    if case.on_gpu:
        inputs, mask, states = _on_gpu(case, inputs, mask, states)
    if states is not None and case.depth > 1:
        each = 2 if case.kind == "lstm" else 1
        states = [states[i : i + each] if each > 1 else states[i] for i in range(0, len(states), each)]
    output, *others = layer(inputs, mask=mask, initial_state=states)
    outputs = [output]
    if isinstance(output, tuple):
        ends = np.cumsum(given.lengths)
        outputs = np.split(_on_host(output[0]), ends[:-1])
    return [_on_host(array) for array in (*outputs, *flat(others))]


def _on_host(array: Any) -> Array:
    """A copy in NumPy, which has no bfloat16."""
    return np.asarray(array.cpu().double() if hasattr(array, "cpu") else array)


def _on_gpu(case: Case, inputs: Any, mask: Any, states: Any) -> tuple[Any, Any, Any]:
    """The arrays as PyTorch's, in the memory of the GPU; the rows of the inputs with gaps between them."""
    import torch

    dtype = torch.float32 if case.format == "tf32" else getattr(torch, case.format)
    values = inputs[0] if isinstance(inputs, tuple) else inputs
    features = values.shape[-1]
    with_gaps = torch.full((*values.shape[:-1], features + 3), float("nan"), dtype=dtype, device="cuda")
    with_gaps[..., :features] = torch.from_numpy(values).to(dtype)
    values = with_gaps[..., :features]
    return (
        (values, inputs[1]) if isinstance(inputs, tuple) else values,
        None if mask is None else torch.from_numpy(mask).cuda(),
        None if states is None else [torch.from_numpy(state).to(dtype).cuda() for state in states],
    )


def expected(case: Case, given: Problem, form: str) -> list[Any]:
    """What the oracle says for arithmetic in a format, as `tolerance.Bounded` in the order of `compute`."""
    layers = [
        reference.Layer(
            tuple(
                reference.CELLS[case.kind](
                    *weights[:2],
                    weights[2] if case.use_bias else None,
                    case.activation,
                    case.recurrent_activation,
                )
                for weights in ([np.asarray(a, np.float64) for a in one] for one in direction)
            ),
            return_sequences=case.return_sequences,
            go_backwards=case.go_backwards != (number == 1),
            zero_output_for_mask=case.zero_output_for_mask,
        )
        for number, direction in enumerate(given.weights)
    ]
    chain = max(tolerance.chain_length(layer, case.shape[2]) for layer in layers)
    lift = grid_rounding.lifter(form, chain)

    def run(rows: slice, steps: slice) -> list[Any]:
        inputs = given.inputs[rows, steps]
        mask = None if given.mask is None else given.mask[rows, steps]
        states = None if given.states is None else [state[rows] for state in given.states]
        if case.merge:
            found = reference.run_bidirectional(layers[0], layers[1], case.merge, inputs, mask, states, lift)
        else:
            found = reference.run(layers[0], inputs, mask, states, lift)
        output = found.output
        if case.time_major and case.return_sequences:
            output = output.swapaxes(0, 1)
        return [output, *found.states]

    if given.lengths is None:
        return run(slice(None), slice(None))
    each = [run(slice(r, r + 1), slice(0, int(n))) for r, n in enumerate(given.lengths)]
    outputs = [row[0][0] for row in each] if case.return_sequences else [_joined([row[0] for row in each])]
    return outputs + [_joined([row[1 + i] for row in each]) for i in range(len(each[0]) - 1)]


def _joined(rows: list[Any]) -> Any:
    """Batches of one row as one batch."""
    return type(rows[0]).stack([row[0] for row in rows])


def _stored_error(case: Case, value: Array) -> Array:
    """What keeping results in 16 bits adds: each direction's, and their merged values'."""
    if not (case.on_gpu and case.format in STORED):
        return np.zeros_like(value) + np.finfo(np.float32).tiny
    unit = STORED[case.format]
    smallest = 2.0**-25 if case.format == "float16" else np.finfo(np.float32).tiny
    merged = case.merge in ("sum", "mul", "ave")
    return unit * (3 * (1 + np.abs(value)) if merged else np.abs(value)) + smallest


def compared(case: Case, found: Sequence[Array]) -> dict[str, Any]:
    """The record of a case: largest error over what rounding explains, and the largest error altogether."""
    given = problem(case)
    wanted = expected(case, given, case.format)
    exact = wanted if case.format in ("float32", "float64") else expected(case, given, "float64")
    if len(found) != len(wanted):
        return {"status": "wrong", "note": f"{len(found)} results, expected {len(wanted)}"}
    if [a.shape for a in found] != [w.value.shape for w in wanted]:
        shapes = [a.shape for a in found], [w.value.shape for w in wanted]
        return {"status": "wrong", "note": f"shapes {shapes[0]}, expected {shapes[1]}"}
    excess = error = 0.0
    for got, want, true in zip(found, wanted, exact, strict=True):
        bound = want.error + _stored_error(case, want.value)
        excess = max(excess, tolerance.excess(got, want.value, bound))
        far = np.abs(got - true.value)
        error = max(error, float(np.where(np.isnan(far), np.inf, far).max(initial=0)))
    record = {"excess": float(f"{excess:.3g}"), "error": float(f"{error:.3g}")}
    if excess <= 1:
        return {"status": "ok", **record}
    return {"status": "wrong", "note": f"errors {excess:.3g} times what rounding explains", **record}
