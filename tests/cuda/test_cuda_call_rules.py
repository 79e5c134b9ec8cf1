"""Calls of layers on a GPU with NumPy arrays: masks, flags, states, strides, ragged rows, long sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from cuda_oracle import assert_pair_right, assert_right
from precision.precision_cases import MAKE, first_states, settle

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, PeepholeLSTMCell, SimpleRNN

pytestmark = pytest.mark.usefixtures("cuda_plugin")

B, T, F, U = 4, 5, 3, 7
X = normal(B, T, F)
HOLES = np.random.default_rng(5).random((B, T)) < 0.6
MASKS: dict[str, Any] = {
    "all": np.ones((B, T), bool),
    "nothing": np.zeros((B, T), bool),
    "right": np.arange(T) < np.array([[5], [3], [0], [1]]),
    "left": np.arange(T) >= np.array([[0], [3], [5], [2]]),
    "holes": HOLES,
    "numbers": HOLES.astype("float32") * 3,
    "integers": HOLES.astype("int64") * -256,
    "three axes": HOLES[..., None],
    "every second of a larger one": np.repeat(np.repeat(HOLES, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": HOLES[::-1, ::-1],
    "transposed": np.asfortranarray(HOLES),
    "one row for all": np.broadcast_to(HOLES[:1], (B, T)),
    "one step for all": np.broadcast_to(HOLES[:, :1], (B, T)),
}


def on_cuda(name: str, units: int = U, features: int = F, **kwargs: Any) -> Any:
    """A built layer on the GPU."""
    sizes = {} if name == "stack" else {"units": units}
    layer = settle(MAKE[name](**sizes, **kwargs), features, batch=B if kwargs.get("stateful") else None)
    layer.device = "cuda"
    return layer


def same(result: Any, other: Any) -> None:
    """Two results have the same bits."""
    a, b = flatten([result]), flatten([other])
    assert [(one.shape, one.dtype, bits(one)) for one in a] == [
        (one.shape, one.dtype, bits(one)) for one in b
    ]


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", ["lstm", "gru reset before", "stack"])
def test_masks(name: str, mask: str, zero: bool, go_backwards: bool) -> None:
    flags = {"zero_output_for_mask": zero, "go_backwards": go_backwards}
    for sequences in (False, True):
        layer = on_cuda(name, return_sequences=sequences, return_state=True, **flags)
        states = first_states(layer, B)
        result = layer(X, mask=MASKS[mask], initial_state=states)
        assert_right(layer, result, X, MASKS[mask], states)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_what_is_behind_a_mask_does_not_matter(name: str, zero: bool) -> None:
    for sequences in (False, True):
        layer = on_cuda(name, return_sequences=sequences, return_state=True, zero_output_for_mask=zero)
        want = layer(X, mask=HOLES)
        for poison in (np.nan, np.inf, -np.inf, 3e38):
            poisoned = np.where(HOLES[..., None], X, np.float32(poison))
            same(layer(poisoned, mask=HOLES), want)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_flags(
    name: str, return_state: bool, return_sequences: bool, go_backwards: bool, time_major: bool
) -> None:
    layer = on_cuda(
        name,
        return_state=return_state,
        return_sequences=return_sequences,
        go_backwards=go_backwards,
        time_major=time_major,
        zero_output_for_mask=True,
    )
    x, mask = (X.swapaxes(0, 1), HOLES.T) if time_major else (X, HOLES)
    states = first_states(layer, B)
    assert_right(layer, layer(x), x)
    assert_right(layer, layer(x, mask=mask), x, mask)
    assert_right(layer, layer(x, mask=mask, initial_state=states), x, mask, states)


def _unaligned(x: Any) -> Any:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


STRIDES: dict[str, Any] = {
    "columns first": np.asfortranarray,
    "time first": lambda x: np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
    "all reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "every second": lambda x: np.repeat(np.repeat(np.repeat(x, 2, 0), 2, 1), 2, 2)[::2, ::2, ::2],
    "part of wider rows": lambda x: np.pad(x, ((1, 1), (2, 2), (3, 3)), constant_values=9)[1:-1, 2:-2, 3:-3],
    "unaligned": _unaligned,
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}


@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strides_of_inputs_and_states(strides: str, dtype: str) -> None:
    view = STRIDES[strides]
    for time_major in (False, True):
        layer = on_cuda("lstm", dtype=dtype, return_sequences=True, return_state=True, time_major=time_major)
        x = np.ascontiguousarray(X.swapaxes(0, 1) if time_major else X).astype(dtype)
        states = [normal(B, U, seed=seed, dtype=dtype) for seed in (1, 2)]
        given = [view(one[None])[0] for one in states]
        want = layer(x, initial_state=states)
        same(layer(view(x), initial_state=given), want)
        assert_right(layer, want, x, None, states)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_strides_of_zero(axis: int) -> None:
    x = np.broadcast_to(np.take(X, [1], axis), X.shape)
    layer = on_cuda("gru", return_sequences=True)
    same(layer(x), layer(x.copy()))
    assert_right(layer, layer(x), x)


def test_the_callers_arrays_are_only_read_and_results_are_new() -> None:
    layer = on_cuda("lstm", return_sequences=True, return_state=True)
    x, mask, states = X.copy(), HOLES.copy(), first_states(layer, B)
    given = [x, mask, *states]
    before = [one.copy() for one in given]
    results = flatten([layer(x, mask=mask, initial_state=states)])
    same(given, before)
    again = flatten([layer(x, mask=mask, initial_state=states)])
    for one in results:
        assert one.flags.writeable
        assert one.flags.c_contiguous
        assert not any(np.shares_memory(one, other) for other in (*given, *again))


@pytest.mark.parametrize(("name", "batch"), [("lstm", 4096), ("gru reset before", 5500)])
def test_long_sequences_are_cut_into_chunks(name: str, batch: int) -> None:
    """Projected inputs of more than 32 MiB: the numbers are those of the parts, one after the other."""
    steps, units, features = 65, 8, 2
    gates = 4 if name == "lstm" else 3
    assert 4 * batch * steps * gates * units > 32 << 20
    flags = {"return_sequences": True, "return_state": True, "go_backwards": name == "lstm"}
    layer = settle(MAKE[name](units=units, **flags), features)
    x = normal(batch, steps, features)
    mask = np.random.default_rng(3).random((batch, steps)) < 0.1  # most of the work is skipped
    layer.device = "cuda"
    whole = flatten(layer(x, mask=mask))
    rows = slice(100, 103)
    assert_right(layer, [one[rows] for one in whole], x[rows], mask[rows])
    layer.device = "cpu"
    for one, other in zip(whole, flatten(layer(x, mask=mask)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MAKE)
def test_stateful_layers(name: str) -> None:
    layer = on_cuda(name, stateful=True, return_sequences=True, return_state=True)
    parts = [X[:, :2], X[:, 2:3], X[:, 3:]]
    states = None
    for x in parts:
        result = layer(x)
        assert_right(layer, result, x, None, states)
        states = flatten(result)[1:]
        same(flatten([layer.states]), states)
    layer.reset_states()
    assert not any(one.any() for one in flatten([layer.states]))
    assert_right(layer, layer(X), X)
    layer.reset_states(first_states(layer, B))
    states = [one.copy() for one in flatten([layer.states])]
    assert_right(layer, layer(X), X, None, states)
    with pytest.raises(ValueError, match="expected shape"):
        layer(X[:2])


MIXED = [
    (lambda **k: LSTM(U, **k), lambda **k: GRU(U, **k)),
    (lambda **k: SimpleRNN(U, **k), lambda **k: RNN([GRUCell(3), LSTMCell(U)], **k)),
    (lambda **k: RNN(PeepholeLSTMCell(U), **k), lambda **k: GRU(U, reset_after=False, **k)),
]


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
def test_two_directions(mode: str | None, return_sequences: bool, time_major: bool) -> None:
    x, mask = (X.swapaxes(0, 1), HOLES.T) if time_major else (X, HOLES)
    flags = {"return_sequences": return_sequences, "return_state": True, "time_major": time_major}
    for forward, backward in MIXED:
        layer = Bidirectional(
            forward(**flags), mode, backward_layer=backward(go_backwards=True, **flags), device="cuda"
        )
        settle(layer, F)
        assert_pair_right(layer, layer(x), x)
        assert_pair_right(layer, layer(x, mask=mask), x, mask)
    layer = settle(Bidirectional(LSTM(U, **flags), mode, device="cuda"), F)
    states = [normal(B, U, seed=seed) for seed in range(4)]
    result = layer(x, mask=mask, initial_state=states)
    assert_pair_right(layer, result, x, mask, states)


def test_directions_of_different_sizes() -> None:
    for mode in ("concat", None):
        layer = Bidirectional(
            LSTM(9, return_sequences=True),
            mode,
            backward_layer=SimpleRNN(17, return_sequences=True, go_backwards=True),
            device="cuda",
        )
        settle(layer, F)
        assert_pair_right(layer, layer(X, mask=HOLES), X, HOLES)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("mode", ["concat", "mul", None])
def test_two_directions_of_reduced_precision(mode: str | None, precision: str) -> None:
    layer = settle(Bidirectional(GRU(U, return_sequences=True, return_state=True), mode, device="cuda"), F)
    layer.set_precision(precision)
    assert_pair_right(layer, layer(X, mask=HOLES), X, HOLES)


LENGTHS = [3, 0, 5, 1, 0, 0, 2, 4, 0]
ROWS = [normal(length, F, seed=seed) for seed, length in enumerate(LENGTHS)]


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_ragged_rows(name: str, go_backwards: bool) -> None:
    """Each row alone gives the same; empty rows give zeros and their first states."""
    for sequences in (False, True):
        layer = on_cuda(name, return_sequences=sequences, return_state=True, go_backwards=go_backwards)
        as_list = layer(ROWS)
        as_pair = layer((np.concatenate(ROWS), np.array(LENGTHS)))
        outputs = as_list[0]
        if sequences:
            same(np.concatenate(outputs), as_pair[0][0])
            np.testing.assert_array_equal(as_pair[0][1], LENGTHS)
        else:
            same(outputs, as_pair[0])
        same(as_list[1:], as_pair[1:])
        for index, row in enumerate(ROWS):
            states = [one[index : index + 1] for one in flatten(as_list[1:])]
            if len(row) == 0:
                assert not any(one.any() for one in states)
                assert not outputs[index].any()
            else:
                assert_right(layer, [outputs[index][None], *states], row[None])


def test_ragged_rows_in_two_directions() -> None:
    for sequences in (False, True):
        layer = settle(Bidirectional(GRU(U, return_sequences=sequences), device="cuda"), F)
        outputs = layer(ROWS)
        for output, row in zip(outputs, ROWS, strict=True):
            if len(row):
                assert_pair_right(layer, output[None], row[None])
            else:
                assert not output.any()


def test_empty_batches_and_wrong_arguments() -> None:
    layer = on_cuda("lstm", return_sequences=True, return_state=True)
    y, h, c = layer(X[:0])
    assert (y.shape, h.shape, c.shape) == ((0, T, U), (0, U), (0, U))
    with pytest.raises(ValueError, match="time"):
        layer(X[:, :0])
    for bad in (HOLES[:, :-1], HOLES[:-1], np.ones((B, T, 2), bool)):
        with pytest.raises(ValueError, match="mask"):
            layer(X, mask=bad)
    with pytest.raises(ValueError, match="initial_state"):
        layer(X, initial_state=[normal(B, U), normal(B, U + 1)])
    assert_right(layer, layer(X), X)
