"""Contract §7 (and §8): what a masked step does to states and outputs, and which masks are taken."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, TwoStateCell, bits, doubling, integers, normal, randomise, scan

from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell, TensorShape

B, T, F, U = 4, 6, 3, 5
# Rows: a hole in the middle, left padding, never unmasked, right padding.
MASK = np.array([[1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], bool)


class PythonLSTMCell(LSTMCell):
    """An LSTM that runs on the Python loop."""


BUILT_IN = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "rnn lstm": lambda **k: RNN(LSTMCell(U), **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(U)], **k),
    "python": lambda **k: RNN(PythonLSTMCell(U), **k),
}


def flat(states):
    """Flatten one level of per-cell nests."""
    return [a for s in states for a in (s if isinstance(s, list) else [s])]


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("time_major", [False, True])
def test_masked_sequences_of_a_custom_cell(unroll, zero, go_backwards, time_major):
    x, h0 = integers(B, T, F), integers(B, U, seed=1)
    layer = RNN(
        DoublingCell(U),
        return_sequences=True,
        return_state=True,
        unroll=unroll,
        go_backwards=go_backwards,
        time_major=time_major,
        zero_output_for_mask=zero,
    )
    swap = (lambda a: a.swapaxes(0, 1)) if time_major else (lambda a: a)
    y, h = layer(swap(x), initial_state=h0, mask=swap(MASK))
    want, _, state = doubling(x, h0, MASK, U, go_backwards=go_backwards, zero_output=zero)
    np.testing.assert_array_equal(swap(y), want)
    np.testing.assert_array_equal(h, state)


def test_output_before_the_first_unmasked_step_is_zero_even_with_an_initial_state():
    x, h0 = normal(B, T, F), normal(B, U, seed=1)
    y = RNN(DoublingCell(U), return_sequences=True)(x, initial_state=h0, mask=MASK)
    assert not y[1, :2].any()
    assert not y[2].any()
    for make in (LSTM, GRU, SimpleRNN):
        states = [h0, normal(B, U, seed=2)] if make is LSTM else [h0]
        y = make(U, return_sequences=True)(x, initial_state=states, mask=MASK)
        assert not y[1, :2].any()
        assert not y[2].any()
        assert y[1, 2:].all()


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_row_that_is_never_unmasked_gives_zeros_and_its_initial_state(name):
    layer = BUILT_IN[name](return_state=True)
    x = normal(B, T, F)
    widths = [s.shape[1] for s in flat(layer(x)[1:])]
    values = [normal(B, w, seed=i) for i, w in enumerate(widths)]
    states = [values[:2], values[2]] if name == "stack" else values
    y, *final = layer(x, initial_state=states, mask=MASK)
    assert not y[2].any()
    for got, start in zip(flat(final), values, strict=True):
        np.testing.assert_array_equal(got[2], start[2])
        assert (got[[0, 1, 3]] != start[[0, 1, 3]]).any(1).all()


def test_the_held_output_is_the_previous_output_not_a_state():
    class Counter:
        """Output is state + 1, so output and state can never be confused."""

        state_size = 1

        def call(self, inputs, states):
            h = states[0] + 10
            return h + 1, [h]

    mask = np.array([[1, 0, 1, 0]], bool)
    y, h = RNN(Counter(), return_sequences=True, return_state=True)(normal(1, 4, 2), mask=mask)
    np.testing.assert_array_equal(y[0, :, 0], [11, 11, 21, 21])
    np.testing.assert_array_equal(h, [[20]])


def test_output_and_state_masking_are_independent():
    class PlusOne:
        """The state counts by one, the output is the state before counting plus the input."""

        state_size = 1

        def call(self, inputs, states):
            return states[0] + inputs, [states[0] + 1]

    x = np.array([[[1.0], [2.0], [3.0], [4.0]]], "float32")
    mask = np.array([[0, 1, 0, 1]], bool)
    y, h = RNN(PlusOne(), return_sequences=True, return_state=True)(x, mask=mask)
    np.testing.assert_array_equal(y[0, :, 0], [0, 2, 2, 5])
    np.testing.assert_array_equal(h, [[2]])


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("unroll", [False, True])
def test_last_output_is_the_last_unmasked_one(name, unroll):
    layer = BUILT_IN[name](unroll=unroll)
    x = normal(B, T, F)
    y = layer(x, mask=MASK)
    for row in (0, 1, 3):
        alone = layer(x[row : row + 1][:, MASK[row]])
        np.testing.assert_allclose(y[row], alone[0], rtol=0, atol=4 * T * (F + U) * np.finfo("float32").eps)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", BUILT_IN)
def test_masked_steps_are_selected_not_blended_so_nan_and_inf_do_not_leak(name, bad):
    layer = BUILT_IN[name](return_sequences=True, return_state=True)
    x = normal(B, T, F)
    clean = layer(x, mask=MASK)
    dirty = x.copy()
    dirty[~MASK] = bad
    with np.errstate(all="ignore"):
        got = layer(dirty, mask=MASK)
    for a, b in zip([got[0], *flat(got[1:])], [clean[0], *flat(clean[1:])], strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


def test_nan_does_not_leak_through_the_python_loop_of_a_custom_cell():
    x = integers(B, T, F)
    dirty = np.where(MASK[..., None], x, np.float32(np.nan))
    for zero in (False, True):
        for got, want in zip(
            RNN(DoublingCell(U), return_sequences=True, return_state=True, zero_output_for_mask=zero)(
                dirty, mask=MASK
            ),
            doubling(x, None, MASK, U, zero_output=zero)[::2],
            strict=True,
        ):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_nan_in_one_row_stays_in_its_row(name, zero):
    layer = BUILT_IN[name](return_sequences=True, zero_output_for_mask=zero)
    x = normal(B, T, F)
    clean = layer(x, mask=MASK)
    x[0, 0] = np.nan
    got = layer(x, mask=MASK)
    assert np.isnan(got[0, 0]).all()
    np.testing.assert_array_equal(got[1:], clean[1:])


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_masked_sequence_of_the_built_in_cells_follows_the_rules(name, zero):
    """The rules applied to the layer's own single steps: a one-step call is the cell."""
    layer = BUILT_IN[name](return_sequences=True, return_state=True, zero_output_for_mask=zero)
    x = normal(B, T, F)
    single = layer(x[:, :1])
    start = [np.zeros_like(s) for s in flat(single[1:])]
    nest = (lambda s: [list(s[:2]), s[2]]) if name == "stack" else list

    def step(x_t, states):
        y, *new = layer(x_t[:, None], initial_state=nest(states))
        return np.array(y[:, 0]), flat(new)

    want, _, states = scan(step, x, start, MASK, zero_output=zero)
    y, *final = layer(x, mask=MASK)
    # One call and T calls add the same products in another order: at most F + U roundings a step.
    tolerance = 4 * T * (F + U) * np.finfo("float32").eps
    np.testing.assert_allclose(y, want, rtol=0, atol=tolerance)
    for got, state in zip(flat(final), states, strict=True):
        np.testing.assert_allclose(got, state, rtol=0, atol=tolerance)
    held = ~MASK
    expected_zero = held if zero else held & ~np.logical_or.accumulate(MASK, axis=1)
    assert not y[expected_zero].any()


@pytest.mark.parametrize("name", BUILT_IN)
def test_left_right_and_mixed_padding_of_the_same_tokens_agree(name):
    layer = BUILT_IN[name](return_state=True)
    tokens = normal(1, 3, F)
    x, mask = normal(3, T, F, seed=9), np.zeros((3, T), bool)
    for row, steps in enumerate(([0, 1, 2], [3, 4, 5], [0, 3, 5])):
        x[row, steps], mask[row, steps] = tokens[0], True
    y, *states = layer(x, mask=mask)
    # Rows may fall into different tiles of a matrix product: F + U roundings a step, three steps.
    tolerance = 4 * 3 * (F + U) * np.finfo("float32").eps
    for array in [y, *flat(states)]:
        np.testing.assert_allclose(array[1:], array[[0, 0]], rtol=0, atol=tolerance)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_unroll_gives_identical_masked_numbers(name, zero):
    x = normal(B, T, F)
    loop = BUILT_IN[name](return_sequences=True, return_state=True, zero_output_for_mask=zero)
    unrolled = BUILT_IN[name](
        return_sequences=True, return_state=True, zero_output_for_mask=zero, unroll=True
    )
    randomise(loop, x.shape)
    randomise(unrolled, x.shape)
    want, got = loop(x, mask=MASK), unrolled(x, mask=MASK)
    for a, b in zip([got[0], *flat(got[1:])], [want[0], *flat(want[1:])], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_all_true_mask_equals_no_mask_bit_for_bit(name):
    x = normal(B, T, F)
    layer = BUILT_IN[name](return_sequences=True, return_state=True)
    want, got = layer(x), layer(x, mask=np.ones((B, T), bool))
    for a, b in zip([got[0], *flat(got[1:])], [want[0], *flat(want[1:])], strict=True):
        assert bits(a) == bits(b)


@pytest.mark.parametrize("name", BUILT_IN)
def test_all_states_of_all_stacked_cells_are_frozen_on_masked_rows(name):
    layer = BUILT_IN[name](return_state=True)
    x = normal(B, T, F)
    mask = np.zeros((B, T), bool)
    mask[:, 0] = True
    _, *want = layer(x[:, :1])
    _, *got = layer(x, mask=mask)
    for a, b in zip(flat(got), flat(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=4 * (F + U) * np.finfo("float32").eps)


def test_one_mask_serves_all_nested_inputs():
    class Pair:
        state_size = U

        def call(self, inputs, states):
            a, b = inputs
            h = 2 * states[0] + a.sum(-1, keepdims=True) + b.sum(-1, keepdims=True)
            return h + 100, [h]

    a, b = integers(B, T, 2), integers(B, T, 4, seed=1)
    y = RNN(Pair(), return_sequences=True)((a, b), mask=MASK)
    np.testing.assert_array_equal(y, doubling(np.concatenate([a, b], -1), None, MASK, U)[0])


def test_zero_output_for_mask_zeroes_masked_positions_and_leaves_the_rest():
    x = normal(B, T, F)
    for make in (LSTM, GRU, SimpleRNN):
        plain, zeroed = (
            make(U, return_sequences=True),
            make(U, return_sequences=True, zero_output_for_mask=True),
        )
        randomise(plain, x.shape)
        randomise(zeroed, x.shape)
        a, b = plain(x, mask=MASK), zeroed(x, mask=MASK)
        assert not b[~MASK].any()
        np.testing.assert_array_equal(a[MASK], b[MASK])
        assert a[0, 2].all(), "without the flag the previous output is repeated"
        np.testing.assert_array_equal(a[0, 2], a[0, 1])


def test_zero_output_for_mask_never_zeroes_states():
    x = normal(B, T, F)
    plain, zeroed = LSTM(U, return_state=True), LSTM(U, return_state=True, zero_output_for_mask=True)
    randomise(plain, x.shape)
    randomise(zeroed, x.shape)
    for a, b in zip(plain(x, mask=MASK)[1:], zeroed(x, mask=MASK)[1:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_zero_output_for_mask_without_a_mask_changes_nothing():
    x = normal(B, T, F)
    plain, zeroed = GRU(U, return_sequences=True), GRU(U, return_sequences=True, zero_output_for_mask=True)
    randomise(plain, x.shape)
    randomise(zeroed, x.shape)
    np.testing.assert_array_equal(plain(x), zeroed(x))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint8", "float32", "float64"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_masks_of_any_castable_dtype(name, dtype):
    x = normal(B, T, F)
    layer = BUILT_IN[name](return_sequences=True)
    np.testing.assert_array_equal(layer(x, mask=MASK.astype(dtype)), layer(x, mask=MASK))


def test_every_non_zero_mask_value_counts_as_true():
    x = normal(B, T, F)
    layer = GRU(U, return_sequences=True)
    want = layer(x, mask=MASK)
    for value in (2, 256, -1, 0.25):
        np.testing.assert_array_equal(layer(x, mask=MASK * np.asarray(value)), want)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_mask_of_rank_three_with_one_trailing_column(name, unroll):
    x = normal(B, T, F)
    layer = BUILT_IN[name](return_sequences=True, unroll=unroll)
    np.testing.assert_array_equal(layer(x, mask=MASK[..., None]), layer(x, mask=MASK))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (B, T - 1),
        (B, T + 1),
        (B, 1),
        (B - 1, T),
        (B + 1, T),
        (1, T),
        (T, B),
        (B * T,),
        (T,),
        (B, T, U),
        (B, T, 2),
        (B, T, 1, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["lstm", "stack", "python"])
def test_masks_of_a_wrong_shape_are_refused(name, shape, unroll):
    layer = BUILT_IN[name](unroll=unroll)
    with pytest.raises(ValueError, match="mask"):
        layer(normal(B, T, F), mask=np.ones(shape, bool))


def test_of_a_nest_of_masks_the_first_is_used():
    x = normal(B, T, F)
    other = np.ones((B, T), bool)
    for name in ("lstm", "gru", "python", "rnn lstm"):
        layer = BUILT_IN[name](return_sequences=True)
        want = layer(x, mask=MASK)
        np.testing.assert_array_equal(layer(x, mask=[MASK, other]), want)
        np.testing.assert_array_equal(layer(x, mask=(MASK, other)), want)
        np.testing.assert_array_equal(layer(x, mask=[MASK]), want)


def test_a_ragged_python_list_is_no_mask():
    for name in ("lstm", "python"):
        with pytest.raises(ValueError, match="mask"):
            BUILT_IN[name]()(normal(2, 3, F), mask=[[True, True, True], [True]])


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_mask_is_broadcast_over_all_trailing_dimensions(unroll, zero):
    class Cell:
        state_size = (TensorShape((2, 3)), TensorShape((4,)))
        output_size = TensorShape((3, 2))

        def call(self, inputs, states):
            h, c = states[0] * 2 + inputs, states[1] + inputs[:, 0, :1]
            return h.transpose(0, 2, 1) + 100, [h, c]

    x = integers(B, T, 2, 3)
    start = [np.zeros((B, 2, 3), "float32"), np.zeros((B, 4), "float32")]
    want, _, states = scan(Cell().call, x, start, MASK, zero_output=zero)
    layer = RNN(Cell(), return_sequences=True, return_state=True, unroll=unroll, zero_output_for_mask=zero)
    y, *final = layer(x, mask=MASK)
    np.testing.assert_array_equal(y, want)
    for a, b in zip(final, states, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_states_of_different_width_are_both_frozen():
    x = integers(B, T, F)
    start = [np.zeros((B, 3), "float32"), np.zeros((B, 2), "float32")]
    want, _, states = scan(TwoStateCell().call, x, start, MASK)
    y, *final = RNN(TwoStateCell(), return_sequences=True, return_state=True)(x, mask=MASK)
    np.testing.assert_array_equal(y, want)
    for a, b in zip(final, states, strict=True):
        np.testing.assert_array_equal(a, b)


def test_right_padded_masks_repeat_the_last_output_instead_of_zeros():
    x = normal(B, T, F)
    mask = np.arange(T) < np.array([[6], [4], [2], [1]])
    for make in (LSTM, GRU):
        y = make(U, return_sequences=True)(x, mask=mask)
        for row, length in enumerate((6, 4, 2, 1)):
            assert y[row, length - 1].any()
            for t in range(length, T):
                np.testing.assert_array_equal(y[row, t], y[row, length - 1])


def test_the_callers_mask_is_not_modified_and_may_be_read_only():
    x = normal(B, T, F)
    mask = MASK.copy()
    mask.setflags(write=False)
    for name in BUILT_IN:
        for flags in ({"go_backwards": True}, {}):
            BUILT_IN[name](**flags)(x, mask=mask)
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, SimpleRNNCell])
def test_masked_rows_do_not_disturb_other_rows(cell):
    x = normal(B, T, F)
    layer = RNN(cell(U), return_sequences=True)
    all_on = layer(x)
    mask = np.ones((B, T), bool)
    mask[1] = MASK[0]
    got = layer(x, mask=mask)
    np.testing.assert_array_equal(got[[0, 2, 3]], all_on[[0, 2, 3]])
