"""Graphs from configurations, which may come from anywhere: see `configs` for their form."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from rnnpack import dtypes
from rnnpack.engine import nest
from rnnpack.layers.serialization import deserialize
from rnnpack.models.configs import CONSTANT
from rnnpack.models.graph import calls_of
from rnnpack.symbolic import Input, SymbolicArray, any_symbolic

# Containers inside containers; a model inside a model takes five.
MAX_DEPTH = 200
# More than any real model has, and counted with those inside models.
MAX_CALLS = 10_000


@dataclass(frozen=True)
class Place:
    """What a reference names: an output of a call of a layer, or the mask that travels with it."""

    layer: str
    call: int
    output: int
    mask: bool = False


@dataclass(eq=False)
class Call:
    """One call to be made again: arguments with a Place for each symbolic array."""

    layer: str
    number: int
    inputs: Any
    keywords: Any
    missing: set[tuple[str, int]] = field(default_factory=set)


def graph_parts(config: Any, custom_objects: dict[str, Any] | None) -> tuple[Any, Any]:
    """Symbolic inputs and outputs of the functional model that a configuration describes.

    Raises:
        ValueError: the configuration is incomplete, contradicts itself or names something unknown.
    """
    check_depth(config)
    entries = _entries(config)
    _limit(len(entries))
    made: dict[str, Any] = {}
    calls: list[Call] = []
    for entry in entries:
        name = entry["name"]
        if name in made:
            raise ValueError(f'The configuration names two layers "{name}"')
        made[name] = made_from(entry, custom_objects, f'Layer "{name}"')
        calls.extend(_calls(entry, made[name]))
    outputs = _called(made, calls)
    parts = [
        _resolved(_parsed_layers(config, key), outputs, f"`{key}`")
        for key in ("input_layers", "output_layers")
    ]
    return parts[0], parts[1]


def check_depth(config: Any) -> None:
    """Raises ValueError if containers are nested too deeply, or endlessly."""
    level = [config] if isinstance(config, (dict, list, tuple)) else []
    for _ in range(MAX_DEPTH):
        below = (child for container in level for child in _children(container))
        level = list({id(child): child for child in below if isinstance(child, (dict, list, tuple))}.values())
        if not level:
            return
    raise ValueError(f"The configuration is nested more than {MAX_DEPTH} levels deep")


def _children(container: Any) -> Any:
    return container.values() if isinstance(container, dict) else container


def made_from(entry: dict[str, Any], custom_objects: dict[str, Any] | None, where: str) -> Any:
    """The layer, model or symbolic input that an entry of `layers` describes.

    Raises:
        ValueError: it cannot be made; `where` and the reason are in the message.
    """
    with naming(f"{where} ({entry['class_name']})"):
        if entry["class_name"] == "InputLayer":
            layer = _input(entry["config"])
        else:
            layer = deserialize({key: entry[key] for key in _IDENTITY if key in entry}, custom_objects)
        if "name" in entry:
            layer.name = entry["name"]
        return layer


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turns what the body raises, lack of memory apart, into a ValueError that says where it happened."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        text = " ".join(map(str, error.args)) or type(error).__name__
        reason = f"no {text} in its configuration" if isinstance(error, KeyError) else text
        raise ValueError(f"{where}: {reason}") from error


_IDENTITY = ("class_name", "config", "registered_name")


def _input(config: Any) -> SymbolicArray:
    if not isinstance(config, dict) or "batch_input_shape" not in config:
        raise ValueError("its configuration needs `batch_input_shape`")
    if config.get("sparse"):
        raise ValueError("sparse inputs are not supported")
    return Input(
        batch_shape=config["batch_input_shape"],
        dtype=dtypes.resolve(config.get("dtype")).compute_dtype,
        name=config.get("name"),
    )


def _entries(config: Any) -> list[dict[str, Any]]:
    if not isinstance(config, dict):
        raise ValueError(f"A model's configuration must be a dict, got a {type(config).__name__}")
    for key in ("layers", "input_layers", "output_layers"):
        if key not in config:
            raise ValueError(f"The configuration of a functional model lacks `{key}`")
    entries = config["layers"]
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"`layers` of the configuration must be a list, got a {type(entries).__name__}")
    for index, entry in enumerate(entries):
        check_entry(entry, index, ("class_name", "config", "name", "inbound_nodes"))
    return list(entries)


def check_entry(entry: Any, index: int, keys: tuple[str, ...]) -> None:
    """Raises ValueError unless an entry of `layers` is a dict with these keys."""
    missing = [key for key in keys if key not in entry] if isinstance(entry, dict) else list(keys)
    if missing:
        raise ValueError(f"Entry {index} of `layers` in the configuration lacks {missing}")
    for key in ("class_name", "name"):
        if key in keys and not isinstance(entry[key], str):
            raise ValueError(f"`{key}` of entry {index} of `layers` must be a string, got {entry[key]!r}")


# References.


def _is_place(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) in (3, 4) and isinstance(value[0], str)


def _place(value: Any, where: str, mask: bool = False) -> Place:
    if not _is_place(value) or not all(type(number) is int and number >= 0 for number in value[1:3]):
        raise ValueError(f"{where}: expected [layer name, call, output], got {value!r}")
    return Place(value[0], value[1], value[2], mask)


def _parsed(value: Any, where: str, leaf: Callable[[Any], Any]) -> Any:
    """The nest that plain values describe; `leaf` turns references with a fourth entry into leaves."""
    if _is_place(value):
        return leaf(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_parsed(child, where, leaf) for child in value])
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__tuple__" and isinstance(value.get("items"), (list, tuple)):
        return tuple(_parsed(child, where, leaf) for child in value["items"])
    if value.get("class_name") == "__mask__":
        return _place(value.get("config"), where, mask=True)
    if value.get("class_name") == "__numpy__":
        return _array(value.get("config"), where)
    return {key: _parsed(child, where, leaf) for key, child in value.items()}


def _array(config: Any, where: str) -> Any:
    try:
        return np.array(config["value"], dtypes.resolve(config["dtype"]).compute_dtype)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{where}: not an array: {error}") from None


def _parsed_layers(config: dict[str, Any], key: str) -> Any:
    where = f"`{key}` of the configuration"
    parsed = _parsed(config[key], where, partial(_place, where=where))
    for leaf in (leaves := nest.flatten(parsed)):
        if not isinstance(leaf, Place):
            raise ValueError(f"{where}: expected [layer name, call, output], got {leaf!r}")
    if not leaves:
        raise ValueError(f"{where} names nothing")
    return parsed


# Calls.


def _calls(entry: dict[str, Any], layer: Any) -> Iterator[Call]:
    """The calls of one layer."""
    nodes, name = entry["inbound_nodes"], entry["name"]
    if not isinstance(nodes, (list, tuple)):
        raise ValueError(f'`inbound_nodes` of layer "{name}" must be a list, got a {type(nodes).__name__}')
    if isinstance(layer, SymbolicArray):
        if nodes:
            raise ValueError(f'The input "{name}" must not have `inbound_nodes`')
        return
    for number, node in enumerate(nodes):
        where = f'Call {number} of layer "{name}"'
        keywords: dict[str, Any] = {}
        inputs = _parsed(node, where, partial(_input_leaf, where=where, keywords=keywords))
        flat = nest.flatten(inputs)
        if not flat:
            raise ValueError(f"{where} has no inputs")
        if len(flat) == 1 and not isinstance(inputs, dict):
            inputs = flat[0]
        yield Call(name, number, inputs, _parsed(keywords, where, partial(_keyword_leaf, where=where)))


def _input_leaf(value: Any, where: str, keywords: dict[str, Any]) -> Any:
    """What a reference among the inputs means; its keyword arguments go into `keywords`."""
    if len(value) == 4:
        if not isinstance(value[3], dict):
            raise ValueError(f"{where}: expected keyword arguments, got {value[3]!r}")
        keywords.update(value[3])
    return _constant(value[2], where) if value[0] == CONSTANT else _place(value, where)


def _keyword_leaf(value: Any, where: str) -> Any:
    """A reference among keyword arguments, or a list of strings that looks like one."""
    return _place(value, where) if type(value[1]) is int else value


def _constant(value: Any, where: str) -> Any:
    parsed = _parsed(value, where, lambda place: place)
    if isinstance(parsed, (list, float, int)):
        try:
            parsed = np.asarray(parsed)
        except ValueError as error:
            raise ValueError(f"{where}: not an array: {error}") from None
        if parsed.dtype.kind == "f":
            parsed = parsed.astype(dtypes.floatx())
    return parsed


def _places_in(structure: Any) -> list[Place]:
    return [leaf for leaf in nest.flatten(structure) if isinstance(leaf, Place)]


def _called(made: dict[str, Any], calls: list[Call]) -> dict[tuple[str, int], list[Any]]:
    """Makes the calls, each after what it needs, and those of one layer in their order.

    Returns:
        The flat outputs of each call by layer and number; an input is call 0 of itself.
    """
    outputs = {(name, 0): [layer] for name, layer in made.items() if isinstance(layer, SymbolicArray)}
    first = _first_numbers(made, calls)
    waiting: dict[tuple[str, int], list[Call]] = {}
    ready: deque[Call] = deque()
    known = {*outputs, *((call.layer, call.number + first[call.layer]) for call in calls)}
    for call in calls:
        call.number += first[call.layer]
        needed = {(place.layer, place.call) for place in _places_in((call.inputs, call.keywords))}
        for place in needed - known:
            raise ValueError(f'Layer "{call.layer}" is called on {_described(place, made)}')
        if call.number > first[call.layer]:
            needed.add((call.layer, call.number - 1))
        call.missing = needed - outputs.keys()
        for key in call.missing:
            waiting.setdefault(key, []).append(call)
        if not call.missing:
            ready.append(call)
    done = total = 0
    while ready:
        call = ready.popleft()
        total += calls_of(made[call.layer])
        _limit(total)
        outputs[call.layer, call.number] = _make(call, made[call.layer], outputs)
        done += 1
        for later in waiting.get((call.layer, call.number), ()):
            later.missing.discard((call.layer, call.number))
            if not later.missing:
                ready.append(later)
    if done < len(calls):
        stuck = next(call for call in calls if call.missing)
        raise ValueError(f'Layer "{stuck.layer}" is part of a cycle: its inputs depend on its own output')
    return outputs


def _limit(count: int) -> None:
    """Raises ValueError for too many layers, or calls: models that hold each other stand for many."""
    if count > MAX_CALLS:
        raise ValueError(f"The configuration stands for more than {MAX_CALLS} calls of layers")


def _described(place: tuple[str, int], made: dict[str, Any]) -> str:
    if place[0] in made:
        return f'call {place[1]} of layer "{place[0]}", which has no such call'
    return f'layer "{place[0]}", which is not in the configuration'


def _first_numbers(made: dict[str, Any], calls: list[Call]) -> dict[str, int]:
    """The number of each layer's first call: for models 1, as one made the model itself, unless 0 is used."""
    from rnnpack.models.model import Model

    used = {
        place.layer for call in calls for place in _places_in((call.inputs, call.keywords)) if not place.call
    }
    return {name: int(isinstance(layer, Model) and name not in used) for name, layer in made.items()}


def _make(call: Call, layer: Any, outputs: dict[tuple[str, int], list[Any]]) -> list[Any]:
    where = f'Call of layer "{call.layer}"'
    inputs = _resolved(call.inputs, outputs, where)
    keywords = _resolved(call.keywords, outputs, where)
    if not any_symbolic((inputs, keywords)):
        raise ValueError(f"{where} depends on no input")
    with naming(where):
        return nest.flatten(layer(inputs, **keywords))


def _resolved(structure: Any, outputs: dict[tuple[str, int], list[Any]], where: str) -> Any:
    """The nest with the symbolic arrays that its Places name."""

    def value_of(leaf: Any) -> Any:
        if not isinstance(leaf, Place):
            return leaf
        found = outputs.get((leaf.layer, leaf.call))
        if found is None:
            raise ValueError(f'{where}: there is no call {leaf.call} of a layer "{leaf.layer}"')
        if leaf.output >= len(found):
            raise ValueError(f'{where}: layer "{leaf.layer}" has {len(found)} outputs, not {leaf.output + 1}')
        symbol = found[leaf.output]
        return symbol._keras_mask if leaf.mask else symbol

    return nest.map_structure(value_of, structure)


def sequential(make: Callable[..., Any], config: Any, custom_objects: dict[str, Any] | None) -> Any:
    """The Sequential model that a configuration describes; `make` is its class.

    Raises:
        ValueError: as for `graph_parts`.
    """
    check_depth(config)
    config = {"layers": config} if isinstance(config, (list, tuple)) else config
    if not isinstance(config, dict) or not isinstance(config.get("layers"), (list, tuple)):
        raise ValueError("The configuration of a Sequential model needs `layers`, a list")
    _limit(len(config["layers"]))
    layers = []
    for index, entry in enumerate(config["layers"]):
        check_entry(entry, index, ("class_name", "config"))
        layers.append(made_from(entry, custom_objects, f"Entry {index} of `layers`"))
    model = make(name=config.get("name"))
    _limit(sum(calls_of(layer) for layer in layers if not isinstance(layer, SymbolicArray)))
    with naming("`layers` of a Sequential model"):
        model._add_all(layers, lambda layer: naming(f'Layer "{layer.name}" ({type(layer).__name__})'))
    shape = config.get("build_input_shape")
    if shape is not None and not model.built:
        model.build(shape)
    return model
