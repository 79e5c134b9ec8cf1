"""PyTorch's files: archives, the pickles in them, and safetensors with state dicts."""

from __future__ import annotations

import io
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from rnnpack.formats.pytorch import detect, load
from rnnpack.formats.safetensors import write_safetensors

FORMAT = "pytorch"
SAVED = Path(__file__).parents[1] / "formats" / "pytorch" / "torch_saved.pt"


def seeds() -> list[bytes]:
    """An archive, its pickle alone, and a safetensors file."""
    with zipfile.ZipFile(SAVED) as saved:
        pickled = saved.read("torch_saved/data.pkl")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        shapes = {"weight_ih_l0": (6, 1), "weight_hh_l0": (6, 2), "bias_ih_l0": (6,), "bias_hh_l0": (6,)}
        write_safetensors(path, {f"gru.{name}": np.ones(shape, "f4") for name, shape in shapes.items()})
        return [SAVED.read_bytes(), pickled, path.read_bytes()]


def one(data: bytes) -> None:
    """Loads the file; a pickle after it has been put into an archive."""
    if data[:1] == b"\x80":
        content = io.BytesIO()
        with zipfile.ZipFile(SAVED) as saved, zipfile.ZipFile(content, "w") as written:
            for name in saved.namelist():
                written.writestr(name, data if name.endswith("data.pkl") else saved.read(name))
        data = content.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        path.write_bytes(data)
        detect(path, data[:4096])
        with suppress(ImportError):  # without torch the checks before it are what is fuzzed
            load(path)
