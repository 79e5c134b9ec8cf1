"""Files that live Keras 2.15 and Keras 3 wrote, against the outputs they had there."""

from __future__ import annotations

from pathlib import Path

import keras_files
import numpy as np
import pytest

import rnnpack
from rnnpack.formats.keras import detect, load_weights


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize(("major", "name"), keras_files.CASES)
def test_a_recorded_model_gives_its_recorded_outputs(
    major: int, name: str, ending: str, tmp_path: Path
) -> None:
    path = keras_files.unpacked(major, f"{name}.{ending}", tmp_path)
    assert detect(path, path.read_bytes()[:4096])
    model = rnnpack.load(path)
    inputs, outputs = keras_files.recorded(major, name)
    keras_files.assert_close(keras_files.run(model, name, inputs), outputs)


@pytest.mark.parametrize(("major", "name"), keras_files.CASES)
def test_numbered_weights_fit_the_model_they_are_of(major: int, name: str, tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(major, f"{name}.keras", tmp_path))
    before = model.get_weights()
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    rnnpack.load_weights(model, keras_files.unpacked(major, f"{name}.weights.h5", tmp_path))
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("major", "name"), keras_files.CASES)
def test_legacy_weights_fit_by_order_and_by_name(major: int, name: str, tmp_path: Path) -> None:
    path = keras_files.unpacked(major, f"{name}.h5", tmp_path)
    model = rnnpack.load(path)
    before = model.get_weights()
    for by_name in (False, True):
        model.set_weights([np.zeros_like(weight) for weight in before])
        load_weights(model, path, by_name=by_name)
        for one, other in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_of_a_keras_archive_fit_a_model(tmp_path: Path) -> None:
    path = keras_files.unpacked(3, "sequential.keras", tmp_path)
    model = rnnpack.load(path)
    before = model.get_weights()
    model.set_weights([np.zeros_like(weight) for weight in before])
    load_weights(model, path)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_cudnn_weights_fit_the_portable_layers(tmp_path: Path) -> None:
    """Both ways of storing them: by number, where the groups have other names, and by order."""
    x = rnnpack.Input((4, 3))
    h = rnnpack.Bidirectional(rnnpack.LSTM(2, return_sequences=True), name="both")(x)
    outputs = [
        rnnpack.LSTM(3, name="one")(h),
        rnnpack.Bidirectional(rnnpack.GRU(2), name="two")(h),
        rnnpack.GRU(3, name="three")(x),
    ]
    model = rnnpack.Model(x, outputs)
    inputs, expected = keras_files.recorded(2, "cudnn")
    for ending in ("weights.h5", "legacy.hdf5"):
        model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
        load_weights(model, keras_files.unpacked(2, f"cudnn.{ending}", tmp_path))
        keras_files.assert_close(keras_files.run(model, "cudnn", inputs), expected)


def test_the_hard_sigmoids_of_both_versions_stay_apart(tmp_path: Path) -> None:
    kernels = []
    for major in (2, 3):
        model = rnnpack.load(keras_files.unpacked(major, "lstm_corners.keras", tmp_path))
        layer = model.layers[2]
        kernels.append((layer.recurrent_activation.__name__, layer.explain().native))
    assert kernels == [("hard_sigmoid", True), ("hard_sigmoid_keras3", False)]


def test_a_stateful_model_keeps_its_states(tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(2, "sequential.h5", tmp_path))
    inputs, outputs = keras_files.recorded(2, "sequential")
    first, second = (keras_files.run(model, "sequential", inputs)[0] for _ in range(2))
    assert not np.allclose(first, second)
    model.reset_states()
    keras_files.assert_close(keras_files.run(model, "sequential", inputs), outputs)


def test_only_weights_are_no_model(tmp_path: Path) -> None:
    path = keras_files.unpacked(2, "sequential.weights.h5", tmp_path)
    with pytest.raises(rnnpack.FormatError, match=r"sequential\.weights\.h5: only weights.*load_weights"):
        rnnpack.load(path)


def test_by_name_needs_names(tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(2, "sequential.h5", tmp_path))
    path = keras_files.unpacked(2, "sequential.weights.h5", tmp_path)
    with pytest.raises(rnnpack.FormatError, match="`by_name` needs the older layout"):
        load_weights(model, path, by_name=True)


@pytest.mark.parametrize("ending", ["weights.h5", "h5"])
def test_weights_that_do_not_fit_change_nothing(ending: str, tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(2, "sequential.h5", tmp_path))
    before = model.get_weights()
    for other in ("lstm_corners", "cells", "nested"):
        with pytest.raises(rnnpack.FormatError, match=other):
            load_weights(model, keras_files.unpacked(2, f"{other}.{ending}", tmp_path))
    for one, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, old)
