"""ONNX files: read, run and written without the onnx package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx.messages import ModelProto
from rnnpack.formats.onnx.model import OnnxModel, TensorSpec
from rnnpack.formats.onnx.wire import decode, encode

__all__ = ["SUFFIXES", "OnnxModel", "TensorSpec", "detect", "load", "loads", "save"]

SUFFIXES = (".onnx",)


def detect(path: Path, head: bytes) -> bool:
    """Whether a file is an ONNX model: a protobuf message that begins as ModelProto does.

    Args:
        path: its name counts where its first bytes could be those of anything.
        head: its first bytes.
    """
    # Field 1, ir_version, a small number; then another field of ModelProto: its strings, graph or opsets.
    begins = (
        len(head) > 2 and head[0] == 0x08 and head[1] < 0x40 and head[2] in b"\x12\x1a\x22\x28\x32\x3a\x42"
    )
    return begins or (
        path.name.endswith(SUFFIXES) and head[:1] in (b"\x08", b"\x12", b"\x1a", b"\x3a", b"\x42")
    )


def load(path: Path, custom_objects: Any = None) -> OnnxModel:
    """Loads an ONNX file.

    Args:
        path: the file; tensors in other files are refused.
        custom_objects: must be None or empty: graphs have no objects of their own.

    Raises:
        FormatError: the file is damaged, or has something unsupported, which is named.
        OSError: the file cannot be read.
    """
    if custom_objects:
        raise FormatError("`custom_objects` have no meaning for ONNX files")
    try:
        return loads(Path(path).read_bytes())
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def save(model: Any, path: Path) -> None:
    """Writes a model or layer as an ONNX file, for any runtime with opset 17.

    Args:
        model: a Model, or one layer that has been built.
        path: the file; its place is taken when it is complete.

    Raises:
        FormatError: a part cannot be expressed exactly, and is named; nothing is written.
        OSError: the file cannot be written.
    """
    # On first use: reading needs neither layers nor models.
    from rnnpack.formats.limits import replacing
    from rnnpack.formats.onnx.export import exported

    data = encode(exported(model))
    with replacing(Path(path)) as file:
        file.write(data)


def loads(data: bytes) -> OnnxModel:
    """Loads the bytes of an ONNX file; see `load`."""
    return OnnxModel(decode(ModelProto, data))
