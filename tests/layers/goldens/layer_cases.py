"""Cases for the layers that are not recurrent: what to make, what to call it on. No numbers."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

Case = dict[str, Any]

# (2, 5), True where the timestep counts.
MASK = np.array([[True, True, True, False, False], [True, False, True, True, True]])
SHORT = np.array([[True, True, False], [False, True, True]])

X = (2, 5, 3)
_OPTIONS = {
    "kernel_initializer": {"class_name": "HeNormal", "config": {"seed": None}},
    "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.25}},
    "bias_constraint": {"class_name": "NonNeg", "config": {}},
}


def case(class_name: str, config: Any = None, *shapes: Any, **given: Any) -> Case:
    """A layer and its call: `shapes` of float inputs (default one of (2, 5, 3)); several make a list.

    `given`: `masks` (one for every input, or None), `inputs` (instead of shapes), `call` (keywords),
    `spread` (inputs as positional arguments), `single` (a list even of one input).
    """
    shapes = shapes or (X,)
    dtype = (config or {}).get("dtype", "float32")
    label = [class_name, str(config or {}), str(shapes), str(sorted(given.items(), key=str))]
    seed = zlib.crc32("".join(label).encode())
    rng = np.random.default_rng(seed)
    kind = np.float64 if dtype == "float64" else np.float32
    arrays = [(np.round(rng.normal(size=shape) * 64) / 64).astype(kind) for shape in shapes]
    return {
        "name": f"{class_name}-{seed % 1000:03}",
        "class_name": class_name,
        "config": config or {},
        "inputs": given.get("inputs", arrays),
        "masks": given.get("masks", [None] * len(given.get("inputs", arrays))),
        "call": given.get("call", {}),
        "spread": given.get("spread", False),
        "list": given.get("single", len(arrays) > 1 and not given.get("spread", False)),
        "seed": seed,
    }


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    """A nested layer."""
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


def element_wise() -> list[Case]:
    """Layers that keep the shape."""
    masked: Any = {"masks": [MASK]}
    plain = [
        case("Activation", {"activation": name})
        for name in ("tanh", "relu", "softmax", "sigmoid", "gelu", "swish", "hard_sigmoid")
    ]
    return [
        *plain,
        case("Activation", {"activation": "elu"}, **masked),
        case("ReLU"),
        case("ReLU", {"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.3}),
        case("LeakyReLU", {"alpha": 0.1}, **masked),
        case("ELU", {"alpha": 0.7}, **masked),
        case("ELU", {"dtype": "float64"}),
        case("ThresholdedReLU", {"theta": 0.6}, **masked),
        case("PReLU", {"alpha_initializer": "ones"}, **masked),
        case("PReLU", {"shared_axes": [1]}),
        case("PReLU", {"dtype": "mixed_float16"}),
        case("Softmax"),
        case("Softmax", {"axis": [1, 2]}),
        case("Softmax", {"axis": 1}, (2, 5), masks=[MASK]),
        case("Softmax", {"dtype": "float64"}, (2, 5), masks=[MASK]),
        case("Dropout", {"rate": 0.4, "noise_shape": [None, 1, None], "seed": 3}, **masked),
        case("SpatialDropout1D", {"rate": 0.4}, **masked),
        case("GaussianNoise", {"stddev": 0.4}, **masked),
        case("GaussianDropout", {"rate": 0.4}, **masked),
        case("AlphaDropout", {"rate": 0.4, "seed": 1}, **masked),
        case("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, **masked),
        case("Identity", None, **masked),
        case("Rescaling", {"scale": 0.5, "offset": -1.0}, **masked),
        case("Rescaling", {"scale": 1 / 255}, inputs=[np.arange(30).reshape(X)]),
    ]


def dense_and_embedding() -> list[Case]:
    """Layers with a kernel or a table."""
    words = np.array([[1, 4, 0, 0], [7, 2, 3, 0]])
    table: Any = {"input_dim": 8, "output_dim": 3}
    return [
        case("Dense", {"units": 4}, (3, 6)),
        case("Dense", {"units": 4, "activation": "relu", **_OPTIONS}, masks=[MASK]),
        case("Dense", {"units": 2, "use_bias": False, "activation": "softmax"}, (2, 3, 4, 5)),
        case("Dense", {"units": 4, "dtype": "float64", "activation": "tanh"}),
        case("Dense", {"units": 4, "dtype": "float16"}),
        case("Dense", {"units": 4, "dtype": "mixed_float16"}),
        case("Dense", {"units": 4}, inputs=[np.arange(12).reshape(3, 4)]),
        case("Dense", {"units": 4}, (0, 6)),
        case("Embedding", table, inputs=[words]),
        case("Embedding", {**table, "mask_zero": True, "input_length": 4}, inputs=[words.astype("f")]),
        case("Embedding", {**table, "mask_zero": True, "dtype": "mixed_float16"}, inputs=[words]),
        case("Embedding", {**table, "dtype": "float64"}, inputs=[words.reshape(2, 2, 2)]),
        case("TimeDistributed", {"layer": layer("Dense", units=4, activation="tanh")}, masks=[MASK]),
        case("TimeDistributed", {"layer": layer("Flatten")}, (2, 5, 3, 2)),
        case("TimeDistributed", {"layer": layer("LSTM", units=4)}, (2, 3, 4, 2)),
        case(
            "TimeDistributed",
            {"layer": layer("LSTM", units=4, return_sequences=True)},
            (2, 2, 5, 3),
            masks=[np.stack([MASK, MASK[::-1]])],
        ),
        case(
            "TimeDistributed",
            {"layer": layer("Embedding", **table, mask_zero=True)},
            inputs=[words.reshape(2, 2, 2)],
        ),
        case("TimeDistributed", {"layer": layer("Concatenate")}, (2, 5, 3, 2), (2, 5, 3, 1)),
    ]


def reshaping() -> list[Case]:
    """Layers that move numbers."""
    return [
        case("Flatten", None, (2, 3, 4), masks=[MASK[:, :3]]),
        case("Flatten", {"data_format": "channels_first"}, (2, 3, 4, 2)),
        case("Flatten", None, (4,)),
        case("Flatten", None, (0, 3)),
        case("Reshape", {"target_shape": [3, 5]}, masks=[MASK]),
        case("Reshape", {"target_shape": [-1, 5]}),
        case("Reshape", {"target_shape": [15]}, inputs=[np.arange(30).reshape(X)]),
        case("Permute", {"dims": [2, 1]}, masks=[MASK]),
        case("Permute", {"dims": [3, 1, 2]}, (2, 3, 4, 5)),
        case("RepeatVector", {"n": 3}, (2, 4)),
        case("ZeroPadding1D", {"padding": [2, 1]}, masks=[MASK]),
        case("ZeroPadding1D"),
        case("Cropping1D", {"cropping": [1, 2]}, masks=[MASK]),
        case("Cropping1D", {"cropping": [2, 0]}),
        case("UpSampling1D", {"size": 3}, masks=[MASK]),
    ]


def merging() -> list[Case]:
    """Layers with several inputs."""
    both: Any = {"masks": [MASK, MASK[::-1]]}
    names = ("Add", "Multiply", "Average", "Maximum", "Minimum")
    return [
        *(case(name, None, X, X, X, masks=[MASK, None, MASK[::-1]]) for name in names),
        *(case(name, None, X, (2, 3)) for name in names),
        case("Subtract", None, X, X, **both),
        case("Add", None, X, (2, 1, 3), (2, 5, 1)),
        case("Add", {"dtype": "float64"}, X, X),
        case("Concatenate", None, X, (2, 5, 2), **both),
        case("Concatenate", {"axis": 1}, X, (2, 3, 3), masks=[MASK, SHORT]),
        case("Concatenate", None, X, X, masks=[None, MASK]),
        case("Concatenate", {"axis": 1}, (2, 3), (2, 2)),
        case("Concatenate", {"axis": 0}, X, X),
        case("Dot", {"axes": 1}, (3, 4), (3, 4)),
        case("Dot", {"axes": 2, "normalize": True}, X, (2, 4, 3), masks=[MASK, None]),
        case("Dot", {"axes": [1, 2]}, X, (2, 4, 5)),
        case("Dot", {"axes": -1}, (2, 3, 4, 5), (2, 5)),
        case("Dot", {"axes": [2, 1]}, (2, 5, 3), (2, 3, 4, 2)),
    ]


def normalization() -> list[Case]:
    """Statistics of the inputs, or learned ones."""
    return [
        case("LayerNormalization", None, masks=[MASK]),
        case("LayerNormalization", {"axis": [1, 2], "epsilon": 1e-5}),
        case("LayerNormalization", {"axis": 1, "center": False}),
        case("LayerNormalization", {"axis": [2, 1]}, (2, 3, 3)),
        case("LayerNormalization", {"axis": [1, -1], "scale": False}, (2, 3, 4, 5)),
        case("LayerNormalization", {"dtype": "float64"}),
        case("LayerNormalization", {"dtype": "float16"}),
        case("LayerNormalization", {"dtype": "mixed_float16"}),
        case("GroupNormalization", {"groups": 2}, (2, 5, 6)),
        case("GroupNormalization", {"groups": -1, "axis": 1, "epsilon": 1e-4}),
        case("GroupNormalization", {"groups": 3, "axis": -2, "scale": False}, (2, 3, 6, 2)),
        case("GroupNormalization", {"groups": 1, "dtype": "float64"}, (2, 6), masks=[MASK[:, :1]]),
        case("GroupNormalization", {"groups": 2}, (2, 6), masks=[np.array([[True, False] * 3, [True] * 6])]),
        case("BatchNormalization", None, masks=[MASK]),
        case("BatchNormalization", None, (4, 3), call={"training": True}),
        case("BatchNormalization", None, masks=[MASK], call={"training": True}),
        case("BatchNormalization", {"trainable": False}, call={"training": True}),
        case("BatchNormalization", {"axis": 1, "epsilon": 1e-4, "momentum": 0.9}),
        case("BatchNormalization", {"axis": [1, 2]}, call={"training": True}),
        case("BatchNormalization", {"axis": [1, 2], "center": False}),
        case("BatchNormalization", {"scale": False, "dtype": "float64"}),
        case("BatchNormalization", {"dtype": "float16"}),
        case("BatchNormalization", {"dtype": "mixed_float16"}, (2, 3, 4, 5)),
    ]


def convolution_and_pooling() -> list[Case]:
    """Windows over time."""
    conv: Any = {"filters": 4, "kernel_size": 3}
    first: Any = {"data_format": "channels_first"}
    cases = [
        case("Conv1D", conv, masks=[MASK]),
        case("Conv1D", {**conv, "padding": "same", "strides": 2, "activation": "relu", **_OPTIONS}),
        case("Conv1D", {**conv, "padding": "same", "strides": 3}, (2, 7, 3)),
        case("Conv1D", {**conv, "padding": "causal", "dilation_rate": 2}, (2, 7, 3)),
        case("Conv1D", {**conv, "padding": "same", "dilation_rate": 2, "use_bias": False}, (2, 7, 3)),
        case("Conv1D", {**conv, "dtype": "float64", "kernel_size": [2]}),
        case("Conv1D", {**conv, "dtype": "mixed_float16"}),
        case("Conv1D", conv, (2, 2, 5, 3)),
        case("Conv1D", {**conv, "filters": 6, "groups": 3}, (2, 5, 6)),
        case("SeparableConv1D", {**conv, "depth_multiplier": 2}, masks=[MASK]),
        case("SeparableConv1D", {**conv, "padding": "causal", "activation": "tanh"}),
        case("SeparableConv1D", {**conv, "padding": "same", "strides": 2, "use_bias": False}, (2, 6, 3)),
        case("SeparableConv1D", {**conv, "dilation_rate": 2}, (2, 7, 3)),
        case("DepthwiseConv1D", {"kernel_size": 2, "depth_multiplier": 2}),
        case("DepthwiseConv1D", {"kernel_size": 3, "padding": "same", "dilation_rate": 2}, (2, 7, 3)),
        case("DepthwiseConv1D", {"kernel_size": 3, "padding": "same", "strides": 2, "dtype": "float64"}),
        case("GlobalAveragePooling1D", None, masks=[MASK]),
        case("GlobalAveragePooling1D", {"keepdims": True}),
        case("GlobalAveragePooling1D", {"keepdims": True, "dtype": "float64"}, masks=[MASK]),
        case("GlobalAveragePooling1D", first, (2, 3, 5), masks=[MASK]),
        case("GlobalMaxPooling1D", None, masks=[MASK]),
        case("GlobalMaxPooling1D", {**first, "keepdims": True}),
    ]
    wider: Any = (
        {}, {"strides": 2}, {"strides": 2, "padding": "same"}, {"strides": 3, "output_padding": 1},
        {"strides": 3, "padding": "same", "output_padding": 2}, {"strides": 4, "dtype": "float64"},
    )  # fmt: skip
    cases += [case("Conv1DTranspose", {**conv, **own}) for own in wider]
    for name in ("MaxPooling1D", "AveragePooling1D"):
        cases += [
            case(name, None, masks=[MASK]),
            case(name, {"padding": "same"}),
            case(name, {"pool_size": 3, "strides": 1, "padding": "same", "dtype": "float64"}),
            case(name, {"pool_size": 3, "strides": 2}, (2, 8, 3)),
        ]
    return cases


def attention() -> list[Case]:
    """Queries, values and keys."""
    pair, three = [X, (2, 3, 3)], [X, (2, 3, 4), (2, 3, 3)]
    heads: Any = {"num_heads": 2, "key_dim": 3}
    seen = np.tril(np.ones((2, 5, 3), bool), 1)
    scores = {"return_attention_scores": True}
    cases = [
        case("Attention", None, *pair),
        case("Attention", {"use_scale": True}, *three, masks=[MASK, SHORT, None], call=scores),
        case("Attention", {"score_mode": "concat"}, *pair, call={"use_causal_mask": True}),
        case("Attention", {"score_mode": "concat", "use_scale": True}, *pair, masks=[None, SHORT]),
        case("Attention", {"dropout": 0.5}, *pair, masks=[MASK, None]),
        case("Attention", {"dtype": "float64"}, *three),
        case("Attention", {"dtype": "mixed_float16"}, *pair, masks=[None, SHORT]),
        case("AdditiveAttention", None, *pair, masks=[MASK, SHORT]),
        case("AdditiveAttention", {"use_scale": False}, *pair, call={"use_causal_mask": True, **scores}),
        case("AdditiveAttention", {"dtype": "float64"}, X, (2, 3, 3), (2, 3, 3)),
    ]
    spread: Any = {"spread": True}
    cases += [
        case("MultiHeadAttention", heads, *pair, **spread),
        case("MultiHeadAttention", {**heads, "value_dim": 2}, *three, **spread, call=scores),
        case("MultiHeadAttention", heads, *pair, **spread, call={"attention_mask": seen}),
        case("MultiHeadAttention", heads, *pair, **spread, masks=[MASK, SHORT], call=scores),
        case("MultiHeadAttention", heads, X, X, **spread, masks=[MASK, MASK], call={"use_causal_mask": True}),
        case("MultiHeadAttention", {**heads, "use_bias": False, "output_shape": 4}, X, X, **spread),
        case("MultiHeadAttention", {**heads, "dropout": 0.3}, *three, **spread, masks=[None, SHORT, SHORT]),
        case("MultiHeadAttention", {**heads, "attention_axes": [2]}, (2, 3, 4, 5), (2, 3, 2, 5), **spread),
        case("MultiHeadAttention", heads, (2, 3, 2, 5), (2, 3, 2, 5), **spread, call=scores),
        case("MultiHeadAttention", {**heads, "attention_axes": 1}, (2, 3, 2, 5), (2, 4, 2, 5), **spread),
        case("MultiHeadAttention", {**heads, "dtype": "float64"}, *pair, **spread),
        case("MultiHeadAttention", {**heads, "dtype": "mixed_float16"}, *pair, **spread),
    ]
    return cases


def cases() -> list[Case]:
    """All of them."""
    return [
        *element_wise(),
        *dense_and_embedding(),
        *reshaping(),
        *merging(),
        *normalization(),
        *convolution_and_pooling(),
        *attention(),
    ]
