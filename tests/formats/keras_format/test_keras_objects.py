"""Live objects without Keras: stand-ins that have what `from_keras` asks of them.

The real ones are in test_keras_live.py, wherever a Keras is installed.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

import rnnpack
from rnnpack import layers


class Weight:
    """A variable of a Keras."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def numpy(self) -> Any:
        return self._value


def stand_in(layer: Any, *, build_config: Any = None, build_shape: Any = None, **config: Any) -> Any:
    """What a Keras layer like this one looks like from outside."""
    name = type(layer).__name__
    attributes: dict[str, Any] = {
        "name": layer.name,
        "get_config": lambda self: {**layer.get_config(), **config},
        "trainable_weights": [Weight(variable.numpy()) for variable in layer.trainable_weights],
        "non_trainable_weights": [variable.numpy() for variable in layer.non_trainable_weights],
        "__module__": "keras.src.layers",
    }
    if build_config is not None:
        attributes["get_build_config"] = lambda self: build_config
    if build_shape is not None:
        attributes["_build_input_shape"] = build_shape
    if hasattr(layer, "return_state"):
        attributes["return_state"] = layer.return_state
    return type(name, (), attributes)()


X = np.random.default_rng(3).normal(size=(2, 4, 3)).astype(np.float32)


@pytest.fixture(params=["2.15.0", "3.4.0"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module named keras of this version."""
    module = types.ModuleType("keras")
    module.__version__ = str(request.param)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", module)
    return str(request.param)


@pytest.mark.parametrize(
    "shapes",
    [
        {"build_config": {"input_shape": (None, 4, 3)}},
        {"build_config": {"input_shape": [[None, 4, 3], [None, 2]]}},
        {
            "build_config": {
                "shapes_dict": {"sequences_shape": [None, 4, 3], "initial_state_shape": [None, 2]}
            }
        },
        {"build_shape": (None, 4, 3)},
    ],
)
def test_a_layer_comes_over(shapes: dict[str, Any], version: str) -> None:
    layer = rnnpack.GRU(2)
    expected = layer(X)
    np.testing.assert_array_equal(rnnpack.from_keras(stand_in(layer, **shapes))(X), expected)


def test_the_version_decides_what_hard_sigmoid_is(version: str) -> None:
    layer = rnnpack.LSTM(2, recurrent_activation="hard_sigmoid")
    layer(X)
    found = rnnpack.from_keras(stand_in(layer, build_config={"input_shape": (None, 4, 3)}))
    name = "hard_sigmoid" if version.startswith("2") else "hard_sigmoid_keras3"
    assert found.recurrent_activation.__name__ == name


def test_old_objects_of_tensorflow_are_of_keras_2() -> None:
    layer = rnnpack.LSTM(2, recurrent_activation="hard_sigmoid")
    layer(X)
    obj = stand_in(layer, build_shape=(None, 4, 3))
    type(obj).__module__ = "tensorflow.python.keras.layers"
    assert rnnpack.from_keras(obj).recurrent_activation.__name__ == "hard_sigmoid"


def test_a_cell_and_a_model_come_over(version: str) -> None:
    cell = rnnpack.LSTMCell(2)
    cell.build((None, 3))
    state = [np.zeros((2, 2), np.float32)] * 2
    found = rnnpack.from_keras(stand_in(cell, build_config={"input_shape": (None, 3)}))
    np.testing.assert_array_equal(found(X[:, 0], state)[0], cell(X[:, 0], state)[0])
    model = rnnpack.Sequential([rnnpack.Input((4, 3)), rnnpack.GRU(2), layers.BatchNormalization()])
    found = rnnpack.from_keras(stand_in(model))
    np.testing.assert_array_equal(found(X), model(X))


def test_objects_without_weights_are_not_built(version: str) -> None:
    assert not rnnpack.from_keras(stand_in(rnnpack.LSTM(2))).built


def test_what_cannot_come_over(version: str) -> None:
    layer = rnnpack.GRU(2)
    layer(X)
    with pytest.raises(rnnpack.FormatError, match="the input shape is not known"):
        rnnpack.from_keras(stand_in(layer))
    for obj in (3, rnnpack.LSTM, None):
        with pytest.raises(rnnpack.FormatError, match="expected a layer, cell or model of Keras, got"):
            rnnpack.from_keras(obj)

    class Subclassed(rnnpack.Layer):
        def get_config(self) -> dict[str, Any]:
            raise NotImplementedError("only the author knows")

    with pytest.raises(rnnpack.FormatError, match="Subclassed has no configuration: only the author knows"):
        rnnpack.from_keras(Subclassed())


def test_custom_objects_stand_for_the_users_own(version: str) -> None:
    class Doubled(rnnpack.Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    obj = stand_in(Doubled())
    with pytest.raises(rnnpack.FormatError, match="Unknown layer: Doubled"):
        rnnpack.from_keras(obj)
    np.testing.assert_array_equal(rnnpack.from_keras(obj, {"Doubled": Doubled})(X), 2 * X)


def test_time_distributed_models_of_keras_3_take_any_batch() -> None:
    """Keras 3 builds the inner model for the batch of the first call."""
    from rnnpack.formats.keras.dialects import keras_2_15

    start = {"class_name": "InputLayer", "config": {"batch_shape": [2, 3], "name": "x"}}
    inner = {"class_name": "Sequential", "config": {"layers": [start]}}
    entry = {"class_name": "TimeDistributed", "config": {"layer": inner, "name": "t"}}
    translated = keras_2_15(entry, "3.0.0")["config"]["layer"]["config"]["layers"][0]["config"]
    assert translated["batch_input_shape"] == [None, 3]
