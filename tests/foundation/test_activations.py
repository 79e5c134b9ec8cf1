"""Activations against float64 formulas."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpack import activations, registry

ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _each(function):
    return lambda x: np.array([function(float(v)) for v in np.ravel(x)]).reshape(np.shape(x))


FORMULAS = {
    "linear": lambda x: x,
    "tanh": _each(math.tanh),
    "sigmoid": _each(lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0),
    "hard_sigmoid": _each(lambda x: min(1.0, max(0.0, 0.2 * x + 0.5))),
    "relu": _each(lambda x: max(x, 0.0)),
    "elu": _each(lambda x: x if x > 0 else math.expm1(x)),
    "selu": _each(lambda x: SCALE * (x if x > 0 else ALPHA * math.expm1(x))),
    "softplus": _each(lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))),
    "softsign": _each(lambda x: x / (1 + abs(x))),
    "swish": _each(lambda x: x / (1 + math.exp(-x)) if x > -700 else -0.0),
    "gelu": _each(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))),
    "exponential": _each(lambda x: math.exp(x) if x < 709 else math.inf),
}


def test_native_names_are_the_element_wise_functions():
    assert set(activations.NATIVE_NAMES.values()) == set(FORMULAS)
    for function, name in activations.NATIVE_NAMES.items():
        assert activations.get(name) is function
    assert activations.softmax not in activations.NATIVE_NAMES


@pytest.mark.parametrize("name", FORMULAS)
@given(x=hnp.arrays(np.float64, (3, 5), elements=st.floats(-40, 40)))
def test_float64_values(name, x):
    before = x.copy()
    result = activations.get(name)(x)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(x, before)
    # gelu cancels in 1 + erf for large negative x, hence the absolute part: eps * |x|.
    np.testing.assert_allclose(
        result, FORMULAS[name](x), rtol=2e-15, atol=2e-14 if name == "gelu" else 1e-300
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", FORMULAS)
def test_lower_precision_keeps_its_dtype(name, dtype):
    x = np.linspace(-8, 8, 101).astype(dtype)
    result = activations.get(name)(x)
    assert result.dtype == dtype
    expected = FORMULAS[name](x.astype(np.float64))
    # A handful of rounded operations, each half an epsilon of intermediate values of size max(1, |x|).
    scale = np.maximum(np.abs(expected), np.maximum(1, np.abs(x.astype(np.float64))))
    assert np.max(np.abs(result - expected) / scale) < 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", [*FORMULAS, "softmax"])
def test_saturation_is_silent_and_exact(name, dtype):
    big = np.finfo(dtype).max
    x = np.array([[-big, -1000, 1000, big]], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = activations.get(name)(x).astype(np.float64)[0]
    assert not np.isnan(y).any()
    limits = {
        "tanh": (-1, 1), "sigmoid": (0, 1), "hard_sigmoid": (0, 1), "relu": (0, big), "elu": (-1, big),
        "softplus": (0, big), "swish": (0, big), "exponential": (0, np.inf), "softmax": (0, 1),
        "linear": (-big, big),
    }  # fmt: skip
    if name in limits:
        np.testing.assert_array_equal(y[[0, 3]], limits[name])


@pytest.mark.parametrize("name", FORMULAS)
def test_nan_stays_nan(name):
    x = np.array([[np.nan, 1.0]])
    y = activations.get(name)(x)
    assert np.isnan(y[0, 0])
    assert not np.isnan(y[0, 1])


@pytest.mark.parametrize("name", FORMULAS)
def test_scalars_and_integers(name):
    function = activations.get(name)
    y = function(np.float32(0.75))
    np.testing.assert_allclose(y, FORMULAS[name](np.array(0.75)), rtol=1e-6)
    if name != "linear":
        assert (y.dtype, y.shape) == (np.float32, ())
        assert function([1, 2]).dtype == np.float32
        np.testing.assert_allclose(function([1, 2]), FORMULAS[name](np.array([1.0, 2.0])), rtol=1e-6)


def test_linear_returns_its_argument():
    x = np.zeros(3)
    assert activations.linear(x) is x


@given(st.floats(-7, 7) | st.floats(-1e-6, 1e-6))
def test_erf_is_accurate_to_an_ulp_or_two(x):
    got = float(activations._erf(np.array([x]))[0])
    assert got == pytest.approx(math.erf(x), rel=1e-15, abs=0)


def test_erf_of_special_values():
    np.testing.assert_array_equal(
        activations._erf(np.array([np.nan, np.inf, -np.inf, 0.0, 1e30])), [np.nan, 1, -1, 0, 1]
    )


@given(hnp.arrays(np.float64, (4,), elements=st.floats(-20, 20)))
def test_approximate_gelu(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    np.testing.assert_allclose(
        activations.gelu(x, approximate=True), 0.5 * x * (1 + np.tanh(inner)), rtol=1e-15, atol=1e-15
    )
    assert not np.array_equal(activations.gelu(np.array([1.0])), activations.gelu(np.array([1.0]), True))


def test_relu_and_elu_arguments():
    x = np.array([-2.0, 0.25, 1.0, 5.0])
    np.testing.assert_allclose(activations.relu(x, alpha=0.1), [-0.2, 0.25, 1, 5])
    np.testing.assert_allclose(activations.relu(x, max_value=3), [0, 0.25, 1, 3])
    np.testing.assert_allclose(activations.relu(x, threshold=0.5), [0, 0, 1, 5])
    np.testing.assert_allclose(activations.relu(x, 0.1, 2.0, 0.5), [-0.25, -0.025, 1, 2])
    np.testing.assert_allclose(activations.elu(x, alpha=2.0)[0], 2 * math.expm1(-2))


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-800, 800)), st.sampled_from([-1, 0, 1]))
def test_softmax(x, axis):
    y = activations.softmax(x, axis=axis)
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    np.testing.assert_allclose(y, powers / powers.sum(axis=axis, keepdims=True), rtol=1e-14, atol=0)
    np.testing.assert_allclose(y.sum(axis=axis), 1, rtol=1e-14)


def test_softmax_needs_two_axes():
    with pytest.raises(ValueError, match="at least 2 axes"):
        activations.softmax(np.zeros(3))


def test_get():
    def mine(x):
        return x

    assert activations.get(None) is activations.linear
    assert activations.get(mine) is mine
    assert activations.get(np.tanh) is np.tanh
    assert activations.get({"class_name": "function", "config": "relu"}) is activations.relu
    with registry.custom_object_scope({"mine": mine}):
        assert activations.get("mine") is mine
    with pytest.raises(ValueError, match="Unknown activation function: nope"):
        activations.get("nope")
    with pytest.raises(TypeError, match="activation"):
        activations.get(3)


@pytest.mark.parametrize("name", [*FORMULAS, "softmax"])
def test_serialize_round_trip(name):
    assert activations.serialize(activations.get(name)) == name
    assert activations.deserialize(name) is activations.get(name)
