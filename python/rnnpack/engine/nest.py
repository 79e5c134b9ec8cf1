"""Nested structures of tuples, namedtuples, lists and dicts; everything else, None included, is a leaf."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import numpy as np


class TensorShape:
    """ONE shape of several dimensions, as opposed to a tuple of ints, which means several shapes.

    A cell whose single state is an image has `state_size = TensorShape((8, 8, 3))`.

    Args:
        dims: ints or None, another shape with `as_list()`, or one int.
    """

    __slots__ = ("_dims",)

    def __init__(self, dims: Any) -> None:
        if isinstance(dims, (int, np.integer)):
            dims = (dims,)
        dims = dims.as_list() if is_shape(dims) else dims
        self._dims: tuple[int | None, ...] = tuple(None if dim is None else int(dim) for dim in dims)

    def as_list(self) -> list[int | None]:
        """Return the dimensions as a list."""
        return list(self._dims)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self._dims)

    def __iter__(self) -> Iterator[int | None]:
        """Iterate over the dimensions."""
        return iter(self._dims)

    def __len__(self) -> int:
        """Number of dimensions."""
        return len(self._dims)

    @overload
    def __getitem__(self, key: int) -> int | None: ...
    @overload
    def __getitem__(self, key: slice) -> TensorShape: ...
    def __getitem__(self, key: int | slice) -> int | TensorShape | None:
        """Return one dimension, or a shape for a slice."""
        return TensorShape(self._dims[key]) if isinstance(key, slice) else self._dims[key]

    def __eq__(self, other: object) -> bool:
        """Equal to a tuple, list or shape of the same dimensions."""
        if is_shape(other):
            return self._dims == tuple(other.as_list())  # type: ignore[attr-defined]
        return isinstance(other, (tuple, list)) and self._dims == tuple(other)

    def __hash__(self) -> int:
        """Hash of the dimension tuple."""
        return hash(self._dims)

    def __repr__(self) -> str:
        """Constructor form."""
        return f"TensorShape({list(self._dims)})"


def is_shape(value: object) -> bool:
    """Whether `value` is one shape: a `TensorShape`, or any framework's object with `as_list()`."""
    return callable(getattr(value, "as_list", None))


def is_nested(structure: object) -> bool:
    """Whether `structure` is a tuple, namedtuple, list or dict."""
    return isinstance(structure, (tuple, list, dict))


def children(structure: Any) -> Iterable[Any]:
    """Return what is one level below a nested structure."""
    if isinstance(structure, dict):
        return [structure[key] for key in sorted(structure)]
    return structure  # type: ignore[no-any-return]


def with_children(structure: Any, new: list[Any]) -> Any:
    """Return a structure of the same type and keys as `structure` with other children."""
    if isinstance(structure, dict):
        result = copy.copy(structure)  # keeps the type and the order of the keys
        result.update(zip(sorted(structure), new, strict=True))
        return result
    if hasattr(structure, "_fields"):
        return type(structure)(*new)
    return type(structure)(new)


def flatten(structure: Any) -> list[Any]:
    """Return the leaves, depth first, dict values in sorted key order; a leaf gives `[leaf]`."""
    if not isinstance(structure, (tuple, list, dict)):
        return [structure]
    leaves: list[Any] = []
    for child in children(structure):
        if isinstance(child, (tuple, list, dict)):
            leaves.extend(flatten(child))
        else:
            leaves.append(child)
    return leaves


def pack_sequence_as(structure: Any, flat: Iterable[Any]) -> Any:
    """Put leaves, in the order `flatten` gives, into the form of `structure`.

    Raises:
        ValueError: the number of leaves differs.
    """
    leaves = list(flat)
    expected = len(flatten(structure))
    if len(leaves) != expected:
        raise ValueError(f"The structure has {expected} leaves but {len(leaves)} values were given.")
    return _pack(structure, iter(leaves))


def _pack(node: Any, remaining: Iterator[Any]) -> Any:
    # Not a closure: one that calls itself is a reference cycle, and would keep the arrays alive.
    if not is_nested(node):
        return next(remaining)
    return with_children(node, [_pack(child, remaining) for child in children(node)])


def assert_same_structure(first: Any, second: Any, check_types: bool = True) -> None:
    """Check that two structures nest in the same way.

    Args:
        first: the expected structure.
        second: the structure to compare.
        check_types: also require the same container types (tuple is not list).

    Raises:
        ValueError: different nesting, lengths or dict keys.
        TypeError: different container types.
    """
    if is_nested(first) != is_nested(second):
        raise ValueError(f"The structures differ: {first!r} against {second!r}.")
    if not is_nested(first):
        return
    if isinstance(first, dict) != isinstance(second, dict) or (
        check_types and type(first) is not type(second)
    ):
        names = type(first).__name__, type(second).__name__
        raise TypeError(f"The structures have different types: {names[0]} and {names[1]}.")
    if len(first) != len(second) or (isinstance(first, dict) and first.keys() != second.keys()):
        raise ValueError(f"The structures differ: {first!r} against {second!r}.")
    for left, right in zip(children(first), children(second), strict=True):
        assert_same_structure(left, right, check_types)


def map_structure(fn: Callable[..., Any], *structures: Any) -> Any:
    """Apply `fn` to corresponding leaves; the result has the form of the first structure.

    Raises:
        ValueError, TypeError: the structures differ, see `assert_same_structure`.
    """
    first, *others = structures
    if not is_nested(first) and not any(map(is_nested, others)):
        return fn(*structures)
    for other in others:
        assert_same_structure(first, other)
    return pack_sequence_as(first, map(fn, *(flatten(structure) for structure in structures)))
