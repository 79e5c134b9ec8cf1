"""A model's layers with the names of classes that Keras knows them by."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnnpack.layers.operation import Operation
from rnnpack.models import Model, Sequential


class Named(NamedTuple):
    """A layer with the class that Keras knows it by, and the layers of a nested model."""

    class_name: str
    layer: Any
    inner: list[Named] | None


def named(layer: Any, entry: Any = None) -> Named:
    """The names of a model's layers as Keras counts them.

    Args:
        layer: a layer or model.
        entry: its configuration as it is in the file, which knows the classes that have been replaced.
    """
    if not isinstance(layer, (Model, Sequential)):
        return Named(_class_name(layer, entry), layer, None)
    entries = _entries(entry) if isinstance(entry, dict) else {}
    places = {name: place for place, name in enumerate(entries)}
    inner = [
        named(child, entries.get(child.name))
        for child in sorted(layer.layers, key=lambda child: places.get(child.name, len(places)))
        if not isinstance(child, Operation)
    ]
    return Named(_class_name(layer, entry), layer, inner)


def _entries(entry: dict[str, Any]) -> dict[str, Any]:
    """The configurations of a model's layers by name, in their order."""
    config = entry["config"]
    entries = config if isinstance(config, list) else config["layers"]
    return {str(one.get("name", one["config"].get("name"))): one for one in entries}


def _class_name(layer: Any, entry: Any) -> str:
    if isinstance(entry, dict):
        return str(entry["class_name"])
    return "Functional" if type(layer) is Model else type(layer).__name__
