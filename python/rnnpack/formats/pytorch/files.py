"""Files with state dicts: .pt and .pth, written by torch, and .safetensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnpack.formats.pytorch import archive
from rnnpack.formats.pytorch.export import export
from rnnpack.formats.pytorch.recurrent import Options
from rnnpack.formats.pytorch.state_dict import load_state_dict
from rnnpack.formats.safetensors import read_safetensors, write_safetensors

SUFFIXES = (".pt", ".pth")


def detect(path: Path, head: bytes) -> bool:
    """Whether a file is one of `torch.save`, or a .safetensors file (rnnpack's own are found before)."""
    return archive.is_archive(path, head) or _is_safetensors(head)


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins as safetensors do: the table's length in 8 bytes, then a JSON object."""
    return head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 1 << 32


def load(
    path: str | os.PathLike[str],
    custom_objects: Any = None,
    *,
    prefix: str | None = None,
    batch_first: bool | None = None,
    nonlinearity: str | None = None,
) -> Any:
    """Loads the recurrent module in a state dict saved as .pt, .pth or .safetensors.

    Args:
        path: the file.
        custom_objects: nothing in such files refers to any.
        prefix: as for `from_torch`.
        batch_first: as for `from_torch`; default what rnnpack noted in a .safetensors file, else False.
        nonlinearity: the same, else "tanh".

    Returns:
        As `from_torch`.

    Raises:
        FormatError: damaged, TorchScript, whole modules, or weights that are missing or do not fit together.
        ImportError: a .pt or .pth file, and torch is not installed.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(9)
    state_dict: Mapping[str, Any]
    if _is_safetensors(head):
        state_dict, noted = read_safetensors(path)
    else:
        state_dict, noted = archive.read_archive(path), {}
    if batch_first is None:
        batch_first = noted.get("batch_first") == "true"
    if nonlinearity is None:
        nonlinearity = noted.get("nonlinearity", "tanh")
    return load_state_dict(state_dict, prefix, Options(batch_first, nonlinearity), f"{path}: ")


def save(model: Any, path: Path) -> None:
    """Saves a state dict that PyTorch's `nn.LSTM`, `GRU` or `RNN` loads.

    Args:
        model: as for `to_torch_state_dict`.
        path: to write; .safetensors for that format, anything else is written by torch.

    Raises:
        FormatError: PyTorch's modules cannot hold it; nothing is written.
        ImportError: torch is needed and is not installed.
        OSError: the file cannot be written.
    """
    found = export(model)
    if path.suffix == ".safetensors":
        noted = {
            "format": "pt",
            "batch_first": str(found.batch_first).lower(),
            "nonlinearity": found.nonlinearity,
        }
        write_safetensors(path, found.arrays, noted)
        return
    archive.write_archive(found.arrays, path)
