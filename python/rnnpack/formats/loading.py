"""Models and weights in and out of files: the format is found from what a file holds."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rnnpack.formats.errors import FormatError

# Asked in this order. Each is a module of this folder with `detect(path, head)`, `load(path,
# custom_objects)`, `save(model, path)` and `SUFFIXES`, the endings that `save` goes by; imported when asked.
FORMATS = ("native", "keras", "pytorch", "onnx")

# As many first bytes of a file as `detect` gets to see.
HEAD = 4096


def load(path: str | os.PathLike[str], format: str | None = None, custom_objects: Any = None) -> Any:
    """Loads a trained model, whatever wrote it.

    Args:
        path: a file of rnnpack itself (.safetensors), Keras (.keras, .h5), PyTorch (.pt, .pth, .safetensors)
            or ONNX (.onnx). What is in it counts, not its name.
        format: "native", "keras", "pytorch" or "onnx", where the file is not to be asked.
        custom_objects: names to classes and functions that the model's configuration may refer to.

    Returns:
        A model (or a single layer), built, with its weights.

    Raises:
        FormatError: the file is none of these, damaged, or has something unsupported, which is named.
        OSError: the file cannot be read.
    """
    chosen = detect(path) if format is None else _checked(format)
    return _module(chosen).load(Path(path), custom_objects)


def save(model: Any, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Saves a model for rnnpack or another framework.

    Args:
        model: a model or layer that has been built.
        path: the file to write; its ending picks the format (.safetensors: rnnpack's own).
        format: "native", "keras", "pytorch" or "onnx", where the ending is not to decide.

    Raises:
        FormatError: the ending is of no format, or the format cannot hold this model; nothing is written.
    """
    _module(_by_suffix(Path(path)) if format is None else _checked(format)).save(model, Path(path))


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Sets the weights of a built model or layer from a file of a model like it.

    Args:
        model: has the layers whose weights the file holds.
        path: a file of rnnpack (.safetensors) or Keras (.h5, .weights.h5, .keras).

    Raises:
        FormatError: the file is neither, damaged, or its weights are not those of the model, which keeps the
            weights it had.
        OSError: the file cannot be read.
    """
    chosen = detect(path)
    if chosen not in ("native", "keras"):
        raise FormatError(
            f"{os.fspath(path)}: weights can be read from rnnpack and Keras files, not {chosen}"
        )
    _module(chosen).load_weights(model, Path(path))


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a built model or layer, without its configuration, as a .safetensors file.

    Raises:
        FormatError: it is not built; nothing is written.
        OSError: the file cannot be written.
    """
    _module("native").save_weights(model, Path(path))


def detect(path: str | os.PathLike[str]) -> str:
    """The format of a file: "native", "keras", "pytorch" or "onnx".

    Raises:
        FormatError: none of them.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    for name in FORMATS:
        if _module(name).detect(Path(path), head):
            return name
    raise FormatError(
        f"{os.fspath(path)}: not a model file: expected rnnpack .safetensors, Keras .keras or .h5, "
        f"PyTorch .pt or .safetensors, or ONNX, got {head[:8]!r}..."
    )


def _checked(format: str) -> str:
    if format not in FORMATS:
        raise FormatError(f"`format` must be one of {', '.join(FORMATS)}, got {format!r}")
    return format


def _by_suffix(path: Path) -> str:
    for name in FORMATS:
        if path.name.endswith(tuple(_module(name).SUFFIXES)):
            return name
    endings = ", ".join(suffix for name in FORMATS for suffix in _module(name).SUFFIXES)
    raise FormatError(f"{path}: the ending is of no format: expected one of {endings}")


def _module(name: str) -> ModuleType:
    return import_module(f"rnnpack.formats.{name}")
