"""What is no configuration of a model gives one clear error, soon."""

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
    LSTMCell,
    Masking,
    Model,
    Sequential,
    layers,
)
from rnnpack.models import model_from_config, model_from_json, reading

F = 3


def plain(config):
    """The configuration with lists in place of tuples."""
    return json.loads(json.dumps(config))


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


_ODD = st.sampled_from(
    [None, True, 0, -1, 3, 2.5, "", "x", "gru", [], {}, [None], ["x", 0, 0], [["gru", 0, 0, {}]], {"a": 1}]
)


@st.composite
def damaged(draw):
    """A valid configuration in which some parts were exchanged, or taken away."""
    config = plain(draw(st.sampled_from([valid(), FULL])))
    for _ in range(draw(st.integers(1, 3))):
        part, below = config, config
        while below is part or draw(st.integers(0, 5)):
            part = below
            keys = list(part) if isinstance(part, dict) else list(range(len(part)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            below = part[key]
            if not isinstance(below, (dict, list)):
                break
        if not keys:
            continue
        if draw(st.booleans()):
            part[key] = copy.deepcopy(draw(_ODD))
        else:
            del part[key]
    return config


FULL = Model(
    one := Input((4, F), name="one"),
    [
        Bidirectional(RNN([LSTMCell(2), GRUCell(2)]), name="both")(Masking(name="masking")(one)),
        layers.TimeDistributed(layers.Dense(2), name="each")(one),
        layers.Conv1D(2, 2, name="window")(one),
    ],
).get_config()


@settings(max_examples=150, deadline=None)
@given(damaged())
def test_damaged_configurations_load_or_are_refused(config):
    try:
        Model.from_config(config)
    except ValueError as error:
        assert "\n" not in str(error)


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
