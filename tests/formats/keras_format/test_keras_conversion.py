"""Weights that other layers stored, against float64 formulas of those layers written gate by gate."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.hdf5 import open_hdf5
from rnnpack.formats.keras.weights import legacy
from rnnpack.formats.keras.weights.assignment import assign, paired

h5py = pytest.importorskip("h5py")

UNITS, FEATURES, STEPS = 3, 2, 4


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-x))


def lstm(x: Any, w: Any, r: Any, b: Any) -> NDArray[Any]:
    """The last output, from matrices and a bias for each of the gates i, f, c, o."""
    h, c = np.zeros((2, len(x), UNITS))
    for t in range(STEPS):
        i, f, g, o = (x[:, t] @ w[k] + h @ r[k] + b[k] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def gru(x: Any, w: Any, r: Any, b: Any, br: Any, after: bool) -> NDArray[Any]:
    """The last output, from matrices and biases for each of the gates z, r, h."""
    h = np.zeros((len(x), UNITS))
    for t in range(STEPS):
        z, reset = (sigmoid(x[:, t] @ w[k] + b[k] + h @ r[k] + br[k]) for k in range(2))
        recurrent = reset * (h @ r[2] + br[2]) if after else (reset * h) @ r[2]
        h = z * h + (1 - z) * np.tanh(x[:, t] @ w[2] + b[2] + recurrent)
    return h


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def parts(rng: np.random.Generator, gates: int) -> tuple[Any, Any, Any, Any, Any]:
    """Inputs and, for each gate, kernel (F, U), recurrent kernel (U, U) and two biases (U,)."""
    x = rng.normal(size=(5, STEPS, FEATURES))
    shapes = [(gates, FEATURES, UNITS), (gates, UNITS, UNITS), (gates, UNITS), (gates, UNITS)]
    w, r, b, br = (rng.normal(size=shape) for shape in shapes)
    return x, w, r, b, br


def as_cudnn(w: Any, r: Any, b: Any, br: Any) -> list[NDArray[Any]]:
    """As a CuDNN layer stores them: every matrix transposed in memory, both biases in one row."""
    kernel = np.hstack([one.T.reshape(one.shape) for one in w])
    return [kernel, np.hstack([one.T for one in r]), np.concatenate([*b, *br])]


def built(layer: Any) -> Any:
    layer.build((None, STEPS, FEATURES))
    return layer


# float64 layers: a few products of numbers up to 3 in each of 4 steps, 1e-12 is thousands of eps.
CLOSE = {"rtol": 0, "atol": 1e-12}


def test_cudnn_lstm(rng: np.random.Generator) -> None:
    x, w, r, b, br = parts(rng, 4)
    layer = built(rnnpack.LSTM(UNITS, dtype="float64"))
    assign(paired(layer, as_cudnn(w, r, b, br)))
    np.testing.assert_allclose(layer(x), lstm(x, w, r, b + br), **CLOSE)


def test_cudnn_gru(rng: np.random.Generator) -> None:
    x, w, r, b, br = parts(rng, 3)
    layer = built(rnnpack.GRU(UNITS, dtype="float64"))
    assign(paired(layer, as_cudnn(w, r, b, br)))
    np.testing.assert_allclose(layer(x), gru(x, w, r, b, br, after=True), **CLOSE)


def test_cudnn_weights_inside_models_and_wrappers(rng: np.random.Generator) -> None:
    layers = [rnnpack.Bidirectional(rnnpack.LSTM(UNITS, dtype="float64")) for _ in range(2)]
    x = rnnpack.Input((STEPS, FEATURES), dtype="float64")
    inner = rnnpack.Model(x, layers[0](x))
    arrays = [array for _ in range(2) for array in as_cudnn(*parts(rng, 4)[1:])]
    assign(paired(inner, arrays))
    direct = built(layers[1])
    assign(paired(direct, arrays))
    data = rng.normal(size=(2, STEPS, FEATURES))
    np.testing.assert_array_equal(inner(data), direct(data))


def keras_1(w: Any, r: Any, b: Any, order: Any) -> list[NDArray[Any]]:
    """Gate by gate: kernel, recurrent kernel, bias."""
    return [array[gate] for gate in order for array in (w, r, b)]


def test_keras_1_lstm_had_the_candidate_second(rng: np.random.Generator) -> None:
    x, w, r, b, _ = parts(rng, 4)
    layer = built(rnnpack.LSTM(UNITS, dtype="float64"))
    assign(paired(layer, keras_1(w, r, b, (0, 2, 1, 3)), version="1"))
    np.testing.assert_allclose(layer(x), lstm(x, w, r, b), **CLOSE)


def test_keras_1_gru_reset_before(rng: np.random.Generator) -> None:
    x, w, r, b, _ = parts(rng, 3)
    layer = built(rnnpack.GRU(UNITS, reset_after=False, dtype="float64"))
    assign(paired(layer, keras_1(w, r, b, (0, 1, 2)), version="1.2.2"))
    np.testing.assert_allclose(layer(x), gru(x, w, r, b, 0 * b, after=False), **CLOSE)


def test_keras_1_both_directions(rng: np.random.Generator) -> None:
    x, w, r, b, _ = parts(rng, 4)
    layer = built(rnnpack.Bidirectional(rnnpack.LSTM(UNITS, dtype="float64")))
    one = keras_1(w, r, b, (0, 2, 1, 3))
    assign(paired(layer, one + one, version="1"))
    expected = np.concatenate([lstm(x, w, r, b), lstm(x[:, ::-1], w, r, b)], axis=-1)
    np.testing.assert_allclose(layer(x), expected, **CLOSE)


def test_a_file_without_a_version_is_of_keras_1(rng: np.random.Generator) -> None:
    """The layout of Keras 1: the names of layers and weights as attributes, no version."""
    x, w, r, b, _ = parts(rng, 4)
    arrays = keras_1(w, r, b, (0, 2, 1, 3))
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        names = [f"{kind}_{gate}".encode() for gate in "icfo" for kind in "WUb"]
        # Keras splits lists that are too long for one attribute.
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"start"], [b"lstm"]
        file.create_group("start").attrs["weight_names"] = np.zeros(0)
        group = file.create_group("lstm")
        group.attrs["weight_names"] = names
        for name, array in zip(names, arrays, strict=True):
            group[name.decode()] = array
    layer = built(rnnpack.LSTM(UNITS, dtype="float64", name="lstm"))
    with open_hdf5(buffer) as file:
        assert legacy.is_legacy(file)
        assign(legacy.pairs(file, [layer]))
    np.testing.assert_allclose(layer(x), lstm(x, w, r, b), **CLOSE)


def old_file(path: Path, config: Any, version: str | None, layer: str, arrays: list[NDArray[Any]]) -> None:
    """A whole model as old versions of Keras saved it; their strings are bytes."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        for one in (file, group) if version else ():
            one.attrs["keras_version"] = version.encode()
        group.attrs["layer_names"] = [layer.encode()]
        names = [f"{layer}/weight_{index}:0".encode() for index in range(len(arrays))]
        group.create_group(layer).attrs["weight_names"] = names
        for name, array in zip(names, arrays, strict=True):
            group[layer][name.decode()] = array


def test_a_file_of_keras_2_1(rng: np.random.Generator, tmp_path: Path) -> None:
    x, w, r, b, _ = parts(rng, 3)
    scaling = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}
    options = {
        "name": "gru_1", "trainable": True, "batch_input_shape": [None, STEPS, FEATURES], "dtype": "float64",
        "return_sequences": False, "return_state": False, "go_backwards": False, "stateful": False,
        "unroll": False, "units": UNITS, "activation": "tanh", "recurrent_activation": "sigmoid",
        "use_bias": True, "kernel_initializer": {"class_name": "VarianceScaling", "config": scaling},
        "recurrent_initializer": {"class_name": "Orthogonal", "config": {"gain": 1.0, "seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": None,
        "recurrent_regularizer": None, "bias_regularizer": None, "activity_regularizer": None,
        "kernel_constraint": None, "recurrent_constraint": None, "bias_constraint": None,
        "dropout": 0.0, "recurrent_dropout": 0.0, "implementation": 0,
    }  # fmt: skip
    config = {"class_name": "Sequential", "config": [{"class_name": "GRU", "config": options}]}
    arrays = [np.hstack(w), np.hstack(r), np.concatenate(b)]
    old_file(tmp_path / "old.h5", config, "2.1.6", "gru_1", arrays)
    model = rnnpack.load(tmp_path / "old.h5")
    np.testing.assert_allclose(model(x), gru(x, w, r, b, 0 * b, after=False), **CLOSE)


def test_a_file_of_keras_1(rng: np.random.Generator, tmp_path: Path) -> None:
    x, w, r, b, _ = parts(rng, 4)
    options = {
        "name": "lstm_1", "trainable": True, "output_dim": UNITS, "init": "glorot_uniform",
        "inner_init": "orthogonal", "forget_bias_init": "one", "activation": "tanh",
        "inner_activation": "sigmoid", "W_regularizer": None, "U_regularizer": None, "b_regularizer": None,
        "dropout_W": 0.0, "dropout_U": 0.0, "return_sequences": False, "go_backwards": False,
        "stateful": False, "unroll": False, "consume_less": "cpu", "input_dim": FEATURES,
        "input_length": STEPS, "dtype": "float64",
    }  # fmt: skip
    start = {
        "batch_input_shape": [None, STEPS, FEATURES],
        "input_dtype": "float64",
        "sparse": False,
        "name": "x",
    }
    config = {
        "class_name": "Model",
        "config": {
            "name": "model_1",
            "layers": [
                {"class_name": "InputLayer", "config": start, "name": "x", "inbound_nodes": []},
                {"class_name": "LSTM", "config": options, "name": "lstm_1", "inbound_nodes": [[["x", 0, 0]]]},
            ],
            "input_layers": [["x", 0, 0]],
            "output_layers": [["lstm_1", 0, 0]],
        },
    }
    old_file(tmp_path / "old.h5", config, None, "lstm_1", keras_1(w, r, b, (0, 2, 1, 3)))
    model = rnnpack.load(tmp_path / "old.h5")
    np.testing.assert_allclose(model(x), lstm(x, w, r, b), **CLOSE)


@pytest.mark.parametrize(
    ("layer", "bias", "message"),
    [
        (rnnpack.GRU(3), (9,), r"bias must have shape \(2, 9\), got \(9,\) \(reset_after differs\)"),
        (rnnpack.GRU(3, reset_after=False), (2, 9), r"must have shape \(9,\), got \(2, 9\) \(reset_after"),
        (rnnpack.GRU(3, reset_after=False), (18,), "weights of a CuDNNGRU need reset_after=True"),
        (rnnpack.LSTM(3), (7,), r"bias must have shape \(12,\), got \(7,\)$"),
    ],
)
def test_biases_that_fit_no_kind(layer: Any, bias: tuple[int, ...], message: str) -> None:
    built(layer)
    gates = 4 if isinstance(layer, rnnpack.LSTM) else 3
    arrays = [np.zeros((FEATURES, gates * 3)), np.zeros((3, gates * 3)), np.zeros(bias)]
    with pytest.raises(FormatError, match=message):
        paired(layer, arrays)


def test_cudnn_kernels_of_other_sizes() -> None:
    arrays = [np.zeros((2, 11)), np.zeros((3, 12)), np.zeros(24)]
    with pytest.raises(FormatError, match="do not fit 3 units"):
        paired(built(rnnpack.LSTM(3)), arrays)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.zeros((2, 3))], "expected 2 weights, got 1"),
        ([np.zeros((2, 4)), np.zeros(3)], r"kernel: expected shape \(2, 3\), got \(2, 4\)"),
        ([np.zeros((2, 3)), np.array(["a", "b", "c"])], "bias: expected numbers, got dtype <U1"),
    ],
)
def test_assignment_checks_before_it_changes(arrays: Any, message: str) -> None:
    layer = rnnpack.layers.Dense(3)
    layer.build((None, 2))
    before = layer.get_weights()
    with pytest.raises(FormatError, match=message):
        assign(paired(layer, arrays))
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])
