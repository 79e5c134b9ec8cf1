"""Contract §12: recorded states."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, TwoStateCell, bits, doubling, integers, normal, randomise

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

B, T, F, U = 2, 4, 3, 5

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(U)], **k),
    "python": lambda **k: RNN(type("OwnLSTM", (LSTMCell,), {})(U), **k),
    "custom": lambda **k: RNN(DoublingCell(U), **k),
    "two": lambda **k: RNN(TwoStateCell(U), **k),
}


def flat(nest):
    """The arrays of a nest, as plain arrays."""
    return [a for n in nest for a in flat(n)] if isinstance(nest, (list, tuple)) else [np.array(nest)]


def assert_states(layer, want):
    for got, expected in zip(flat(layer.states), flat(want), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_states_before_the_build_mirror_state_size_with_none():
    assert list(LSTM(3).states) == [None, None]
    assert list(GRU(3, stateful=True).states) == [None]
    assert list(RNN(TwoStateCell(), stateful=True).states) == [None, None]
    stack = RNN([LSTMCell(2), GRUCell(3)]).states
    assert len(stack) == 2
    assert list(stack[0]) == [None, None]
    assert stack[1] is None


@pytest.mark.parametrize("name", MAKE)
def test_states_of_a_layer_that_is_not_stateful_stay_none_forever(name):
    layer = MAKE[name]()
    before = layer.states
    layer(integers(B, T, F))
    layer(integers(B, T, F), mask=np.ones((B, T), bool))
    assert layer.states == before
    assert all(s.item() is None for s in flat(layer.states))


@pytest.mark.parametrize("name", MAKE)
def test_building_a_stateful_layer_creates_zero_buffers(name):
    layer = MAKE[name](stateful=True)
    layer.build((B, None, F))
    assert all(s.shape[0] == B and not s.any() for s in flat(layer.states))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_two_calls_continue_one_sequence(name, unroll):
    x = integers(B, 2 * T, F)
    whole = MAKE[name](return_state=True)
    parts = MAKE[name](return_state=True, stateful=True, unroll=unroll)
    randomise(whole, x.shape)
    randomise(parts, x.shape)
    parts(x[:, :T])
    got, want = flat(parts(x[:, T:])), flat(whole(x))
    tolerance = 8 * T * (F + U) * np.finfo("float32").eps * max(1, float(np.abs(want[0]).max()))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
    assert_states(parts, got[1:])


def test_number_of_timesteps_may_change_from_call_to_call():
    layer = RNN(DoublingCell(), stateful=True)
    x = integers(B, 7, F)
    for part in (x[:, :1], x[:, 1:5], x[:, 5:]):
        got = layer(part)
    np.testing.assert_array_equal(got, doubling(x)[1])


@pytest.mark.parametrize("name", MAKE)
def test_another_batch_size_is_refused_after_the_build(name):
    layer = MAKE[name](stateful=True)
    layer(integers(B, T, F))
    before = flat(layer.states)
    for batch in (1, 2 * B):
        with pytest.raises(ValueError, match=r"expected shape=\(2, None, 3\), found shape=\(" + str(batch)):
            layer(integers(batch, T, F))
    assert_states(layer, before)


@pytest.mark.parametrize("name", ["lstm", "gru", "simple", "custom"])
def test_building_without_a_batch_size_is_refused(name):
    with pytest.raises(ValueError, match="it needs to know its batch size"):
        MAKE[name](stateful=True).build((None, T, F))


def test_a_symbolic_stateful_call_needs_the_batch_size():
    with pytest.raises(ValueError, match="it needs to know its batch size"):
        LSTM(3, stateful=True)(rnnpack.Input((T, F)))
    layer = LSTM(3, stateful=True)
    layer(rnnpack.Input(batch_shape=(B, T, F)))
    assert [s.shape for s in flat(layer.states)] == [(B, 3), (B, 3)]


def test_batch_of_input_spec_is_fixed():
    layer = GRU(3, stateful=True)
    layer(integers(B, T, F))
    assert tuple(layer.input_spec[0].shape) == (B, None, F)
    major = GRU(3, stateful=True, time_major=True)
    major(integers(T, B, F))
    assert tuple(major.input_spec[0].shape) == (None, B, F)
    with pytest.raises(ValueError, match="expected shape="):
        major(integers(T, B + 1, F))


@pytest.mark.parametrize("name", MAKE)
def test_states_are_no_weights_and_not_in_the_config(name):
    stateful, plain = MAKE[name](stateful=True), MAKE[name]()
    stateful(integers(B, T, F))
    plain(integers(B, T, F))
    assert len(stateful.get_weights()) == len(plain.get_weights())
    assert len(stateful.weights) == len(plain.weights)
    if name not in ("custom", "two", "python"):
        assert set(stateful.get_config()) == set(plain.get_config())


def test_first_values_come_from_get_initial_state():
    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return np.full((batch_size, 3), 5, dtype)

    layer = RNN(Cell(), stateful=True)
    x = integers(B, T, F)
    start = np.full((B, 3), 5, "float32")
    np.testing.assert_array_equal(layer(x), doubling(x, start)[1])
    assert_states(layer, [doubling(x, start)[2]])


def test_first_values_of_get_initial_state_are_there_after_build():
    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return np.full((batch_size, 3), 5, dtype)

    layer = RNN(Cell(), stateful=True)
    layer.build((B, None, F))
    assert_states(layer, [np.full((B, 3), 5)])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_final_states_are_written_back_in_training_and_inference(name, training):
    layer = MAKE[name](stateful=True, return_state=True)
    for _ in range(2):
        _, *final = layer(integers(B, T, F), training=training)
        assert_states(layer, final)
        assert any(s.any() for s in flat(layer.states))


def test_written_states_are_cast_to_the_dtype_of_the_buffer():
    class Cell(DoublingCell):
        def call(self, inputs, states):
            output, (h,) = super().call(inputs, states)
            return output, [h.astype("float64")]

    layer = RNN(Cell(), stateful=True)
    layer(integers(B, T, F))
    layer(integers(B, T, F))
    assert np.asarray(layer.states[0]).dtype == np.float32


@pytest.mark.parametrize("name", ["lstm", "gru", "custom", "stack"])
def test_initial_state_acts_only_while_all_recorded_states_are_zero(name):
    x = integers(B, T, F)
    layer = MAKE[name](stateful=True, return_state=True)
    free = MAKE[name](return_state=True)
    randomise(layer, x.shape)
    randomise(free, x.shape)
    structure = layer(x)[1:]
    given = [[a + 1 for a in s] if isinstance(s, list) else s + 1 for s in structure]
    layer.reset_states()
    _, *first = layer(x, initial_state=given)
    _, *want_first = free(x, initial_state=given)
    for a, b in zip(flat(first), flat(want_first), strict=True):
        np.testing.assert_array_equal(a, b)
    _, *second = layer(x, initial_state=given)
    _, *want_second = free(x, initial_state=want_first)
    for a, b in zip(flat(second), flat(want_second), strict=True):
        np.testing.assert_array_equal(a, b)
    layer.reset_states()
    _, *again = layer(x, initial_state=given)
    for a, b in zip(flat(again), flat(want_first), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_non_zero_element_in_any_state_turns_the_initial_state_off_everywhere():
    layer = RNN(TwoStateCell(), stateful=True, return_state=True)
    x = integers(B, T, F)
    layer(x)
    counter = np.zeros((B, 2), "float32")
    counter[1, 1] = 1e-20
    layer.reset_states([np.zeros((B, 3), "float32"), counter])
    _, total, _ = layer(x, initial_state=[np.full((B, 3), 50, "float32"), np.zeros((B, 2), "float32")])
    np.testing.assert_array_equal(total, x.sum((1, 2))[:, None].repeat(3, 1))
    layer.reset_states()
    _, total, _ = layer(x, initial_state=[np.full((B, 3), 50, "float32"), np.zeros((B, 2), "float32")])
    np.testing.assert_array_equal(total, 50 + x.sum((1, 2))[:, None].repeat(3, 1))


def test_an_ignored_initial_state_is_still_validated():
    layer = GRU(U, stateful=True)
    layer(integers(B, T, F))
    with pytest.raises(ValueError, match="state"):
        layer(integers(B, T, F), initial_state=[np.zeros((B, U + 1), "float32")])


@pytest.mark.parametrize("name", MAKE)
def test_returned_states_are_snapshots(name):
    layer = MAKE[name](stateful=True, return_state=True)
    x = integers(B, T, F)
    _, *first = layer(x)
    kept = [bits(a) for a in flat(first)]
    layer(x)
    assert [bits(a) for a in flat(first)] == kept


@pytest.mark.parametrize("name", MAKE)
def test_writing_into_a_returned_state_does_not_reach_the_recorded_one(name):
    layer = MAKE[name](stateful=True, return_state=True)
    _, *final = layer(integers(B, T, F))
    recorded = flat(layer.states)
    for state in final:
        for array in state if isinstance(state, list) else [state]:
            if array.flags.writeable:
                array[...] = 77
    assert_states(layer, recorded)


@pytest.mark.parametrize("name", ["lstm", "gru", "custom", "stack", "python"])
def test_a_masked_out_row_keeps_its_recorded_state(name):
    layer = MAKE[name](stateful=True)
    x = integers(B, T, F)
    layer(x)
    before = flat(layer.states)
    mask = np.zeros((B, T), bool)
    mask[1] = True
    layer(x + 1, mask=mask)
    after = flat(layer.states)
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        assert (a[1] != b[1]).any()


def test_left_and_right_padding_of_the_same_tokens_record_the_same_state():
    x = integers(1, 3, F)
    pad = np.zeros((1, 2, F), "float32")
    left, right = RNN(DoublingCell(), stateful=True), RNN(DoublingCell(), stateful=True)
    for _ in range(2):
        a = left(np.concatenate([pad, x], 1), mask=np.array([[0, 0, 1, 1, 1]], bool))
        b = right(np.concatenate([x, pad], 1), mask=np.array([[1, 1, 1, 0, 0]], bool))
        np.testing.assert_array_equal(a, b)
    assert_states(left, right.states)


def test_stateful_with_go_backwards_and_time_major():
    x = integers(B, T, F)
    layer = RNN(DoublingCell(), stateful=True, go_backwards=True, time_major=True)
    layer(x.swapaxes(0, 1))
    _, last, state = doubling(x, doubling(x, go_backwards=True)[2], go_backwards=True)
    np.testing.assert_array_equal(layer(x.swapaxes(0, 1)), last)
    assert_states(layer, [state])


def test_calls_of_a_shared_cell_do_not_share_states():
    cell = DoublingCell()
    first, second = RNN(cell, stateful=True), RNN(cell, stateful=True)
    x = integers(B, T, F)
    first(x)
    np.testing.assert_array_equal(second(x), doubling(x)[1])


def test_reset_states_of_a_layer_that_is_not_stateful_is_an_attribute_error():
    for layer in (GRU(3), RNN(DoublingCell())):
        with pytest.raises(AttributeError, match="Layer must be stateful"):
            layer.reset_states()


@pytest.mark.parametrize("name", ["lstm", "custom", "stack"])
def test_reset_states_of_an_unbuilt_layer_is_refused(name):
    with pytest.raises(ValueError, match="it needs to know its batch size"):
        MAKE[name](stateful=True).reset_states()


@pytest.mark.parametrize("name", MAKE)
def test_reset_states_gives_zeros(name):
    layer = MAKE[name](stateful=True)
    x = integers(B, T, F)
    want = layer(x)
    layer.reset_states()
    assert all(not s.any() for s in flat(layer.states))
    np.testing.assert_array_equal(layer(x), want)


@pytest.mark.parametrize("name", MAKE)
def test_reset_states_with_values(name):
    layer = MAKE[name](stateful=True, return_state=True)
    free = MAKE[name](return_state=True)
    x = integers(B, T, F)
    randomise(layer, x.shape)
    randomise(free, x.shape)
    _, *structure = free(x)
    values = [[a + 1 for a in s] if isinstance(s, list) else s + 1 for s in structure]
    layer.reset_states(values)
    assert_states(layer, values)
    for a, b in zip(flat(layer(x)), flat(free(x, initial_state=values)), strict=True):
        np.testing.assert_array_equal(a, b)
    layer.reset_states(states=flat(values))
    assert_states(layer, values)


def test_reset_states_keeps_the_nest_of_a_stack():
    layer = RNN([LSTMCell(2), GRUCell(3)], stateful=True)
    layer(integers(B, T, F))
    layer.reset_states([np.full((B, 2), 1), np.full((B, 2), 2), np.full((B, 3), 3)])
    assert len(layer.states) == 2
    assert len(layer.states[0]) == 2
    assert [float(s[0, 0]) for s in flat(layer.states)] == [1, 2, 3]


@pytest.mark.parametrize("name", ["gru", "simple", "custom"])
def test_reset_states_of_a_single_state_layer_takes_a_bare_array(name):
    layer = MAKE[name](stateful=True)
    layer(integers(B, T, F))
    layer.reset_states(np.full((B, U), 2.0))
    assert_states(layer, [np.full((B, U), 2)])


@pytest.mark.parametrize("name", MAKE)
def test_reset_states_with_a_wrong_count_is_refused_and_changes_nothing(name):
    layer = MAKE[name](stateful=True)
    layer(integers(B, T, F))
    before = flat(layer.states)
    for values in (before[:-1], [*before, before[0]], []):
        with pytest.raises(ValueError, match=rf"expects {len(before)} states.*{len(values)}"):
            layer.reset_states(values)
        assert_states(layer, before)


@pytest.mark.parametrize("name", MAKE)
def test_reset_states_with_a_wrong_shape_is_refused_and_changes_nothing(name):
    layer = MAKE[name](stateful=True)
    layer(integers(B, T, F))
    before = flat(layer.states)
    last = len(before) - 1
    for shape in (
        (B, before[last].shape[1] + 1),
        (B + 1, before[last].shape[1]),
        (1, before[last].shape[1]),
        (B,),
    ):
        with pytest.raises(ValueError, match=rf"State {last} is incompatible with layer"):
            layer.reset_states([*[a + 1 for a in before[:-1]], np.zeros(shape, "float32")])
        assert_states(layer, before)


def test_reset_states_with_nested_python_lists_is_a_count_error():
    layer = GRU(2, stateful=True)
    layer(integers(B, T, F))
    with pytest.raises(ValueError, match=r"expects 1 states.*4"):
        layer.reset_states([[0.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("name", ["lstm", "custom"])
def test_reset_states_copies_its_values(name):
    layer = MAKE[name](stateful=True)
    layer(integers(B, T, F))
    values = [np.full(s.shape, 3.0, "float32") for s in flat(layer.states)]
    layer.reset_states(values)
    for v in values:
        v[...] = 9
    assert all((s == 3).all() for s in flat(layer.states))
    layer(integers(B, T, F))
    assert all((v == 9).all() for v in values), "a call writes into the caller's array"


def test_values_are_ignored_while_the_states_are_still_none():
    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return np.full((batch_size, 3), 5, dtype)

    layer = RNN(Cell(), stateful=True)
    layer.build((B, None, F))
    layer.states = [None]
    layer.reset_states([np.full((B, 3), 9, "float32")])
    assert_states(layer, [np.full((B, 3), 5)])


def test_states_may_be_assigned():
    layer = LSTM(U, stateful=True, return_state=True)
    free = LSTM(U, return_state=True)
    x = integers(B, T, F)
    randomise(layer, x.shape)
    randomise(free, x.shape)
    h, c = normal(B, U, seed=1), normal(B, U, seed=2)
    layer.states = [h, c]
    assert_states(layer, [h, c])
    for a, b in zip(layer(x), free(x, initial_state=[h, c]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_assigned_states_are_not_written_through_to_the_callers_arrays():
    layer = GRU(U, stateful=True)
    layer(integers(B, T, F))
    h = np.full((B, U), 0.5, "float32")
    layer.states = [h]
    layer(integers(B, T, F))
    np.testing.assert_array_equal(h, np.full((B, U), 0.5))


def test_a_model_resets_every_stateful_layer():
    x = rnnpack.Input(batch_shape=(B, T, F))
    first, second, third = (
        LSTM(2, stateful=True, return_sequences=True),
        GRU(2, return_sequences=True),
        GRU(3, stateful=True),
    )
    model = rnnpack.Model(x, third(second(first(x))))
    data = normal(B, T, F)
    want = model(data)
    assert flat(first.states)[0].any()
    assert bits(model(data)) != bits(want)
    model.reset_states()
    assert not any(s.any() for s in flat(first.states) + flat(third.states))
    np.testing.assert_array_equal(model(data), want)


def test_a_call_that_fails_leaves_the_recorded_states():
    layer = LSTM(U, stateful=True)
    layer(integers(B, T, F))
    before = flat(layer.states)
    for call in (
        lambda: layer(integers(B, T, F + 1)),
        lambda: layer(integers(B, T, F), mask=np.ones((B, T + 1), bool)),
        lambda: layer(integers(B, T, F), initial_state=[np.zeros((B, U))]),
        lambda: layer(integers(B, 0, F)),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()
        assert_states(layer, before)


def test_bidirectional_stateful():
    layer = Bidirectional(LSTM(U, stateful=True))
    x = normal(B, T, F)
    want = layer(x)
    assert bits(layer(x)) != bits(want)
    layer.reset_states()
    np.testing.assert_array_equal(layer(x), want)


def test_a_round_trip_through_the_config_loses_the_states():
    layer = GRU(U, stateful=True)
    layer(integers(B, T, F))
    again = GRU.from_config(layer.get_config())
    assert again.stateful is True
    assert list(again.states) == [None]
