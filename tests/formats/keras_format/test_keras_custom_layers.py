"""Layers of one's own in Keras's archives: found without a name in the configuration, and filled whole."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnpack
from rnnpack import layers
from rnnpack.formats import FormatError

h5py = pytest.importorskip("h5py")

# Where Keras 3.15 puts the weights of the layer below: seen in a file that it wrote.
GROUPS = ("parts/dense", "parts/dense_1", "nest/container/dense", "several/dense")


class Several(layers.Layer):
    """Has its layers in a dict, a list in a list, and a tuple."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts = {"first": layers.Dense(2), "second": layers.Dense(2)}
        self.nest = [[layers.Dense(2)]]
        self.several = (layers.Dense(2),)

    def call(self, inputs: Any) -> Any:
        for dense in (*self.parts.values(), self.nest[0][0], *self.several):
            inputs = dense(inputs)
        return inputs


def write(path: Path, groups: tuple[str, ...], values: list[Any]) -> None:
    """An archive of Keras 3 of a Sequential model with this layer, configured without its name."""
    own = {"module": None, "class_name": "Several", "config": {"trainable": True}}
    shape = {"batch_shape": [None, 2], "dtype": "float32", "name": "x"}
    entries = [{"module": "keras.layers", "class_name": "InputLayer", "config": shape}, own]
    config = {"class_name": "Sequential", "config": {"name": "model", "layers": entries}}
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_group("layers/several/vars")
        for group, value in zip(groups, values, strict=False):
            file[f"layers/several/{group}/vars/0"] = value
            file[f"layers/several/{group}/vars/1"] = np.zeros(2, np.float32)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", content.getvalue())


@pytest.fixture
def kernels() -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.integers(-3, 4, (2, 2)).astype(np.float32) for _ in GROUPS]


def test_a_layer_without_a_name_gets_the_weights_in_all_its_containers(
    kernels: list[Any], tmp_path: Path
) -> None:
    write(tmp_path / "own.keras", GROUPS, kernels)
    model = rnnpack.load(tmp_path / "own.keras", custom_objects={"Several": Several})
    np.testing.assert_array_equal(model(np.eye(2, dtype=np.float32)), np.linalg.multi_dot(kernels))


@pytest.mark.parametrize("count", range(len(GROUPS)))
def test_a_weight_that_is_not_in_the_file_is_an_error(count: int, kernels: list[Any], tmp_path: Path) -> None:
    write(tmp_path / "own.keras", GROUPS[:count], [np.ones((9, 9), np.float32), *kernels[1:]])
    with pytest.raises(FormatError):
        rnnpack.load(tmp_path / "own.keras", custom_objects={"Several": Several})


def test_a_layer_that_the_walk_does_not_reach_is_an_error(kernels: list[Any], tmp_path: Path) -> None:
    """One in an attribute that only a property leads to cannot be found by the names of attributes."""

    class Hidden(Several):
        _untracked = frozenset({"parts"})

        @property
        def weights(self) -> list[Any]:
            return [*super().weights, *self.parts["first"].weights]

    write(tmp_path / "own.keras", GROUPS, kernels)
    with pytest.raises(FormatError, match="of the model is not in the file"):
        rnnpack.load(tmp_path / "own.keras", custom_objects={"Several": Hidden})
