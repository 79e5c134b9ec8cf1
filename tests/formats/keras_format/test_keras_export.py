"""Files for Keras: the layout is that of recorded files, and rnnpack reads back what it wrote."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras_files
import numpy as np
import pytest

import rnnpack
from rnnpack import layers
from rnnpack.formats import FormatError
from rnnpack.formats.keras.exporting import saving

h5py = pytest.importorskip("h5py")

# Models that Keras 3 alone can have: with arithmetic, or its hard_sigmoid.
OF_KERAS_3 = ("lstm_corners", "gru_corners", "masked_words", "cells", "nested", "attention", "operations")


def datasets(data: bytes | Path) -> dict[str, Any]:
    """All arrays of an HDF5 file by path."""
    found: dict[str, Any] = {}
    with h5py.File(io.BytesIO(data) if isinstance(data, bytes) else data, "r") as file:
        file.visititems(
            lambda path, one: found.update({path: one[()]}) if isinstance(one, h5py.Dataset) else None
        )
    return found


@pytest.mark.parametrize(("major", "name"), keras_files.CASES)
def test_numbered_weights_are_where_keras_puts_them(major: int, name: str, tmp_path: Path) -> None:
    if name == "cudnn":
        pytest.skip("written as the layers they stand for")
    model = rnnpack.load(keras_files.unpacked(major, f"{name}.keras", tmp_path))
    rnnpack.save(model, tmp_path / "out.weights.h5")
    written, expected = datasets(tmp_path / "out.weights.h5"), keras_files.member(major, f"{name}.weights.h5")
    expected = datasets(expected)
    assert expected.keys() <= written.keys()
    # Attention's parts have another name in the other version; one file serves both.
    assert all("_dense/" in path for path in written.keys() - expected.keys())
    for path, array in expected.items():
        np.testing.assert_array_equal(written[path], array)


@pytest.mark.parametrize("name", keras_files.MODELS)
def test_keras_2_files(name: str, tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(2, f"{name}.h5", tmp_path))
    if name == "operations":
        with pytest.raises(FormatError, match=r"Keras 2\.15 has no counterpart of Operation"):
            rnnpack.save(model, tmp_path / "out.h5")
        return
    rnnpack.save(model, tmp_path / "out.h5")
    inputs, outputs = keras_files.recorded(2, name)
    again = rnnpack.load(tmp_path / "out.h5")
    keras_files.assert_close(keras_files.run(again, name, inputs), outputs)
    with (
        h5py.File(tmp_path / "out.h5") as written,
        h5py.File(io.BytesIO(keras_files.member(2, f"{name}.h5"))) as keras,
    ):
        groups = written["model_weights"], keras["model_weights"]
        names = [
            [text(one) for one in group.attrs["layer_names"] if len(group[text(one)].attrs["weight_names"])]
            for group in groups
        ]
        assert names[0] == names[1]
        for layer in names[0]:
            arrays = [[group[layer][one] for one in group[layer].attrs["weight_names"]] for group in groups]
            for one, other in zip(*arrays, strict=True):
                np.testing.assert_array_equal(one, other)


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("name", keras_files.MODELS)
def test_keras_3_files(name: str, tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(3, f"{name}.keras", tmp_path))
    rnnpack.save(model, tmp_path / "out.keras")
    inputs, outputs = keras_files.recorded(3, name)
    again = rnnpack.load(tmp_path / "out.keras")
    keras_files.assert_close(keras_files.run(again, name, inputs), outputs)
    if name == "attention":
        return  # value and key come by name, which is the same call
    written, expected = (
        calls(data) for data in (tmp_path / "out.keras", keras_files.member(3, f"{name}.keras"))
    )
    assert written == expected


def calls(data: bytes | Path) -> Any:
    """The graph of a .keras file: for every layer its class and the calls, without optional Nones."""
    with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    return [
        (entry["class_name"], entry.get("name"), [_used(node) for node in entry.get("inbound_nodes", [])])
        for entry in config["layers"]
    ]


def _used(value: Any) -> Any:
    if isinstance(value, list):
        return [_used(one) for one in value]
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return value["config"]["keras_history"]
        return {key: _used(one) for key, one in value.items() if one is not None and key != "training"}
    return value


def test_long_lists_of_names_are_split(tmp_path: Path) -> None:
    x = rnnpack.Input((2,))
    names = [f"{'long' * 60}{index}" for index in range(300)]
    h = x
    for name in names:
        h = layers.Activation("linear", name=name)(h)
    model = rnnpack.Model(x, layers.Dense(1)(h))
    rnnpack.save(model, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert "layer_names1" in file["model_weights"].attrs
    np.testing.assert_array_equal(rnnpack.load(tmp_path / "a.h5").get_weights()[0], model.get_weights()[0])


def test_the_same_model_gives_the_same_archive(tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(3, "sequential.keras", tmp_path))
    for name in ("a.keras", "b.keras"):
        rnnpack.save(model, tmp_path / name)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def functional(layer: Any, **call: Any) -> Any:
    x = rnnpack.Input((4, 3))
    return rnnpack.Model(x, layer(x, **call))


@pytest.mark.parametrize(
    ("layer", "ending", "message"),
    [
        (
            rnnpack.LSTM(2, recurrent_activation="hard_sigmoid"),
            "keras",
            "Keras 3 .* activation 'hard_sigmoid'",
        ),
        (rnnpack.LSTM(2, recurrent_activation="hard_sigmoid_keras3"), "h5", r"Keras 2\.15 .*'hard_sigmoid_k"),
        (rnnpack.LSTM(2, time_major=True), "keras", "LSTM of Keras 3: the option time_major=True"),
        (
            layers.BatchNormalization(axis=[1, 2]),
            "keras",
            r"BatchNormalization: Keras 3 has no axis=\[1, 2\]",
        ),
        (layers.BatchNormalization(axis=[1]), "keras", None),
        (layers.LeakyReLU(0.1), "keras", None),
        (rnnpack.LSTM(2, dtype="mixed_float16"), "keras", None),
    ],
)
def test_what_the_other_keras_lacks_is_named(
    layer: Any, ending: str, message: str | None, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{ending}"
    if message is None:
        model = functional(layer)
        rnnpack.save(model, path)
        again = rnnpack.load(path)
        x = np.ones((2, 4, 3), np.float32)
        np.testing.assert_array_equal(again(x), model(x))
        return
    with pytest.raises(FormatError, match=message):
        rnnpack.save(functional(layer), path)
    assert not list(tmp_path.iterdir())


def test_a_mask_that_keras_3_would_ignore(tmp_path: Path) -> None:
    x, h = rnnpack.Input((4, 3)), rnnpack.Input((2,))
    model = rnnpack.Model([x, h], rnnpack.GRU(2, name="g")(rnnpack.Masking()(x), initial_state=h))
    with pytest.raises(FormatError, match="g: Keras 3 would ignore the mask"):
        rnnpack.save(model, tmp_path / "a.keras")
    listed = rnnpack.Model([x, h], rnnpack.GRU(2)([x, h]))
    rnnpack.save(listed, tmp_path / "a.keras")
    data = [np.ones((2, 4, 3), np.float32), np.ones((2, 2), np.float32)]
    np.testing.assert_array_equal(rnnpack.load(tmp_path / "a.keras")(data), listed(data))


def test_only_built_models_are_written(tmp_path: Path) -> None:
    for model in (rnnpack.LSTM(2), rnnpack.Sequential([rnnpack.LSTM(2)])):
        with pytest.raises(FormatError, match="built models"):
            rnnpack.save(model, tmp_path / "a.h5")


def test_without_h5py_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install rnnpack\[keras\]"):
        rnnpack.save(functional(rnnpack.LSTM(2)), tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_configurations_hold_plain_values() -> None:
    assert saving._plain(np.float32(0.5)) == 0.5
    assert saving._plain(np.dtype("float32")) == "float32"
    assert saving._plain(rnnpack.TensorShape([2, None])) == [2, None]
    with pytest.raises(FormatError, match="plain values, got a object"):
        saving._plain(object())
