"""Code that a model file holds is never run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.safetensors import read_safetensors, write_safetensors


def triple(inputs: Any, outputs: Any) -> Any:
    """A residual function with a name."""
    return inputs + 3 * outputs


def wrapped(function: Any) -> Any:
    """A model whose cell is wrapped with a function."""
    return rnnpack.Sequential(
        [rnnpack.Input((None, 4)), rnnpack.RNN(rnnpack.ResidualWrapper(rnnpack.LSTMCell(4), function))]
    )


def test_a_lambda_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds a lambda"):
        rnnpack.save(wrapped(lambda inputs, outputs: inputs), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_lambda_in_a_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    rnnpack.save(wrapped(triple), path)
    tensors, metadata = read_safetensors(path)
    hostile = wrapped(lambda inputs, outputs: open("harm", "w"))  # noqa: SIM115
    config = json.loads(hostile.to_json())
    metadata["model"] = json.dumps({key: config[key] for key in ("class_name", "config")})
    write_safetensors(path, tensors, metadata)
    with pytest.raises(FormatError, match="code in a model file is never run"):
        rnnpack.load(path)


def test_a_function_comes_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = wrapped(triple)
    rnnpack.save(model, path)
    with pytest.raises(FormatError, match="triple"):
        rnnpack.load(path)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    loaded = rnnpack.load(path, custom_objects={"triple": triple})
    np.testing.assert_array_equal(loaded(x), model(x))
