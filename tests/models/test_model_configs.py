"""Configurations: there and back without loss, and one clear error for what is no configuration."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpack import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    GRUCell,
    Input,
    Layer,
    LSTMCell,
    Masking,
    Model,
    Sequential,
    layers,
)
from rnnpack.engine import nest
from rnnpack.models import model_from_json

F = 3
X = np.random.default_rng(0).normal(size=(2, 5, F)).astype("f")


class Pair(Layer):
    """Takes a tuple, an array and a number."""

    def call(self, inputs, scale=None, mask=None, factor=1.0):
        first, second = inputs
        total = first + factor * second
        return total if scale is None else total * scale

    def compute_output_shape(self, shapes):
        assert isinstance(shapes, tuple)
        return shapes[0]


def plain(config):
    """The configuration with lists in place of tuples."""
    return json.loads(json.dumps(config))


def same(model, data, custom=None):
    """Checks both ways through a configuration."""
    want = nest.flatten(model(data))
    config = model.get_config()
    kind = "Sequential" if isinstance(model, Sequential) else "Functional"
    for text in (model.to_json(), json.dumps({"class_name": kind, "config": config})):
        twin = model_from_json(text, custom)
        twin.set_weights(model.get_weights())
        assert plain(twin.get_config()) == plain(config) and twin.name == model.name
        got = nest.flatten(twin(data))
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one, other)
    return twin


def test_the_form_is_that_of_keras():
    x, h = Input((None, F), name="x"), Input((4,), name="h")
    y, state = GRU(4, return_sequences=True, return_state=True, name="gru")(x, initial_state=h)
    shared = LSTM(2, name="lstm")
    model = Model([x, h], {"a": shared(y), "b": shared(y, mask=None), "s": state}, name="m")
    config = model.get_config()
    assert list(config) == ["name", "trainable", "layers", "input_layers", "output_layers"]
    nodes = {layer["name"]: layer["inbound_nodes"] for layer in config["layers"]}
    assert nodes == {
        "x": [],
        "h": [],
        "gru": [[["x", 0, 0, {"initial_state": [["h", 0, 0]]}]]],
        "lstm": [[["gru", 0, 0, {}]], [["gru", 0, 0, {"mask": None}]]],
    }
    assert config["input_layers"] == [["x", 0, 0], ["h", 0, 0]]
    assert config["output_layers"] == {"a": ["lstm", 0, 0], "b": ["lstm", 1, 0], "s": ["gru", 0, 1]}
    assert config["layers"][0]["class_name"] == "InputLayer"
    assert config["layers"][0]["config"] == {
        "batch_input_shape": (None, None, 3),
        "dtype": "float32",
        "sparse": False,
        "ragged": False,
        "name": "x",
    }
    assert json.loads(model.to_json(indent=1))["class_name"] == "Functional"
    same(model, [X, np.ones((2, 4), "f")])


def test_states_in_the_list_of_inputs():
    x, h = Input((None, F), name="x"), Input((4,), name="h")
    model = Model([x, h], GRU(4, name="gru")([x, h]))
    config = model.get_config()
    node = config["layers"][-1]["inbound_nodes"][0]
    listed = copy.deepcopy(config)
    if len(node) == 1:  # the states became an argument: the list means the same
        listed["layers"][-1]["inbound_nodes"] = [[["x", 0, 0, {}], ["h", 0, 0, {}]]]
    twin = Model.from_config(listed)
    twin.set_weights(model.get_weights())
    data = [X, np.ones((2, 4), "f")]
    np.testing.assert_array_equal(twin(data), model(data))


def test_tuples_arrays_masks_and_constants_in_calls():
    x, other = Input((None, F), name="x"), Input((None, F), name="other")
    masked = Masking()(x)
    pair = Pair()
    first = pair((masked, other), np.full(3, 2.0, "f"), mask=masked._keras_mask, factor=np.float64(0.5))
    second = pair((first, np.ones((1, 1, 3), "f")))
    y = LSTM(2)(other, mask=masked._keras_mask)
    model = Model((x, other), (second, y))
    twin = same(model, (X, X), {"Pair": Pair})
    assert type(twin.output) is list  # tuples of outputs are lists in JSON, as in Keras
    assert Model.from_config(model.get_config(), {"Pair": Pair}).get_config() == model.get_config()


def test_models_inside_and_shared():
    inner = Sequential([Masking(), Bidirectional(LSTM(F, return_sequences=True), merge_mode="sum")])
    x = Input((None, F))
    deep = Model(x, [inner(x), GRU(2)(inner(inner(x)))])
    z = Input((None, F))
    sequence, last = deep(z)
    model = Model(z, [deep(sequence)[1], last, layers.Concatenate()([last, last])])
    same(model, X)
    same(Sequential([inner, layers.Dense(2)]), X)


def test_deferred_models_and_cells():
    unbuilt = Sequential([layers.Dense(2), RNN([LSTMCell(3), GRUCell(2)])], name="row")
    assert [layer["class_name"] for layer in unbuilt.get_config()["layers"]] == ["Dense", "RNN"]
    again = Sequential.from_config(unbuilt.get_config())
    assert not again.built and again.get_config() == unbuilt.get_config()
    unbuilt(X)
    same(unbuilt, X)
    built = Sequential.from_config({**again.get_config(), "build_input_shape": [None, None, F]})
    assert built.built and built.input_shape == (None, None, F)
    assert len(Sequential.from_config(again.get_config()["layers"]).layers) == 2


def test_trainability_and_custom_objects_come_back():
    class Doubling(Layer):
        def call(self, inputs):
            return 2 * inputs

    x = Input((2,))
    frozen = layers.Dense(2)
    frozen.trainable = False
    model = Model(x, Doubling()(frozen(x)))
    with pytest.raises(ValueError, match="Unknown layer: Doubling"):
        Model.from_config(model.get_config())
    twin = same(model, np.ones((1, 2), "f"), {"Doubling": Doubling})
    assert twin.trainable_weights == [] and len(twin.non_trainable_weights) == 2
    model.trainable = False
    assert not Model.from_config(model.get_config(), {"Doubling": Doubling}).trainable


def test_calls_of_models_may_be_counted_from_0_or_1():
    x = Input((None, F), name="x")
    inner = Sequential([LSTM(F, return_sequences=True)], name="inner")
    model = Model(x, GRU(2, name="gru")(inner(x)))
    config = model.get_config()
    assert config["layers"][2]["inbound_nodes"] == [[["inner", 1, 0, {}]]]
    config["layers"][2]["inbound_nodes"] = [[["inner", 0, 0, {}]]]
    twin = Model.from_config(config)
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(X), model(X))


@st.composite
def graphs(draw):
    """Random graphs of layers that are shared, branch and join."""
    x = Input((None, F))
    values = [x]
    shared = [
        LSTM(F, return_sequences=True),
        Bidirectional(GRU(F, return_sequences=True), merge_mode=draw(st.sampled_from(["sum", "mul", "ave"]))),
        Masking(),
        layers.Add(),
        layers.Dense(F, "tanh"),
        Sequential([layers.Dense(F), LSTM(F, return_sequences=True)]),
    ]
    for _ in range(draw(st.integers(1, 8))):
        layer = draw(st.sampled_from(shared))
        chosen = [draw(st.sampled_from(values)) for _ in range(2)]
        if isinstance(layer, layers.Add):
            values.append(layer(chosen))
        elif isinstance(layer, LSTM) and draw(st.booleans()):
            values.append(layer(chosen[0], mask=None))
        else:
            values.append(layer(chosen[0]))
    count = draw(st.integers(1, 3))
    outputs = [draw(st.sampled_from(values)) for _ in range(count)]
    form = draw(st.sampled_from(["alone", "list", "dict"]))
    if form == "alone":
        return Model(x, outputs[0])
    return Model(x, outputs if form == "list" else {f"k{place}": one for place, one in enumerate(outputs)})


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_random_graphs_come_back_the_same(model):
    same(model, X)


def test_values_that_json_does_not_know():
    class Odd(Layer):
        def __init__(self, value, **kwargs):
            super().__init__(**kwargs)
            self.value = value

        def call(self, inputs):
            return inputs

        def get_config(self):
            return {**super().get_config(), "value": self.value}

    for value, want in (
        (np.float32(2), 2.0),
        (np.arange(3), [0, 1, 2]),
        (np.dtype("f"), "float32"),
        (layers.InputSpec, None),
        (nest.TensorShape((2, None)), [2, None]),
    ):
        model = Sequential([Odd(value)])
        if want is None:
            with pytest.raises(TypeError, match="must hold plain values, got a type"):
                model.to_json()
        else:
            assert json.loads(model.to_json())["config"]["layers"][0]["config"]["value"] == want
