"""Layers on CUDA beside the float64 oracle: what a call must give, with bounds for each number format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import reference
import tolerance
from contract.contract_oracle import flatten, reference_layer
from numpy.typing import NDArray

from rnnpack import (
    RNN,
    Bidirectional,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SimpleRNNCell,
)

CELLS: dict[str, Callable[..., Any]] = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "gru_reset_before": lambda units, **more: GRUCell(units, reset_after=False, **more),
    "simple_rnn": SimpleRNNCell,
    "peephole_lstm": PeepholeLSTMCell,
    "projected_lstm": lambda units, **more: ProjectedLSTMCell(units, units // 2 + 1, **more),
}

# What a value rounded to a format may be off, relative to itself.
ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}


def format_of(layer: Any) -> str:
    """The number format in which a recurrent layer multiplies."""
    return str(np.dtype(layer.compute_dtype)) if layer.precision == "full" else str(layer.precision)


def _lifter(layer: Any, features: int) -> Callable[[Any], tolerance.Bounded]:
    """Rows of the oracle with the error of the layer's format.

    In a reduced format both factors of a product are off by u, which is 2 u and a little for the product;
    that little also covers sums in float32, whose error is far below u. Everything else counts with the
    same u.
    """
    number_format = format_of(layer)
    full = number_format in ("float32", "float64")
    chain = tolerance.chain_length(reference_layer(layer), features) if full else 3

    def lift(row: Any) -> tolerance.Bounded:
        exact = np.asarray(row, np.float64)
        return tolerance.Bounded(exact, np.zeros_like(exact), ROUNDOFF[number_format], chain)

    return lift


def _direction(layer: Any, x: Any, mask: Any, states: Any, both: bool) -> reference.Result:
    """One direction in processing order, or alone."""
    oracle = reference_layer(layer)
    if both:  # a wrapper makes masked steps of sequences zero
        oracle = replace(oracle, zero_output_for_mask=layer.return_sequences)
    return reference.run(oracle, x, mask, states, _lifter(layer, x.shape[-1]))


def oracle(layer: Any, x: NDArray[Any], mask: Any = None, states: Any = None) -> list[tolerance.Bounded]:
    """What a built layer gives for dense inputs: the output, or both outputs, and all final states, flat."""
    flat = None if states is None else flatten(states)
    if not isinstance(layer, Bidirectional):
        one = _direction(layer, x, mask, flat, False)
        return [one.output, *one.states]
    pair = layer.forward_layer, layer.backward_layer
    count = len(reference_layer(pair[0]).state_sizes())
    halves = (None, None) if flat is None else (flat[:count], flat[count:])
    first, second = (_direction(one, x, mask, half, True) for one, half in zip(pair, halves, strict=True))
    other = second.output
    if layer.return_sequences:  # back to the order of time
        turned = (slice(None, None, -1),) if pair[0].time_major else (slice(None), slice(None, None, -1))
        other = other._make(other.value[turned], other.error[turned])
    merged = reference.merge(first.output, other, layer.merge_mode)
    return [*flatten(merged), *first.states, *second.states]


def oracle_of_rows(layer: Any, rows: Sequence[NDArray[Any]], states: Any = None) -> list[Any]:
    """The same for ragged rows, each of them alone; outputs of sequences one after the other.

    A row without timesteps keeps its first states, and its last output is zero.
    """
    flat = None if states is None else flatten(states)
    results = []
    for r, row in enumerate(rows):
        first = None if flat is None else [state[r : r + 1] for state in flat]
        if len(row):
            results.append(oracle(layer, row[None], None, first))
            continue
        untouched = oracle(layer, np.zeros((1, 1, row.shape[1])), np.zeros((1, 1), bool), first)
        if layer.return_sequences:
            outputs = 2 if getattr(layer, "merge_mode", "") is None else 1
            untouched[:outputs] = [
                one._make(one.value[:, :0], one.error[:, :0]) for one in untouched[:outputs]
            ]
        results.append(untouched)
    joined = []
    for parts in zip(*results, strict=True):
        axis = 1 if parts[0].value.ndim == 3 else 0
        value, error = (
            np.concatenate([getattr(p, name) for p in parts], axis) for name in ("value", "error")
        )
        joined.append(parts[0]._make(value, error) if axis == 0 else parts[0]._make(value[0], error[0]))
    return joined


def assert_within(layer: Any, result: Any, want: Sequence[tolerance.Bounded]) -> None:
    """Every element within its bound, plus one smallest normal number for denormals that are flushed."""
    dtype = np.dtype(layer.compute_dtype)
    got = flatten(result)
    assert len(got) == (len(want) if layer.return_state else len(want) - _states(layer))
    for array, bounded in zip(got, want, strict=False):
        assert array.dtype == dtype
        assert array.shape == bounded.value.shape
        assert tolerance.excess(array, bounded.value, bounded.error + np.finfo(dtype).tiny) <= 1


def _states(layer: Any) -> int:
    pair = (layer.forward_layer, layer.backward_layer) if isinstance(layer, Bidirectional) else (layer,)
    return sum(len(reference_layer(one).state_sizes()) for one in pair)


def direction(cells: Sequence[tuple[str, int]], precision: str = "full", **flags: Any) -> RNN:
    """A layer of cells `(kind, units)` on CUDA."""
    dtype = flags.get("dtype")
    made = [CELLS[kind](units, dtype=dtype) for kind, units in cells]
    layer = RNN(made if len(made) > 1 else made[0], device="cuda", **flags)
    layer.set_precision(precision)
    return layer


def with_random_weights(
    layer: Any, features: int, seed: int = 0, scale: float = 0.6, batch: int | None = None
) -> Any:
    """The layer, built, with weights that keep states of order one, also biases.

    Stateful layers are built for a batch. Bounds grow less from step to step where the scale is small.
    """
    layer.build((batch, None, features))
    generator = np.random.default_rng(seed)
    weights = []
    for weight in layer.get_weights():
        factor = scale / np.sqrt(weight.shape[0]) if weight.ndim == 2 and weight.shape[0] > 2 else 0.5
        weights.append((factor * generator.standard_normal(weight.shape)).astype(weight.dtype))
    layer.set_weights(weights)
    return layer


def first_states(layer: Any, batch: int, seed: int = 9) -> Any:
    """Random first states in the structure that the layer takes; None where it takes none."""
    generator = np.random.default_rng(seed)
    pair = (layer.forward_layer, layer.backward_layer) if isinstance(layer, Bidirectional) else (layer,)
    dtype = layer.compute_dtype

    def drawn(size: Any) -> Any:
        if isinstance(size, (list, tuple)):
            return [drawn(one) for one in size]
        return generator.standard_normal((batch, size)).astype(dtype)

    halves = []
    for one in pair:
        size = one.cell.state_size
        halves.append(drawn(size) if isinstance(size, (list, tuple)) else [drawn(size)])
    if len(set(map(len, halves))) > 1:
        return None  # a wrapper takes as many for either direction
    return [one for half in halves for one in half]


def laid_out(array: NDArray[Any], layout: str) -> NDArray[Any]:
    """The same numbers with other strides, another alignment or byte order."""
    if layout == "reversed":
        every = (slice(None, None, -1),) * array.ndim
        return array[every].copy()[every]
    if layout == "transposed":
        return np.asfortranarray(array)
    if layout == "gaps":
        wide = np.zeros([2 * n + 1 for n in array.shape], array.dtype)
        view = wide[(slice(1, None, 2),) * array.ndim]
        view[...] = array
        return view
    if layout == "swapped":
        return array.astype(array.dtype.newbyteorder())
    if layout == "unaligned":
        view = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    assert layout == "plain"
    return array


LAYOUTS = ("plain", "reversed", "transposed", "gaps", "swapped", "unaligned")


def masks(kind: str, batch: int, steps: int, seed: int = 0) -> NDArray[np.bool_] | None:
    """A mask `(batch, steps)`."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, steps + 1, (batch, 1))
    if kind == "none":
        return None
    if kind == "one row":
        rows = np.zeros((batch, steps), bool)
        rows[batch // 2] = True
        return rows
    return {
        "all": np.ones((batch, steps), bool),
        "nothing": np.zeros((batch, steps), bool),
        "right": np.arange(steps) < lengths,
        "left": np.arange(steps)[::-1] < lengths,
        "holes": generator.random((batch, steps)) < 0.6,
        "broadcast": np.broadcast_to(generator.random((1, steps)) < 0.6, (batch, steps)),
    }[kind]


MASKS = ("none", "all", "nothing", "one row", "right", "left", "holes", "broadcast")
