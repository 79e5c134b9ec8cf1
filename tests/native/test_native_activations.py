"""Accuracy of the kernels' activations, read through a SimpleRNN whose pre-activation is its input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from rnnpack import _core

ULP_BOUND = 4  # of the result in its own precision, as documented
NAMES = sorted(set(reference.ACTIVATIONS) - {"softmax"})


def forced(name: str, values: NDArray[np.floating], isa: str) -> NDArray[np.floating]:
    """Apply a kernel's activation: unit kernel, no recurrence, no bias, one value a row."""
    one = np.ones((1, 1), values.dtype)
    cell = _core.PackedCell("simple_rnn", one, np.zeros_like(one), None, name, "sigmoid", isa)
    assert cell.isa == isa
    result, _ = _core.run([cell], values.reshape(-1, 1, 1), None, None, False, False, False, False)
    return result[:, 0]


def samples(dtype: type) -> NDArray[np.floating]:
    rng = np.random.default_rng(0)
    small = rng.normal(size=2000) * 10.0 ** rng.uniform(-6, 0, 2000)
    wide = rng.uniform(-30, 30, 2000)
    ends = [0.0, 0.5, -0.5, 1.0, -1.0, 9.0, -9.0, 20.0, -20.0, 80.0, -80.0]
    return np.concatenate([small, wide, ends]).astype(dtype)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_tanh_and_sigmoid_are_within_four_ulp(name: str, isa: str) -> None:
    values = samples(np.float32)
    exact = np.array([_exact(name, float(v)) for v in values])
    got = forced(name, values, isa).astype(np.float64)
    ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(got - exact) / ulp) <= ULP_BOUND


def _exact(name: str, x: float) -> float:
    return math.tanh(x) if name == "tanh" else 1.0 / (1.0 + math.exp(-x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_every_activation_matches_the_oracle(name: str, dtype: type, isa: str) -> None:
    values = samples(dtype)
    if name == "exponential":
        values = np.minimum(values, dtype(80))
    exact = reference.ACTIVATIONS[name](values.astype(np.float64))
    got = forced(name, values, isa).astype(np.float64)
    # Combined formulas (swish = x sigmoid(x), gelu = x erfc / 2) may cancel towards zero, where their error
    # is relative to |x|, not to the result; exp(x) inherits |x| eps / 2 from rounding its reduced argument.
    eps = np.finfo(dtype).eps
    bound = ULP_BOUND * eps * np.maximum(np.abs(exact), np.minimum(1.0, np.abs(values)))
    assert np.all(np.abs(got - exact) <= 2 * bound + np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan_and_extremes_stay_finite_or_follow_the_limit(name: str, dtype: type, isa: str) -> None:
    big = dtype(np.finfo(dtype).max)
    got = forced(name, np.array([np.nan, big, -big, np.inf, -np.inf], dtype), isa)
    assert np.isnan(got[0]), "NaN must not be hidden by a clamp"
    limits = {
        "tanh": (1, -1, 1, -1),
        "sigmoid": (1, 0, 1, 0),
        "hard_sigmoid": (1, 0, 1, 0),
        "relu": (big, 0, np.inf, 0),
        "elu": (big, -1, np.inf, -1),
        "softplus": (big, 0, np.inf, 0),
        "exponential": (np.inf, 0, np.inf, 0),
        "linear": (big, -big, np.inf, -np.inf),
    }
    if name in limits:
        np.testing.assert_allclose(
            got[1:], np.array(limits[name], dtype), atol=float(np.finfo(dtype).tiny) * 2
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_swish_and_gelu_vanish_far_below_zero(dtype: type, isa: str) -> None:
    values = np.array([-200.0, -800.0, -1e30, -np.finfo(dtype).max], dtype)
    for name in ("swish", "gelu"):
        assert np.max(np.abs(forced(name, values, isa))) <= 1e-30, name


def test_tail_lanes_agree_with_whole_vectors(isa: str) -> None:
    """The last, partly filled vector goes through the same arithmetic as the others."""
    values = np.linspace(-4, 4, 33, dtype=np.float32)
    eye = np.eye(33, dtype=np.float32)
    for name in NAMES:
        cell = _core.PackedCell("simple_rnn", eye, np.zeros_like(eye), None, name, "sigmoid", isa)
        row, _ = _core.run([cell], values.reshape(1, 1, 33), None, None, False, False, False, False)
        np.testing.assert_array_equal(row[0], forced(name, values, isa), err_msg=name)
