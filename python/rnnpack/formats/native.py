"""rnnpack's own files: a whole model as one safetensors file.

Weights are tensors with names such as "encoder/lstm/kernel" (`weight_names`). The metadata hold `format`
("rnnpack"), `format_version`, `model` (class and configuration as JSON in the form of Keras 2.15),
`built_for` (the input shape of what no configuration builds) and `precision` (of layers that compute with
fewer bits).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.engine import plan
from rnnpack.engine.precision import FULL, NAMES, Precision
from rnnpack.formats.errors import FormatError
from rnnpack.formats.limits import parse_json, restored_model
from rnnpack.formats.safetensors import read_header, read_safetensors, write_safetensors
from rnnpack.formats.weight_names import owner_paths, weight_paths
from rnnpack.layers.base import Layer
from rnnpack.layers.input_spec import map_shapes
from rnnpack.layers.precision import PrecisionControl
from rnnpack.models.configs import as_json
from rnnpack.models.serialization import model_from_config
from rnnpack.symbolic import Input

SUFFIXES = (".safetensors",)

_FORMAT, _VERSION = "rnnpack", "1"
_LARGEST = float(np.finfo(np.float32).max)


def detect(path: Path, head: bytes) -> bool:
    """Whether a file, of which these are the first bytes, is one of ours."""
    if not (head[8:9] == b"{" and b'"__metadata__"' in head):
        return False
    try:
        return read_header(path).metadata.get("format") == _FORMAT
    except FormatError:
        return False


def save(model: Any, path: Path) -> None:
    """Writes a model, or a single layer or cell: configuration, weights and precision.

    What stateful layers have recorded is not saved.

    Raises:
        FormatError: not a built layer, or its configuration is no JSON; nothing is written.
        OSError: the file cannot be written.
    """
    if not isinstance(model, Layer) or not model.built:
        raise FormatError(f"{path}: only models and layers that are built can be saved, got {model!r}")
    try:
        described = json.loads(as_json(model))  # type: ignore[arg-type]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise FormatError(f"{path}: the configuration of {model.name} cannot be saved: {error}") from None
    if _holds_code(described):
        raise FormatError(f"{path}: {model.name} holds a lambda, which no file may: give it a name")
    metadata = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "model": json.dumps({key: described[key] for key in ("class_name", "config")}),
        "built_for": json.dumps(getattr(model, "_built_for", None)),
        "precision": json.dumps(_precision_of(model)),
    }
    write_safetensors(path, {name: one.value for name, one in weight_paths(model).items()}, metadata)


def load(path: Path, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model, layer or cell that `save` wrote, with the same weights to the bit.

    Args:
        path: of the file.
        custom_objects: classes and functions by name that the configuration refers to. Nothing else that a
            file holds is ever run.

    Raises:
        FormatError: damaged, not ours, of a newer version, or an unknown class.
        OSError: the file cannot be read.
    """
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != _FORMAT or metadata.get("format_version") != _VERSION:
        raise FormatError(
            f"{path}: expected format {_FORMAT!r} of version {_VERSION}, got "
            f"{metadata.get('format')!r} of version {metadata.get('format_version')!r}"
        )
    parts = {
        key: parse_json(metadata.get(key, ""), f"{path}: {key}")
        for key in ("model", "built_for", "precision")
    }
    with restored_model(f"{path}: model", sum(array.nbytes for array in tensors.values())):
        model = model_from_config(parts["model"], None if custom_objects is None else dict(custom_objects))
        if not isinstance(model, Layer):
            raise FormatError(f"{path}: model: not a layer but {model!r}")
        _build(model, parts["built_for"], len(tensors))
    _set_weights(model, tensors, path, by_order=False)
    _set_precision(model, parts["precision"], path)
    return model


def _holds_code(config: Any) -> bool:
    """Whether the bytecode of a lambda is anywhere in a configuration."""
    if isinstance(config, dict):
        marked = any(key.endswith("_type") and value == "lambda" for key, value in config.items())
        return marked or any(map(_holds_code, config.values()))
    return isinstance(config, list) and any(map(_holds_code, config))


def save_weights(model: Layer, path: Path) -> None:
    """Writes the weights of a model or layer without its configuration.

    Raises:
        FormatError: it is not built; nothing is written.
        OSError: the file cannot be written.
    """
    if not model.built:
        raise FormatError(f"{path}: {model.name} has no weights yet: it is not built")
    metadata = {"format": _FORMAT, "format_version": _VERSION}
    write_safetensors(path, {name: one.value for name, one in weight_paths(model).items()}, metadata)


def load_weights(model: Layer, path: Path) -> None:
    """Sets all weights of a built model or layer from a file of a model like it.

    Weights are matched by name. If the names differ, as those of layers that were named automatically do,
    weights of the same kinds and shapes in the same order match too. Floats are cast to the weights' dtypes.

    Raises:
        FormatError: a damaged file; weights are missing, left over or have other shapes. None has changed.
        OSError: the file cannot be read.
    """
    _set_weights(model, read_safetensors(path)[0], path, by_order=True)


def _build(model: Layer, shape: Any, wanted: int) -> None:
    """Makes the weights that the configuration did not, for inputs of a shape (or nest of shapes)."""
    if shape is None or model.built:
        return
    model.build(map_shapes(tuple, shape))
    if len(weight_paths(model)) < wanted:  # some are made in `call`
        model(map_shapes(lambda one: Input(batch_shape=one), shape))


def _set_weights(model: Layer, tensors: dict[str, NDArray[Any]], path: Path, by_order: bool) -> None:
    """Sets all weights, or raises FormatError and sets none."""
    variables = weight_paths(model)
    if by_order and variables.keys() != tensors.keys() and _kinds(variables) == _kinds(tensors):
        tensors = dict(zip(variables, tensors.values(), strict=True))
    for problem, names in (
        ("are missing", variables.keys() - tensors.keys()),
        ("are not in the model", tensors.keys() - variables.keys()),
    ):
        if names:
            some = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
            raise FormatError(f"{path}: weights that {problem}: {some}")
    for name, variable in variables.items():
        array = tensors[name]
        if array.shape != variable.shape:
            raise FormatError(f"{path}: weight {name} has shape {array.shape}, expected {variable.shape}")
        if array.dtype != variable.dtype and (array.dtype.kind, variable.dtype.kind) != ("f", "f"):
            raise FormatError(f"{path}: weight {name} is {array.dtype}, expected {variable.dtype}")
    for name, variable in variables.items():
        with np.errstate(over="ignore"):  # a float that is too large for the weight's dtype is infinite there
            variable.assign(tensors[name])


def _kinds(weights: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name.rsplit("/", 1)[-1], weight.shape) for name, weight in weights.items()]


def _reducible(model: Layer) -> dict[str, Any]:
    """Recurrent layers by path."""
    return {
        path: one
        for path, one in owner_paths(model)
        if isinstance(one, PrecisionControl) and hasattr(one, "cell")
    }


def _precision_of(model: Layer) -> dict[str, Any]:
    """Name and ranges for every layer with a reduced precision that the CPU, where files are loaded, has."""
    layers = _reducible(model).items()
    return {
        path: [layer._precision.name, layer._precision.ranges]
        for path, layer in layers
        if layer._precision != FULL and layer._precision.name in NAMES
    }


def _set_precision(model: Layer, stored: Any, path: Path) -> None:
    """Sets what `_precision_of` returned."""
    layers = _reducible(model)
    part = f"{path}: precision"
    if not isinstance(stored, dict):
        raise FormatError(f"{part}: not a JSON object")
    for name, value in stored.items():
        if name not in layers:
            raise FormatError(f"{part}: there is no recurrent layer {name!r}")
        layer = layers[name]
        try:
            kind, ranges = value
            pairs = tuple((float(one), float(other)) for one, other in ranges)
            layer.set_precision(kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise FormatError(f"{part}: layer {name!r}: {error}") from None
        members = plan.members_of(layer.cell)
        sane = all(0 <= number < _LARGEST for pair in pairs for number in pair)
        if pairs and (kind != "int8" or len(pairs) != len(members) or not sane):
            raise FormatError(f"{part}: layer {name!r}: {str(ranges)[:100]} are no ranges of its cells")
        layer._precision = Precision(kind, pairs)
        for cell in members:
            plan.forget(cell)
