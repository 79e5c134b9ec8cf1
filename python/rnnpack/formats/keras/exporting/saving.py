"""The files: `.h5` and `.weights.h5` for Keras 2.15 and 3, `.keras` for Keras 3."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.exporting.keras2_config import keras_2_config
from rnnpack.formats.keras.exporting.keras3_config import keras_3_config
from rnnpack.formats.keras.tree import named
from rnnpack.formats.keras.weights import numbered
from rnnpack.formats.keras.weights.assignment import stored_order
from rnnpack.formats.limits import replacing
from rnnpack.models import Model

_VERSION_2, _VERSION_3 = "2.15.0", "3.0.0"
# Members of archives carry a date; this one makes files that depend on the model alone.
_DATE = (1980, 1, 1, 0, 0, 0)


def save(model: Any, path: Path) -> None:
    """Writes a model for Keras; the ending says how.

    Args:
        model: a built Model or Sequential.
        path: `.weights.h5`: the weights, for `load_weights` of Keras 2.15 and 3. `.h5` or `.hdf5`: the whole
            model for `load_model` of Keras 2.15, or its weights for `load_weights`. `.keras`: the whole model
            for Keras 3.

    Raises:
        FormatError: not a built model, or it has something that this Keras lacks; nothing is written.
        ImportError: h5py is not installed.
    """
    if not isinstance(model, Model) or not model.built:
        raise FormatError("Keras files hold built models, a Model or Sequential")
    if path.name.endswith(".weights.h5"):
        data = _numbered(model)
    elif path.name.endswith(".keras"):
        data = _archive(model)
    else:
        data = _legacy(model)
    with replacing(path) as file:
        file.write(data)


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ImportError:
        raise ImportError("writing Keras files needs h5py: pip install rnnpack[keras]") from None


def _numbered(model: Any) -> bytes:
    buffer = io.BytesIO()
    with _h5py().File(buffer, "w") as file:
        for slot in numbered.slots("", named(model)):
            for path in slot.written:  # layers without weights too: Keras 2 looks for their groups
                group = file.require_group(f"{path}/vars" if path else "vars")
                for index, variable in enumerate(slot.variables):
                    group.create_dataset(str(index), data=variable.numpy())
    return buffer.getvalue()


def _legacy(model: Any) -> bytes:
    config = {"class_name": named(model).class_name, "config": keras_2_config(model)}
    buffer = io.BytesIO()
    with _h5py().File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps(config, default=_plain)
        weights = file.create_group("model_weights")
        for group in (file, weights):
            group.attrs["keras_version"], group.attrs["backend"] = _VERSION_2, "tensorflow"
        layers = [child.layer for child in named(model).inner or []]
        _set_names(weights, "layer_names", [layer.name for layer in layers])
        # Sorted, so that no layer's group is made as part of another's path.
        for layer in sorted(layers, key=lambda layer: str(layer.name)):
            _write_layer(weights.create_group(layer.name), layer)
        _set_names(weights.create_group("top_level_model_weights"), "weight_names", [])
    return buffer.getvalue()


def _write_layer(group: Any, layer: Any) -> None:
    counts: Counter[str] = Counter()
    names = []
    for variable in stored_order(layer):
        name = f"{layer.name}/{variable.name.split('/')[-1]}"
        counts[name] += 1
        names.append(f"{name}{f'_{counts[name] - 1}' if counts[name] > 1 else ''}:0")
        group.create_dataset(names[-1], data=variable.numpy())
    _set_names(group, "weight_names", names)


def _set_names(group: Any, attribute: str, names: list[str]) -> None:
    """A list of names, split as Keras does where one attribute would exceed what a header holds."""
    encoded = [name.encode() for name in names]
    longest = max(map(len, encoded), default=1)
    each = max(1, 60_000 // longest)
    parts = [encoded[start : start + each] for start in range(0, len(encoded), each)] or [[]]
    for index, part in enumerate(parts):
        key = attribute if len(parts) == 1 else f"{attribute}{index}"
        group.attrs[key] = np.array(part, f"S{longest}")


def _archive(model: Any) -> bytes:
    members: dict[str, str | bytes] = {
        "metadata.json": json.dumps({"keras_version": _VERSION_3, "date_saved": "1980-01-01@00:00:00"}),
        "config.json": json.dumps(keras_3_config(model), default=_plain),
        "model.weights.h5": _numbered(model),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    """What JSON takes instead of numbers and dtypes of NumPy."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, np.dtype):
        return value.name
    if hasattr(value, "as_list"):
        return value.as_list()
    raise FormatError(f"a configuration must hold plain values, got a {type(value).__name__}")
