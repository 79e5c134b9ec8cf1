"""The older layout of weights in HDF5: one group a layer, its attribute `weight_names` in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.weights.assignment import Pair, paired, stored_order
from rnnpack.formats.keras.weights.reading import array, find, names, text


def is_legacy(file: Any) -> bool:
    """Whether a file, or the group of weights in it, has this layout."""
    return "layer_names" in file.attrs or "layer_names0" in file.attrs


def version_of(group: Any) -> str:
    """The Keras version that wrote the weights, "1" before it was noted."""
    return text(group.attrs["keras_version"]) if "keras_version" in group.attrs else "1"


def pairs(group: Any, layers: Sequence[Any], by_name: bool = False) -> list[Pair]:
    """The variables of layers and their stored values.

    Args:
        group: with the attribute `layer_names`.
        layers: of the model, in Keras's order.
        by_name: take the layers whose names are stored; otherwise the n-th with weights gets the n-th stored.

    Raises:
        FormatError: numbers of layers or weights differ, or a weight is missing.
    """
    stored = {name: names(_layer_group(group, name), "weight_names") for name in names(group, "layer_names")}
    version = version_of(group)
    if by_name:
        chosen = [(layer, layer.name) for layer in layers if layer.name in stored]
    else:
        weighted = [layer for layer in layers if stored_order(layer)]
        filled = [name for name, weights in stored.items() if weights]
        if len(weighted) != len(filled):
            raise FormatError(f"the model has {len(weighted)} layers with weights, the file {len(filled)}")
        chosen = list(zip(weighted, filled, strict=True))
    return [
        pair
        for layer, name in chosen
        for pair in paired(layer, [array(find(group, name), one) for one in stored[name]], version)
    ]


def _layer_group(group: Any, name: str) -> Any:
    found = find(group, name)
    if found is None or not hasattr(found, "keys"):
        raise FormatError(f"the group of layer {name!r} is missing")
    return found
