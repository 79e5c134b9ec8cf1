"""Operators that pick, place and order elements by index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx.limits import check_size, surely_small
from rnnpack.formats.onnx.node import Function, Node, operator
from rnnpack.formats.onnx.operators.shaping import one_axis

Array = NDArray[Any]


def checked(indices: Array, size: int) -> Array:
    """Indices counted from the front; ValueError where one is outside an axis of this size."""
    if indices.dtype.kind not in "iu":
        raise ValueError(f"indices must be integers, got {indices.dtype}")
    if indices.size and (indices.min() < -size or indices.max() >= size):
        raise ValueError(f"indices of {indices.min()} to {indices.max()} for an axis of size {size}")
    return np.where(indices < 0, indices + size, indices)


@operator("Gather", inputs=2)
def _gather(node: Node) -> Function:
    axis = node.integer("axis", 0)

    def run(x: Array, indices: Array) -> Any:
        at = one_axis(axis, x.ndim)
        if not surely_small(x, indices):
            check_size((*x.shape[:at], *indices.shape, *x.shape[at + 1 :]), x, indices)
        return x.take(indices, at)  # refuses what is outside, counts negative indices from the end

    return run


@operator("GatherElements", inputs=2, since=11)
def _gather_elements(node: Node) -> Function:
    axis = node.integer("axis", 0)

    def run(x: Array, indices: Array) -> Any:
        at = one_axis(axis, x.ndim)
        return x[_elements(x, indices, at)]

    return run


def _elements(x: Array, indices: Array, axis: int) -> tuple[Array, ...]:
    """The place of each element of `indices`: its own, but for the axis."""
    if indices.ndim != x.ndim:
        raise ValueError(f"indices have {indices.ndim} axes, the data {x.ndim}")
    sizes = zip(indices.shape, x.shape, strict=True)
    if any(size > limit for at, (size, limit) in enumerate(sizes) if at != axis):
        raise ValueError(f"indices of shape {indices.shape} for data of shape {x.shape}")
    places = list(np.ogrid[tuple(map(slice, indices.shape))])
    places[axis] = checked(indices, x.shape[axis])
    return tuple(places)


@operator("GatherND", inputs=2, since=11)
def _gather_nd(node: Node) -> Function:
    batch = node.integer("batch_dims", 0) if node.opset >= 12 else 0

    def run(x: Array, indices: Array) -> Any:
        depth = _depth(x, indices, batch)
        shape = (*indices.shape[:-1], *x.shape[batch + depth :])
        check_size(shape, x, indices)
        return x[_places(x, indices, batch, depth)].reshape(shape)

    return run


def _depth(x: Array, indices: Array, batch: int) -> int:
    """How many axes each row of `indices` goes through."""
    depth: int = indices.shape[-1] if indices.ndim else 0
    if not (0 <= batch < indices.ndim and depth > 0 and batch + depth <= x.ndim):
        raise ValueError(f"indices of shape {indices.shape} for data of shape {x.shape}")
    if indices.shape[:batch] != x.shape[:batch]:
        raise ValueError(f"the first {batch} sizes differ: {indices.shape} and {x.shape}")
    return depth


def _places(x: Array, indices: Array, batch: int, depth: int) -> tuple[Array, ...]:
    rows = np.ogrid[tuple(map(slice, indices.shape[:-1]))][:batch]
    return (*rows, *(checked(indices[..., at], x.shape[batch + at]) for at in range(depth)))


_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _reduction(node: Node, since: int) -> Any:
    """The ufunc of attribute `reduction`, or None for plain assignment."""
    if node.opset < since:
        return None
    return _REDUCTIONS.get(node.text("reduction", "none", ("none", *_REDUCTIONS)))


def _scattered(x: Array, places: Any, updates: Array, ufunc: Any) -> Array:
    result = x.copy()
    if ufunc is None:
        result[places] = updates
    else:
        ufunc.at(result, places, updates)
    return result


@operator("ScatterND", inputs=3, since=11)
def _scatter_nd(node: Node) -> Function:
    ufunc = _reduction(node, 16)

    def run(x: Array, indices: Array, updates: Array) -> Any:
        depth = _depth(x, indices, 0)
        if updates.shape != (*indices.shape[:-1], *x.shape[depth:]):
            raise ValueError(f"updates of shape {updates.shape} for indices {indices.shape}, data {x.shape}")
        return _scattered(x, _places(x, indices, 0, depth), updates, ufunc)

    return run


def _scatter_elements(node: Node) -> Function:
    axis, ufunc = node.integer("axis", 0), _reduction(node, 16)

    def run(x: Array, indices: Array, updates: Array) -> Any:
        if updates.shape != indices.shape:
            raise ValueError(f"updates of shape {updates.shape} for indices of shape {indices.shape}")
        return _scattered(x, _elements(x, indices, one_axis(axis, x.ndim)), updates, ufunc)

    return run


operator("ScatterElements", inputs=3, since=11)(_scatter_elements)
operator("Scatter", inputs=3, since=9)(_scatter_elements)


@operator("OneHot", inputs=3, since=9)
def _one_hot(node: Node) -> Function:
    axis = node.integer("axis", -1)

    def run(indices: Array, depth: Array, values: Array) -> Any:
        size, at = int(depth.reshape(())), one_axis(axis, indices.ndim + 1)
        shape = (*indices.shape[:at], size, *indices.shape[at:])
        check_size(shape, indices)
        whole = indices.astype(np.int64)
        # Outside [-size, size) nothing is hot.
        wanted = np.expand_dims(np.where(whole < 0, whole + size, whole), at)
        steps = np.arange(size).reshape([size if axis == at else 1 for axis in range(indices.ndim + 1)])
        return np.where(wanted == steps, values[1], values[0])

    return run


@operator("NonZero", since=9)
def _non_zero(node: Node) -> Function:
    return lambda x: np.array(np.nonzero(np.atleast_1d(x))).reshape(x.ndim, -1).astype(np.int64)


@operator("Compress", inputs=2, since=9)
def _compress(node: Node) -> Function:
    axis = node.integer("axis")
    return lambda x, condition: np.compress(condition, x, axis)


@operator("TopK", inputs=(1, 2), outputs=2)
def _top_k(node: Node) -> Function:
    axis = node.integer("axis", -1)
    fixed: Any = node.integer("k") if node.opset < 10 else None
    largest = node.flag("largest", True) if node.opset >= 11 else True
    if node.opset >= 11:
        node.flag("sorted", True)  # sorted anyway
    if fixed is None and not node.has(1):
        raise node.error("there is no k")

    def run(x: Array, k: Array | None = None) -> Any:
        count: int = fixed if k is None else int(k.reshape(()))
        at = one_axis(axis, x.ndim)
        if not 0 <= count <= x.shape[at]:
            raise ValueError(f"k={count} of {x.shape[at]} elements")
        # Of equal elements the first comes first, also when the largest do.
        if largest:
            order = np.flip(x.shape[at] - 1 - np.argsort(np.flip(x, at), at, kind="stable"), at)
        else:
            order = np.argsort(x, at, kind="stable")
        order = np.take(order, np.arange(count), at)
        return np.take_along_axis(x, order, at), order.astype(np.int64)

    return run


@operator("ReverseSequence", inputs=2, since=10)
def _reverse_sequence(node: Node) -> Function:
    batch, time = node.integer("batch_axis", 1), node.integer("time_axis", 0)
    if (batch, time) not in ((0, 1), (1, 0)):
        raise node.error(f"attributes 'batch_axis' and 'time_axis' must be 0 and 1, got {batch} and {time}")

    def run(x: Array, lengths: Array) -> Any:
        steps, rows = x.shape[time], x.shape[batch]
        if lengths.shape != (rows,) or (rows and not 0 <= lengths.min() <= lengths.max() <= steps):
            raise ValueError(f"lengths {lengths.tolist()[:8]} for {rows} rows of {steps} steps")
        at = np.arange(steps)[:, None]
        source = np.where(at < lengths, lengths - 1 - at, at)
        columns = np.arange(rows)
        return x[source, columns] if time == 0 else x[columns[:, None], source.T]

    return run


@operator("Unique", outputs=4, since=11)
def _unique(node: Node) -> Function:
    axis, ordered = node.integer("axis"), node.flag("sorted", True)

    def run(x: Array) -> Any:
        found: Any = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
        values, first, inverse, counts = found
        inverse = inverse.reshape(-1)
        if not ordered:
            order = np.argsort(first, kind="stable")
            places = np.empty_like(order)
            places[order] = np.arange(len(order))
            values = np.take(values, order, 0 if axis is None else axis)
            first, counts, inverse = first[order], counts[order], places[inverse]
        return values, *(part.astype(np.int64) for part in (first, inverse, counts))

    return run
