"""Contract §9 and §14: empty and minimal sizes, ranks, unrolling."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, bits, doubling, integers, normal, randomise

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

MAKE = {
    "lstm": lambda **k: LSTM(3, **k),
    "gru": lambda **k: GRU(3, **k),
    "simple": lambda **k: SimpleRNN(3, **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(3)], **k),
    "custom": lambda **k: RNN(DoublingCell(), **k),
    "custom layer": lambda **k: RNN(LayerCell(3), **k),
}


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_zero_timesteps_is_a_value_error_naming_the_input_and_its_shape(name, time_major, unroll):
    shape = (0, 2, 4) if time_major else (2, 0, 4)
    layer = MAKE[name](unroll=unroll, time_major=time_major)
    with pytest.raises(ValueError, match="input") as caught:
        layer(np.zeros(shape, "float32"))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_an_empty_batch_gives_empty_arrays(name, unroll):
    x = np.zeros((0, 5, 4), "float32")
    seq, *states = MAKE[name](unroll=unroll, return_sequences=True, return_state=True)(x)
    assert seq.shape == (0, 5, 3)
    assert all(a.shape[0] == 0 for s in states for a in (s if isinstance(s, list) else [s]))
    assert MAKE[name](unroll=unroll)(x).shape == (0, 3)
    assert MAKE[name](unroll=unroll)(x, mask=np.zeros((0, 5), bool)).shape == (0, 3)
    assert MAKE[name](time_major=True, return_sequences=True)(x.swapaxes(0, 1)).shape == (5, 0, 3)


@pytest.mark.parametrize("name", MAKE)
def test_a_layer_built_with_an_empty_batch_works_afterwards(name):
    layer = MAKE[name]()
    layer(np.zeros((0, 5, 4), "float32"))
    assert layer(normal(2, 5, 4)).shape == (2, 3)


def test_a_stateful_layer_refuses_an_empty_batch():
    for make in (LSTM, GRU, SimpleRNN):
        with pytest.raises(ValueError, match="batch size"):
            make(3, stateful=True)(np.zeros((0, 5, 4), "float32"))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_one_timestep_works(name, unroll):
    x = integers(2, 1, 4)
    last, seq = MAKE[name](unroll=unroll), MAKE[name](unroll=unroll, return_sequences=True)
    randomise(last, x.shape)
    randomise(seq, x.shape)
    np.testing.assert_array_equal(seq(x)[:, 0], last(x))
    assert seq(x).shape == (2, 1, 3)


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4, 5)], ids=str)
def test_built_in_layers_want_rank_three(make, shape):
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=" + str(len(shape))):
        make(3)(np.zeros(shape, "float32"))


@pytest.mark.parametrize("name", ["stack", "custom", "custom layer"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 4)], ids=str)
def test_rnn_wants_at_least_rank_three(name, shape):
    with pytest.raises(ValueError, match=r"ndim|rank|dimension"):
        MAKE[name]()(np.zeros(shape, "float32"))


def test_rnn_of_a_built_in_cell_refuses_rank_four():
    with pytest.raises(ValueError, match=r"ndim|rank|dimension|shape"):
        RNN(LSTMCell(3))(np.zeros((2, 3, 4, 5), "float32"))


def test_unroll_with_an_unknown_number_of_timesteps_is_refused():
    for layer in (
        RNN(GRUCell(3), unroll=True),
        LSTM(3, unroll=True),
        GRU(3, unroll=True),
        SimpleRNN(3, unroll=True),
    ):
        with pytest.raises(ValueError, match="Cannot unroll a RNN"):
            layer(rnnpack.Input((None, 4)))


def test_unroll_with_a_known_number_of_timesteps_is_symbolic_too():
    assert tuple(LSTM(3, unroll=True)(rnnpack.Input((5, 4))).shape) == (None, 3)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_unrolled_numbers_are_identical(name, return_sequences, go_backwards):
    x = integers(3, 5, 4)
    mask = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]], bool)
    flags = {"return_sequences": return_sequences, "go_backwards": go_backwards}
    loop, unrolled = MAKE[name](**flags), MAKE[name](unroll=True, **flags)
    randomise(loop, x.shape)
    randomise(unrolled, x.shape)
    assert bits(loop(x)) == bits(unrolled(x))
    assert bits(loop(x, mask=mask)) == bits(unrolled(x, mask=mask))


@pytest.mark.parametrize("inputs", ["tuple", "dict", "deep"])
@pytest.mark.parametrize("masked", [False, True])
def test_unroll_supports_nested_inputs_and_nested_outputs(inputs, masked):
    class Cell:
        state_size = 3

        def call(self, inputs, states):
            if isinstance(inputs, dict):
                inputs = (inputs["a"], inputs["b"])
            if isinstance(inputs[0], dict):
                inputs = (inputs[0]["p"], inputs[1])
            output, new = DoublingCell().call(np.concatenate(inputs, -1), states)
            return (output, {"negative": -output}), new

    a, b = integers(2, 5, 4), integers(2, 5, 2, seed=1)
    x = {"tuple": (a, b), "dict": {"a": a, "b": b}, "deep": ({"p": a}, b)}[inputs]
    mask = np.array([[0, 1, 1, 0, 1], [1, 0, 0, 1, 0]], bool) if masked else None
    for flags in ({}, {"unroll": True}, {"unroll": True, "go_backwards": True}):
        first, second = RNN(Cell(), return_sequences=True, **flags)(x, mask=mask)
        backwards = flags.get("go_backwards", False)
        want = doubling(np.concatenate([a, b], -1), mask=mask, go_backwards=backwards)[0]
        np.testing.assert_array_equal(first, want)
        np.testing.assert_array_equal(second["negative"], -want)


def test_bidirectional_sizes_at_the_edges():
    layer = Bidirectional(LSTM(3, return_sequences=True))
    assert layer(np.zeros((0, 5, 4), "float32")).shape == (0, 5, 6)
    assert layer(normal(2, 1, 4)).shape == (2, 1, 6)
    with pytest.raises(ValueError, match=r"\(2, 0, 4\)"):
        layer(np.zeros((2, 0, 4), "float32"))


def test_one_feature_and_one_unit():
    x = normal(1, 1, 1)
    for make in (LSTM, GRU, SimpleRNN):
        assert make(1)(x).shape == (1, 1)


def test_long_sequences():
    x = integers(1, 3000, 1)
    layer = SimpleRNN(1, activation=None, use_bias=False)
    layer.build(x.shape)
    layer.set_weights([np.ones((1, 1)), np.ones((1, 1))])
    np.testing.assert_array_equal(layer(x), x.sum(1))
