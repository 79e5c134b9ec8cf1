"""Constraints: what the projected weights satisfy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpack import constraints
from rnnpack.variable import Variable

matrices = hnp.arrays(np.float64, (3, 4), elements=st.floats(-3, 3))
EPSILON = 1e-7


@given(matrices, st.sampled_from([0, 1, (0, 1)]))
def test_norms(w, axis):
    norms = np.sqrt((w**2).sum(axis=axis, keepdims=True))
    scale = 1 / (EPSILON + norms)
    np.testing.assert_allclose(constraints.UnitNorm(axis)(w), w * scale, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(
        constraints.MaxNorm(1.5, axis)(w), w * np.minimum(norms, 1.5) * scale, rtol=1e-12, atol=1e-300
    )
    between = 0.3 * np.minimum(np.maximum(norms, 0.5), 2.0) + 0.7 * norms
    np.testing.assert_allclose(
        constraints.MinMaxNorm(0.5, 2.0, 0.3, axis)(Variable(w)), w * between * scale, rtol=1e-12, atol=1e-300
    )


@given(matrices)
def test_non_negative(w):
    before = w.copy()
    np.testing.assert_array_equal(constraints.NonNeg()(w), np.where(w > 0, w, 0))
    np.testing.assert_array_equal(w, before)


def test_dtypes_stay():
    w = np.ones((2, 2), np.float32)
    for name in ("max_norm", "non_neg", "unit_norm", "min_max_norm"):
        assert constraints.get(name)(w).dtype == np.float32


@pytest.mark.parametrize(
    ("size", "picture"),
    # Each entry is the diagonal index of the kernel that the pixel takes.
    [
        (1, [[0]]),
        (2, [[0, 0], [0, 0]]),
        (3, [[1, 1, 1], [1, 0, 1], [1, 1, 1]]),
        (4, [[3, 3, 3, 3], [3, 1, 1, 3], [3, 1, 1, 3], [3, 3, 3, 3]]),
        (5, [[3, 3, 3, 3, 3], [3, 2, 2, 2, 3], [3, 2, 1, 2, 3], [3, 2, 2, 2, 3], [3, 3, 3, 3, 3]]),
    ],
)
def test_radial(size, picture):
    w = np.random.default_rng(0).normal(size=(size, size, 2, 3))
    diagonal = w[range(size), range(size)]
    np.testing.assert_array_equal(constraints.RadialConstraint()(w), diagonal[np.array(picture)])


@pytest.mark.parametrize("shape", [(3, 3), (3, 4, 1, 1)])
def test_radial_needs_square_kernels(shape):
    with pytest.raises(ValueError, match="square kernels"):
        constraints.RadialConstraint()(np.zeros(shape))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("max_norm", {"max_value": 2, "axis": 0}),
        ("maxnorm", {"max_value": 2, "axis": 0}),
        ("non_neg", {}),
        ("unit_norm", {"axis": 0}),
        ("min_max_norm", {"min_value": 0.0, "max_value": 1.0, "rate": 1.0, "axis": 0}),
        ("radial_constraint", {}),
        ("Constraint", {}),
    ],
)
def test_names_and_configs(name, config):
    constraint = constraints.get(name)
    assert constraint.get_config() == config
    twin = constraints.get(constraints.serialize(constraint))
    assert (type(twin), twin.get_config()) == (type(constraint), config)


def test_get():
    assert constraints.get(None) is None
    assert constraints.get(abs) is abs
    assert isinstance(constraints.get(constraints.NonNeg), constraints.NonNeg)
    np.testing.assert_array_equal(constraints.Constraint()([-1.0]), [-1.0])
    with pytest.raises(ValueError, match="Unknown constraint"):
        constraints.get("nope")
    with pytest.raises(ValueError, match="Could not interpret constraint"):
        constraints.get(3)
