"""Normalization and dropout, in inference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.onnx.node import Function, Node, operator
from rnnpack.formats.onnx.operators.shaping import all_axes, one_axis

Array = NDArray[Any]


def _per_channel(values: Array, rank: int) -> Array:
    """Values of each channel, for arrays `(batch, channels, ...)`."""
    return values.reshape(-1, *(1,) * (rank - 2))


@operator("BatchNormalization", inputs=5, outputs=5)
def _batch_norm(node: Node) -> Function:
    epsilon = node.number("epsilon", 1e-5)
    node.number("momentum", 0.9)  # of training
    if node.opset < 9:
        node.flag("spatial", True)
    if (node.opset >= 14 and node.flag("training_mode")) or any(node.outputs[1:]):
        raise node.error("training mode is not supported")
    several = len(node.outputs) > 1

    def run(x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Any:
        if x.ndim < 2 or not scale.shape == bias.shape == mean.shape == variance.shape == x.shape[1:2]:
            raise ValueError(f"scale of shape {scale.shape} for an input of shape {x.shape}")
        factor = scale / np.sqrt(variance + variance.dtype.type(epsilon))
        shift = bias - mean * factor
        result = (x * _per_channel(factor, x.ndim) + _per_channel(shift, x.ndim)).astype(x.dtype, copy=False)
        return (result, *(None,) * (len(node.outputs) - 1)) if several else result

    return run


@operator("LayerNormalization", inputs=(2, 3), outputs=3, since=17)
def _layer_norm(node: Node) -> Function:
    axis, epsilon = node.integer("axis", -1), node.number("epsilon", 1e-5)
    work = node.dtype("stash_type", np.dtype(np.float32))
    count = len(node.outputs)

    def run(x: Array, scale: Array, bias: Array | None = None) -> Any:
        at = tuple(range(one_axis(axis, x.ndim), x.ndim))
        wide = x.astype(np.promote_types(work, x.dtype), copy=False)
        mean = wide.mean(at, keepdims=True)
        centered = wide - mean
        inverse = 1 / np.sqrt(np.square(centered).mean(at, keepdims=True) + wide.dtype.type(epsilon))
        result = (centered * inverse).astype(x.dtype, copy=False) * scale
        if bias is not None:
            result = result + bias
        parts = (result, mean.astype(work, copy=False), inverse.astype(work, copy=False))
        return parts[:count] if count > 1 else result

    return run


@operator("RMSNormalization", inputs=2, since=23)
def _rms_norm(node: Node) -> Function:
    axis, epsilon = node.integer("axis", -1), node.number("epsilon", 1e-5)
    work = node.dtype("stash_type", np.dtype(np.float32))

    def run(x: Array, scale: Array) -> Any:
        at = tuple(range(one_axis(axis, x.ndim), x.ndim))
        wide = x.astype(np.promote_types(work, x.dtype), copy=False)
        root = np.sqrt(np.square(wide).mean(at, keepdims=True) + wide.dtype.type(epsilon))
        return (wide / root).astype(x.dtype, copy=False) * scale

    return run


def _standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> Any:
    centered = x - x.mean(axes, keepdims=True)
    return centered / np.sqrt(np.square(centered).mean(axes, keepdims=True) + x.dtype.type(epsilon))


@operator("InstanceNormalization", inputs=3)
def _instance_norm(node: Node) -> Function:
    epsilon = node.number("epsilon", 1e-5)

    def run(x: Array, scale: Array, bias: Array) -> Any:
        values = _standardized(x, tuple(range(2, x.ndim)), epsilon)
        return values * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)

    return run


@operator("GroupNormalization", inputs=3, since=18)
def _group_norm(node: Node) -> Function:
    epsilon, groups = node.number("epsilon", 1e-5), node.integer("num_groups")
    if node.opset >= 21:
        node.dtype("stash_type")
    if groups is None or groups < 1:
        raise node.error(f"attribute 'num_groups' must be positive, got {groups}")

    def run(x: Array, scale: Array, bias: Array) -> Any:
        values = _standardized(x.reshape(x.shape[0], groups, -1), (2,), epsilon)
        if scale.shape == (groups,) and node.opset < 21:
            scale, bias = (np.repeat(part, x.shape[1] // groups) for part in (scale, bias))
        return values.reshape(x.shape) * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)

    return run


@operator("MeanVarianceNormalization", since=9)
def _mean_variance(node: Node) -> Function:
    axes = node.integers("axes", [0, 2, 3])

    def run(x: Array) -> Any:
        over = all_axes(axes, x.ndim)
        centered = x - x.mean(over, keepdims=True)
        return centered / (np.sqrt(np.square(centered).mean(over, keepdims=True)) + x.dtype.type(1e-9))

    return run


@operator("LpNormalization")
def _lp_norm(node: Node) -> Function:
    axis, p = node.integer("axis", -1), node.integer("p", 2)
    if p not in (1, 2):
        raise node.error(f"attribute 'p' must be 1 or 2, got {p}")

    def run(x: Array) -> Any:
        at = one_axis(axis, x.ndim)
        size = np.abs(x).sum(at, keepdims=True) if p == 1 else np.sqrt(np.square(x).sum(at, keepdims=True))
        return x / np.where(size == 0, 1, size).astype(x.dtype)

    return run


@operator("Dropout", inputs=(1, 3), outputs=2)
def _dropout(node: Node) -> Function:
    several = len(node.outputs) > 1
    if node.opset < 12:
        node.number("ratio", 0.5)
    else:
        node.integer("seed")

    def run(x: Array, ratio: Array | None = None, training: Array | None = None) -> Any:
        if training is not None and training.any() and (ratio is None or ratio.any()):
            raise ValueError("training mode is not supported")
        return (x, np.ones(x.shape, bool)) if several else x

    return run
