"""Convolution, pooling, normalization, attention and products of random shapes against float64 loops.

Bounds are `k eps norm`: k the number of roundings on the way to one output, n for a sum of n terms plus a few
for each function; norm the sum of absolute values of its terms, from the oracle on absolute values.
"""

from __future__ import annotations

import layer_oracles as oracles
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnnpack import layers

DTYPES = st.sampled_from(["float32", "float64"])
FEW = settings(max_examples=40)
SEEDS = st.integers(0, 2**20)


def close(actual, expected, terms, norm, dtype):
    """Compare within `terms` roundings of values up to `norm`."""
    assert actual.dtype == dtype
    bound = (terms + 8) * np.finfo(dtype).eps * np.maximum(norm, 1e-30)
    assert np.all(np.abs(actual - expected) <= bound)


def filled(layer, rng, *shapes):
    """Builds the layer with random weights, which come back as float64."""
    layer(*(np.zeros(shape, layer.dtype) for shape in shapes))
    layer.set_weights([rng.normal(size=w.shape).astype(layer.dtype) for w in layer.get_weights()])
    return [w.astype(np.float64) for w in layer.get_weights()]


@FEW
@given(
    dtype=DTYPES,
    seed=SEEDS,
    length=st.integers(1, 9),
    width=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same", "causal"]),
    groups=st.integers(1, 3),
    first=st.booleans(),
)
def test_conv1d(dtype, seed, length, width, stride, dilation, padding, groups, first):
    assume(stride == 1 or dilation == 1)
    assume(padding != "valid" or length > (width - 1) * dilation)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, length, 2 * groups)).astype(dtype)
    given_x = x.swapaxes(1, 2) if first else x
    layer = layers.Conv1D(
        3 * groups, width, stride, padding, "channels_first" if first else None, dilation, groups, dtype=dtype
    )
    kernel, bias = filled(layer, rng, given_x.shape)
    arguments = (stride, dilation, padding, groups)
    got = layer(given_x)
    expected = oracles.conv1d(x, kernel, *arguments) + bias
    norm = oracles.conv1d(np.abs(x), np.abs(kernel), *arguments) + np.abs(bias)
    close(got.swapaxes(1, 2) if first else got, expected, 2 * width, norm, dtype)
    assert layer.compute_output_shape(given_x.shape) == got.shape


@FEW
@given(
    dtype=DTYPES,
    seed=SEEDS,
    length=st.integers(1, 9),
    width=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same"]),
    multiplier=st.integers(1, 3),
    separable=st.booleans(),
)
def test_depthwise_and_separable(
    dtype, seed, length, width, stride, dilation, padding, multiplier, separable
):
    assume(stride == 1 or dilation == 1)
    assume(padding != "valid" or length > (width - 1) * dilation)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, length, 3)).astype(dtype)
    own = {"strides": stride, "padding": padding, "dilation_rate": dilation, "depth_multiplier": multiplier}
    if separable:
        layer = layers.SeparableConv1D(4, width, **own, dtype=dtype)
        kernel, pointwise, bias = filled(layer, rng, x.shape)
    else:
        layer = layers.DepthwiseConv1D(width, **own, dtype=dtype)
        kernel, bias = filled(layer, rng, x.shape)
    expected = oracles.depthwise(x, kernel, stride, dilation, padding)
    norm = oracles.depthwise(np.abs(x), np.abs(kernel), stride, dilation, padding)
    if separable:
        expected, norm = expected @ pointwise[0], norm @ np.abs(pointwise[0])
    close(layer(x), expected + bias, width + 3 * multiplier, norm + np.abs(bias), dtype)


@FEW
@given(
    dtype=DTYPES,
    seed=SEEDS,
    length=st.integers(1, 6),
    width=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    same=st.booleans(),
    first=st.booleans(),
)
def test_conv1d_transpose(dtype, seed, length, width, stride, dilation, same, first):
    assume(stride == 1 or dilation == 1)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, length, 3)).astype(dtype)
    given_x = x.swapaxes(1, 2) if first else x
    layer = layers.Conv1DTranspose(
        4,
        width,
        stride,
        "same" if same else "valid",
        None,
        "channels_first" if first else None,
        dilation,
        dtype=dtype,
    )
    kernel, bias = filled(layer, rng, given_x.shape)
    got = layer(given_x)
    expected = oracles.conv1d_transpose(x, kernel, stride, dilation, same) + bias
    norm = oracles.conv1d_transpose(np.abs(x), np.abs(kernel), stride, dilation, same) + np.abs(bias)
    close(got.swapaxes(1, 2) if first else got, expected, 3 * width, norm, dtype)
    assert layer.compute_output_shape(given_x.shape) == got.shape


@FEW
@given(
    dtype=DTYPES,
    seed=SEEDS,
    length=st.integers(1, 9),
    width=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.sampled_from(["valid", "same"]),
    first=st.booleans(),
)
def test_pooling(dtype, seed, length, width, stride, padding, first):
    assume(padding == "same" or length >= width)
    x = np.random.default_rng(seed).normal(size=(2, length, 3)).astype(dtype)
    given_x = x.swapaxes(1, 2) if first else x
    for cls, function in ((layers.MaxPooling1D, np.max), (layers.AveragePooling1D, np.mean)):
        layer = cls(width, stride, padding, "channels_first" if first else "channels_last", dtype=dtype)
        got = layer(given_x)
        expected = oracles.pool(x.astype(np.float64), function, width, stride, padding)
        close(got.swapaxes(1, 2) if first else got, expected, width, np.abs(x).max(), dtype)
        assert layer.compute_output_shape(given_x.shape) == got.shape


@FEW
@given(
    dtype=DTYPES,
    seed=SEEDS,
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    data=st.data(),
    offset=st.sampled_from([0.0, 3.0]),
)
def test_layer_normalization(dtype, seed, shape, data, offset):
    rank = len(shape)
    axes = data.draw(st.lists(st.integers(1, rank - 1), min_size=1, unique=True).map(sorted))
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) + offset).astype(dtype)
    layer = layers.LayerNormalization([axis - rank for axis in axes], dtype=dtype)
    gamma, beta = filled(layer, rng, x.shape)
    inner = [n if axis in axes else 1 for axis, n in enumerate(shape)]
    expected = oracles.normalized(x.astype(np.float64), tuple(axes), 1e-3)
    expected = expected * gamma.reshape(inner) + beta.reshape(inner)
    # Differences from the mean lose `n eps |x|`, and are divided by at least sqrt(epsilon).
    norm = np.abs(x).max() / np.sqrt(1e-3) * (np.abs(gamma).max() + 1) + np.abs(beta).max()
    close(layer(x), expected, x[:1].size, norm, dtype)


@FEW
@given(dtype=DTYPES, seed=SEEDS, rows=st.integers(1, 6), training=st.booleans())
def test_batch_normalization(dtype, seed, rows, training):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5, 3)).astype(dtype)
    layer = layers.BatchNormalization(dtype=dtype)
    filled(layer, rng, x.shape)
    values = layer.get_weights()
    values[3] = np.abs(values[3])
    layer.set_weights(values)
    gamma, beta, mean, variance = (w.astype(np.float64) for w in values)
    if training:
        expected = oracles.normalized(x.astype(np.float64), (0, 1), 1e-3) * gamma + beta
    else:
        expected = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    norm = (np.abs(x).max() + np.abs(mean).max()) / np.sqrt(1e-3) * (np.abs(gamma).max() + 1) + np.abs(beta)
    close(layer(x, training=training), expected, x.size, norm, dtype)
    for got, before in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_array_equal(got, before)


@FEW
@given(
    dtype=DTYPES,
    seed=SEEDS,
    queries=st.integers(1, 5),
    others=st.integers(1, 5),
    causal=st.booleans(),
    masked=st.booleans(),
    heads=st.integers(1, 3),
)
def test_attention_and_multi_head_attention(dtype, seed, queries, others, causal, masked, heads):
    rng = np.random.default_rng(seed)
    query, value, key = (
        rng.normal(size=shape).astype(dtype) for shape in ((2, queries, 3), (2, others, 4), (2, others, 3))
    )
    mask = rng.random((2, others)) < 0.6 if masked else None
    if masked:
        mask[:, 0] = True  # each query sees something
    wide = [a.astype(np.float64) for a in (query, value, key)]
    got = layers.Attention(dtype=dtype)(
        [query, value, key], mask=[None, mask] if masked else None, use_causal_mask=causal
    )
    # A score is off by `3 eps |query| |key|`, which its weight takes over as a factor.
    scores = np.abs(query).max() * np.abs(key).max() * 3
    close(got, oracles.attention(*wide, mask, causal), others + 3 * scores, np.abs(value).max(), dtype)

    layer = layers.MultiHeadAttention(heads, 2, dtype=dtype)
    weights = filled(layer, rng, query.shape, key.shape)
    seen = None if mask is None else np.broadcast_to(mask[:, None], (2, queries, others))
    got = layer(query, key, attention_mask=seen, use_causal_mask=causal)
    largest = [max(np.abs(w).max(), 1) for w in weights]
    inner = (3 * np.abs(query).max() + 1) * (3 * np.abs(key).max() + 1) * max(largest[:4]) ** 2 * 2
    norm = heads * 2 * (3 * np.abs(key).max() + 1) * max(largest[4:]) ** 2 + 1
    close(got, oracles.multi_head(wide[0], wide[2], weights, mask, causal), 40 + 8 * inner, norm, dtype)


@FEW
@given(
    dtype=DTYPES,
    seed=SEEDS,
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    features=st.integers(1, 5),
)
def test_dense(dtype, seed, shape, features):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*shape, features)).astype(dtype)
    layer = layers.Dense(3, "tanh", dtype=dtype)
    kernel, bias = filled(layer, rng, (1,) * len(shape) + (features,))
    norm = np.abs(x) @ np.abs(kernel) + np.abs(bias) + 1
    close(layer(x), np.tanh(x @ kernel + bias), features, norm, dtype)


@FEW
@given(seed=SEEDS, data=st.data())
def test_dot_is_a_sum_over_one_axis_of_each(seed, data):
    rng = np.random.default_rng(seed)
    ranks = [data.draw(st.integers(2, 4)) for _ in range(2)]
    axes = [data.draw(st.integers(1, rank - 1)) for rank in ranks]
    shapes = [[2, *rng.integers(1, 4, rank - 1)] for rank in ranks]
    shapes[1][axes[1]] = shapes[0][axes[0]]
    first, second = (rng.normal(size=shape) for shape in shapes)
    got = layers.Dot(axes, dtype="float64")([first, second])
    expected = np.stack(
        [np.tensordot(a, b, (axes[0] - 1, axes[1] - 1)) for a, b in zip(first, second, strict=True)]
    )
    expected = expected.reshape(2, 1) if expected.ndim == 1 else expected
    np.testing.assert_allclose(got, expected, rtol=0, atol=4 * np.finfo(float).eps * 30)


@pytest.mark.parametrize("shape", [(0, 5, 3), (1, 1, 3)])
def test_empty_batches_and_single_steps(shape):
    x = np.ones(shape, "f")
    for layer in (
        layers.Conv1D(4, 1), layers.Conv1D(4, 2, padding="same"), layers.Dense(2), layers.Flatten(),
        layers.Reshape((3, -1)), layers.MaxPooling1D(1), layers.LayerNormalization(), layers.Dot(2),
        layers.GlobalMaxPooling1D(), layers.TimeDistributed(layers.Dense(2)), layers.MultiHeadAttention(2, 2),
    ):  # fmt: skip
        arguments = (x, x) if isinstance(layer, layers.MultiHeadAttention) else (x,)
        output = layer([x, x]) if isinstance(layer, layers.Dot) else layer(*arguments)
        assert len(output) == shape[0]
