"""Attention layers as ONNX nodes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnpack import layers
from rnnpack.formats.onnx.export.builder import Builder, Call, Value, exports
from rnnpack.formats.onnx.export.plain import weight


def _want_scores(builder: Builder, call: Call, causal: bool = False) -> bool:
    """Whether the weights are an output too; refuses everything else that a call can ask for."""
    asked = {name: value for name, value in call.keywords.items() if value is not False}
    want = bool(asked.pop("return_attention_scores", False))
    if causal or asked:
        raise builder.error(f"masks of attention, here {', '.join(sorted(asked)) or 'causal'}")
    return want


@exports(layers.Attention, layers.AdditiveAttention, keywords=True)
def _attention(builder: Builder, layer: Any, call: Call) -> list[str]:
    want_scores = _want_scores(builder, call, layer.causal)
    query, value, *rest = call.inputs
    scores = _scores(builder, layer, query, rest[0] if rest else value)
    weights = builder.add("Softmax", scores, axis=-1)
    result = builder.add("MatMul", weights, value.name)
    return [result, weights] if want_scores else [result]


def _scores(builder: Builder, layer: Any, query: Value, key: Value) -> str:
    """How well keys go with queries: `(batch, queries, values)`."""
    additive = type(layer) is layers.AdditiveAttention
    scale = None if layer.scale is None else weight(builder, layer.scale, query.dtype)
    if not additive and layer.score_mode == "dot":
        scores = builder.add("MatMul", query.name, builder.transposed(key.name, 0, 2, 1))
        return scores if scale is None else builder.add("Mul", scores, scale)
    sums = builder.add("Add", builder.unsqueeze(query.name, 2), builder.unsqueeze(key.name, 1))
    if scale is not None and not additive:
        sums = builder.add("Mul", sums, scale)
    sums = builder.add("Tanh", sums)
    if scale is not None and additive:
        sums = builder.add("Mul", sums, scale)
    scores = builder.add("ReduceSum", sums, builder.constant([-1]), keepdims=0)
    if additive:
        return scores
    return builder.add("Mul", scores, weight(builder, layer.concat_score_weight, query.dtype))


@exports(layers.MultiHeadAttention, keywords=True)
def _multi_head_attention(builder: Builder, layer: Any, call: Call) -> list[str]:
    dtype, query = call.x.dtype, call.x
    value = call.keywords.pop("value")
    key = call.keywords.pop("key", value)
    want_scores = _want_scores(builder, call)
    if len(query.shape) != 3:
        raise builder.error(f"attention over several axes, inputs of shape {query.shape}")

    def heads(dense: Any, x: Value) -> str:
        """`(batch, time, heads, size)`."""
        kernel = np.asarray(dense.kernel.value)
        features, *sizes = kernel.shape
        product = builder.add(
            "MatMul", builder.cast(x, dtype).name, builder.constant(kernel.reshape(features, -1), dtype)
        )
        product = builder.reshape(product, 0, 0, *sizes)
        return (
            product if dense.bias is None else builder.add("Add", product, weight(builder, dense.bias, dtype))
        )

    factor = builder.constant(1 / math.sqrt(layer.key_dim), dtype)
    q = builder.transposed(builder.add("Mul", heads(layer._query_dense, query), factor), 0, 2, 1, 3)
    k = builder.transposed(heads(layer._key_dense, key), 0, 2, 3, 1)
    v = builder.transposed(heads(layer._value_dense, value), 0, 2, 1, 3)
    weights = builder.add("Softmax", builder.add("MatMul", q, k), axis=-1)
    means = builder.transposed(builder.add("MatMul", weights, v), 0, 2, 1, 3)
    kernel = np.asarray(layer._output_dense.kernel.value)
    rows = math.prod(kernel.shape[:2])
    result = builder.add(
        "MatMul", builder.reshape(means, 0, 0, rows), builder.constant(kernel.reshape(rows, -1), dtype)
    )
    sizes = kernel.shape[2:]
    if len(sizes) > 1:
        result = builder.reshape(result, 0, 0, *sizes)
    if layer._output_dense.bias is not None:
        result = builder.add("Add", result, weight(builder, layer._output_dense.bias, dtype))
    return [result, weights] if want_scores else [result]


@exports(layers.Dot)
def _dot(builder: Builder, layer: Any, call: Call) -> list[str]:
    shapes = [value.shape for value in call.inputs]
    names = []
    summed = layer._axes(shapes)
    for value, axis in zip(call.inputs, summed, strict=True):
        name = value.name
        if layer.normalize:
            squares = builder.add("ReduceSumSquare", name, axes=[axis])
            least = builder.constant(1e-12, value.dtype)
            name = builder.add("Div", name, builder.add("Sqrt", builder.add("Max", squares, least)))
        names.append(name)
    # Letters: a for the batch, z for what is summed over, the others in order.
    free = iter("bcdefghijklmnopqrstuvwxy")
    terms = [
        "".join("a" if at == 0 else "z" if at == axis else next(free) for at in range(len(shape)))
        for shape, axis in zip(shapes, summed, strict=True)
    ]
    rest = [letter for term in terms for letter in term if letter not in "az"]
    product = builder.add("Einsum", *names, equation=f"{','.join(terms)}->a{''.join(rest)}")
    return [product if rest else builder.unsqueeze(product, 1)]
