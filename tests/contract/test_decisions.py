"""Contract §20: one test for every row of the table of decisions."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, TwoStateCell, doubling, integers, normal, randomise
from contract_oracle import assert_matches

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    GRUCell,
    LSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)

B, T, F, U = 3, 5, 4, 6
MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [1, 0, 0, 0, 0]], bool)

LAYERS = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(U)], **k),
    "python": lambda **k: RNN(type("OwnLSTM", (LSTMCell,), {})(U), **k),
    "custom": lambda **k: RNN(LayerCell(U), **k),
}


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_q1_zero_output_for_mask_is_ignored_for_last_outputs(name, unroll):
    x = normal(B, T, F)
    plain, flagged = LAYERS[name](), LAYERS[name](zero_output_for_mask=True, unroll=unroll)
    randomise(plain, x.shape)
    randomise(flagged, x.shape)
    y = flagged(x, mask=MASK)
    np.testing.assert_array_equal(y, plain(x, mask=MASK))
    assert y.any(axis=1).all()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_q2_right_padded_sequences_repeat_the_previous_output(name):
    mask = np.arange(T) < np.array([[5], [3], [1]])
    layer = LAYERS[name](return_sequences=True)
    x = normal(B, T, F)
    randomise(layer, x.shape)
    y = layer(x, mask=mask)
    assert_matches(layer, y, x, mask)
    np.testing.assert_array_equal(y[1, 3:], y[1, [2, 2]])


def test_q3_reset_states_gives_zeros_also_with_a_custom_get_initial_state():
    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return np.full((batch_size, 3), 5, dtype)

    layer = RNN(Cell(), stateful=True)
    x = integers(B, T, F)
    layer(x)
    layer.reset_states()
    assert not np.asarray(layer.states[0]).any()
    np.testing.assert_array_equal(layer(x), doubling(x)[1])


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_q4_no_timesteps_is_an_error_and_no_samples_are_legal(name, unroll):
    with pytest.raises(ValueError, match=r"input.*\(3, 0, 4\)"):
        LAYERS[name](unroll=unroll)(np.zeros((B, 0, F), "float32"))
    assert LAYERS[name](unroll=unroll, return_sequences=True)(np.zeros((0, T, F), "float32")).shape == (
        0,
        T,
        U,
    )


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_q5_one_dropout_mask_per_call_in_the_layers_too(make):
    """Identity kernel, nothing recurs: a unit is zero as long as its input is dropped, and only then."""
    units, gates = 400, {LSTM: 4, GRU: 3, SimpleRNN: 1}[make]
    layer = make(units, dropout=0.5, use_bias=False, return_sequences=True)
    layer.build((None, None, units))
    layer.set_weights([np.tile(np.eye(units), gates), np.zeros((units, gates * units))])
    dropped = layer(np.ones((2, 4, units), "float32"), training=True) == 0
    assert 0 < dropped[:, 0].sum() < dropped[:, 0].size
    np.testing.assert_array_equal(dropped, np.repeat(dropped[:, :1], 4, axis=1))


def test_q6_unit_forget_bias_leaves_the_rest_to_the_initializer():
    layer = LSTM(U, bias_initializer="ones")
    layer.build((None, None, F))
    np.testing.assert_array_equal(layer.get_weights()[2], np.ones(4 * U))


def test_q7_reverse_state_order_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="reverse_state_order"):
        StackedRNNCells([GRUCell(2), GRUCell(3)], reverse_state_order=True)
    assert StackedRNNCells([GRUCell(2), GRUCell(3)], reverse_state_order=False).state_size == (2, 3)


def test_q8_compute_mask_is_not_reversed_under_go_backwards():
    layer = GRU(U, return_sequences=True, go_backwards=True)
    np.testing.assert_array_equal(layer.compute_mask(normal(B, T, F), MASK), MASK)
    np.testing.assert_array_equal(layer(normal(B, T, F), mask=MASK)._keras_mask, MASK)


@pytest.mark.parametrize("name", ["lstm", "gru", "simple"])
def test_q9_recorded_states_keep_the_layers_precision(name):
    layer = LAYERS[name](stateful=True, dtype="float64", return_state=True)
    x = normal(B, 2 * T, F, dtype="float64")
    randomise(layer, x.shape)
    layer(x[:, :T])
    assert np.asarray(layer.states[0]).dtype == np.float64
    whole = LAYERS[name](dtype="float64", return_state=True)
    randomise(whole, x.shape)
    # float32 buffers would leave an error of 1e-8; float64 ones F + U roundings a step.
    atol = 8 * T * (F + U) * np.finfo("float64").eps
    for a, b in zip(layer(x[:, T:]), whole(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    layer.reset_states([np.asarray(s) + 1e-12 for s in layer.states])
    assert np.asarray(layer.states[0]).dtype == np.float64


@pytest.mark.parametrize("units", [0, -3])
@pytest.mark.parametrize("thing", [LSTM, GRU, SimpleRNN, LSTMCell, GRUCell, SimpleRNNCell])
def test_q10_units_must_be_positive(thing, units):
    with pytest.raises(ValueError, match=rf"units.*{units}"):
        thing(units)


@pytest.mark.parametrize("thing", [LSTM, GRU])
def test_q11_implementation_zero_computes_as_two(thing):
    zero, two = thing(U, implementation=0, return_sequences=True), thing(U, return_sequences=True)
    x = normal(B, T, F)
    randomise(zero, x.shape)
    randomise(two, x.shape)
    np.testing.assert_array_equal(zero(x), two(x))
    cell = type("Own", (type(zero.cell),), {})
    zero, two = RNN(cell(U, implementation=0)), RNN(cell(U, implementation=2))
    randomise(zero, x.shape)
    randomise(two, x.shape)
    np.testing.assert_array_equal(zero(x), two(x))


def test_q11_implementation_zero_shares_the_dropout_mask_as_two_does():
    layer = LSTM(
        400,
        activation=None,
        recurrent_activation=None,
        use_bias=False,
        dropout=0.5,
        implementation=0,
        return_state=True,
    )
    layer.build((None, None, 400))
    layer.set_weights([np.tile(np.eye(400), 4), np.zeros((400, 1600))])
    _, h, c = layer(np.ones((1, 1, 400), "float32"), training=True)
    np.testing.assert_array_equal(h, 2 * c)


@pytest.mark.parametrize("flags", [{}, {"unroll": True}, {"go_backwards": True}, {"stateful": True}], ids=str)
def test_q12_a_custom_cell_is_called_exactly_t_times(flags):
    cell = DoublingCell()
    layer = RNN(cell, **flags)
    layer(integers(B, T, F))
    assert cell.calls == T
    layer(integers(B, T, F), mask=MASK)
    assert cell.calls == 2 * T


def test_q13_unroll_with_nested_outputs_and_dict_inputs():
    class Cell:
        state_size = 3

        def call(self, inputs, states):
            output, new = DoublingCell().call(inputs["a"] + inputs["b"], states)
            return (output, -output), new

    a, b = integers(B, T, F), integers(B, T, F, seed=1)
    loop = RNN(Cell(), return_sequences=True)({"a": a, "b": b}, mask=MASK)
    unrolled = RNN(Cell(), return_sequences=True, unroll=True)({"a": a, "b": b}, mask=MASK)
    want = doubling(a + b, mask=MASK)[0]
    for first, second in (loop, unrolled):
        np.testing.assert_array_equal(first, want)
        np.testing.assert_array_equal(second, -want)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("name", LAYERS)
def test_q14_integer_inputs_are_cast_to_the_layers_dtype(name, dtype):
    x = np.abs(integers(B, T, F)).astype(dtype)
    layer = LAYERS[name](return_state=True)
    want = layer(x.astype("float32"))
    got = layer(x)
    for a, b in zip(flatten(got), flatten(want), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)


def flatten(nest):
    """The arrays of a nest."""
    return [a for n in nest for a in flatten(n)] if isinstance(nest, list) else [nest]


def test_q14_integer_inputs_first_seen_by_the_building_call():
    layer = GRU(U, dtype="float64")
    y = layer(np.ones((B, T, F), int))
    assert y.dtype == np.float64
    assert {w.dtype for w in layer.get_weights()} == {np.dtype("float64")}


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "uint8", "bool"])
def test_q15_reset_states_casts_what_is_same_kind(dtype):
    layer = GRU(U, stateful=True)
    layer(integers(B, T, F))
    layer.reset_states(np.ones((B, U), dtype))
    assert np.asarray(layer.states[0]).dtype == np.float32
    np.testing.assert_array_equal(np.asarray(layer.states[0]), np.ones((B, U)))


@pytest.mark.parametrize("values", [np.ones((B, U), complex), np.full((B, U), None), np.full((B, U), "1.0")])
def test_q15_reset_states_refuses_other_dtypes_and_changes_nothing(values):
    layer = GRU(U, stateful=True)
    layer(integers(B, T, F))
    before = np.array(layer.states[0])
    with pytest.raises(ValueError, match="dtype"):
        layer.reset_states(values)
    np.testing.assert_array_equal(np.asarray(layer.states[0]), before)


def test_q16_input_is_symbolic_and_model_runs_it():
    x = rnnpack.Input((None, F))
    layer = LSTM(U)
    y = layer(x)
    assert tuple(y.shape) == (None, U)
    assert len(layer.weights) == 3
    data = normal(B, T, F)
    np.testing.assert_array_equal(rnnpack.Model(x, y)(data), layer(data))


@pytest.mark.parametrize("name", LAYERS)
def test_q17_unroll_with_go_backwards_mask_and_zero_output(name):
    x = normal(B, T, F)
    flags = {"go_backwards": True, "zero_output_for_mask": True, "return_sequences": True}
    loop, unrolled = LAYERS[name](**flags), LAYERS[name](unroll=True, **flags)
    randomise(loop, x.shape)
    randomise(unrolled, x.shape)
    want = loop(x, mask=MASK)
    np.testing.assert_array_equal(unrolled(x, mask=MASK), want)
    assert not want[~MASK[:, ::-1]].any()
    assert want[MASK[:, ::-1]].any(axis=-1).all()


@pytest.mark.parametrize("time_major", [False, True])
def test_q17_unrolled_masked_bidirectional(time_major):
    x, mask = (normal(T, B, F), MASK.T) if time_major else (normal(B, T, F), MASK)
    loop = Bidirectional(LSTM(U, return_sequences=True, time_major=time_major))
    unrolled = Bidirectional(LSTM(U, return_sequences=True, unroll=True, time_major=time_major))
    randomise(loop, x.shape)
    randomise(unrolled, x.shape)
    want = loop(x, mask=mask)
    np.testing.assert_array_equal(unrolled(x, mask=mask), want)
    assert not want[~mask].any()


def test_q18_weights_of_bidirectional_are_honoured_and_split_in_half():
    x = normal(B, T, F)
    donor = Bidirectional(GRU(U))
    weights = randomise(donor, x.shape)
    layer = Bidirectional(GRU(U), weights=weights)
    np.testing.assert_array_equal(layer(x), donor(x))
    for got, want in zip(layer.forward_layer.get_weights(), weights[:3], strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(layer.backward_layer.get_weights(), weights[3:], strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", ["gru", "simple", "python", "custom"])
def test_q19_nothing_is_broadcast_into_place(name, unroll):
    layer = LAYERS[name](unroll=unroll)
    x = normal(B, T, F)
    layer(x)
    count = 2 if name == "python" else 1
    for shape in ((1, U), (B, 1), (B, U, 1), (1, B, U), (U,)):
        with pytest.raises(ValueError, match="state"):
            layer(x, initial_state=[np.zeros(shape, "float32")] * count)
    for shape in ((1, T), (B, T + 1), (B, 1), (B, T, U), (B + 1, T)):
        with pytest.raises(ValueError, match="mask"):
            layer(x, mask=np.ones(shape, bool))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_q20_a_cell_with_another_number_of_states_than_declared(count, mask, unroll):
    class Cell(TwoStateCell):
        def call(self, inputs, states):
            output, new = super().call(inputs, states)
            return output, [new[0], new[1], new[0]][:count]

    with pytest.raises(ValueError, match="state"):
        RNN(Cell(), unroll=unroll)(integers(B, T, F), mask=mask)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "value", [[[[1.0] * F] * T] * B, [1.0, 2.0], [[1.0, 2.0]], []], ids=["3d", "1d", "2d", "empty"]
)
def test_q21_python_lists_of_numbers_are_refused(name, value):
    with pytest.raises((TypeError, ValueError), match="array"):
        LAYERS[name]()(value)


def test_q22_one_text_for_the_unroll_error():
    texts = set()
    for layer in (
        RNN(GRUCell(3), unroll=True, name="a"),
        LSTM(3, unroll=True, name="a"),
        GRU(3, unroll=True, name="a"),
    ):
        with pytest.raises(ValueError, match="Cannot unroll a RNN") as caught:
            layer(rnnpack.Input((None, F)))
        texts.add(str(caught.value))
    assert len(texts) == 1
