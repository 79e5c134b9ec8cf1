"""Corners of the two layouts of weights, in files made here."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import keras_files
import numpy as np
import pytest

import rnnpack
from rnnpack import layers
from rnnpack.formats.hdf5 import open_hdf5
from rnnpack.formats.keras.weights import reading

h5py = pytest.importorskip("h5py")


def zeroed(model: Any) -> list[Any]:
    """Takes the weights out of a model."""
    before: list[Any] = model.get_weights()
    model.set_weights([np.zeros_like(weight) for weight in before])
    return before


def assert_weights(model: Any, expected: list[Any]) -> None:
    for one, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_groups_had_another_name_in_keras_2_12(tmp_path: Path) -> None:
    path = keras_files.unpacked(2, "nested.weights.h5", tmp_path)
    model = rnnpack.load(keras_files.unpacked(2, "nested.keras", tmp_path))
    before = zeroed(model)
    with h5py.File(path, "a") as file:
        for group in (file["layers/functional"], file):
            group.move("layers", "_layer_checkpoint_dependencies")
    rnnpack.load_weights(model, path)
    assert_weights(model, before)


def test_models_inside_wrappers_and_layers_used_twice(tmp_path: Path) -> None:
    shared = layers.Dense(3)
    inner = rnnpack.Sequential([rnnpack.Input((3,)), shared, layers.BatchNormalization()], name="inner")
    x = rnnpack.Input((4, 3))
    h = layers.TimeDistributed(inner)(x)
    first = rnnpack.Model(x, rnnpack.GRU(3)(shared(h)))
    model = rnnpack.Model(x, layers.Add()([first(x), rnnpack.LSTM(3)(x)]))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    for name in ("a.weights.h5", "a.h5"):
        rnnpack.save(model, tmp_path / name)
        before = zeroed(model)
        rnnpack.load_weights(model, tmp_path / name)
        assert_weights(model, before)
    with pytest.raises(rnnpack.FormatError, match="a model inside a wrapper cannot be written for Keras 3"):
        rnnpack.save(model, tmp_path / "a.keras")


def test_a_group_with_other_weights_than_the_layer(tmp_path: Path) -> None:
    path = keras_files.unpacked(2, "sequential.weights.h5", tmp_path)
    model = rnnpack.load(keras_files.unpacked(2, "sequential.keras", tmp_path))
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/1"]
    with pytest.raises(rnnpack.FormatError, match="dense: expected 2 weights, got 1"):
        rnnpack.load_weights(model, path)
    with h5py.File(path, "a") as file:
        file["layers/dense/vars/5"] = np.zeros(2)
    with pytest.raises(rnnpack.FormatError, match="the weight '1' is missing"):
        rnnpack.load_weights(model, path)
    with h5py.File(path, "a") as file:
        del file["layers/dense"]
    with pytest.raises(rnnpack.FormatError, match="the weights of 'dense' are missing: no layers/dense/vars"):
        rnnpack.load_weights(model, path)


def test_a_layer_of_the_older_layout_is_missing(tmp_path: Path) -> None:
    path = keras_files.unpacked(2, "sequential.h5", tmp_path)
    with h5py.File(path, "a") as file:
        del file["model_weights/dense"]
    with pytest.raises(rnnpack.FormatError, match="the group of layer 'dense' is missing"):
        rnnpack.load(path)


def test_files_that_hold_no_weights_of_keras(tmp_path: Path) -> None:
    model = rnnpack.load(keras_files.unpacked(2, "sequential.h5", tmp_path))
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(rnnpack.FormatError, match=r"other\.h5: neither `layer_names` nor `layers`"):
        rnnpack.load_weights(model, path)


def test_text_in_every_form() -> None:
    assert [reading.text(one) for one in ("a", b"a", np.array(b"a"), np.array("a"))] == ["a"] * 4
    with pytest.raises(rnnpack.FormatError, match="expected text"):
        reading.text(b"\xff")


def test_what_is_at_a_path() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["a/b"] = np.arange(3)
    with open_hdf5(buffer) as root:
        assert reading.find(root, "a/b").shape == (3,)
        assert reading.find(root, "a/b/c") is None
        assert reading.find(root, "a/c") is None
        assert reading.count_numbers(root) == 3
        with pytest.raises(rnnpack.FormatError, match="the weight 'a' is missing"):
            reading.array(root, "a")


@pytest.mark.parametrize("cells", [False, True])
def test_stacks_keep_the_order_of_their_cells(cells: bool, tmp_path: Path) -> None:
    """Two cells of one class are numbered; a frozen one's weights go behind the others' in older files."""
    stack = rnnpack.RNN([rnnpack.LSTMCell(2), rnnpack.LSTMCell(3), rnnpack.GRUCell(2)])
    model = rnnpack.Sequential([rnnpack.Input((4, 3)), stack])
    if cells:
        stack.cell.cells[0].trainable = False
    for name in ("a.weights.h5", "a.h5"):
        rnnpack.save(model, tmp_path / name)
        before = zeroed(model)
        rnnpack.load_weights(model, tmp_path / name)
        assert_weights(model, before)
    with h5py.File(tmp_path / "a.weights.h5") as file:
        assert file["layers/rnn/cell/cells/lstm_cell_1/vars/1"].shape == (3, 12)


def test_groups_that_share_each_other_are_not_followed_without_end(tmp_path: Path) -> None:
    path = keras_files.unpacked(2, "sequential.h5", tmp_path)
    with h5py.File(path, "a") as file:
        group = file["model_weights"]
        for _ in range(18):  # twice in each other: 2 ** 18 paths
            inner = group.create_group("one")
            group["two"] = inner
            group = inner
    with pytest.raises(rnnpack.FormatError, match=r"more than 50000 groups|without end"):
        rnnpack.load(path)
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(rnnpack.FormatError, match="more than 50000 groups and arrays"):
        reading.count_numbers(loop)
