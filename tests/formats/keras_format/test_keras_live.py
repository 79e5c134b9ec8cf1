"""Whichever Keras is installed: live objects come over, files go both ways, for random options."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import keras_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnpack
from rnnpack.formats.keras import from_keras

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

MAJOR = int(keras.__version__.split(".")[0])
pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn of is theirs

ACTIVATIONS = ["tanh", "relu", "softsign", "elu", "linear", "hard_sigmoid"]
GATES = ["sigmoid", "hard_sigmoid", "tanh"]
FEW = settings(max_examples=6, suppress_health_check=list(HealthCheck), deadline=None)


@st.composite
def recurrent(draw: Any, returns: bool = False, plain: bool = False) -> Any:
    """A recurrent Keras layer with random options.

    `plain`: without those on which Keras fails where there are masks: unrolled loops backwards (Keras 3
    stops, Keras 2 zeroes the wrong steps), and a Bidirectional whose first layer goes backwards (Keras 3).
    """
    kind = draw(st.sampled_from(["LSTM", "GRU", "SimpleRNN"]))
    options: dict[str, Any] = {
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "use_bias": draw(st.booleans()),
        "go_backwards": not plain and draw(st.booleans()),
        "unroll": not plain and draw(st.booleans()),
        "return_sequences": returns or draw(st.booleans()),
    }
    if kind != "SimpleRNN":
        options["recurrent_activation"] = draw(st.sampled_from(GATES))
    if kind == "GRU":
        options["reset_after"] = draw(st.booleans())
    return getattr(keras.layers, kind)(draw(st.integers(1, 4)), **options)


@st.composite
def models(draw: Any) -> Any:
    """A functional or sequential model around recurrent layers, its weights random."""
    layers, x = keras.layers, keras.Input((draw(st.integers(2, 5)), 3))
    h = layers.Masking()(x) if draw(st.booleans()) else x
    if draw(st.booleans()):
        h = layers.TimeDistributed(layers.Dense(3, activation="tanh"))(h)
    first = draw(recurrent(returns=True, plain=True))
    if draw(st.booleans()):
        first = layers.Bidirectional(first, merge_mode=draw(st.sampled_from(["concat", "sum", "ave", "mul"])))
    h = first(h)
    h = layers.LayerNormalization()(h) if draw(st.booleans()) else h
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(draw(recurrent(returns=True, plain=True))(h))))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    model.set_weights([rng.uniform(-0.9, 0.9, weight.shape) for weight in model.get_weights()])
    return model


def data_for(model: Any, seed: int) -> Any:
    x = np.random.default_rng(seed).normal(size=(3, *model.inputs[0].shape[1:])).astype("float32")
    x[0, -1] = 0  # a masked step, if there is a Masking
    return x


def assert_same(model: Any, other: Any, seed: int) -> None:
    x = data_for(model, seed)
    outputs = model.predict(x, verbose=0), other.predict(x, verbose=0)
    keras_files.assert_close(*map(keras_files.flat, outputs))


@FEW
@given(models(), st.integers(0, 9))
def test_live_models_come_over(model: Any, seed: int) -> None:
    assert_same(model, from_keras(model), seed)


@FEW
@given(models(), st.integers(0, 9), st.sampled_from(["keras", "h5"]))
def test_saved_models_come_over(model: Any, seed: int, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{ending}"
        model.save(path)
        assert_same(model, rnnpack.load(path), seed)


@FEW
@given(models(), st.integers(0, 9))
def test_models_go_back(model: Any, seed: int) -> None:
    mine = from_keras(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("model.h5" if MAJOR == 2 else "model.keras")
        rnnpack.save(mine, path)
        assert_same(keras.models.load_model(path), mine, seed)
        weights = Path(folder) / "model.weights.h5"
        rnnpack.save(mine, weights)
        model.set_weights([0 * weight for weight in model.get_weights()])
        model.load_weights(weights)
        assert_same(model, mine, seed)
        if MAJOR == 2:
            model.set_weights([0 * weight for weight in model.get_weights()])
            model.load_weights(path)
            assert_same(model, mine, seed)


@FEW
@given(recurrent(), st.integers(0, 9))
def test_live_layers_come_over(layer: Any, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, 4, 3)).astype("float32")
    expected = to_numpy(layer(x))
    keras_files.assert_close([np.asarray(from_keras(layer)(x))], [expected])


def to_numpy(value: Any) -> Any:
    """An array of whichever backend."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value.numpy()


def live_layers() -> list[Any]:
    layers = keras.layers
    return [
        layers.Bidirectional(layers.GRU(2), merge_mode="sum"),
        layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)]),
        layers.TimeDistributed(keras.Sequential([layers.Dense(2), layers.BatchNormalization()])),
        layers.Conv1D(2, 2, padding="same"),
        layers.BatchNormalization(),
        layers.LayerNormalization(),
    ]


@pytest.mark.parametrize("index", range(6))
def test_other_layers_come_over(index: int) -> None:
    layer = live_layers()[index]
    x = np.random.default_rng(index).normal(size=(2, 4, 3)).astype("float32")
    expected = to_numpy(layer(x))
    keras_files.assert_close([np.asarray(from_keras(layer)(x))], [expected])


def test_cells_come_over() -> None:
    x, h = np.ones((2, 3), np.float32), np.full((2, 4), 0.5, np.float32)
    cell = keras.layers.GRUCell(4)
    expected = to_numpy(cell(x, [keras.backend.variable(h) if MAJOR == 2 else h])[0])
    keras_files.assert_close([np.asarray(from_keras(cell)(x, [h])[0])], [expected])


def test_a_layer_that_is_not_built_stays_so() -> None:
    assert not from_keras(keras.layers.LSTM(2)).built


def test_what_is_no_keras_object() -> None:
    with pytest.raises(rnnpack.FormatError, match="expected a layer, cell or model of Keras, got int"):
        from_keras(3)
    with pytest.raises(rnnpack.FormatError, match="Unknown layer: Mine"):
        from_keras(type("Mine", (keras.layers.Layer,), {})())
