"""PyTorch's .pt and .pth files: state dicts, read by torch itself with `weights_only=True`."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.limits import open_archive, replacing
from rnnpack.formats.pytorch import pickles
from rnnpack.formats.pytorch.state_dict import leaves

_ZIP = b"PK\x03\x04"
# How `torch.save` began files before it wrote zip archives: a pickled magic number.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# Tensors may share numbers, but not many times over.
_SHARING = 4


def is_archive(path: Path, head: bytes) -> bool:
    """Whether this is a file of `torch.save`, or of TorchScript."""
    if head.startswith(_LEGACY):
        return True
    if not head.startswith(_ZIP):
        return False
    try:
        with open_archive(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.names())
    except FormatError:
        return False


def read_archive(path: Path) -> Mapping[str, Any]:
    """The state dict in a file.

    Nothing in the file is executed: after a check of the archive and its pickle, torch is asked for tensors,
    numbers and dicts of them only.

    Raises:
        FormatError: not such a file, damaged, TorchScript, or it holds other objects than tensors in dicts.
        ImportError: torch is not installed.
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    _check(content, str(path))
    torch = torch_module()
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError:  # torch's message advises to switch the protection off
        raise FormatError(
            f"{path}: damaged: its pickle is none of tensors, numbers and dicts of them"
        ) from None
    except Exception as error:  # whatever torch and its unpickler make of damaged bytes
        reason = str(error).strip().partition("\n")[0][:200]
        raise FormatError(f"{path}: damaged: {type(error).__name__}: {reason}") from None
    if not isinstance(loaded, Mapping):
        raise FormatError(f"{path}: expected a state dict, got {type(loaded).__name__}")
    declared = sum(getattr(value, "nbytes", 0) for _, value in leaves(loaded))
    if declared > _SHARING * len(content):
        raise FormatError(f"{path}: its tensors declare {declared} bytes, the file has {len(content)}")
    return loaded


def write_archive(arrays: Mapping[str, Any], path: Path) -> None:
    """Writes a state dict of NumPy arrays as `torch.save` does.

    Raises:
        ImportError: torch is not installed.
        OSError: the file cannot be written.
    """
    torch = torch_module()
    with replacing(path) as file:
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, file)


def torch_module() -> ModuleType:
    """The module torch.

    Raises:
        ImportError: it is not installed; with advice.
    """
    try:
        return import_module("torch")
    except ImportError:
        raise ImportError(
            "PyTorch's .pt and .pth files need torch: where it is installed, convert them once with "
            "safetensors.torch.save_file(state_dict, 'model.safetensors')"
        ) from None


def _check(content: bytes, name: str) -> None:
    """Raises FormatError unless this is an archive with nothing but tensors, as `torch.save` writes it."""
    if content.startswith(_LEGACY):
        raise FormatError(
            f"{name}: in the format of PyTorch before 1.6: load it there and save its state_dict() again"
        )
    with open_archive(io.BytesIO(content), name) as archive:
        members = archive.names()
        folders = {member.partition("/")[0] for member in members}
        if len(folders) != 1:
            raise FormatError(f"{name}: expected an archive of one folder, got {len(folders)}")
        (folder,) = folders
        if f"{folder}/constants.pkl" in members or any(one.startswith(f"{folder}/code/") for one in members):
            raise FormatError(
                f"{name}: TorchScript: save the state_dict() of the module that it was, or export to ONNX"
            )
        # torch stores without compression, so that what is read is never larger than the file.
        declared = sum(archive.size(member) for member in members)
        if declared > len(content):
            raise FormatError(f"{name}: its members declare {declared} bytes, the file has {len(content)}")
        pickles.check(archive.read(f"{folder}/data.pkl", pickles.MOST_BYTES), f"{name}: {folder}/data.pkl")
