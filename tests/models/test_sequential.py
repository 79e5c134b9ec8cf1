"""Sequential: layers in a row, whose input is known or turns up."""

from __future__ import annotations

import numpy as np
import pytest

import rnnpack
from rnnpack import GRU, LSTM, Bidirectional, Input, Layer, Masking, Model, Sequential, layers

F = 3
X = np.random.default_rng(0).normal(size=(2, 5, F)).astype("f")


class Failing(Layer):
    def call(self, inputs):
        raise KeyError("on purpose")

    def compute_output_shape(self, shape):
        return shape


def test_the_names_are_where_keras_has_them():
    assert rnnpack.Sequential is rnnpack.keras.Sequential is rnnpack.keras.models.Sequential
    assert rnnpack.Model is rnnpack.keras.Model is rnnpack.keras.models.Model
    assert rnnpack.keras.Input is rnnpack.Input and rnnpack.models.Model is Model


@pytest.mark.parametrize(
    "make",
    [
        lambda: [Input((None, F)), LSTM(4, return_sequences=True), GRU(2)],
        lambda: [LSTM(4, return_sequences=True, input_shape=(None, F)), GRU(2)],
        lambda: [LSTM(4, return_sequences=True, batch_input_shape=(None, None, F)), GRU(2)],
        lambda: [Sequential([Input((None, F)), LSTM(4, return_sequences=True)]), GRU(2)],
        lambda: [LSTM(4, return_sequences=True), GRU(2)],
    ],
)
def test_numbers_are_those_of_the_layers(make):
    model = Sequential(make())
    known = model.built
    got = model(X)
    want = X
    for layer in model.layers:
        want = layer(want)
    np.testing.assert_array_equal(got, want)
    assert len(model.layers) == 2 and len(model.weights) == 6 and model.built
    assert model.input_shape == ((None, None, F) if known else (None, 5, F))
    assert model.output_shape == (None, 2) == model.compute_output_shape((None, 5, F))


def test_layers_are_added_and_taken_away():
    model = Sequential()
    assert not model.built and model.layers == []
    with pytest.raises(ValueError, match="has no layers"):
        model(X)
    with pytest.raises(TypeError, match="no layers"):
        model.pop()
    model.add(Input((None, F)))
    np.testing.assert_array_equal(model(X), X)
    model.add(LSTM(4, return_sequences=True))
    model.add(GRU(2))
    assert model.output_shape == (None, 2)
    model.pop()
    assert model.output_shape == (None, None, 4) and len(model.layers) == 1
    np.testing.assert_array_equal(model(X), model.layers[0](X))
    model.pop()
    assert model.layers == [] and model.input_shape == (None, None, F)
    model.add(GRU(3))
    assert model.output_shape == (None, 3)


def test_without_a_given_input_taking_away_all_layers_forgets_it():
    model = Sequential([LSTM(4, return_sequences=True), GRU(2)])
    model.pop()
    assert not model.built
    model(X)
    model.pop()
    assert not model.built
    model.add(layers.Dense(2))
    assert model(X).shape == (2, 5, 2)


def test_other_sizes_of_later_calls_are_accepted_where_the_layers_allow_it():
    model = Sequential([LSTM(4)])
    model(X)
    assert model.input_shape == (None, 5, F)
    assert model(X[:, :3]).shape == (2, 4) and model.input_shape == (None, None, F)
    with pytest.raises(ValueError, match="incompatible"):
        model(X[..., :2])
    assert model.input_shape == (None, None, F)
    fixed = Sequential([LSTM(4, input_shape=(5, F))])
    with pytest.raises(ValueError, match="incompatible"):
        fixed(X[:, :3])
    flat = Sequential([layers.Flatten(), layers.Dense(2)])
    flat(X)
    with pytest.raises(ValueError):
        flat(X[:, :3])
    assert flat(X).shape == (2, 2)


def test_a_model_inside_takes_part():
    inner = Sequential([LSTM(4, return_sequences=True)])
    model = Sequential([inner, GRU(2)])
    model(X)
    model(X[:, :2])
    assert inner.input_shape == (None, None, F)
    x = Input((None, F))
    graph = Sequential([Masking(), Model(x, GRU(2)(x))])
    graph(X)
    assert Sequential([Model(x, GRU(2)(x)), layers.Dense(1)]).built
    assert not Sequential([Sequential([GRU(2)])]).built
    assert not Sequential([Model([x, y := Input((2,))], [GRU(2)(x), y])]).built


def test_building_by_shape():
    model = Sequential([LSTM(4), layers.Dense(2)])
    with pytest.raises(ValueError, match="does not know its inputs"):
        model.build(None)
    with pytest.raises(ValueError, match="must be one shape"):
        model.build([(None, 5, F), (None, 2)])
    with pytest.raises(ValueError):
        model.build((None, F))
    assert not model.built and not model.layers[0].built and not model.weights
    model.build((None, None, F))
    assert model.built and model.input_shape == (None, None, F) and len(model.weights) == 5
    model.build(None)
    for use in ("summary", "get_weights"):
        getattr(model, use)()


def test_a_stateful_model_is_built_for_the_batch_of_its_first_call():
    model = Sequential([GRU(2, stateful=True)])
    first, second = model(X), model(X)
    assert not np.array_equal(first, second) and model.input_shape == (2, 5, F)
    model.reset_states()
    np.testing.assert_array_equal(model(X), first)


def test_what_cannot_be_added_is_refused_and_changes_nothing():
    model = Sequential([Input((None, F)), LSTM(4, name="lstm")])
    symbol = Input((2,))
    for wrong, error, message in (
        (3, TypeError, "takes layers, got 3"),
        (symbol, ValueError, "must be the first"),
        (layers.Dense(2)(symbol), TypeError, "takes layers"),
        (GRU(2, name="lstm"), ValueError, 'The name "lstm" is used twice'),
        (GRU(2), ValueError, "expected ndim=3"),
    ):
        with pytest.raises(error, match=message):
            model.add(wrong)
    states = LSTM(2, return_state=True)
    with pytest.raises(ValueError, match=r"one output, .* has 3"):
        Sequential([Input((None, F)), states])
    assert not states.built and len(model.layers) == 1 and model.output_shape == (None, 4)
    with pytest.raises(ValueError, match="must be the first"):
        Sequential([Input((2,)), Input((2,))])
    empty = Sequential()
    with pytest.raises(ValueError, match="ndim=3"):
        empty.add(GRU(2, input_shape=(3,)))
    assert not empty.built and empty._graph is None and empty.layers == []


def test_a_first_call_that_fails_builds_nothing():
    model = Sequential([LSTM(4), Failing()])
    with pytest.raises(KeyError):
        model(X)
    assert not model.built and not model.layers[0].built and model.get_weights() == []


def test_masks_pass_and_may_be_given():
    layer = LSTM(4, return_sequences=True)
    model = Sequential([layers.Dropout(0.5), layer, Bidirectional(GRU(2))])
    mask = np.arange(5) < [[2], [5]]
    np.testing.assert_array_equal(model(X, mask=mask), model.layers[2](layer(X, mask=mask), mask=mask))
    assert not np.array_equal(model(X, training=True), model(X))


def test_inside_time_distributed_and_as_a_layer():
    inner = Sequential([layers.Dense(4, "relu"), layers.Dense(2)])
    outer = layers.TimeDistributed(inner)
    got = outer(X)
    np.testing.assert_allclose(got[:, 1], inner(X[:, 1]), rtol=0, atol=1e-6)
    again = layers.deserialize(layers.serialize(outer))
    again.build((None, 5, F))
    again.set_weights(outer.get_weights())
    np.testing.assert_array_equal(again(X), got)
