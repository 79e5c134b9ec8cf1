"""Convolutions and pooling over any number of spatial axes, arrays `(batch, channels, *spatial)`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rnnpack.formats.onnx.limits import check_size
from rnnpack.formats.onnx.node import Function, Node, operator

Array = NDArray[Any]
_AUTO = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


class _Window:
    """The attributes that convolutions and pools share."""

    def __init__(self, node: Node) -> None:
        self.auto = node.text("auto_pad", "NOTSET", _AUTO)
        self.kernel = node.integers("kernel_shape")
        self.pads, self.strides = node.integers("pads"), node.integers("strides")
        self.dilations = node.integers("dilations")
        self.ceil = False
        for name, values, least in (
            ("kernel_shape", self.kernel, 1),
            ("pads", self.pads, 0),
            ("strides", self.strides, 1),
            ("dilations", self.dilations, 1),
        ):
            if values is not None and any(not least <= value <= 1 << 31 for value in values):
                raise node.error(f"attribute {name!r} must be at least {least} everywhere, got {values}")

    def sizes(self, kernel: list[int], rank: int) -> tuple[list[int], list[int]]:
        """Strides and dilations, checked against the number of spatial axes."""
        strides, dilations = self.strides or [1] * rank, self.dilations or [1] * rank
        if not len(kernel) == len(strides) == len(dilations) == rank:
            raise ValueError(f"kernel {kernel}, strides {strides}, dilations {dilations} for {rank} axes")
        return strides, dilations

    def padding(
        self, spatial: tuple[int, ...], extents: list[int], strides: list[int]
    ) -> list[tuple[int, int]]:
        """How much each spatial axis grows before and after it."""
        rank = len(spatial)
        if self.auto == "VALID" or (self.auto == "NOTSET" and self.pads is None):
            return [(0, 0)] * rank
        if self.auto == "NOTSET":
            if len(self.pads) != 2 * rank:
                raise ValueError(f"pads {self.pads} for {rank} axes")
            return list(zip(self.pads[:rank], self.pads[rank:], strict=True))
        totals = [
            max(0, (math.ceil(size / stride) - 1) * stride + extent - size)
            for size, stride, extent in zip(spatial, strides, extents, strict=True)
        ]
        halves = [(total // 2, total - total // 2) for total in totals]
        return halves if self.auto == "SAME_UPPER" else [(after, before) for before, after in halves]


def _windows(x: Array, kernel: list[int], strides: list[int], dilations: list[int]) -> Array:
    """A view `(batch, channels, *output, *kernel)` of all windows."""
    extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    _counts(x.shape[2:], extents, strides)
    spatial = tuple(range(2, x.ndim))
    view = sliding_window_view(x, extents, axis=spatial)
    cut: list[Any] = [..., *(slice(None, None, step) for step in (*strides, *dilations))]
    windows: Array = view[tuple(cut)]
    return windows


def _counts(sizes: tuple[int, ...], extents: list[int], strides: list[int]) -> list[int]:
    """How many windows fit along each spatial axis; ValueError where none does."""
    if any(size < extent for size, extent in zip(sizes, extents, strict=True)):
        raise ValueError(f"a kernel that extends over {extents} is larger than the input {sizes}")
    return [(size - e) // s + 1 for size, e, s in zip(sizes, extents, strides, strict=True)]


def _taps(w: Array, groups: int) -> Array:
    """The weights `(*kernel, groups, filters of a group, channels of a group)`."""
    taps = np.moveaxis(w, (0, 1), (-2, -1))
    return np.ascontiguousarray(taps).reshape(*w.shape[2:], groups, w.shape[0] // groups, w.shape[1])


@operator("Conv", inputs=(2, 3), foldable=False)
def _conv(node: Node) -> Function:
    window, groups = _Window(node), node.integer("group", 1)
    if groups < 1:
        raise node.error(f"attribute 'group' must be positive, got {groups}")
    weights = node.constant(1)
    fits = weights is not None and weights.ndim > 2 and weights.shape[0] % groups == 0
    prepared = _taps(weights, groups) if weights is not None and fits else None

    def run(x: Array, w: Array, b: Array | None = None) -> Any:
        rank, kernel = x.ndim - 2, list(w.shape[2:])
        if rank < 1 or w.ndim != x.ndim or window.kernel not in (None, kernel):
            raise ValueError(f"weights of shape {w.shape} for an input of shape {x.shape}")
        if x.shape[1] != w.shape[1] * groups or w.shape[0] % groups or 0 in w.shape:
            raise ValueError(f"weights of shape {w.shape} in {groups} groups for {x.shape[1]} channels")
        strides, dilations = window.sizes(kernel, rank)
        extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
        pads = window.padding(x.shape[2:], extents, strides)
        grown = _grown(x, pads, 0)
        out = _counts(grown.shape[2:], extents, strides)
        count = math.prod(out)
        check_size((x.shape[0], w.shape[0], count), grown)
        # A product for each tap: a matrix of the tap's weights, of each group, times the inputs it meets.
        taps = _taps(w, groups) if prepared is None else prepared
        work = np.promote_types(x.dtype, np.float32)  # float16 is rounded once
        combine: Any = np.multiply if w.shape[1] == 1 else np.matmul
        result: Any = None
        for tap in np.ndindex(*kernel):
            starts = [at * step for at, step in zip(tap, dilations, strict=True)]
            cut: list[Any] = [...]
            cut += [slice(at, at + (n - 1) * s + 1, s) for at, n, s in zip(starts, out, strides, strict=True)]
            met = grown[tuple(cut)].reshape(x.shape[0], groups, w.shape[1], count)
            part = combine(taps[tap], met, dtype=work)
            result = part if result is None else np.add(result, part, out=result)
        result = result.reshape(x.shape[0], w.shape[0], *out).astype(x.dtype, copy=False)
        return result if b is None else result + b.reshape(-1, *(1,) * rank)

    return run


def _grown(x: Array, pads: list[tuple[int, int]], fill: Any) -> Array:
    """The array with its spatial axes padded."""
    if not any(map(any, pads)):
        return x
    sizes = [size + sum(pair) for size, pair in zip(x.shape[2:], pads, strict=True)]
    grown = np.full(check_size((*x.shape[:2], *sizes)), fill, x.dtype)  # quicker than np.pad
    inner: list[Any] = [...]
    inner += [slice(before, before + n) for n, (before, _) in zip(x.shape[2:], pads, strict=True)]
    grown[tuple(inner)] = x
    return grown


def _pool(node: Node) -> Function:
    window, largest = _Window(node), node.op == "MaxPool"
    if window.kernel is None:
        raise node.error("attribute 'kernel_shape' is missing")
    kernel: list[int] = window.kernel
    ceil = node.opset >= 10 and node.flag("ceil_mode")
    count_pads = not largest and node.flag("count_include_pad")
    if largest and node.opset >= 8 and node.integer("storage_order", 0):
        raise node.error("attribute 'storage_order' must be 0")
    if len(node.outputs) > 1:
        raise node.error("output 'Indices' is not supported")

    def run(x: Array) -> Any:
        rank = x.ndim - 2
        strides, dilations = window.sizes(kernel, rank)
        extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
        pads = window.padding(x.shape[2:], extents, strides)
        extra = _overhang(x.shape[2:], pads, extents, strides) if ceil else [0] * rank
        axes = tuple(range(2 + rank, 2 + 2 * rank))
        wider = [(before, after + more) for (before, after), more in zip(pads, extra, strict=True)]
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        view = _windows(_grown(x, wider, lowest if largest else 0), kernel, strides, dilations)
        if largest:
            return view.max(axes)
        if not any(map(any, wider)):
            return view.mean(axes)
        # How many elements of each window count: those inside, and padding where asked for.
        inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
        if count_pads:
            inside = _grown(np.ones_like(_grown(inside, pads, 0)), [(0, more) for more in extra], 0)
        else:
            inside = _grown(inside, wider, 0)
        return view.sum(axes) / _windows(inside, kernel, strides, dilations).sum(axes)

    return run


def _overhang(
    spatial: tuple[int, ...], pads: list[tuple[int, int]], extents: list[int], strides: list[int]
) -> list[int]:
    """How much further the last windows reach with `ceil_mode`; none starts in the padding at the end."""
    extra = []
    for size, (before, after), extent, stride in zip(spatial, pads, extents, strides, strict=True):
        count = math.ceil((size + before + after - extent) / stride) + 1
        if (count - 1) * stride >= size + before:
            count -= 1
        extra.append(max(0, (count - 1) * stride + extent - size - before - after))
    return extra


operator("MaxPool", outputs=2)(_pool)
operator("AveragePool")(_pool)


@operator("GlobalMaxPool")
def _global_max(node: Node) -> Function:
    return lambda x: x.max(tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalAveragePool")
def _global_average(node: Node) -> Function:
    return lambda x: x.mean(tuple(range(2, x.ndim)), keepdims=True)
