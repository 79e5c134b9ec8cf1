"""Bits do not depend on threads, on a row's neighbours, nor on the way in which steps are given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from numpy.typing import NDArray
from precision.precision_cases import MAKE, PRECISIONS, all_bits, first_states, made, settle
from threads.shared_calls import in_new_pool

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

Way = tuple[str, str]


@pytest.fixture(autouse=True)
def number_of_threads() -> Iterator[None]:
    """Restore the number of threads."""
    before = rnnpack.get_num_threads()
    yield
    rnnpack.set_num_threads(before)


def check(*calls: Callable[[], Any], counts: Sequence[int]) -> None:
    """The calls have the bits of one thread with these numbers of threads, each in a process of its own."""
    slow = os.environ.get("RNNPACK_ISA") == "scalar"
    rnnpack.set_num_threads(1)
    want = [all_bits(call()) for call in calls]

    def differences(threads: int) -> str:
        rnnpack.set_num_threads(threads)
        turns = [(i + threads) % len(calls) for i in range(len(calls))] * (1 if slow else 2)
        wrong = [turn for turn in turns if all_bits(calls[turn]()) != want[turn]]
        return f"calls {wrong} differ" if wrong else "no differences"

    for threads in counts[:1] if slow else counts:
        assert in_new_pool(partial(differences, threads)) == "no differences", f"{threads} threads"


KINDS: dict[str, Callable[[int], Any]] = {
    "lstm": lambda n: LSTMCell(n, recurrent_initializer="glorot_uniform"),
    "gru": lambda n: GRUCell(n, recurrent_initializer="glorot_uniform"),
    "gru reset before": lambda n: GRUCell(n, reset_after=False, recurrent_initializer="glorot_uniform"),
    "simple": lambda n: rnnpack.SimpleRNNCell(n, recurrent_initializer="glorot_uniform"),
    "projected lstm": lambda n: rnnpack.ProjectedLSTMCell(n, n // 2, recurrent_initializer="glorot_uniform"),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def recurrent(cells: Any, features: int, precision: str, **options: Any) -> Any:
    """A native layer that returns all there is."""
    layer = settle(RNN(cells, **{"return_sequences": True, "return_state": True, **options}), features)
    layer.set_precision(precision)
    assert layer.explain().precision == precision
    return layer


def mask_of(batch: int, steps: int) -> NDArray[np.bool_]:
    """Holes, and a row that takes no step where there are several."""
    mask = np.random.default_rng(6).random((batch, steps)) < 0.6
    mask[-1] &= batch == 1
    return mask


@kinds
def test_rows_are_shared(way: Way, kind: str) -> None:
    layer = recurrent(KINDS[kind](80), 21, way[0])
    inputs = [normal(*shape, 21) for shape in [(8, 60), (37, 16), (300, 2)]]
    check(
        *(partial(layer, x) for x in inputs), partial(layer, inputs[1], mask=mask_of(37, 16)), counts=(2, 5)
    )


@kinds
def test_units_are_shared(way: Way, kind: str) -> None:
    layer = recurrent(KINDS[kind]({"lstm": 270, "simple": 520}.get(kind, 310)), 30, way[0])
    inputs = [normal(batch, 18, 30) for batch in (1, 2, 3, 5)]
    check(*(partial(layer, x) for x in inputs), partial(layer, inputs[2], mask=mask_of(3, 18)), counts=(2, 3))


@kinds
def test_layers_are_shared(way: Way, kind: str) -> None:
    layer = recurrent([KINDS[kind](70), KINDS["gru"](66), KINDS[kind](71)], 12, way[0])
    inputs = [normal(batch, 150, 12) for batch in (1, 2)]
    check(
        *(partial(layer, x) for x in inputs), partial(layer, inputs[1], mask=mask_of(2, 150)), counts=(2, 3)
    )


@kinds
def test_directions_are_shared(way: Way, kind: str) -> None:
    calls = []
    for merge_mode, batch, steps in [("concat", 1, 100), ("sum", 3, 80), (None, 21, 14)]:
        one = RNN(KINDS[kind](90), return_sequences=True, return_state=True)
        both = settle(Bidirectional(one, merge_mode=merge_mode), 20)
        both.set_precision(way[0])
        x = normal(batch, steps, 20)
        calls += [partial(both, x), partial(both, x, mask=mask_of(batch, steps))]
    check(*calls, counts=(2, 3))


@kinds
@pytest.mark.parametrize("precision", PRECISIONS)
def test_dropout_states_and_ragged_rows_are_shared(kind: str, precision: str) -> None:
    cell = KINDS[kind](80)
    layer = recurrent(cell, 20, precision, go_backwards=True)
    cell.dropout, cell.recurrent_dropout = 0.3, 0.2
    x, states = normal(40, 16, 20), first_states(layer, 40)
    lengths = np.random.default_rng(8).integers(0, 30, 40)
    values = normal(int(lengths.sum()), 20)

    def seeded() -> Any:
        rnnpack.set_seed(9)
        return layer(x, training=True)

    check(seeded, partial(layer, x, initial_state=states), partial(layer, (values, lengths)), counts=(2, 5))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_streams_of_wide_layers_are_shared(precision: str) -> None:
    layer = recurrent([LSTMCell(500), GRUCell(130)], 40, precision, return_state=False)

    def steps(x: NDArray[Any]) -> Any:
        stream = layer.stream(len(x))
        outputs = np.stack([stream(x[:, t]) for t in range(x.shape[1])], axis=1)
        assert bits(outputs) == bits(layer(x))
        return [outputs, *flatten(stream.states)]

    check(*(partial(steps, normal(batch, 8, 40)) for batch in (1, 4)), counts=(2,))


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8, 13, 37])
@pytest.mark.parametrize("name", MAKE)
def test_a_row_alone_has_the_bits_it_has_among_others(way: Way, name: str, batch: int) -> None:
    """Whatever the height of the register tile it falls into, and whether or not others have large states."""
    layer = made(name, way[0], 19, return_sequences=True, return_state=True)
    x, states = normal(batch, 4, 19), first_states(layer, batch)
    for state in flatten(states):
        state[::3] *= 0.1
    mask = mask_of(batch + 1, 4)[:batch]

    def part(nest: Any, r: int) -> Any:
        return [part(n, r) for n in nest] if isinstance(nest, list) else nest[r : r + 1]

    together = arrays_of(layer(x, mask=mask, initial_state=states))
    for r in range(batch):
        alone = arrays_of(layer(x[r : r + 1], mask=mask[r : r + 1], initial_state=part(states, r)))
        assert [bits(a) for a in alone] == [bits(a[r : r + 1]) for a in together]


def arrays_of(result: Any) -> list[NDArray[Any]]:
    """Flat."""
    return list(flatten([result]))


@pytest.mark.parametrize("name", MAKE)
def test_masks_lengths_streams_and_whole_calls_agree(way: Way, name: str) -> None:
    layer = made(name, way[0], return_sequences=True, return_state=True)
    lengths = [6, 2, 0, 5]
    x = normal(4, 6, 5)
    mask = np.arange(6) < np.array(lengths)[:, None]
    dirty = np.where(mask[..., None], x, np.nan).astype("f")
    output, *states = layer(dirty, mask=mask)
    rows, *ends = layer([row[:n] for row, n in zip(x, lengths, strict=True)])
    assert [bits(o[:n]) for o, n in zip(output, lengths, strict=True)] == [bits(row) for row in rows]
    assert all_bits(states) == all_bits(ends)
    whole, *final = layer(x)
    assert bits(whole[0]) == bits(output[0])
    stream = layer.stream(4)
    assert bits(np.stack([stream(x[:, t]) for t in range(6)], axis=1)) == bits(whole)
    assert all_bits(stream.states) == all_bits([s for s in final])
    first, *middle = layer(x[:, :2])
    second, *end = layer(x[:, 2:], initial_state=middle)
    assert bits(np.concatenate([first, second], axis=1)) == bits(whole)
    assert all_bits(end) == all_bits(final)
    assert all_bits(layer(x)) == all_bits(layer(x)) == all_bits([whole, *final])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("layer_type", [LSTM, GRU, SimpleRNN])
def test_a_layer_and_its_cell_are_one_thing(layer_type: Any, precision: str) -> None:
    layer = settle(layer_type(9), 5)
    layer.set_precision(precision)
    x = normal(3, 4, 5)
    other, unrolled = RNN(layer.cell), RNN(layer.cell, unroll=True)
    for same in (other, unrolled):
        same.set_precision(precision)
        assert bits(same(x)) == bits(layer(x))
    swapped = RNN(layer.cell, time_major=True)
    swapped.set_precision(precision)
    assert bits(swapped(x.swapaxes(0, 1))) == bits(layer(x))
