"""Operators that rearrange, cut and join arrays without looking at what is in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx.limits import check_size
from rnnpack.formats.onnx.node import MANY, Function, Node, operator

Array = NDArray[Any]


def one_axis(axis: int, rank: int) -> int:
    """The axis counted from the front; ValueError where there is none such."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is not one of {rank} axes")
    return axis % rank


def all_axes(axes: Any, rank: int) -> tuple[int, ...]:
    """The axes counted from the front; ValueError where there is none such, or one twice."""
    found = tuple(one_axis(int(axis), rank) for axis in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"axes {tuple(axes)} name an axis twice")
    return found


def listed(values: Array | None) -> list[int] | None:
    """Integers of an input that is a list of sizes or axes."""
    if values is None:
        return None
    if values.dtype.kind not in "iu" or values.ndim > 1:
        raise ValueError(f"expected a list of integers, got {values.dtype} of shape {values.shape}")
    found: list[int] = values.reshape(-1).tolist()
    return found


def from_attribute(node: Node, name: str, until: int) -> list[int] | None:
    """Integers that were an attribute before opset `until` and have been an input since."""
    return node.integers(name) if node.opset < until else None


@operator("Reshape", inputs=2)
def _reshape(node: Node) -> Function:
    keep_zeros = node.opset >= 14 and node.flag("allowzero")

    def run(x: Array, shape: Array) -> Any:
        sizes = listed(shape) or []
        if not keep_zeros:
            if any(size == 0 for size in sizes[x.ndim :]):
                raise ValueError(
                    f"shape {sizes} copies sizes that the input of shape {x.shape} does not have"
                )
            sizes = [x.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
        return x.reshape(sizes)

    return run


@operator("Flatten")
def _flatten(node: Node) -> Function:
    axis = node.integer("axis", 1)

    def run(x: Array) -> Any:
        at = axis if axis == x.ndim else one_axis(axis, x.ndim)
        return x.reshape(int(np.prod(x.shape[:at])), int(np.prod(x.shape[at:])))

    return run


@operator("Transpose")
def _transpose(node: Node) -> Function:
    order = node.integers("perm")
    return lambda x: x.transpose(order)


@operator("Squeeze", inputs=(1, 2))
def _squeeze(node: Node) -> Function:
    given = from_attribute(node, "axes", 13)

    def run(x: Array, axes: Array | None = None) -> Any:
        wanted = given if axes is None else listed(axes)
        return x.squeeze(None if wanted is None else all_axes(wanted, x.ndim))

    return run


@operator("Unsqueeze", inputs=(1, 2))
def _unsqueeze(node: Node) -> Function:
    given = from_attribute(node, "axes", 13)
    if given is None and not node.has(1):
        raise node.error("there are no axes")

    def run(x: Array, axes: Array | None = None) -> Any:
        wanted = given if axes is None else listed(axes)
        assert wanted is not None
        at = all_axes(wanted, check_rank(x.ndim + len(wanted)))
        sizes = iter(x.shape)
        return x.reshape([1 if axis in at else next(sizes) for axis in range(x.ndim + len(at))])

    return run


def check_rank(rank: int) -> int:
    """The rank, if NumPy of every version knows it."""
    if rank > 32:
        raise ValueError(f"{rank} axes are more than 32")
    return rank


@operator("Concat", inputs=(1, MANY))
def _concat(node: Node) -> Function:
    axis = node.integer("axis")
    if axis is None:
        raise node.error("attribute 'axis' is missing")

    def run(*arrays: Array) -> Any:
        check_size([sum(array.size for array in arrays)], *arrays)
        return np.concatenate(arrays, axis=axis)

    return run


@operator("Split", inputs=(1, 2), outputs=MANY)
def _split(node: Node) -> Function:
    axis, given = node.integer("axis", 0), from_attribute(node, "split", 13)
    count = len(node.outputs)
    if node.opset >= 18:
        wanted = node.integer("num_outputs", count)
        if wanted != count:
            raise node.error(f"has {count} outputs, attribute 'num_outputs' says {wanted}")

    def run(x: Array, split: Array | None = None) -> Any:
        at = one_axis(axis, x.ndim)
        sizes = given if split is None else listed(split)
        if sizes is None:
            # The last part is smaller where the size is not a multiple.
            size = -(-x.shape[at] // count)
            sizes = [min(size, max(0, x.shape[at] - size * index)) for index in range(count)]
        if len(sizes) != count or sum(sizes) != x.shape[at] or min(sizes) < 0:
            raise ValueError(f"cannot split {x.shape[at]} into {count} parts of sizes {sizes[:8]}")
        return tuple(np.split(x, np.cumsum(sizes[:-1]), axis=at))

    return run


@operator("Slice", inputs=(1, 5))
def _slice(node: Node) -> Function:
    if node.opset < 10:
        given = [node.integers(name) for name in ("starts", "ends", "axes")]
        if given[0] is None or given[1] is None:
            raise node.error("attributes 'starts' and 'ends' are needed")
        return lambda x: _sliced(x, *given)
    if not (node.has(1) and node.has(2)):
        raise node.error("inputs 'starts' and 'ends' are needed")

    def run(x: Array, starts: Array, ends: Array, axes: Any = None, steps: Any = None) -> Any:
        return _sliced(x, listed(starts), listed(ends), listed(axes), listed(steps))

    return run


def _sliced(x: Array, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    axes = all_axes(range(len(starts)) if axes is None else axes, x.ndim)
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ValueError(f"starts {starts}, ends {ends}, axes {axes} and steps {steps} do not fit")
    cut = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # Ends before the first element, when going backwards, would be counted from the end by Python.
        stop = None if step < 0 and end < -x.shape[axis] else end
        if step < 0 and start < -x.shape[axis]:
            start, stop = 0, 0
        cut[axis] = slice(start, stop, step)
    return x[tuple(cut)]


@operator("Expand", inputs=2, since=8)
def _expand(node: Node) -> Function:
    def run(x: Array, shape: Array) -> Any:
        sizes = np.broadcast_shapes(x.shape, tuple(listed(shape) or ()))
        return np.broadcast_to(x, check_size(sizes, x)).copy()

    return run


@operator("Tile", inputs=2)
def _tile(node: Node) -> Function:
    def run(x: Array, repeats: Array) -> Any:
        counts = listed(repeats) or []
        if len(counts) != x.ndim:
            raise ValueError(f"{len(counts)} repeats for {x.ndim} axes")
        check_size([size * count for size, count in zip(x.shape, counts, strict=True)], x)
        return np.tile(x, counts)

    return run


@operator("Pad", inputs=(1, 4))
def _pad(node: Node) -> Function:
    modes = ("constant", "reflect", "edge") + (("wrap",) if node.opset >= 19 else ())
    mode = node.text("mode", "constant", modes)
    if node.opset < 11:
        pads, value = node.integers("pads", []), node.number("value", 0.0)
        return lambda x: padded(x, pads, mode, value)
    if not node.has(1):
        raise node.error("input 'pads' is needed")

    def run(x: Array, pads: Array, value: Array | None = None, axes: Array | None = None) -> Any:
        fill = x.dtype.type(0) if value is None else value.reshape(())
        return padded(x, listed(pads) or [], mode, fill, listed(axes))

    return run


def padded(x: Array, pads: list[int], mode: str, fill: Any, axes: list[int] | None = None) -> Array:
    """The array with its edges moved by `pads`: all starts, then all ends; negative ones cut."""
    at = all_axes(range(x.ndim) if axes is None else axes, x.ndim)
    if len(pads) != 2 * len(at):
        raise ValueError(f"{len(pads)} pads for {len(at)} axes")
    widths = [(0, 0)] * x.ndim
    for axis, before, after in zip(at, pads[: len(at)], pads[len(at) :], strict=True):
        widths[axis] = (before, after)
    check_size([max(0, size + sum(pair)) for size, pair in zip(x.shape, widths, strict=True)], x)
    if max(map(max, widths), default=0) > 1 << 40:
        raise ValueError(f"pads {pads} are too large")
    x = x[
        tuple(
            slice(max(0, -a), max(0, size + min(0, b))) for size, (a, b) in zip(x.shape, widths, strict=True)
        )
    ]
    grown = [(max(0, before), max(0, after)) for before, after in widths]
    if mode == "constant":
        return np.pad(x, grown, constant_values=fill)
    return np.pad(x, grown, mode)  # type: ignore[no-any-return, call-overload]


@operator("Shape")
def _shape(node: Node) -> Function:
    start, end = (node.integer("start", 0), node.integer("end")) if node.opset >= 15 else (0, None)
    return lambda x: np.array(x.shape[start:end], np.int64)


@operator("Size")
def _size(node: Node) -> Function:
    return lambda x: np.array(x.size, np.int64)


@operator("Trilu", inputs=(1, 2), since=14)
def _trilu(node: Node) -> Function:
    part = np.triu if node.flag("upper", True) else np.tril

    def run(x: Array, k: Array | None = None) -> Any:
        limit = max(x.shape[-2:], default=0)
        return part(x, 0 if k is None else int(np.clip(k.reshape(()), -limit, limit)))

    return run
