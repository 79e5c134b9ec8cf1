"""Whole models in rnnpack's own files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import rnnpack
from rnnpack.formats import native

FORMAT = "native"


def seeds() -> list[bytes]:
    """A single layer, a stack in two directions, and models inside a model."""
    inputs = rnnpack.Input((4, 2), name="inputs")
    inner = rnnpack.Sequential([rnnpack.GRU(2, name="gru")], name="inner")
    bidirectional = rnnpack.Bidirectional(rnnpack.LSTM(2, return_sequences=True, name="lstm"), name="both")
    layer = rnnpack.RNN([rnnpack.GRUCell(1), rnnpack.SimpleRNNCell(2)], name="stack")
    layer(np.zeros((1, 2, 2), np.float32))
    layer.set_precision("int8")
    model = rnnpack.Model(inputs, inner(bidirectional(inputs)), name="model")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seed")
        for one_model in (layer, model, inner):
            native.save(one_model, path)
            found.append(path.read_bytes())
    return found


def one(data: bytes) -> None:
    """Loads the model."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        native.load(Path(file.name))
