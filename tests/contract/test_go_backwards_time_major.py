"""Contract §6: order of processing, order of the result, axes."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, doubling, integers, normal, randomise
from contract_oracle import assert_matches

from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN

B, T, F, U = 3, 5, 4, 6
MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [1, 0, 0, 0, 0]], bool)

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "gru before": lambda **k: GRU(U, reset_after=False, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(3), GRUCell(U)], **k),
    "python": lambda **k: RNN(type("OwnGRU", (GRUCell,), {})(U), **k),
}


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_go_backwards_reads_from_the_end_and_keeps_processing_order(masked, unroll):
    x, mask = integers(B, T, F), MASK if masked else None
    y, h = RNN(DoublingCell(), return_sequences=True, return_state=True, go_backwards=True, unroll=unroll)(
        x, mask=mask
    )
    want, _, state = doubling(x, mask=mask, go_backwards=True)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(h, state)


def test_first_emitted_element_belongs_to_the_last_physical_step():
    x = integers(B, T, F)
    backwards = RNN(DoublingCell(), return_sequences=True, go_backwards=True)(x)
    np.testing.assert_array_equal(backwards[:, 0], RNN(DoublingCell())(x[:, -1:]))
    np.testing.assert_array_equal(backwards, RNN(DoublingCell(), return_sequences=True)(x[:, ::-1]))


def test_last_output_of_go_backwards_belongs_to_physical_step_zero():
    x = integers(B, T, F)
    changed = x.copy()
    changed[:, 0] += 1
    last = RNN(DoublingCell(), go_backwards=True)
    np.testing.assert_array_equal(last(changed) - last(x), np.full((B, 3), F))


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_built_in_cells_against_the_oracle(name, zero, return_sequences, go_backwards, mask):
    flags = {"return_sequences": return_sequences, "go_backwards": go_backwards, "return_state": True}
    x = normal(B, T, F)
    layer = MAKE[name](zero_output_for_mask=zero, **flags)
    randomise(layer, x.shape)
    assert_matches(layer, layer(x, mask=mask), x, mask)


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_time_major_does_not_change_numbers(name, return_sequences, go_backwards, mask):
    flags = {"return_sequences": return_sequences, "go_backwards": go_backwards, "return_state": True}
    x = normal(B, T, F)
    plain, major = MAKE[name](**flags), MAKE[name](time_major=True, **flags)
    randomise(plain, x.shape)
    randomise(major, x.swapaxes(0, 1).shape)
    want = plain(x, mask=mask)
    got = major(x.swapaxes(0, 1), mask=None if mask is None else mask.T)
    got[0] = got[0].swapaxes(0, 1) if return_sequences else got[0]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_time_major_takes_an_initial_state_batch_first():
    x, h = integers(T, B, F), integers(B, 3, seed=1)
    y, state = RNN(DoublingCell(), time_major=True, return_state=True)(x, initial_state=h)
    _, last, want = doubling(x.swapaxes(0, 1), h)
    np.testing.assert_array_equal(y, last)
    np.testing.assert_array_equal(state, want)


def test_time_major_mask_is_time_first():
    x = integers(T, B, F)
    for layer in (RNN(DoublingCell(), time_major=True), LSTM(U, time_major=True)):
        layer(x, mask=MASK.T)
        with pytest.raises(ValueError, match="mask"):
            layer(x, mask=MASK)


def test_time_major_mask_is_time_first_also_when_batch_equals_time():
    x = integers(B, B, F)
    mask = np.array([[1, 1, 1], [0, 1, 0], [0, 1, 0]], bool)
    y = RNN(DoublingCell(), time_major=True, return_sequences=True)(x, mask=mask)
    np.testing.assert_array_equal(y.swapaxes(0, 1), doubling(x.swapaxes(0, 1), mask=mask.T)[0])


def test_time_major_mask_with_a_trailing_axis():
    x = integers(T, B, F)
    for layer in (RNN(DoublingCell(), time_major=True, return_sequences=True), GRU(U, time_major=True)):
        np.testing.assert_array_equal(layer(x, mask=MASK.T[..., None]), layer(x, mask=MASK.T))


def test_time_major_nested_inputs():
    class Pair:
        state_size = 3

        def call(self, inputs, states):
            a, b = inputs
            return DoublingCell().call(np.concatenate([a, b], -1), states)

    a, b = integers(T, B, 2), integers(T, B, 4, seed=1)
    y = RNN(Pair(), time_major=True, return_sequences=True)((a, b), mask=MASK.T)
    want = doubling(np.concatenate([a, b], -1).swapaxes(0, 1), mask=MASK)[0]
    np.testing.assert_array_equal(y.swapaxes(0, 1), want)


def test_go_backwards_reverses_every_nested_input():
    class Pair:
        state_size = 3

        def call(self, inputs, states):
            return DoublingCell().call(np.concatenate(inputs, -1), states)

    a, b = integers(B, T, 2), integers(B, T, 4, seed=1)
    y = RNN(Pair(), go_backwards=True)((a, b), mask=MASK)
    np.testing.assert_array_equal(y, doubling(np.concatenate([a, b], -1), mask=MASK, go_backwards=True)[1])


@pytest.mark.parametrize("name", MAKE)
def test_the_callers_input_is_not_reversed_in_place(name):
    x = normal(B, T, F)
    before = x.copy()
    MAKE[name](go_backwards=True)(x, mask=MASK)
    np.testing.assert_array_equal(x, before)
