"""Convolution, pooling, and layers applied to every timestep, as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack import layers
from rnnpack.formats.onnx.export.builder import Builder, Call, Value, exports
from rnnpack.formats.onnx.export.functions import activated
from rnnpack.formats.onnx.export.plain import weight


def _channels_first(builder: Builder, layer: Any, call: Call) -> str:
    """The input as `(batch, channels, time)`."""
    if len(call.x.shape) != 3:
        raise builder.error(f"inputs must have 3 axes, got shape {call.x.shape}")
    if layer.data_format == "channels_first":
        return call.x.name
    return builder.transposed(call.x.name, 0, 2, 1)


def _back(builder: Builder, layer: Any, x: str) -> str:
    return x if layer.data_format == "channels_first" else builder.transposed(x, 0, 2, 1)


def _padding(layer: Any, kernel: int, dilation: int) -> dict[str, Any]:
    """The attributes for the padding of a window."""
    if layer.padding == "causal":
        return {"pads": [(kernel - 1) * dilation, 0]}
    if layer.padding == "valid":
        return {}
    if layer.strides[0] == 1:
        total = (kernel - 1) * dilation
        return {"pads": [total // 2, total - total // 2]}
    return {"auto_pad": "SAME_UPPER"}


def _convolved(builder: Builder, layer: Any, x: str, kernel: Any, groups: int, bias: Any, dtype: Any) -> str:
    """A convolution of `(batch, channels, time)` with `(filters, channels of a group, taps)`."""
    inputs = [x, builder.constant(kernel, dtype)]
    if bias is not None:
        inputs.append(weight(builder, bias, dtype))
    return builder.add(
        "Conv",
        *inputs,
        group=groups,
        kernel_shape=[kernel.shape[2]],
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        **_padding(layer, kernel.shape[2], layer.dilation_rate[0]),
    )


@exports(layers.Conv1D)
def _conv(builder: Builder, layer: Any, call: Call) -> list[str]:
    kernel = np.asarray(layer.kernel.value).transpose(2, 1, 0)
    x = _channels_first(builder, layer, call)
    x = _convolved(builder, layer, x, kernel, layer.groups, layer.bias, call.x.dtype)
    return [activated(builder, layer.activation, _back(builder, layer, x), call.x.dtype)]


def _depthwise_kernel(layer: Any) -> tuple[Any, int]:
    """Kernel `(channels * multiplier, 1, taps)` and number of channels."""
    kernel = np.asarray(layer.depthwise_kernel.value)
    taps, channels, multiplier = kernel.shape
    return kernel.transpose(1, 2, 0).reshape(channels * multiplier, 1, taps), channels


@exports(layers.DepthwiseConv1D)
def _depthwise(builder: Builder, layer: Any, call: Call) -> list[str]:
    kernel, channels = _depthwise_kernel(layer)
    x = _channels_first(builder, layer, call)
    x = _convolved(builder, layer, x, kernel, channels, layer.bias, call.x.dtype)
    return [activated(builder, layer.activation, _back(builder, layer, x), call.x.dtype)]


@exports(layers.SeparableConv1D)
def _separable(builder: Builder, layer: Any, call: Call) -> list[str]:
    kernel, channels = _depthwise_kernel(layer)
    x = _channels_first(builder, layer, call)
    x = _convolved(builder, layer, x, kernel, channels, None, call.x.dtype)
    inputs = [x, builder.constant(np.asarray(layer.pointwise_kernel.value).transpose(2, 1, 0), call.x.dtype)]
    if layer.bias is not None:
        inputs.append(weight(builder, layer.bias, call.x.dtype))
    x = builder.add("Conv", *inputs)
    return [activated(builder, layer.activation, _back(builder, layer, x), call.x.dtype)]


@exports(layers.MaxPooling1D, layers.AveragePooling1D)
def _pool(builder: Builder, layer: Any, call: Call) -> list[str]:
    op = "MaxPool" if type(layer) is layers.MaxPooling1D else "AveragePool"
    x = builder.add(
        op,
        _channels_first(builder, layer, call),
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
        **_padding(layer, layer.pool_size[0], 1),
    )
    return [_back(builder, layer, x)]


@exports(layers.GlobalMaxPooling1D, layers.GlobalAveragePooling1D)
def _global_pool(builder: Builder, layer: Any, call: Call) -> list[str]:
    op = "ReduceMax" if type(layer) is layers.GlobalMaxPooling1D else "ReduceMean"
    axis = 1 if layer.data_format == "channels_last" else 2
    return [builder.add(op, call.x.name, axes=[axis], keepdims=int(layer.keepdims))]


@exports(layers.TimeDistributed, floats=False)
def _time_distributed(builder: Builder, layer: Any, call: Call) -> list[str]:
    if len(call.inputs) != 1 or any(size is None for size in call.x.shape[2:]):
        raise builder.error(f"one input of known sizes is needed, got {[v.shape for v in call.inputs]}")
    rest = call.x.shape[2:]
    rows = Value(
        builder.add("Reshape", call.x.name, builder.constant([-1, *rest])), (None, *rest), call.x.dtype
    )
    outputs = call.graph.layer(layer.layer, [rows], {})
    shape = builder.add("Shape", call.x.name, start=0, end=2)
    found = []
    for name in outputs:
        sizes = builder.add("Shape", name, start=1)
        found.append(builder.add("Reshape", name, builder.add("Concat", shape, sizes, axis=0)))
    return found
