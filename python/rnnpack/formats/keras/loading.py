"""Whole models and weights from Keras's files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.hdf5 import open_hdf5
from rnnpack.formats.keras.building import built
from rnnpack.formats.keras.tree import Named, named
from rnnpack.formats.keras.weights import legacy, numbered
from rnnpack.formats.keras.weights.assignment import Pair, assign
from rnnpack.formats.keras.weights.reading import count_numbers, find, text
from rnnpack.formats.limits import MOST_JSON, Archive, data_budget, open_archive, parse_json

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def load(path: Path, custom_objects: Any = None) -> Any:
    """The model in a `.keras` or `.h5` file of any Keras version, built, with its weights.

    Raises:
        FormatError: damaged, only weights, or something unsupported, which is named.
        OSError: the file cannot be read.
    """
    with _named_errors(path):
        return (_from_archive if _is_zip(path) else _from_hdf5)(path, custom_objects)


def load_weights(model: Any, path: str | os.PathLike[str], by_name: bool = False) -> None:
    """Puts the weights of a Keras file into a model; all of them change or, with FormatError, none.

    Args:
        model: a built model of the same layers as the one that was saved; weights of CuDNNLSTM and CuDNNGRU
            fit LSTM and GRU.
        path: a `.weights.h5`, `.h5` or `.keras` file.
        by_name: only layers whose names are in the file, as Keras's `load_weights(by_name=True)`; for the
            older layout only.

    Raises:
        FormatError: the file is damaged or the weights do not fit.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with _named_errors(path), _weights_file(path) as file:
        assign(_pairs(file, named(model), True) if by_name else _all_pairs(file, named(model)))


@contextmanager
def _weights_file(path: Path) -> Iterator[Any]:
    if not _is_zip(path):
        with open_hdf5(path) as file:
            yield file
        return
    with open_archive(path) as archive, _weights_member(archive) as file:
        yield file


@contextmanager
def _weights_member(archive: Archive) -> Iterator[Any]:
    data = archive.read(_WEIGHTS, archive.size(_WEIGHTS))
    with open_hdf5(io.BytesIO(data), f"{archive.name}: {_WEIGHTS}") as file:
        yield file


def _all_pairs(file: Any, model: Named) -> list[Pair]:
    """All of a model's variables with their values; FormatError if the file lacks one."""
    pairs = _pairs(file, model, by_name=False)
    given = {id(variable) for variable, _ in pairs}
    for variable in model.layer.weights:
        if id(variable) not in given:
            raise FormatError(f"the weight {variable.name} of the model is not in the file")
    return pairs


def _pairs(file: Any, model: Named, by_name: bool) -> list[Pair]:
    group = find(file, "model_weights") or file
    if legacy.is_legacy(group):
        layers = [child.layer for child in model.inner or [model]]
        return legacy.pairs(group, layers, by_name)
    if not numbered.is_numbered(file):
        raise FormatError(
            "neither `layer_names` nor `layers` in the file: these are no weights of a Keras model"
        )
    if by_name:
        raise FormatError("`by_name` needs the older layout; this file numbers its weights")
    return numbered.pairs(file, model)


def _from_archive(path: Path, custom_objects: Any) -> Any:
    with open_archive(path) as archive:
        entry = _json(archive.read(_CONFIG, MOST_JSON), _CONFIG)
        metadata = _json(archive.read(_METADATA, MOST_JSON), _METADATA)
        version = metadata.get("keras_version")
        if not isinstance(version, str) or not version[:1].isdigit():
            raise FormatError(f"{_METADATA}: `keras_version` must be a version, got {str(version)[:60]!r}")
        with _weights_member(archive) as file:
            return _filled(entry, version, file, path, custom_objects)


def _from_hdf5(path: Path, custom_objects: Any) -> Any:
    with open_hdf5(path) as file:
        if "model_config" not in file.attrs:
            raise FormatError(
                "only weights, no model: build the model and use rnnpack.formats.keras.load_weights"
            )
        entry = _json(text(file.attrs["model_config"]), "model_config")
        return _filled(entry, legacy.version_of(file), file, path, custom_objects)


def _filled(entry: Any, version: str, file: Any, path: Path, custom_objects: Any) -> Any:
    numbers = min(count_numbers(find(file, "model_weights") or file), data_budget(path.stat().st_size) // 8)
    model = built(entry, version, custom_objects, numbers)
    assign(_all_pairs(file, named(model, entry)))
    return model


def _json(data: bytes | str, part: str) -> dict[str, Any]:
    value = parse_json(data, part)
    if not isinstance(value, dict):
        raise FormatError(f"{part}: expected a JSON object, got {type(value).__name__}")
    return value


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Puts the file's name before messages that lack it."""
    try:
        yield
    except FormatError as error:
        message = str(error)
        raise FormatError(message if str(path) in message else f"{path}: {message}") from None
