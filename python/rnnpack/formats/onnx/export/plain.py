"""Dense layers, activations, merging, reshaping and normalization as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack import layers
from rnnpack.formats.onnx.export.builder import Builder, Call, exports
from rnnpack.formats.onnx.export.functions import activated


def weight(builder: Builder, variable: Any, dtype: Any) -> str:
    """A layer's weight as a constant."""
    return builder.constant(np.asarray(variable.value), dtype)


@exports(layers.Dense)
def _dense(builder: Builder, layer: Any, call: Call) -> list[str]:
    x = builder.add("MatMul", call.x.name, weight(builder, layer.kernel, call.x.dtype))
    if layer.bias is not None:
        x = builder.add("Add", x, weight(builder, layer.bias, call.x.dtype))
    return [activated(builder, layer.activation, x, call.x.dtype)]


@exports(layers.Embedding, floats=False)
def _embedding(builder: Builder, layer: Any, call: Call) -> list[str]:
    table = weight(builder, layer.embeddings, layer.dtype_policy.compute_dtype)
    return [builder.add("Gather", table, builder.cast(call.x, np.int64).name)]


@exports(
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.AlphaDropout,
    layers.ActivityRegularization,
    layers.Identity,
    floats=False,
)
def _nothing(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [value.name for value in call.inputs]


@exports(layers.Rescaling)
def _rescaling(builder: Builder, layer: Any, call: Call) -> list[str]:
    scaled = builder.add("Mul", call.x.name, builder.constant(layer.scale, call.x.dtype))
    return [builder.add("Add", scaled, builder.constant(layer.offset, call.x.dtype))]


# Activations.


@exports(layers.Activation)
def _activation(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [activated(builder, layer.activation, call.x.name, call.x.dtype)]


@exports(layers.ReLU)
def _relu(builder: Builder, layer: Any, call: Call) -> list[str]:
    x, dtype = call.x.name, call.x.dtype
    if layer.threshold == 0 and layer.negative_slope == 0:
        result = builder.add("Relu", x)
    else:
        threshold = builder.constant(layer.threshold, dtype)
        moved = builder.add("Sub", x, threshold)
        low = builder.add("Mul", moved, builder.constant(layer.negative_slope, dtype))
        result = builder.add("Where", builder.add("Less", x, threshold), low, x)
    if layer.max_value is not None:
        result = builder.add("Min", result, builder.constant(layer.max_value, dtype))
    return [result]


@exports(layers.LeakyReLU)
def _leaky_relu(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [builder.add("LeakyRelu", call.x.name, alpha=float(layer.alpha))]


@exports(layers.PReLU)
def _prelu(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [builder.add("PRelu", call.x.name, weight(builder, layer.alpha, call.x.dtype))]


@exports(layers.ELU)
def _elu(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [builder.add("Elu", call.x.name, alpha=float(layer.alpha))]


@exports(layers.ThresholdedReLU)
def _thresholded_relu(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [builder.add("ThresholdedRelu", call.x.name, alpha=float(layer.theta))]


@exports(layers.Softmax)
def _softmax(builder: Builder, layer: Any, call: Call) -> list[str]:
    if isinstance(layer.axis, (list, tuple)) and len(layer.axis) != 1:
        raise builder.error(f"ONNX's Softmax has one axis, got {layer.axis}")
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    return [builder.add("Softmax", call.x.name, axis=int(axis))]


# Merging.

_MERGES = {
    layers.Add: "Add",
    layers.Multiply: "Mul",
    layers.Subtract: "Sub",
    layers.Maximum: "Max",
    layers.Minimum: "Min",
    layers.Average: "Add",
}


@exports(*_MERGES, floats=False)
def _merge(builder: Builder, layer: Any, call: Call) -> list[str]:
    if len({len(value.shape) for value in call.inputs}) > 1:
        raise builder.error(f"inputs of different ranks, {[value.shape for value in call.inputs]}")
    first, *rest = [value.name for value in call.inputs]
    for name in rest:
        first = builder.add(_MERGES[type(layer)], first, name)
    if type(layer) is layers.Average:
        count = builder.constant(len(call.inputs), call.x.dtype)
        first = builder.add("Div", first, count)
    return [first]


@exports(layers.Concatenate, floats=False)
def _concatenate(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [builder.add("Concat", *(value.name for value in call.inputs), axis=int(layer.axis))]


# Shapes.


@exports(layers.Flatten, floats=False)
def _flatten(builder: Builder, layer: Any, call: Call) -> list[str]:
    x = call.x.name
    rank = len(call.x.shape)
    if layer.data_format == "channels_first" and rank > 2:
        x = builder.transposed(x, 0, *range(2, rank), 1)
    return [builder.reshape(x, 0, -1)]


@exports(layers.Reshape, floats=False)
def _reshape(builder: Builder, layer: Any, call: Call) -> list[str]:
    if 0 in layer.target_shape:
        raise builder.error(f"target_shape {layer.target_shape} has a size of 0")
    return [builder.reshape(call.x.name, 0, *layer.target_shape)]


@exports(layers.Permute, floats=False)
def _permute(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [builder.transposed(call.x.name, 0, *layer.dims)]


@exports(layers.RepeatVector, floats=False)
def _repeat_vector(builder: Builder, layer: Any, call: Call) -> list[str]:
    return [builder.add("Tile", builder.unsqueeze(call.x.name, 1), builder.constant([1, layer.n, 1]))]


@exports(layers.ZeroPadding1D, floats=False)
def _zero_padding(builder: Builder, layer: Any, call: Call) -> list[str]:
    before, after = layer.padding
    return [builder.add("Pad", call.x.name, builder.constant([0, before, 0, 0, after, 0]))]


@exports(layers.Cropping1D, floats=False)
def _cropping(builder: Builder, layer: Any, call: Call) -> list[str]:
    before, after = layer.cropping
    return [builder.cut(call.x.name, 1, before, -after if after else np.iinfo(np.int64).max)]


@exports(layers.UpSampling1D, floats=False)
def _up_sampling(builder: Builder, layer: Any, call: Call) -> list[str]:
    features = call.x.shape[2]
    if features is None:
        raise builder.error("the number of features is not known")
    copies = builder.add("Tile", builder.unsqueeze(call.x.name, 2), builder.constant([1, 1, layer.size, 1]))
    return [builder.reshape(copies, 0, -1, features)]


# Normalization.


@exports(layers.LayerNormalization)
def _layer_normalization(builder: Builder, layer: Any, call: Call) -> list[str]:
    x, dtype = call.x.name, call.x.dtype
    axes = sorted(layer.axis)
    centered = builder.add("Sub", x, builder.add("ReduceMean", x, axes=axes))
    variance = builder.add("ReduceMean", builder.add("Mul", centered, centered), axes=axes)
    raised = builder.add("Add", variance, builder.constant(layer.epsilon, dtype))
    x = builder.add("Div", centered, builder.add("Sqrt", raised))
    shape = tuple(size or 1 for size in call.x.shape)
    for op, variable in (("Mul", layer.gamma), ("Add", layer.beta)):
        if variable is not None:
            x = builder.add(op, x, builder.constant(layer._parameter(variable, shape), dtype))
    return [x]


@exports(layers.BatchNormalization)
def _batch_normalization(builder: Builder, layer: Any, call: Call) -> list[str]:
    def parameter(variable: Any) -> Any:
        return layer._parameter(variable, tuple(size or 1 for size in call.x.shape))

    mean, variance = parameter(layer.moving_mean), parameter(layer.moving_variance)
    factor = 1 / np.sqrt(variance + variance.dtype.type(layer.epsilon))
    if layer.gamma is not None:
        factor = factor * parameter(layer.gamma)
    x = builder.add("Sub", call.x.name, builder.constant(mean, call.x.dtype))
    x = builder.add("Mul", x, builder.constant(factor, call.x.dtype))
    if layer.beta is not None:
        x = builder.add("Add", x, builder.constant(parameter(layer.beta), call.x.dtype))
    return [x]
