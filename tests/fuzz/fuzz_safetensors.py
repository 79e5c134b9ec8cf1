"""The safetensors reader."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from rnnpack.formats.safetensors import read_safetensors, write_safetensors

FORMAT = "safetensors"


def seeds() -> list[bytes]:
    """Files with all dtypes, with metadata, and with nothing."""
    names = ("f2", "f4", "f8", "i1", "i4", "u8", "?")
    everything = {f"layer/{name}": np.ones((2, 3), name) for name in names}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seed")
        for tensors, metadata in ((everything, {"format": "pt"}), ({}, {}), ({"a": np.zeros(0)}, {"b": "c"})):
            write_safetensors(path, tensors, metadata)
            found.append(path.read_bytes())
    return found


def one(data: bytes) -> None:
    """Reads all tensors."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        for array in read_safetensors(file.name)[0].values():
            array.copy()
