"""The newer layout, `.weights.h5`: groups along the attributes of Keras's objects, weights by number.

A model's layers are in `layers/<class>_<n>`, a recurrent layer's weights in `cell/vars/0` and so on, those of
a Bidirectional in `forward_layer/cell/vars`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from rnnpack.cells import GRUCell, LSTMCell
from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.names import snake_case
from rnnpack.formats.keras.tree import Named, named
from rnnpack.formats.keras.weights.assignment import Pair, paired
from rnnpack.formats.keras.weights.reading import array, find
from rnnpack.layers.weights import WeightOwner
from rnnpack.models import Model, Sequential
from rnnpack.variable import Variable


class Slot(NamedTuple):
    """A layer's own variables and the group that holds them.

    Attributes:
        paths: of the group: the first of these that a file has.
        layer: the owner.
        variables: in order.
        written: the paths that one file for all versions needs.
    """

    paths: tuple[str, ...]
    layer: Any
    variables: list[Variable]
    written: tuple[str, ...]


def is_numbered(file: Any) -> bool:
    """Whether a file has this layout."""
    return bool({"layers", "_layer_checkpoint_dependencies", "vars"} & set(file.keys()))


def pairs(file: Any, model: Named) -> list[Pair]:
    """The variables of a model and their stored values.

    Raises:
        FormatError: a weight is missing or does not fit.
    """
    return [pair for slot in slots("", model, file) if slot.variables for pair in _fitted(slot, file)]


def _fitted(slot: Slot, file: Any) -> list[Pair]:
    arrays = _arrays(slot, file)
    if isinstance(slot.layer, (LSTMCell, GRUCell)):
        return paired(slot.layer, arrays)
    if len(arrays) != len(slot.variables):
        raise FormatError(f"{slot.layer.name}: expected {len(slot.variables)} weights, got {len(arrays)}")
    return list(zip(slot.variables, arrays, strict=True))


def _arrays(slot: Slot, file: Any) -> list[NDArray[Any]]:
    for path in slot.paths:
        group = find(file, _joined(path, "vars"))
        count = len(list(group.keys())) if hasattr(group, "keys") else 0
        if count:
            return [array(group, str(index)) for index in range(count)]
    raise FormatError(
        f"the weights of {slot.layer.name!r} are missing: no {_joined(slot.paths[0], 'vars')} in the file"
    )


def slots(path: str, model: Named, file: Any = None) -> Iterator[Slot]:
    """All layers below a model, or a layer, that have a place in a file; shared ones once.

    Args:
        path: of the model.
        model: what to walk through.
        file: where it is given, older names of groups are taken if it has them.
    """
    seen: set[int] = set()
    yield from _walk(path, model, file, seen)


def _walk(path: str, named: Named, file: Any, seen: set[int]) -> Iterator[Slot]:
    if id(named.layer) in seen:
        return
    if named.inner is None:
        yield from _layer_slots((path,), named.layer, seen)
        return
    seen.add(id(named.layer))
    yield Slot((path,), named.layer, _own(named.layer), (path,))
    folder = _joined(path, "layers")
    if file is not None and find(file, folder) is None:
        older = folder.replace("layers", "_layer_checkpoint_dependencies")
        folder = older if find(file, older) is not None else folder
    present = None if file is None or find(file, folder) is None else set(find(file, folder).keys())
    for child, name in zip(named.inner, _group_names(named.inner, present), strict=True):
        yield from _walk(f"{folder}/{name}", child, file, seen)


def _group_names(children: Sequence[Named], present: set[str] | None) -> list[str]:
    """`dense`, `dense_1`, ...: numbered by class; CuDNN's names where the file has no others."""
    counts: Counter[str] = Counter()
    names = []
    for child in children:
        name = snake_case(child.class_name)
        cudnn = f"cu_dnn{name}"
        if present is not None and name in ("lstm", "gru") and name not in present and cudnn in present:
            name = cudnn
        names.append(f"{name}_{counts[name]}" if counts[name] else name)
        counts[name] += 1
    return names


def _layer_slots(paths: tuple[str, ...], layer: WeightOwner, seen: set[int]) -> Iterator[Slot]:
    """A layer's own weights and those of the layers in its attributes."""
    if isinstance(layer, (Model, Sequential)):
        yield from _walk(paths[0], named(layer), None, seen)
        return
    if id(layer) in seen:
        return
    seen.add(id(layer))
    # A CuDNN layer has no cell: what is the cell's here is its own.
    cudnn = [path.removesuffix("/cell") for path in paths if isinstance(layer, (LSTMCell, GRUCell))]
    yield Slot((*paths, *cudnn), layer, _own(layer), paths)
    for name, value in sorted(vars(layer).items()):
        # Attributes that Keras 2 has with an underscore, Keras 3 has without.
        inner = tuple(_joined(path, one) for path in paths for one in dict.fromkeys((name.lstrip("_"), name)))
        if name not in layer._untracked:
            yield from _attribute_slots(inner, value, seen)


def _attribute_slots(paths: tuple[str, ...], value: Any, seen: set[int]) -> Iterator[Slot]:
    """The weights of layers in an attribute's value, also inside lists, tuples and dicts."""
    if isinstance(value, WeightOwner):
        yield from _layer_slots(paths, value, seen)
    elif isinstance(value, (list, tuple, dict)):
        items = value.values() if isinstance(value, dict) else value
        children = [
            Named(type(one).__name__ if isinstance(one, WeightOwner) else "Container", one, None)
            for one in items
            if isinstance(one, (WeightOwner, list, tuple, dict))
        ]
        for child, group in zip(children, _group_names(children, None), strict=True):
            yield from _attribute_slots(tuple(f"{path}/{group}" for path in paths), child.layer, seen)


def _own(layer: WeightOwner) -> list[Variable]:
    return [*layer._own(True), *layer._own(False)]


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
