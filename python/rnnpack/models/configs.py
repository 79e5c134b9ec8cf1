"""Models as configurations, in the form of Keras 2.15.

A graph's `layers` hold a layer's class, configuration, name and `inbound_nodes`, one for each call: the nest
of its inputs with `[layer name, call number, output number, keyword arguments]` for each symbolic array.
Keyword arguments hold symbolic arrays without the fourth entry. What Keras has no form for:
`{"class_name": "__mask__", "config": [name, call, output]}` is the mask that travels with an array,
`{"class_name": "__numpy__", "config": {"value", "dtype"}}` an array among keyword arguments, and
`{"class_name": "__tuple__", "items"}` a tuple, which JSON would turn into a list.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnpack.engine import nest
from rnnpack.layers.base import call_signature
from rnnpack.layers.serialization import serialize
from rnnpack.models import naming
from rnnpack.models.graph import Graph, Ref, Step
from rnnpack.symbolic import SymbolicArray

if TYPE_CHECKING:
    from rnnpack.models.model import Model

CONSTANT = "_CONSTANT_VALUE"
KERAS_VERSION = "2.15.0"


def functional_config(model: Model, graph: Graph) -> dict[str, Any]:
    """Configuration of a functional model."""
    places = _places(graph)
    calls: dict[int, list[Step]] = {}
    for step in sorted(graph.steps, key=lambda step: step.call):
        calls.setdefault(id(step.layer), []).append(step)
    layers = []
    for member in graph.members:
        entry = input_config(member) if isinstance(member, SymbolicArray) else serialized(member)
        inbound = [_inbound_node(step, places) for step in calls.get(id(member), [])]
        layers.append({**entry, "name": member.name, "inbound_nodes": inbound})
    slots = iter(range(len(nest.flatten(graph.inputs))))
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": _listed(nest.map_structure(lambda _: Ref(next(slots)), graph.inputs), places),
        "output_layers": _listed(graph.results, places),
    }


def input_config(symbol: SymbolicArray) -> dict[str, Any]:
    """Class and configuration of an InputLayer."""
    config = {"batch_input_shape": symbol.shape, "dtype": symbol.dtype.name, "sparse": False, "ragged": False}
    return {"class_name": "InputLayer", "config": {**config, "name": symbol.name}}


def serialized(layer: Any) -> dict[str, Any]:
    """Class and configuration of a layer or model."""
    from rnnpack.models.model import Model

    entry: dict[str, Any] = serialize(layer)
    return {**entry, "class_name": "Functional"} if type(layer) is Model else entry


def as_json(model: Model, **kwargs: Any) -> str:
    """Class and configuration as JSON text."""
    versions = {"keras_version": KERAS_VERSION, "backend": "tensorflow"}
    return json.dumps({**serialized(model), **versions}, **{"default": _plain, **kwargs})


def _plain(value: Any) -> Any:
    """What JSON takes instead of a number or dtype of NumPy, or one shape."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if nest.is_shape(value):
        return value.as_list()
    if isinstance(value, np.dtype):
        return value.name
    raise TypeError(f"A configuration must hold plain values, got a {type(value).__name__}")


def _places(graph: Graph) -> dict[int, list[Any]]:
    """For each slot its `[layer name, call, output]`."""
    from rnnpack.models.model import Model

    # As in Keras, call 0 of a model inside another is the one that made it.
    models = {layer.name for layer in graph.layers if isinstance(layer, Model)}
    return {
        slot: [name, call + (name in models), output]
        for slot, (name, call, output) in naming.producers(graph).items()
    }


def _listed(refs: Any, places: dict[int, list[Any]]) -> Any:
    plain = nest.map_structure(lambda ref: _reference(ref, places), refs)
    return plain if nest.is_nested(refs) else [plain]


def _inbound_node(step: Step, places: dict[int, list[Any]]) -> Any:
    names = call_signature(step.layer.call).parameters
    named = {**dict(zip(names, step.args, strict=False)), **step.kwargs}
    keywords = {name: _structure(value, lambda leaf: _keyword(leaf, places)) for name, value in named.items()}

    def first(leaf: Any) -> Any:
        if isinstance(leaf, Ref) and not leaf.mask:
            return [*places[leaf.slot], keywords]
        return [CONSTANT, -1, _keyword(leaf, places), keywords]

    inputs = _structure(step.inputs, first)
    return inputs if nest.is_nested(step.inputs) else [inputs]


def _keyword(leaf: Any, places: dict[int, list[Any]]) -> Any:
    if isinstance(leaf, Ref):
        return _reference(leaf, places)
    if isinstance(leaf, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": leaf.tolist(), "dtype": leaf.dtype.name}}
    return leaf.item() if isinstance(leaf, np.generic) else leaf


def _reference(ref: Ref, places: dict[int, list[Any]]) -> Any:
    place = list(places[ref.slot])
    return {"class_name": "__mask__", "config": place} if ref.mask else place


def _structure(structure: Any, leaf: Any) -> Any:
    """The nest in plain values, with `leaf` applied to its leaves."""
    if isinstance(structure, dict):
        return {key: _structure(value, leaf) for key, value in structure.items()}
    if isinstance(structure, tuple):
        return {"class_name": "__tuple__", "items": [_structure(value, leaf) for value in structure]}
    if isinstance(structure, list):
        return [_structure(value, leaf) for value in structure]
    return leaf(structure)
