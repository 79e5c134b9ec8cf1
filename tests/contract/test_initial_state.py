"""Contract §11: the initial state a caller passes."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, TwoStateCell, bits, doubling, integers, normal, randomise
from contract_oracle import assert_matches

from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell

B, T, F, U = 2, 4, 3, 5
COUNT = {"lstm": 2, "gru": 1, "simple": 1, "custom": 1, "two": 2, "python": 2}
WIDTHS = {"lstm": [U, U], "gru": [U], "simple": [U], "custom": [U], "two": [U, 2], "python": [U, U]}
MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "custom": lambda **k: RNN(DoublingCell(U), **k),
    "two": lambda **k: RNN(TwoStateCell(U), **k),
    "python": lambda **k: RNN(type("OwnLSTM", (LSTMCell,), {})(U), **k),
}


def states_for(name, batch=B, dtype="float32"):
    """One array per state."""
    return [integers(batch, w, seed=i + 1, dtype=dtype) for i, w in enumerate(WIDTHS[name])]


@pytest.mark.parametrize("name", ["lstm", "gru", "simple", "python"])
def test_numbers_with_an_initial_state(name):
    layer = MAKE[name](return_sequences=True, return_state=True)
    x, states = normal(B, T, F), [normal(B, w, seed=i) for i, w in enumerate(WIDTHS[name])]
    assert_matches(layer, layer(x, initial_state=states), x, initial_state=states)


def test_numbers_of_a_stack_with_an_initial_state():
    layer = RNN([LSTMCell(U), GRUCell(2), SimpleRNNCell(4)], return_sequences=True, return_state=True)
    x = normal(B, T, F)
    states = [[normal(B, U, seed=1), normal(B, U, seed=2)], normal(B, 2, seed=3), normal(B, 4, seed=4)]
    assert_matches(layer, layer(x, initial_state=states), x, initial_state=states)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_wrong_count_on_the_building_call(name, unroll):
    for states in (states_for(name)[:-1], [*states_for(name), integers(B, U)]):
        with pytest.raises(ValueError, match="state"):
            MAKE[name](unroll=unroll)(integers(B, T, F), initial_state=states)


@pytest.mark.parametrize("name", MAKE)
def test_wrong_count_on_later_calls(name):
    layer = MAKE[name]()
    layer(integers(B, T, F))
    too_many = [*states_for(name), integers(B, U)]
    with pytest.raises(
        ValueError, match=f"{COUNT[name]} states but was passed {len(too_many)} initial states"
    ):
        layer(integers(B, T, F), initial_state=too_many)


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_wrong_state_width_is_refused_on_every_call(name, unroll, built):
    layer = MAKE[name](unroll=unroll)
    if built:
        layer(integers(B, T, F))
    states = states_for(name)
    states[-1] = integers(B, WIDTHS[name][-1] + 1)
    with pytest.raises(ValueError, match=r"however `cell.state_size` is"):
        layer(integers(B, T, F), initial_state=states)


@pytest.mark.parametrize("built", [False, True])
def test_error_text_says_the_initial_state_is_not_compatible(built):
    layer = RNN(LayerCell(3))
    if built:
        layer(integers(B, T, F))
    with pytest.raises(ValueError, match=r"An `initial_state` was passed that is not compatible"):
        layer(integers(B, T, F), initial_state=[integers(B, 4)])


def test_a_stack_takes_one_nest_per_cell_not_a_flat_list():
    layer = RNN([LSTMCell(2), LSTMCell(3)])
    x = normal(B, T, F)
    h1, c1, h2, c2 = (normal(B, w, seed=w + i) for i, w in enumerate((2, 2, 3, 3)))
    nested = layer(x, initial_state=[[h1, c1], [h2, c2]])
    np.testing.assert_array_equal(layer(x, initial_state=([h1, c1], (h2, c2))), nested)
    with pytest.raises(ValueError, match="2 states but was passed 4 initial states"):
        layer(x, initial_state=[h1, c1, h2, c2])


def test_a_flat_list_for_a_stack_is_refused_on_the_building_call_too():
    h1, c1, h2, c2 = (normal(B, w) for w in (2, 2, 3, 3))
    with pytest.raises(ValueError, match="2 states but was passed 4 initial states"):
        RNN([LSTMCell(2), LSTMCell(3)])(normal(B, T, F), initial_state=[h1, c1, h2, c2])


@pytest.mark.parametrize("built", [False, True])
def test_a_list_of_one_cell_wants_a_nest_in_a_list(built):
    layer = RNN([LSTMCell(U)])
    x, h, c = normal(B, T, F), normal(B, U, seed=1), normal(B, U, seed=2)
    if built:
        layer(x)
    with pytest.raises(ValueError, match="state"):
        layer(x, initial_state=[h, c])
    plain = RNN(layer.cell.cells[0])
    np.testing.assert_array_equal(layer(x, initial_state=[[h, c]]), plain(x, initial_state=[h, c]))


@pytest.mark.parametrize("built", [False, True])
def test_an_lstm_refuses_one_array_with_both_states(built):
    layer = LSTM(U)
    if built:
        layer(normal(B, T, F))
    with pytest.raises(ValueError, match="state"):
        layer(normal(B, T, F), initial_state=normal(2, B, U))


@pytest.mark.parametrize("name", ["gru", "simple", "custom"])
def test_single_state_layers_take_a_bare_array(name):
    layer = MAKE[name]()
    x, (h,) = integers(B, T, F), states_for(name)
    np.testing.assert_array_equal(layer(x, initial_state=h), layer(x, initial_state=[h]))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_states_of_another_batch_size_are_refused_and_never_broadcast(name, built, unroll):
    for batch in (1, B + 1):
        layer = MAKE[name](unroll=unroll)
        if built:
            layer(integers(B, T, F))
        with pytest.raises(ValueError, match="state"):
            layer(integers(B, T, F), initial_state=states_for(name, batch))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("shape", [(B, U, 1), (1, B, U), (U,), (), (B, 1)], ids=str)
@pytest.mark.parametrize("name", ["gru", "custom"])
def test_states_of_another_rank_are_refused(name, shape, unroll):
    layer = MAKE[name](unroll=unroll)
    layer(integers(B, T, F))
    with pytest.raises(ValueError, match="state"):
        layer(integers(B, T, F), initial_state=[np.zeros(shape, "float32")])


@pytest.mark.parametrize("name", ["gru", "lstm", "custom", "python"])
def test_an_empty_list_means_the_same_on_the_first_and_on_later_calls(name):
    def outcome(layer):
        try:
            return bits(layer(integers(B, T, F), initial_state=[]))
        except ValueError as error:
            assert "state" in str(error)
            return ValueError

    fresh, built = MAKE[name](), MAKE[name]()
    randomise(fresh, (B, T, F))
    built(integers(B, T, F))
    randomise(built, (B, T, F))
    unbuilt = outcome(MAKE[name]())
    assert outcome(fresh) == outcome(built)
    assert (unbuilt is ValueError) == (outcome(built) is ValueError)


@pytest.mark.parametrize("state_dtype", ["float64", "float16", "int64", "int8", "bool"])
@pytest.mark.parametrize("name", MAKE)
def test_states_of_another_dtype_are_cast_to_the_compute_dtype(name, state_dtype):
    layer = MAKE[name](return_state=True)
    x = integers(B, T, F)
    states = [s.astype(state_dtype) for s in states_for(name)]
    want = layer(x, initial_state=[s.astype("float32") for s in states])
    got = layer(x, initial_state=states)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MAKE)
def test_initial_states_are_never_modified(name):
    layer = MAKE[name](return_state=True)
    x, states = integers(B, T, F), states_for(name)
    before = [s.copy() for s in states]
    for s in states:
        s.setflags(write=False)
    layer(x, initial_state=states)
    layer(x, initial_state=states, mask=np.zeros((B, T), bool))
    for a, b in zip(states, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MAKE)
def test_final_states_never_alias_the_initial_states(name):
    layer = MAKE[name](return_state=True)
    x, states = integers(B, T, F), states_for(name)
    _, *final = layer(x, initial_state=states, mask=np.zeros((B, T), bool))
    for got, given in zip(final, states, strict=True):
        np.testing.assert_array_equal(got, given)
        assert not np.shares_memory(got, given)


def test_feeding_the_final_state_back_continues_the_sequence():
    for name in MAKE:
        layer = MAKE[name](return_state=True, return_sequences=True)
        x = normal(B, 2 * T, F)
        whole = layer(x)
        first = layer(x[:, :T])
        second = layer(x[:, T:], initial_state=first[1:])
        joined = np.concatenate([first[0], second[0]], axis=1)
        # The same products in chunks of another length: F + U roundings a step.
        tolerance = 4 * 2 * T * (F + U) * np.finfo("float32").eps * max(1, float(np.abs(whole[0]).max()))
        np.testing.assert_allclose(joined, whole[0], rtol=0, atol=tolerance)
        for a, b in zip(second[1:], whole[1:], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def test_nested_state_structures_are_kept():
    class TwoLevel:
        state_size = (3, (2, [4]))
        output_size = 3

        def call(self, inputs, states):
            total, (a, (b,)) = states
            total = total + inputs.sum(-1, keepdims=True)
            return total, (total, (a + 1, [b + 2]))

    x = integers(B, T, F)
    y, total, pair = RNN(TwoLevel(), return_state=True)(x)
    np.testing.assert_array_equal(y, total)
    assert isinstance(pair, tuple)
    assert (pair[0] == T).all()
    assert (pair[1][0] == 2 * T).all()
    assert pair[0].shape == (B, 2)
    assert pair[1][0].shape == (B, 4)
    again = RNN(TwoLevel(), return_state=True)(x, initial_state=[total, (pair[0], [pair[1][0]])])
    np.testing.assert_array_equal(again[0], 2 * total)
    assert (again[2][1][0] == 4 * T).all()


def test_initial_state_without_mask_equals_the_scan_of_the_cell():
    x, h = integers(B, T, F), integers(B, U, seed=3)
    y, state = RNN(DoublingCell(U), return_sequences=True, return_state=True)(x, initial_state=h)
    want, _, final = doubling(x, h, None, U)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(state, final)
