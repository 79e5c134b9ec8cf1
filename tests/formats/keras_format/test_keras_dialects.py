"""Configurations of other Keras versions in the form of Keras 2.15, as files of their time have them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from rnnpack.formats import FormatError
from rnnpack.formats.keras.dialects import keras_2_15


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def translated(version: str, class_name: str, **config: Any) -> dict[str, Any]:
    result: dict[str, Any] = keras_2_15(layer(class_name, **config), version)["config"]
    return result


def test_gru_before_reset_after_resets_before() -> None:
    assert translated("2.1.3", "GRU", units=3)["reset_after"] is False
    assert translated("2.2.4", "GRUCell", units=3, reset_after=True)["reset_after"] is True


def test_names_of_keras_1() -> None:
    lstm = translated("", "LSTM", output_dim=3, inner_activation="hard_sigmoid", inner_init="orthogonal",
                      init="glorot_uniform", dropout_W=0.1, dropout_U=0.2, consume_less="cpu",
                      forget_bias_init="one", W_regularizer=None, go_backwards=True)  # fmt: skip
    assert lstm == {
        "units": 3, "recurrent_activation": "hard_sigmoid", "recurrent_initializer": "orthogonal",
        "kernel_initializer": "glorot_uniform", "dropout": 0.1, "recurrent_dropout": 0.2,
        "kernel_regularizer": None, "go_backwards": True,
    }  # fmt: skip
    embedding = translated("1.2.2", "Embedding", output_dim=3, input_dim=5, init="uniform", dropout=0.0)
    assert embedding == {"output_dim": 3, "input_dim": 5, "embeddings_initializer": "uniform"}
    assert translated("1.2.2", "Dropout", p=0.5) == {"rate": 0.5}


def test_a_sequential_that_is_a_list() -> None:
    entry = {"class_name": "Sequential", "config": [layer("GRU", units=2, batch_input_shape=[None, 4, 3])]}
    layers = keras_2_15(entry, "2.1.6")["config"]["layers"]
    assert layers == [layer("GRU", units=2, batch_input_shape=[None, 4, 3], reset_after=False)]


@pytest.mark.parametrize("policy", ["Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy"])
def test_policies_are_names(policy: str) -> None:
    assert translated("2.4.0", "Dense", units=1, dtype=layer(policy, name="mixed_float16"))["dtype"] == (
        "mixed_float16"
    )


def test_cudnn_layers_are_their_portable_kind() -> None:
    inner = layer("CuDNNGRU", units=2, return_sequences=True)
    both = keras_2_15(layer("Bidirectional", layer=inner, merge_mode="sum"), "2.2.4")["config"]["layer"]
    assert both["class_name"] == "GRU"
    assert both["config"] == {
        "units": 2, "return_sequences": True, "activation": "tanh", "recurrent_activation": "sigmoid",
        "use_bias": True, "reset_after": True,
    }  # fmt: skip


def test_wrappers_of_plain_values() -> None:
    config = translated(
        "3.0.0",
        "Reshape",
        target_shape={"class_name": "__tuple__", "items": [2, {"class_name": "__tuple__", "items": [3]}]},
        other=layer("__numpy__", value=[1, 2], dtype="int32"),
        activation={"module": "builtins", "class_name": "function", "config": "mine"},
        index=(layer("__slice__", start=1, stop=None, step=2), {"class_name": "__ellipsis__"}),
    )
    assert config == {
        "target_shape": (2, (3,)), "other": [1, 2], "activation": "mine", "index": (slice(1, None, 2), ...)
    }  # fmt: skip


def test_names_of_keras_3() -> None:
    lstm = translated("3.1.0", "LSTM", units=2, activation="silu", recurrent_activation="hard_sigmoid",
                      seed=3, use_cudnn="auto", kernel_initializer={
                          "module": "keras.initializers", "class_name": "GlorotUniform",
                          "config": {"seed": None, "input_axes": None}, "registered_name": None,
                          "shared_object_id": 4})  # fmt: skip
    assert lstm == {
        "units": 2, "activation": "swish", "recurrent_activation": "hard_sigmoid_keras3",
        "kernel_initializer": layer("GlorotUniform", seed=None),
    }  # fmt: skip
    assert translated("3.1.0", "LeakyReLU", negative_slope=0.2) == {"alpha": 0.2}
    assert translated("3.1.0", "InputLayer", batch_shape=[None, 3], optional=False) == {
        "batch_input_shape": [None, 3]
    }
    assert translated("2.15.0", "LSTM", recurrent_activation="hard_sigmoid") == {
        "recurrent_activation": "hard_sigmoid"
    }


def test_directions_of_keras_3_lose_their_prefixes() -> None:
    config = translated(
        "3.0.0", "Bidirectional", layer=layer("LSTM", name="forward_a"),
        backward_layer=layer("LSTM", name="backward_a"), merge_mode="ave",
    )  # fmt: skip
    assert config["layer"] == layer("LSTM", name="a") == config["backward_layer"]


def test_the_registered_name_of_a_custom_class_stays() -> None:
    entry = {**layer("Mine"), "registered_name": "shop>Mine", "module": "shop", "build_config": {}}
    assert keras_2_15(entry, "3.0.0") == {**layer("Mine"), "registered_name": "shop>Mine"}


def test_the_configuration_is_not_changed() -> None:
    entry = layer("Bidirectional", layer=layer("LSTM", name="forward_a", seed=1), merge_mode="ave")
    before = copy.deepcopy(entry)
    keras_2_15(entry, "3.0.0")
    assert entry == before


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (layer("Lambda", function="x"), "Lambda layer is code.*custom_objects"),
        (layer("Dense", activation={"class_name": "__lambda__", "config": {}}), "Lambda function"),
        (layer("LayerNormalization", rms_scaling=True), "LayerNormalization: the option rms_scaling=True"),
        (layer("BatchNormalization", renorm=True), "renorm=True is not supported"),
        (layer("ZeroPadding1D", data_format="channels_first"), "ZeroPadding1D: the option data_format"),
        (layer("Dense", dtype=layer("QuantizedDTypePolicy", name="int8")), "policy QuantizedDTypePolicy"),
        (layer("Reshape", target_shape={"class_name": "__tuple__"}), "__tuple__ without 'items'"),
        (layer("Reshape", other={"class_name": "__numpy__", "config": 3}), "__numpy__ without 'config'"),
        ({"class_name": "Dense"}, "expected a configuration with class_name and config, got .*Dense"),
        ([1] * 100, r"expected a configuration with class_name and config, got .*\.\.\."),
        ({"class_name": "Dense", "config": 3}, "Dense: expected a configuration, got 3"),
        ({"class_name": "Sequential", "config": 3}, "Sequential: expected a configuration, got 3"),
        ({"class_name": "Sequential", "config": {"layers": 3}}, "`layers` must be a list of configurations"),
    ],
)
def test_what_cannot_be_translated_is_named(entry: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        keras_2_15(entry, "3.0.0")


def test_nesting_has_an_end() -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    with pytest.raises(FormatError, match="nested more than 100 levels"):
        keras_2_15(layer("Dense", units=value), "2.15.0")


def tensor(*history: Any) -> dict[str, Any]:
    return layer("__keras_tensor__", shape=[None, 3], dtype="float32", keras_history=list(history))


def graph(*layers: dict[str, Any], **ends: Any) -> list[dict[str, Any]]:
    """The layers of a functional model of Keras 3, translated."""
    ends = {"input_layers": ["x", 0, 0], "output_layers": ["y", 0, 0], **ends}
    start = {**layer("InputLayer", name="x", batch_shape=[None, 3]), "module": "keras.layers", "name": "x"}
    entry = layer("Functional", name="m", layers=[{**start, "inbound_nodes": []}, *layers], **ends)
    result: list[dict[str, Any]] = keras_2_15(entry, "3.2.0")["config"]["layers"]
    return result


def called(class_name: str, *args: Any, module: str = "keras.layers", **kwargs: Any) -> dict[str, Any]:
    node = {"args": list(args), "kwargs": kwargs}
    config = {} if module.startswith("keras.src.ops") else {"trainable": True}
    return {"module": module, **layer(class_name, **config), "name": "y", "inbound_nodes": [node]}


def test_calls_become_tensors_with_keywords() -> None:
    one, two = tensor("x", 0, 0), tensor("x", 0, 1)
    keywords = {"initial_state": [["x", 0, 0], ["x", 0, 1]], "mask": None}
    assert graph(called("LSTM", one, [one, two], training=False))[1]["inbound_nodes"] == [
        [["x", 0, 0, keywords]]
    ]
    assert graph(called("Dense", inputs=one))[1]["inbound_nodes"] == [[["x", 0, 0, {}]]]
    assert graph(called("Add", [one, two]))[1]["inbound_nodes"] == [[["x", 0, 0, {}], ["x", 0, 1, {}]]]
    assert graph(called("Mine", {"a": one}, k=2))[1]["inbound_nodes"] == [{"a": ["x", 0, 0, {"k": 2}]}]


def test_operations_become_layers_with_constants() -> None:
    one, two = tensor("x", 0, 0), tensor("x", 0, 1)
    made = graph(called("NotEqual", one, 0.5, module="keras.src.ops.numpy"))[1]
    assert made["class_name"] == "Operation"
    assert made["config"] == {"name": "y", "function": "not_equal", "constants": [[1, 0.5]], "options": {}}
    made = graph(called("Stack", [one, two], axis=1, module="keras.src.ops.numpy"))[1]
    assert made["config"]["options"] == {"axis": 1} and len(made["inbound_nodes"][0]) == 2
    index = [layer("__slice__", start=None, stop=2, step=None), {"class_name": "__ellipsis__"}, 0]
    made = graph(called("GetItem", one, index, module="keras.src.ops.numpy"))[1]
    assert made["config"]["constants"] == [[1, [{"start": None, "stop": 2, "step": None}, "...", 0]]]


def test_masks_beside_attention_travel_with_its_arrays() -> None:
    one, two, mask = tensor("x", 0, 0), tensor("x", 0, 1), tensor("x", 0, 2)
    added, attention = graph(called("MultiHeadAttention", one, two, query_mask=mask, value_mask=mask))[1:]
    assert added["config"]["function"] == "with_mask"
    assert added["inbound_nodes"] == [[["x", 0, 1, {}], ["x", 0, 2, {}]]]
    keywords = {"value": [added["name"], 0, 0], "mask": ["x", 0, 2]}
    assert attention["inbound_nodes"] == [[["x", 0, 0, keywords]]]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (called("Dense"), "a call without inputs"),
        (called("Dense", tensor("x", 0, 0), 1), "a call with 2 positional arguments"),
        (called("Dense", 3), "a call on '3'"),
        (called("Add", [3]), "a call on '3'"),
        (called("Add", {"a": 3}), "a call on '3'"),
        ({**called("Dense"), "inbound_nodes": [3]}, "expected a call with args and kwargs"),
        (called("Dense", tensor("x", "0", 0)), "without keras_history"),
        ({**called("Exp", module="keras.src.ops.numpy"), "inbound_nodes": []}, "is called 0 times"),
    ],
)
def test_calls_that_cannot_be_translated(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        graph(entry)


def test_ends_of_a_graph_must_be_references() -> None:
    with pytest.raises(FormatError, match="expected a layer's name, node and index, got '7'"):
        graph(called("Dense", tensor("x", 0, 0)), output_layers=[7])


def tf_function(name: str, node: Any) -> dict[str, Any]:
    """A function of TensorFlow in a functional model of Keras 2, translated."""
    entry = {**layer("TFOpLambda", name="f", function=name), "name": "f", "inbound_nodes": [node]}
    model = layer("Functional", layers=[entry], input_layers=[], output_layers=[])
    result: dict[str, Any] = keras_2_15(model, "2.15.0")["config"]["layers"][0]
    return result


def test_functions_of_tensorflow() -> None:
    made = tf_function("math.truediv", ["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0], "name": None}])
    assert made["config"] == {"name": "f", "function": "true_divide", "constants": [[0, 1.0]], "options": {}}
    assert made["inbound_nodes"] == [[["x", 0, 0, {}]]]
    assert tf_function("nn.relu", ["x", 0, 0, {}])["config"]["function"] == "relu"
    made = tf_function("math.reduce_mean", ["x", 0, 0, {"axis": 1, "keepdims": True}])
    assert (made["config"]["function"], made["config"]["options"]) == ("mean", {"axis": 1, "keepdims": True})


@pytest.mark.parametrize(
    ("name", "node", "message"),
    [
        ("raw_ops.Einsum", ["x", 0, 0, {}], r"the function tf\.raw_ops\.Einsum is not supported"),
        ("math.add", ["x", 0, 0, {"y": 1, "z": 2}], r"the function tf\.math\.add is not supported"),
        ("math.add", [["x", 0, 0, {"y": 1}]], "of this form is not supported"),
    ],
)
def test_functions_of_tensorflow_that_are_not_supported(name: str, node: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        tf_function(name, node)
