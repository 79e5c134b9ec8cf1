"""A small file cannot ask for large states: the batch of a stateful layer is only a number in it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import rnnpack
from rnnpack import layers
from rnnpack.formats import FormatError
from rnnpack.formats.safetensors import read_safetensors, write_safetensors


@pytest.mark.parametrize(
    "recurrent",
    [
        lambda: layers.LSTM(2, stateful=True),
        lambda: layers.RNN([layers.GRUCell(2), layers.SimpleRNNCell(3)], stateful=True),
        lambda: layers.Bidirectional(layers.GRU(2, stateful=True)),
    ],
)
def test_states_for_a_huge_batch_are_refused(recurrent: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    inputs = rnnpack.Input(batch_shape=(2, 4, 3))
    rnnpack.save(rnnpack.Model(inputs, recurrent()(inputs)), path)
    arrays, metadata = read_safetensors(path)
    model = json.loads(metadata["model"])
    model["config"]["layers"][0]["config"]["batch_input_shape"][0] = 1 << 26
    write_safetensors(path, arrays, {**metadata, "model": json.dumps(model)})
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="States of stateful layers"):
            rnnpack.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 29
    finally:
        tracemalloc.stop()


def test_states_of_a_usual_size_are_made(tmp_path: Path) -> None:
    inputs = rnnpack.Input(batch_shape=(4096, 4, 3))
    rnnpack.save(rnnpack.Model(inputs, layers.LSTM(64, stateful=True)(inputs)), tmp_path / "m.safetensors")
    assert rnnpack.load(tmp_path / "m.safetensors").layers[-1].states[0].shape == (4096, 64)
