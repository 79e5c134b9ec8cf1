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
    children = [
        (child, one) for child, one in _with_entries(layer, entry) if not isinstance(child, Operation)
    ]
    return Named(_class_name(layer, entry), layer, [named(child, one) for child, one in children])


def _with_entries(model: Model | Sequential, entry: Any) -> list[tuple[Any, Any]]:
    """A model's layers with their configurations, in the order of these; None without one."""
    if not isinstance(entry, dict):
        return [(layer, None) for layer in model.layers]
    config = entry["config"]
    entries = config if isinstance(config, list) else config["layers"]
    if isinstance(model, Sequential):  # whose layers need not say their names, custom ones often do not
        entries = [one for one in entries if one["class_name"] != "InputLayer"]
        return list(zip(model.layers, entries, strict=True))
    rest = {layer.name: layer for layer in model.layers}
    names = [str(one.get("name", one["config"].get("name"))) for one in entries]
    found = [(rest.pop(name), one) for name, one in zip(names, entries, strict=True) if name in rest]
    return [*found, *((layer, None) for layer in rest.values())]


def _class_name(layer: Any, entry: Any) -> str:
    if isinstance(entry, dict):
        return str(entry["class_name"])
    return "Functional" if type(layer) is Model else type(layer).__name__
