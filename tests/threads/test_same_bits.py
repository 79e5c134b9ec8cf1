"""Outputs and states have the same bits with any number of threads, however the call is shared out.

A call is shared only while that seems to pay, so every number of threads is tried in a process whose helpers
have not failed yet, with calls long enough to wake them. That helpers come at all is checked in
`test_thread_count.py`, for each way of sharing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from shared_calls import CELLS, arrays, cell, in_new_pool, normal

import rnnpack
from rnnpack import RNN, Bidirectional

# Units of cells with similar work: so few that a thread takes some of the rows, some of the layers or one of
# the directions; or so many that all members share each step.
LSTMS = ("peephole_lstm", "projected_lstm")
FEW = {"lstm": 40, "gru": 46, "gru_reset_before": 46, "simple_rnn": 80, **dict.fromkeys(LSTMS, 40)}
SOME = {"lstm": 75, "gru": 87, "gru_reset_before": 87, "simple_rnn": 150, **dict.fromkeys(LSTMS, 75)}
MANY = {"lstm": 250, "gru": 290, "gru_reset_before": 290, "simple_rnn": 500, **dict.fromkeys(LSTMS, 250)}

kinds = pytest.mark.parametrize("kind", CELLS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def check(*calls: Callable[[], Any], counts: Sequence[int]) -> None:
    """Results of the calls with these numbers of threads have the bits of those with one."""
    slow = os.environ.get("RNNPACK_ISA") == "scalar"
    rnnpack.set_num_threads(1)
    want = [arrays(call()) for call in calls]

    def differences(threads: int) -> str:
        rnnpack.set_num_threads(threads)
        for _ in range(1 if slow else 2):
            for i in range(len(calls)):
                turn = (i + threads) % len(calls)  # another one comes first, before helpers fail to pay
                for number, (a, b) in enumerate(zip(arrays(calls[turn]()), want[turn], strict=True)):
                    if (a.shape, a.dtype) != (b.shape, b.dtype):
                        return (
                            f"call {turn}, array {number}: {a.dtype} {a.shape}, expected {b.dtype} {b.shape}"
                        )
                    if a.tobytes() != b.tobytes():
                        return f"call {turn}, array {number} differs at {np.argwhere(a != b)[:3].tolist()}"
        return "no differences"

    for threads in counts[:2] if slow else counts:
        assert in_new_pool(partial(differences, threads)) == "no differences", f"{threads} threads"


def recurrent(cells: Any, dtype: str = "float32", **options: Any) -> Any:
    """A native layer that returns all there is."""
    layer = RNN(cells, **{"dtype": dtype, "return_sequences": True, "return_state": True, **options})
    assert layer.explain().native
    return layer


def mask_of(pattern: str, batch: int, steps: int) -> NDArray[np.bool_]:
    """A mask where every row but perhaps the last one takes steps."""
    rng = np.random.default_rng(6)
    lengths = rng.integers(1, steps + 1, batch)
    lengths[0] = steps
    right = np.arange(steps) < lengths[:, None]
    holes = rng.random((batch, steps)) < 0.6
    holes[:, steps // 3] = False  # a step nobody takes
    holes[-1] &= batch == 1
    return {"right": right, "left": right[:, ::-1], "holes": holes}[pattern]


# Each way of sharing ------------------------------------------------------------------------------


@kinds
@dtypes
def test_rows(kind: str, dtype: str, isa: str) -> None:
    layer = recurrent(cell(kind, SOME[kind], dtype=dtype), dtype)
    shapes = [(8, 60), (37, 16), (67, 10), (530, 1)]
    inputs = [normal(*shape, 20, dtype=dtype) for shape in shapes]
    check(*(partial(layer, x) for x in inputs), counts=(2, 3, 16, 40))


@kinds
@dtypes
def test_units(kind: str, dtype: str, isa: str) -> None:
    layer = recurrent(cell(kind, MANY[kind], dtype=dtype), dtype)
    inputs = [normal(batch, 18, 30, dtype=dtype) for batch in range(1, 8)]
    check(*(partial(layer, x) for x in inputs), counts=(2, 3, 7, 16))


@kinds
@pytest.mark.parametrize(("depth", "dtype"), [(2, "float32"), (3, "float64"), (4, "float32")])
def test_layers(kind: str, depth: int, dtype: str, isa: str) -> None:
    names = [kind, *(other for other in CELLS if other != kind)][:depth]
    cells = [cell(name, FEW[name] + 5 * i, dtype=dtype) for i, name in enumerate(names)]
    layer = recurrent(cells, dtype)
    inputs = [normal(batch, 700 // depth, 12, dtype=dtype) for batch in (1, 2)]
    check(*(partial(layer, x) for x in inputs), counts=(2, 3, 4))


@kinds
def test_layers_over_many_chunks(kind: str) -> None:
    """The places where layers hand over chunks are used again and again."""
    layer = recurrent([cell(kind, FEW[kind]), cell("gru", 30), cell(kind, FEW[kind] + 3)])
    x = normal(2, 4000, 8)
    mask = mask_of("holes", 2, 4000)
    check(partial(layer, x), partial(layer, x, mask=mask), counts=(2, 3))


@kinds
@dtypes
def test_directions(kind: str, dtype: str, isa: str) -> None:
    calls = []
    for merge_mode, shape in [("concat", (1, 150)), ("sum", (3, 120)), (None, (21, 14))]:
        one = recurrent(cell(kind, SOME[kind], dtype=dtype), dtype)
        layer = Bidirectional(one, merge_mode=merge_mode, dtype=dtype)
        x = normal(*shape, 20, dtype=dtype)
        layer(x)
        calls.append(partial(layer, x))
    check(*calls, counts=(2, 3, 7))


@kinds
def test_directions_of_stacks(kind: str, isa: str) -> None:
    layer = Bidirectional(recurrent([cell(kind, SOME[kind]), cell("gru", 60)]))
    x = normal(2, 80, 10)
    layer(x)
    check(partial(layer, x), counts=(2, 4))


# Masks and options, for cells and shapes that are shared in different ways ---------------------------

FORMS: dict[str, tuple[Callable[[str], Any], tuple[int, int]]] = {
    "rows": (lambda kind: cell(kind, SOME[kind]), (40, 16)),
    "units": (lambda kind: cell(kind, MANY[kind]), (3, 20)),
    "layers": (lambda kind: [cell(kind, FEW[kind]), cell("lstm", 36), cell(kind, FEW[kind] + 5)], (2, 300)),
}
forms = pytest.mark.parametrize("form", FORMS)


@kinds
@forms
def test_masks(kind: str, form: str, isa: str) -> None:
    make, (batch, steps) = FORMS[form]
    calls = []
    for pattern in ("right", "left", "holes"):
        layer = recurrent(make(kind), zero_output_for_mask=pattern == "left")
        x, mask = normal(batch, steps, 20), mask_of(pattern, batch, steps)
        x[~mask] = np.nan  # nobody may read it
        calls.append(partial(layer, x, mask=mask))
    check(*calls, counts=(2, 3, 5))


@kinds
def test_masks_in_both_directions(kind: str, isa: str) -> None:
    layer = Bidirectional(recurrent(cell(kind, SOME[kind])))
    calls = []
    for batch, steps in [(1, 200), (18, 24)]:
        x = normal(batch, steps, 20)
        layer(x)
        calls += [partial(layer, x, mask=mask_of(p, batch, steps)) for p in ("right", "left", "holes")]
    check(*calls, counts=(2, 5))


@kinds
@forms
@pytest.mark.parametrize("time_major", [False, True])
def test_backwards_from_given_states(kind: str, form: str, time_major: bool, isa: str) -> None:
    make, (batch, steps) = FORMS[form]
    axes = (1, 0, 2) if time_major else (0, 1, 2)
    x, other = (np.ascontiguousarray(normal(batch, steps, 20, seed=i).transpose(axes)) for i in range(2))
    mask = mask_of("holes", batch, steps).transpose(axes[:2])
    calls = []
    for return_sequences in (False, True):
        layer = recurrent(
            make(kind), go_backwards=True, time_major=time_major, return_sequences=return_sequences
        )
        _, *states = layer(other)
        calls += [partial(layer, x, initial_state=states, mask=m) for m in (None, mask)]
    check(*calls, counts=(2, 4))


@kinds
@forms
def test_ragged_rows(kind: str, form: str, isa: str) -> None:
    make, (batch, steps) = FORMS[form]
    lengths = np.random.default_rng(8).integers(0, steps, batch)
    lengths[-1] = 2 * steps
    values = normal(int(lengths.sum()), 20)
    pair, rows = (values, lengths), np.split(values, np.cumsum(lengths)[:-1])
    layers = [
        recurrent(make(kind)),
        recurrent(make(kind), return_sequences=False, go_backwards=True),
        Bidirectional(RNN(make(kind), return_sequences=True)),
    ]
    for layer in layers:
        layer(pair)
    check(*(partial(layer, x) for layer in layers for x in (pair, rows)), counts=(2, 7))


@kinds
@dtypes
def test_dropout(kind: str, dtype: str, isa: str) -> None:
    options = {"dropout": 0.3, "recurrent_dropout": 0.2, "dtype": dtype}
    cells = {
        "rows": cell(kind, SOME[kind], **options),
        "stack": [cell(kind, FEW[kind], **options), cell("gru", 50, **options)],
        "directions": cell(kind, SOME[kind], **options),
    }
    layers = {name: recurrent(one, dtype) for name, one in cells.items()}
    layers["directions"] = Bidirectional(layers["directions"], dtype=dtype)
    inputs = {"rows": (40, 16), "stack": (2, 300), "directions": (2, 100)}
    calls = []
    for name, layer in layers.items():
        x = normal(*inputs[name], 20, dtype=dtype)
        plain = arrays(layer(x))[0]  # weights are drawn from the seed too
        assert layer.explain(training=True).native

        def seeded(layer: Any = layer, x: Any = x) -> Any:
            rnnpack.set_seed(9)
            return layer(x, training=True)

        assert not np.array_equal(arrays(seeded())[0], plain)
        calls.append(seeded)
    check(*calls, counts=(2, 4))


@kinds
def test_strided_and_repeated_inputs(kind: str, isa: str) -> None:
    layer = recurrent(cell(kind, SOME[kind]))
    x = normal(40, 16, 20)
    wide = np.empty((80, 32, 40), np.float32)
    wide[::2, ::2, ::2] = x
    views = [np.asfortranarray(x), wide[::2, ::2, ::2], x[::-1, ::-1], np.broadcast_to(x[:1, :1], x.shape)]
    check(*(partial(layer, view) for view in views), counts=(2, 7))


@kinds
def test_stateful_layers_go_on_from_the_same_states(kind: str, isa: str) -> None:
    layer = recurrent(cell(kind, SOME[kind]), stateful=True)
    x = normal(40, 16, 20)
    layer(x)

    def three_calls() -> Any:
        layer.reset_states()
        return [layer(x) for _ in range(3)] + [np.array(state) for state in arrays(layer.states)]

    check(three_calls, counts=(2, 7))


# Streams ------------------------------------------------------------------------------------------


@kinds
@dtypes
def test_streams_of_wide_layers(kind: str, dtype: str, isa: str) -> None:
    """Also the same bits as one call on the whole sequence, which wakes helpers for the stream."""
    cells = [cell(kind, MANY[kind] * 2, dtype=dtype), cell("gru", 130, dtype=dtype)]
    layer = recurrent(cells, dtype, return_state=False)

    def steps(x: NDArray[Any]) -> Any:
        whole = layer(x)
        stream = layer.stream(len(x))
        outputs = np.stack([stream(x[:, t]) for t in range(x.shape[1])], axis=1)
        np.testing.assert_array_equal(outputs, whole)
        return [outputs, stream.states]

    check(*(partial(steps, normal(batch, 8, 40, dtype=dtype)) for batch in (1, 4)), counts=(2, 4))
