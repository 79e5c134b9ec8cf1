"""Layers of reduced precision against their oracle, on every instruction set, with all flags of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from precision import oracle
from precision.precision_cases import (
    CELLS,
    MAKE,
    PRECISIONS,
    all_bits,
    assert_near,
    assert_oracle,
    first_states,
    made,
    settle,
)

from rnnpack import LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNNCell

B, T, F = 4, 4, 5
MASKS: dict[str, Any] = {
    "none": None,
    "all": np.ones((B, T), bool),
    "nothing": np.zeros((B, T), bool),
    "right": np.arange(T) < np.array([[4], [3], [0], [1]]),
    "left": np.arange(T) >= np.array([[0], [3], [4], [2]]),
    "holes": np.random.default_rng(5).random((B, T)) < 0.6,
    "numbers": (np.random.default_rng(6).random((B, T)) < 0.6).astype("f"),
    "three axes": np.random.default_rng(7).random((B, T, 1)) < 0.6,
}

Way = tuple[str, str]


def assert_forced(layer: Any, way: Way) -> None:
    """The layer runs as it should."""
    found = layer.explain()
    assert found.native
    assert (found.precision, found.isa) == way
    assert str(found) == f"native: {found.kernel}/{way[1]}/{way[0]}"
    assert layer.precision == way[0]


@pytest.mark.parametrize("name", MAKE)
def test_every_instruction_set(way: Way, name: str) -> None:
    layer = made(name, way[0], return_sequences=True, return_state=True)
    x, mask, states = normal(B, T, F), MASKS["holes"], first_states(layer, B, scale=0.4)
    assert_oracle(layer, way[0], layer(x), x)
    assert_oracle(layer, way[0], layer(x, mask=mask, initial_state=states), x, mask, states)
    assert_forced(layer, way)


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_masks(precision: str, name: str, masks: str) -> None:
    layer = made(name, precision, return_sequences=True, return_state=True)
    x, mask = normal(B, T, F), MASKS[masks]
    assert_oracle(layer, precision, layer(x, mask=mask), x, mask)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_flags(
    precision: str, name: str, return_sequences: bool, go_backwards: bool, time_major: bool
) -> None:
    flags = {"go_backwards": go_backwards, "return_sequences": return_sequences, "time_major": time_major}
    layer = made(name, precision, return_state=True, zero_output_for_mask=go_backwards, **flags)
    states = first_states(layer, B, scale=0.4)
    x, mask = normal(B, T, F), MASKS["holes"]
    if time_major:
        x, mask = x.swapaxes(0, 1), mask.T
    assert_oracle(layer, precision, layer(x, mask=mask, initial_state=states), x, mask, states)
    assert_oracle(layer, precision, layer(x), x)


@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("name", MAKE)
def test_first_states_beyond_one(way: Way, name: str, scale: float) -> None:
    """They have a grid of their own, and their neighbours in the batch keep the one of values up to 1."""
    layer = made(name, way[0], return_sequences=True, return_state=True)
    states, x = first_states(layer, B, scale), normal(B, 2, F)
    for state in flatten(states):
        state[1] /= 2 * np.abs(state).max()
    assert max(np.abs(s).max() for s in flatten(states)) > 1
    assert_oracle(layer, way[0], layer(x, initial_state=states), x, None, states)


@pytest.mark.parametrize("name", CELLS)
def test_every_remainder_of_every_width(way: Way, name: str) -> None:
    """Also of every width of the inputs; groups of two or four features share an instruction."""
    for units in (1, 2, 3, 8, 15, 16, 17, 31, 33, 47, 48, 64, 65, 70):
        features = units * 7 % 23 + 1 if units % 2 else units
        layer = made(name, way[0], features, units=units, return_sequences=True, return_state=True)
        x, states = normal(2, 1, features, seed=units), first_states(layer, 2, 0.4)
        assert_oracle(layer, way[0], layer(x, initial_state=states), x, None, states)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("activation", reference.ELEMENTWISE)
def test_activations(way: Way, name: str, activation: str) -> None:
    for use_bias in (False, True):
        kwargs = {"activation": activation, "use_bias": use_bias}
        layer = made(name, way[0], return_sequences=True, return_state=True, **kwargs)
        x = 0.5 * normal(2, 2, F)
        assert_oracle(layer, way[0], layer(x), x)
        assert_forced(layer, way)


@pytest.mark.parametrize("name", [n for n in CELLS if n != "simple"])
@pytest.mark.parametrize("recurrent_activation", reference.ELEMENTWISE)
def test_activations_of_gates(way: Way, name: str, recurrent_activation: str) -> None:
    """With some of them states leave -1 to 1 although the other activation does not."""
    kwargs = {"recurrent_activation": recurrent_activation, "return_sequences": True, "return_state": True}
    layer = made(name, way[0], **kwargs)
    x = 0.5 * normal(2, 2, F)
    assert_oracle(layer, way[0], layer(x), x)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (37, 1), (19, 3)])
def test_short_long_and_wide_calls(way: Way, name: str, shape: tuple[int, int]) -> None:
    """Weights are small here: what a number in the middle of two has left uncertain fades away again."""
    layer = settle(MAKE[name](return_state=True), F, scale=0.3)
    layer.set_precision(way[0])
    x = normal(*shape, F)
    assert_oracle(layer, way[0], layer(x), x)


def test_steps_far_apart(way: Way) -> None:
    """Long calls are cut into chunks: none of them has another grid, and none loses the states."""
    layer = made("gru", way[0], return_sequences=True, return_state=True)
    x, mask = normal(2, 3000, F), np.zeros((2, 3000), bool)
    mask[0, [0, 1, 900, 2998]] = mask[1, [500, 1500, 1501, 2999]] = True
    short = np.stack([x[b][mask[b]] for b in range(2)])
    output, state = layer(x, mask=mask)
    assert_oracle(layer, way[0], [np.stack([output[b][mask[b]] for b in range(2)]), state], short)


@pytest.mark.parametrize("name", MAKE)
def test_what_is_left_in_memory_does_not_matter(way: Way, name: str) -> None:
    """Calls take over the memory of the call before, and its numbers stand where a row is padded."""
    before = settle(LSTM(33, return_sequences=True), 33)
    for features in (4, 5, 6, 7):
        layer = made(name, way[0], features, return_sequences=True, return_state=True)
        x = normal(B, T, features)
        before(np.full((16, 64, 33), np.nan, "f"))
        assert_oracle(layer, way[0], layer(x), x)


@pytest.mark.parametrize("name", MAKE)
def test_stateful_layers(way: Way, name: str) -> None:
    layer = made(name, way[0], batch=B, return_sequences=True, return_state=True, stateful=True)
    x = normal(B, 3, F)
    layer(x)
    states = [np.array(s) for s in flatten(layer.states)]
    assert_oracle(layer, way[0], layer(x[:, ::-1]), x[:, ::-1], None, states)
    layer.reset_states()
    assert_oracle(layer, way[0], layer(x), x)


@pytest.mark.parametrize("form", ["list", "pair"])
@pytest.mark.parametrize("name", MAKE)
def test_rows_of_different_lengths(way: Way, name: str, form: str) -> None:
    layer = made(name, way[0], return_sequences=True, return_state=True)
    rows = [normal(n, F, seed=n) for n in (4, 1, 0, 5)]
    values = np.concatenate(rows)
    output, *states = layer(rows if form == "list" else (values, np.array([4, 1, 0, 5])))
    values = np.concatenate(output) if form == "list" else output[0]
    for r, row in enumerate(rows):
        start = sum(map(len, rows[:r]))
        if len(row):
            got = [values[None, start : start + len(row)], *(s[r : r + 1] for s in flatten(states))]
            assert_oracle(layer, way[0], got, row[None])
        else:
            assert not any(s[r].any() for s in flatten(states))


@pytest.mark.parametrize(
    ("mode", "masks"),
    [
        ("concat", "none"),
        ("concat", "holes"),
        ("sum", "holes"),
        ("mul", "none"),
        ("ave", "left"),
        (None, "right"),
    ],
)
@pytest.mark.parametrize("name", ["lstm", "gru reset before", "stack"])
def test_both_directions(way: Way, name: str, masks: str, mode: str | None) -> None:
    both = settle(Bidirectional(MAKE[name](return_sequences=True, return_state=True), merge_mode=mode), F)
    both.set_precision(way[0])
    x, mask = normal(B, T, F), MASKS[masks]
    pair = [oracle.reduced_layer(half, way[0]) for half in (both.forward_layer, both.backward_layer)]
    assert_near(both(x, mask=mask), oracle.run_pair(pair, mode, x, mask))
    assert_forced(both, way)


@pytest.mark.parametrize("name", MAKE)
def test_streams(way: Way, name: str) -> None:
    layer = made(name, way[0], return_sequences=True, return_state=True)
    x, stream = normal(B, T, F), layer.stream(B)
    out = np.empty_like(layer(x)[0][:, 0])
    outputs = []
    for t in range(T):
        assert stream(x[:, t], out=out) is out
        outputs.append(out.copy())
    assert_oracle(layer, way[0], [np.stack(outputs, axis=1), stream.states], x)
    stream.reset(rows=[2])
    states = stream.states
    assert not any(s[2].any() for s in flatten(states))
    outputs = np.stack([stream(x[:, t]) for t in range(2)], axis=1)
    assert_oracle(layer, way[0], [outputs, stream.states], x[:, :2], None, states)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_different_cells_in_one_call(precision: str) -> None:
    """Outputs of unbounded cells are the inputs of others, and each cell has a grid of its own."""
    cells = [
        SimpleRNNCell(5, activation="relu"),
        GRUCell(6, reset_after=False, recurrent_activation="hard_sigmoid"),
        LSTMCell(7, activation="softsign", use_bias=False),
        GRUCell(3, activation="elu"),
    ]
    layer = settle(RNN(cells, return_sequences=True, return_state=True), F)
    layer.set_precision(precision)
    x = normal(B, 3, F)
    assert_oracle(layer, precision, layer(x, mask=MASKS["right"][:, :3]), x, MASKS["right"][:, :3])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MAKE)
def test_numbers_really_are_less_precise(name: str, precision: str) -> None:
    layer, x = made(name, precision), normal(B, T, F)
    reduced = layer(x)
    layer.set_precision("full")
    assert bits(layer(x)) != bits(reduced)


@pytest.mark.parametrize("most", ["avx512_bf16", "avx512_vnni", "avx512", "avx2", "scalar"])
def test_an_instruction_set_is_the_most_that_is_used(monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    from rnnpack import _core

    order = ["avx512_bf16", "avx512_vnni", "avx512", "avx2", "scalar"]
    if not any(most in _core.available_isas(p) for p in ("full", *PRECISIONS)):
        pytest.skip("this machine lacks it")
    monkeypatch.setenv("RNNPACK_ISA", most)
    x, results = normal(B, T, F), []
    for precision in ("full", *PRECISIONS):
        layer = made("lstm", precision)
        results.append(all_bits(layer(x)))
        known = [isa for isa in order if isa in _core.available_isas(precision)]
        assert layer.explain().isa == next(isa for isa in known if isa in order[order.index(most) :])
        monkeypatch.setenv("RNNPACK_ISA", layer.explain().isa)
        assert all_bits(made("lstm", precision)(x)) == results[-1]
        monkeypatch.setenv("RNNPACK_ISA", most)


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNPACK_ISA", "avx1024_bf16")
    with pytest.raises(ValueError, match="avx1024_bf16"):
        made("lstm", "bfloat16")(normal(B, T, F))
