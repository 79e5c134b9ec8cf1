"""A name for every weight of a model, from where it is in the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnnpack.layers.rnn import RNN
from rnnpack.layers.weights import WeightOwner
from rnnpack.models import Model
from rnnpack.variable import Variable


def weight_paths(model: WeightOwner) -> dict[str, Variable]:
    """Every weight of a model or layer, each once, by a unique path such as "encoder/lstm/kernel".

    A layer in a model is a part of the path with its name; what a layer consists of with the names of its
    attributes, as in "bidirectional/forward_layer/kernel". The cell of a recurrent layer is left out.
    """
    found: dict[str, Variable] = {}
    seen: set[int] = set()
    for path, owner in owner_paths(model):
        for variable in [*owner._own(True), *owner._own(False)]:
            if id(variable) not in seen:
                seen.add(id(variable))
                found[_unique(_joined(path, _leaf(owner, variable)), found)] = variable
    return found


def owner_paths(model: WeightOwner) -> Iterator[tuple[str, WeightOwner]]:
    """A model and all layers and cells in it with their paths, depth first, each object once."""
    seen: set[int] = set()
    pending: list[tuple[str, WeightOwner]] = [("", model)]
    while pending:
        path, owner = pending.pop()
        if id(owner) not in seen:
            seen.add(id(owner))
            yield path, owner
            pending.extend(reversed(list(_below(path, owner))))


def _below(path: str, owner: WeightOwner) -> Iterator[tuple[str, WeightOwner]]:
    """What is directly in a layer, with paths."""
    if isinstance(owner, Model):
        for layer in owner.layers:
            yield _joined(path, layer.name), layer
    for attribute, value in dict(vars(owner)).items():
        if attribute in owner._untracked or (attribute == "layers" and isinstance(owner, Model)):
            continue
        elided = attribute == "cell" and isinstance(owner, RNN)
        yield from _in_value(path if elided else _joined(path, attribute.lstrip("_")), value)


def _in_value(path: str, value: Any) -> Iterator[tuple[str, WeightOwner]]:
    """Layers in an attribute's value, also inside lists, tuples and dicts."""
    if isinstance(value, WeightOwner):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _in_value(f"{path}/{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _in_value(f"{path}/{key}", item)


def _leaf(owner: WeightOwner, variable: Variable) -> str:
    """The last part of a weight's name; default names contain numbers that another process counts anew."""
    return "weight" if variable.name == owner.name else variable.name.rsplit("/", 1)[-1].removesuffix(":0")


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _unique(name: str, taken: dict[str, Any]) -> str:
    """The name, with a number where it is taken."""
    number, unique = 0, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique
