"""PyTorch's .pt and .pth files: state dicts, read by torch itself with `weights_only=True`."""

from __future__ import annotations

import io
import os
import pickletools
import re
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rnnpack.formats.errors import FormatError

ZIP = b"PK\x03\x04"
# How `torch.save` began files before it wrote zip archives: a pickled magic number.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_MAX_ENTRIES = 100_000
_MAX_PICKLE = 4 * 2**20  # the weights lie beside it; this is enough for 20 000 tensors

# All that a state dict or checkpoint of tensors and numbers refers to.
_ALLOWED = re.compile(
    "torch._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict|torch Size|"
    "torch (Float|Double|Half|BFloat16|Byte|Char|Short|Int|Long|Bool|ComplexFloat|ComplexDouble)Storage"
)


def is_archive(path: Path, head: bytes) -> bool:
    """Whether this is a file of `torch.save`."""
    if head.startswith(LEGACY):
        return True
    if not head.startswith(ZIP):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
        return False


def read_archive(path: Path) -> Mapping[str, Any]:
    """The state dict in a file.

    Nothing in the file is executed: torch is asked for tensors, containers and numbers only, after the
    archive has been checked.

    Raises:
        FormatError: not such a file, damaged, TorchScript, or it holds other objects than tensors in dicts.
        ImportError: torch is not installed.
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    _check_pickle(_checked_archive(content, path), path)
    torch = torch_module()
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever torch, its parser or a tensor's constructor makes of damaged bytes
        raise FormatError(f"{path}: damaged: {type(error).__name__}: {_first_line(error)}") from None
    if not isinstance(loaded, Mapping):
        raise FormatError(f"{path}: expected a state dict, got {type(loaded).__name__}")
    return loaded


def write_archive(arrays: Mapping[str, Any], path: Path) -> None:
    """Writes a state dict of NumPy arrays as `torch.save` does.

    Raises:
        ImportError: torch is not installed.
        OSError: the file cannot be written.
    """
    torch = torch_module()
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _checked_archive(content: bytes, path: Path) -> bytes:
    """The pickle in an archive; FormatError unless it is one as `torch.save` writes it."""
    if content.startswith(LEGACY):
        raise FormatError(
            f"{path}: in the format of PyTorch before 1.6: load it there and save its state_dict() again"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_entries(entries, path)
            return archive.read(next(entry for entry in entries if entry.filename.endswith("/data.pkl")))
    except FormatError:
        raise
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
        raise FormatError(f"{path}: not a zip archive of torch.save: {_first_line(error)}") from None


def _check_entries(entries: list[zipfile.ZipInfo], path: Path) -> None:
    names = [entry.filename for entry in entries]
    folders = {name.partition("/")[0] for name in names}
    if len(entries) > _MAX_ENTRIES or len(folders) != 1 or len(set(names)) != len(names):
        raise FormatError(
            f"{path}: expected one folder of different files, got {len(entries)} in {len(folders)}"
        )
    (folder,) = folders
    if any(name.startswith(f"{folder}/code/") or name == f"{folder}/constants.pkl" for name in names):
        raise FormatError(
            f"{path}: TorchScript: save the state_dict() of the module it was made from, or export to ONNX"
        )
    for entry in entries:
        # torch stores without compression, so what is read is never larger than the file.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise FormatError(f"{path}: {entry.filename}: compressed, which torch.save never does")
    pickled = next((entry for entry in entries if entry.filename == f"{folder}/data.pkl"), None)
    if pickled is None or pickled.file_size > _MAX_PICKLE:
        raise FormatError(f"{path}: expected {folder}/data.pkl of at most {_MAX_PICKLE} bytes")


def _check_pickle(pickled: bytes, path: Path) -> None:
    """Raises FormatError where a pickle names anything but tensors; reads it without running it."""
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                found = argument if opcode.name == "GLOBAL" else opcode.name
                if not _ALLOWED.fullmatch(str(found)):
                    raise FormatError(
                        f"{path}: expected dicts of tensors, got {str(found)[:100]!r} (a whole module?): "
                        "save its state_dict()"
                    )
    except (ValueError, IndexError, EOFError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: data.pkl is damaged: {_first_line(error)}") from None


def torch_module() -> ModuleType:
    """The module torch; ImportError with advice where it is not installed."""
    try:
        return import_module("torch")
    except ImportError:
        raise ImportError(
            "PyTorch's .pt and .pth files need torch: where it is installed, convert them once with "
            "safetensors.torch.save_file(state_dict, 'model.safetensors')"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
