"""Symbolic arrays: `Input`, shape inference by calling layers, `Model`."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, bits, normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, Input, LSTMCell, Masking, Model, SimpleRNN

B, T, F = 2, 4, 3


def shape(x):
    """Shape as a plain tuple."""
    return tuple(x.shape)


def test_input_adds_a_batch_axis():
    assert shape(Input((None, 5))) == (None, None, 5)
    assert shape(Input(shape=(4, 5))) == (None, 4, 5)
    assert shape(Input(shape=(4, 5), batch_size=7)) == (7, 4, 5)
    assert shape(Input(batch_shape=(7, None, 5))) == (7, None, 5)
    assert np.dtype(Input((4, 5)).dtype) == np.float32
    assert np.dtype(Input((4, 5), dtype="float64").dtype) == np.float64


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("time_major", [False, True])
def test_calling_a_layer_infers_shapes_and_builds_weights(return_sequences, time_major):
    x = Input(batch_shape=(None, 2, F) if time_major else (None, T, F))
    for make in (LSTM, GRU, SimpleRNN):
        layer = make(5, return_sequences=return_sequences, time_major=time_major)
        y = layer(x)
        assert layer.built
        assert len(layer.weights) == 3
        assert shape(y) == ((*shape(x)[:2], 5) if return_sequences else ((2, 5) if time_major else (None, 5)))


def test_return_state_gives_a_list_of_symbolic_arrays():
    y, h, c = LSTM(5, return_sequences=True, return_state=True)(Input((None, F)))
    assert (shape(y), shape(h), shape(c)) == ((None, None, 5), (None, 5), (None, 5))
    y, first, second = RNN([LSTMCell(2), GRUCell(3)], return_state=True)(Input((None, F)))
    assert (shape(y), [shape(s) for s in first], shape(second)) == ((None, 3), [(None, 2)] * 2, (None, 3))


def test_symbolic_calls_do_not_run_the_cell():
    cell = DoublingCell()
    assert shape(RNN(cell)(Input((None, F)))) == (None, 3)
    assert cell.calls == 0


def test_numbers_of_a_model_equal_those_of_its_layers():
    x = Input((None, F))
    first, second = LSTM(5, return_sequences=True), GRU(4)
    model = Model(x, second(first(x)))
    data = normal(B, T, F)
    np.testing.assert_array_equal(model(data), second(first(data)))
    assert [w.shape for w in model.get_weights()] == [(3, 20), (5, 20), (20,), (5, 12), (4, 12), (2, 12)]


def test_a_model_with_several_inputs_and_outputs():
    x, h = Input((None, F)), Input((5,))
    layer = GRU(5, return_state=True)
    y, state = layer(x, initial_state=h)
    model = Model([x, h], [y, state])
    data, start = normal(B, T, F), normal(B, 5, seed=1)
    for got, want in zip(model([data, start]), layer(data, initial_state=start), strict=True):
        np.testing.assert_array_equal(got, want)


def test_masks_flow_through_a_model():
    x = Input((None, F))
    layers = [
        Masking(),
        LSTM(5, return_sequences=True),
        Bidirectional(GRU(2, return_sequences=True)),
        SimpleRNN(3),
    ]
    y = x
    for layer in layers:
        y = layer(y)
    model = Model(x, y)
    data = normal(B, T, F)
    data[0, 2:] = 0
    want = data
    for layer in layers[1:]:
        want = layer(np.array(want), mask=(data != 0).any(-1))
    np.testing.assert_array_equal(model(data), want)


def test_predict_in_batches_equals_one_call():
    x = Input((None, F))
    model = Model(x, GRU(5)(x))
    data = normal(11, T, F)
    np.testing.assert_allclose(
        model.predict(data, batch_size=4), model(data), rtol=0, atol=4 * T * 8 * np.finfo("f").eps
    )
    assert model.predict(data).shape == (11, 5)


def test_model_weights_round_trip():
    def make():
        x = Input((None, F))
        return Model(x, Bidirectional(LSTM(3))(GRU(4, return_sequences=True)(x)))

    first, second = make(), make()
    data = normal(B, T, F)
    assert bits(first(data)) != bits(second(data))
    second.set_weights(first.get_weights())
    np.testing.assert_array_equal(second(data), first(data))


def test_a_shared_layer_appears_once():
    x = Input((None, F))
    layer = GRU(F, return_sequences=True)
    model = Model(x, layer(layer(x)))
    data = normal(B, T, F)
    np.testing.assert_array_equal(model(data), layer(layer(data)))
    assert len(model.get_weights()) == 3


def test_a_model_of_models():
    x = Input((None, F))
    inner = Model(x, GRU(F, return_sequences=True)(x))
    z = Input((None, F))
    outer = Model(z, LSTM(2)(inner(z)))
    data = normal(B, T, F)
    assert outer(data).shape == (B, 2)
    assert len(outer.get_weights()) == 6


def test_symbolic_errors_are_those_of_the_eager_call():
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        LSTM(3)(Input((F,)))
    layer = GRU(3)
    layer(Input((None, F)))
    with pytest.raises(ValueError, match="expected shape="):
        layer(Input((None, F + 1)))
    with pytest.raises(ValueError, match="expected shape="):
        layer(normal(B, T, F + 1))


def test_an_initial_state_of_a_wrong_size_is_refused():
    with pytest.raises(ValueError, match=r"however `cell.state_size` is"):
        GRU(3)(Input((None, F)), initial_state=Input((4,)))


def test_nested_symbolic_inputs():
    class Pair:
        state_size = 3

        def call(self, inputs, states):
            a, b = inputs
            h = states[0] + a.sum(-1, keepdims=True) + b.sum(-1, keepdims=True)
            return h, [h]

    a, b = Input((None, 2)), Input((None, 4))
    y = RNN(Pair(), return_sequences=True)((a, b))
    assert shape(y) == (None, None, 3)
    data = normal(B, T, 2), normal(B, T, 4)
    want = RNN(Pair(), return_sequences=True)(data)
    np.testing.assert_array_equal(Model([a, b], y)(list(data)), want)


def test_constants_in_a_model():
    class Cell(DoublingCell):
        def call(self, inputs, states, constants=None):
            return super().call(inputs + constants[0], states)

    x, c = Input((None, F)), Input((F,))
    layer = RNN(Cell())
    model = Model([x, c], layer(x, constants=c))
    data, constant = normal(B, T, F), normal(B, F, seed=1)
    np.testing.assert_array_equal(model([data, constant]), layer(data, constants=constant))


def test_a_symbolic_array_is_not_silently_turned_into_numbers():
    x = Input((None, F))
    with pytest.raises(TypeError):
        np.asarray(x, "float32")
    with pytest.raises(TypeError):
        bool(x)


def test_model_is_a_layer_with_a_name():
    x = Input((None, F))
    model = Model(inputs=x, outputs=RNN(LayerCell(3))(x), name="net")
    assert isinstance(model, rnnpack.Layer)
    assert model.name == "net"
