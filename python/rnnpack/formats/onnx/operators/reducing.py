"""Operators that reduce or accumulate along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx.node import Function, Node, operator
from rnnpack.formats.onnx.operators.shaping import all_axes, from_attribute, listed, one_axis

Array = NDArray[Any]
Axes = tuple[int, ...]


def _log_sum_exp(x: Array, axes: Axes, keep: bool) -> Any:
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf) if x.size == 0 else x.max(axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = np.log(np.exp(x - top).sum(axes, keepdims=True)) + top
    return total if keep else total.squeeze(axes)


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _highest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return np.inf
    return True if dtype.kind == "b" else np.iinfo(dtype).max


_FORMULAS: dict[str, Callable[[Array, Axes, bool], Any]] = {
    "ReduceL1": lambda x, axes, keep: np.abs(x).sum(axes, keepdims=keep),
    "ReduceL2": lambda x, axes, keep: np.sqrt(np.square(x).sum(axes, keepdims=keep)),
    "ReduceLogSum": lambda x, axes, keep: np.log(x.sum(axes, keepdims=keep)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": lambda x, axes, keep: np.max(x, axes, keepdims=keep, initial=_lowest(x.dtype)),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keepdims=keep),
    "ReduceMin": lambda x, axes, keep: np.min(x, axes, keepdims=keep, initial=_highest(x.dtype)),
    "ReduceProd": lambda x, axes, keep: x.prod(axes, keepdims=keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdims=keep),
    "ReduceSumSquare": lambda x, axes, keep: np.square(x).sum(axes, keepdims=keep),
}


def _reduce(node: Node) -> Function:
    formula = _FORMULAS[node.op]
    until = 13 if node.op == "ReduceSum" else 18
    given, keep = from_attribute(node, "axes", until), node.flag("keepdims", True)
    nothing = node.opset >= until and node.flag("noop_with_empty_axes")
    if node.opset < until and node.has(1):
        raise node.error(f"axes are an attribute in opset {node.opset}, got an input")

    # With no axes left, a formula of a single element remains.
    def run(x: Array, axes: Array | None = None) -> Any:
        wanted = given if axes is None else listed(axes)
        if not wanted and nothing:
            over: Axes = ()
        else:
            over = all_axes(wanted or range(x.ndim), x.ndim)
        return np.asarray(formula(x, over, keep)).astype(x.dtype, copy=False)

    return run


for _name in _FORMULAS:
    operator(_name, inputs=(1, 2))(_reduce)


def _arg(node: Node) -> Function:
    find = np.argmax if node.op == "ArgMax" else np.argmin
    axis, keep = node.integer("axis", 0), node.flag("keepdims", True)
    last = node.opset >= 12 and node.flag("select_last_index")

    def run(x: Array) -> Any:
        at = one_axis(axis, x.ndim)
        if last:
            found = x.shape[at] - 1 - find(np.flip(x, at), at, keepdims=keep)
        else:
            found = find(x, at, keepdims=keep)
        return np.asarray(found).astype(np.int64, copy=False)

    return run


operator("ArgMax")(_arg)
operator("ArgMin")(_arg)


def _cumulative(node: Node) -> Function:
    ufunc: Any = np.add if node.op == "CumSum" else np.multiply
    exclusive, backwards = node.flag("exclusive"), node.flag("reverse")

    def run(x: Array, axis: Array) -> Any:
        at = one_axis(int(axis.reshape(())), x.ndim)
        values = np.flip(x, at) if backwards else x
        result = ufunc.accumulate(values, at, dtype=x.dtype)
        if exclusive:
            shifted = np.full_like(result, ufunc.identity)
            into, out = [slice(None)] * x.ndim, [slice(None)] * x.ndim
            into[at], out[at] = slice(1, None), slice(None, -1)
            shifted[tuple(into)] = result[tuple(out)]
            result = shifted
        return np.flip(result, at) if backwards else result

    return run


operator("CumSum", inputs=2, since=11)(_cumulative)
operator("CumProd", inputs=2, since=26)(_cumulative)


def _softmax(x: Array, axis: int) -> Any:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _log_softmax(x: Array, axis: int) -> Any:
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def _hardmax(x: Array, axis: int) -> Any:
    first = np.expand_dims(x.argmax(axis), axis)
    result = np.zeros_like(x)
    np.put_along_axis(result, first, 1, axis)
    return result


_NORMALIZERS = {"Softmax": _softmax, "LogSoftmax": _log_softmax, "Hardmax": _hardmax}


def _normalizer(node: Node) -> Function:
    formula = _NORMALIZERS[node.op]
    axis = node.integer("axis", -1 if node.opset >= 13 else 1)
    whole = node.opset < 13  # over the axis and all behind it

    def run(x: Array) -> Any:
        at = one_axis(axis, x.ndim)
        if x.size == 0:
            return x.copy()
        if whole:
            return formula(x.reshape(int(np.prod(x.shape[:at])), -1), 1).reshape(x.shape)
        return formula(x, at)

    return run


for _name in _NORMALIZERS:
    operator(_name)(_normalizer)
