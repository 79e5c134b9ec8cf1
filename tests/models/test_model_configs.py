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
from rnnpack.models import model_from_config, model_from_json, reading

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


# What is no configuration.


def valid():
    x, h = Input((None, F), name="x"), Input((4,), name="h")
    y = GRU(4, return_sequences=True, name="gru")(x, initial_state=h)
    inner = Sequential([layers.Dense(2, name="inside")], name="inner")
    return Model([x, h], [LSTM(2, name="lstm")(y), inner(y)], name="m").get_config()


def changed(path, value):
    """The valid configuration with another value at a path; `...` takes the entry away."""
    config = json.loads(json.dumps(valid()))
    part = config
    for key in path[:-1]:
        part = part[key]
    if value is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return config


# The layers in the configuration: x, h, gru, and lstm and inner at some places.
NAMES = [layer["name"] for layer in valid()["layers"]]
LSTM_AT, INNER_AT, GRU_AT = NAMES.index("lstm"), NAMES.index("inner"), NAMES.index("gru")
GRU_NODE = ("layers", GRU_AT, "inbound_nodes")
LSTM_NODE = ("layers", LSTM_AT, "inbound_nodes")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["layers"], ..., "lacks `layers`"),
        (["input_layers"], ..., "lacks `input_layers`"),
        (["output_layers"], ..., "lacks `output_layers`"),
        (["layers"], 3, "`layers` of the configuration must be a list, got a int"),
        (["layers", 0], "x", r"Entry 0 of `layers` in the configuration lacks \['class_name'"),
        (["layers", 1, "name"], ..., r"Entry 1 of `layers` in the configuration lacks \['name'\]"),
        (["layers", 1, "name"], 5, "`name` of entry 1 of `layers` must be a string, got 5"),
        (["layers", 1, "class_name"], [], "`class_name` of entry 1 of `layers` must be a string"),
        (["layers", 1, "name"], "x", 'names two layers "x"'),
        (["layers", 0, "config"], {}, 'Layer "x" .InputLayer.: its configuration needs `batch_input_shape`'),
        (["layers", 0, "config", "batch_input_shape"], 3, 'Layer "x" .InputLayer.'),
        (["layers", 0, "config", "dtype"], "text", 'Layer "x" .InputLayer.: dtype must be one of'),
        (["layers", 0, "config", "sparse"], True, "sparse inputs are not supported"),
        (["layers", 0, "inbound_nodes"], [[["h", 0, 0, {}]]], 'input "x" must not have `inbound_nodes`'),
        ([*LSTM_NODE[:2], "class_name"], "Other", 'Layer "lstm" .Other.: Unknown layer: Other'),
        ([*LSTM_NODE[:2], "config"], None, 'Layer "lstm" .LSTM.'),
        ([*LSTM_NODE[:2], "config"], {}, 'Layer "lstm" .LSTM.: .*units'),
        ([*LSTM_NODE[:2], "config", "units"], "many", 'Layer "lstm" .LSTM.'),
        ([*LSTM_NODE[:2], "config", "odd"], 1, 'Layer "lstm" .LSTM.: .*odd'),
        (["layers", INNER_AT, "config", "layers", 1, "config", "units"], -1, "Entry 1 of `layers`"),
        (["layers", INNER_AT, "config", "layers", 1, "config", "units"], ..., 'Layer "inner"'),
        (["layers", INNER_AT, "config", "layers"], ..., "needs `layers`, a list"),
        (["layers", INNER_AT, "config", "layers", 1, "class_name"], "InputLayer", 'Layer "inner"'),
        (LSTM_NODE, 3, '`inbound_nodes` of layer "lstm" must be a list, got a int'),
        (LSTM_NODE, [[]], 'Call 0 of layer "lstm" has no inputs'),
        (LSTM_NODE, [[["gru", "0", 0, {}]]], r"expected \[layer name, call, output\]"),
        (LSTM_NODE, [[["gru", -1, 0, {}]]], r"expected \[layer name, call, output\]"),
        (LSTM_NODE, [[["gru", 0, 0, 7]]], "expected keyword arguments, got 7"),
        (LSTM_NODE, [[["gru", 0, 0, {"odd": 1}]]], 'Call of layer "lstm": .*odd'),
        (LSTM_NODE, [[["gru", 0, 0, {"initial_state": [["h", 0, 0]]}]]], 'Call of layer "lstm"'),
        (LSTM_NODE, [[["nobody", 0, 0, {}]]], '"lstm" is called on layer "nobody", which is not in the'),
        (LSTM_NODE, [[["gru", 1, 0, {}]]], 'called on call 1 of layer "gru", which has no such call'),
        (LSTM_NODE, [[["gru", 0, 1, {}]]], 'layer "gru" has 1 outputs, not 2'),
        (LSTM_NODE, [[["h", 0, 0, {}]]], 'Call of layer "lstm": .*ndim=2'),
        (LSTM_NODE, [[["lstm", 0, 0, {}]]], 'Layer "lstm" is part of a cycle'),
        (GRU_NODE, [[["lstm", 0, 0, {}]]], "is part of a cycle"),
        (LSTM_NODE, [[["gru", 0, 0, {"mask": {"class_name": "__mask__", "config": 1}}]]], "expected"),
        (LSTM_NODE, [[["gru", 0, 0, {"mask": {"class_name": "__numpy__", "config": {}}}]]], "not an array"),
        (LSTM_NODE, [[["_CONSTANT_VALUE", -1, [[1], [2, 3]], {}]]], "not an array"),
        (LSTM_NODE, [[["_CONSTANT_VALUE", -1, [[[1.0, 2.0]]], {}]]], 'Call of layer "lstm"'),
        (["input_layers"], [["nobody", 0, 0]], '`input_layers`: there is no call 0 of a layer "nobody"'),
        (["input_layers"], [["x", 0, 0]], "not among the `inputs`"),
        (["input_layers"], [3], "`input_layers` of the configuration: expected"),
        (["output_layers"], [], "`output_layers` of the configuration names nothing"),
        (["output_layers"], [["lstm", 0, 5]], 'layer "lstm" has 1 outputs, not 6'),
        (["output_layers"], [["lstm", 7, 0]], 'no call 7 of a layer "lstm"'),
        (["output_layers"], {"a": [["lstm", 0]]}, "expected"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(path, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        Model.from_config(changed(path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (3, "must be a dict, got a int"),
        (None, "must be a dict"),
        ({}, r"lacks \['class_name', 'config'\]"),
        ({"class_name": "Model"}, r"lacks \['config'\]"),
        ({"class_name": "Model", "config": []}, "lacks `layers`"),
        ({"class_name": "Sequential", "config": {}}, "needs `layers`"),
        ({"class_name": "Sequential", "config": {"layers": [3]}}, "Entry 0 of `layers`"),
        (
            {"class_name": "Sequential", "config": {"layers": [{"class_name": "Odd", "config": {}}]}},
            "Unknown",
        ),
    ],
)
def test_what_is_no_model_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        model_from_config(config)
    with pytest.raises(ValueError):
        Model.from_config(config)


def test_nesting_without_end_is_refused():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested more than 200 levels"):
        Model.from_config(changed(LSTM_NODE, [deep]))
    endless = valid()
    endless["layers"].append(endless)
    with pytest.raises(ValueError, match="nested more than 200 levels"):
        Model.from_config(endless)
    with pytest.raises(ValueError, match="nested more than 200 levels"):
        Sequential.from_config(endless["layers"])
    with pytest.raises(ValueError, match="nested"):
        model_from_json("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError):
        model_from_json("{")
    model = Sequential([layers.Dense(2)])
    for _ in range(20):
        model = Sequential([model])
    assert model_from_json(model.to_json()).get_config() == model.get_config()
    for _ in range(60):
        model = Sequential([model])
    with pytest.raises(ValueError, match="nested more than 200 levels"):
        model_from_json(model.to_json())


def test_memory_errors_stay_what_they_are(monkeypatch):
    def full(*_):
        raise MemoryError

    config = valid()
    for owner, name in ((reading, "deserialize"), (GRU, "_prepare_symbolic"), (layers.Dense, "build")):
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(owner, name, full)
            Model.from_config(config)
    row = Sequential([Input((2,)), layers.Dense(2)]).get_config()
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(layers.Dense, "build", full)
        Sequential.from_config(row)


def test_a_chain_in_reverse_order_loads_in_linear_time():
    x = Input((2,), name="x")
    y = x
    for _ in range(800):
        y = layers.Activation("tanh")(y)
    config = Model(x, y).get_config()
    config["layers"].reverse()
    twin = Model.from_config(config)
    np.testing.assert_array_equal(twin(np.ones((1, 2), "f")), Model(x, y)(np.ones((1, 2), "f")))


@pytest.mark.parametrize("wrapped", [False, True])
def test_models_that_hold_each_other_twice_do_not_take_for_ever(wrapped):
    config = {"class_name": "Activation", "config": {"activation": "tanh", "name": "m0"}}
    for level in range(1, 30):
        inner = f"m{level - 1}"
        if wrapped:
            config = {"class_name": "TimeDistributed", "config": {"layer": config, "name": inner}}
        shape = [None, *[2] * ((level + 1) if wrapped else 1)]
        nodes = [[["x", 0, 0, {}]], [[inner, int(level > 1 and not wrapped), 0, {}]]]
        start = {"batch_input_shape": shape, "dtype": "float32", "name": "x"}
        entries = [
            {"class_name": "InputLayer", "config": start, "name": "x", "inbound_nodes": []},
            {**config, "name": inner, "inbound_nodes": nodes},
        ]
        last = [inner, 1 + int(level > 1 and not wrapped), 0]
        graph = {
            "layers": entries,
            "input_layers": [["x", 0, 0]],
            "output_layers": [last],
            "name": f"m{level}",
        }
        config = {"class_name": "Functional", "config": graph}
    with pytest.raises(ValueError, match="more than 10000 calls of layers"):
        model_from_config(config)


def test_long_rows_of_layers_load_in_linear_time():
    row = [{"class_name": "Activation", "config": {"activation": "tanh"}} for _ in range(3000)]
    model = Sequential.from_config([valid()["layers"][0], *row])
    assert len(model.layers) == 3000


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
