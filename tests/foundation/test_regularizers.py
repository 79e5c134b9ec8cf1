"""Regularizers against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpack import regularizers
from rnnpack.variable import Variable

matrices = hnp.arrays(np.float64, (3, 4), elements=st.floats(-3, 3))
factors = st.floats(0, 2)


@given(matrices, factors, factors)
def test_l1_and_l2(x, a, b):
    one, two = a * np.abs(x).sum(), b * (x**2).sum()
    np.testing.assert_allclose(regularizers.L1(a)(x), one, rtol=1e-14)
    np.testing.assert_allclose(regularizers.L2(b)(x), two, rtol=1e-14)
    np.testing.assert_allclose(regularizers.L1L2(a, b)(Variable(x)), one + two, rtol=1e-14)


@given(matrices, st.sampled_from(["rows", "columns"]))
def test_orthogonal(x, mode):
    vectors = x if mode == "rows" else x.T
    unit = [v / np.sqrt(max(v @ v, 1e-12)) for v in vectors]
    pairs = [abs(unit[i] @ unit[j]) for i in range(len(unit)) for j in range(i)]
    penalty = regularizers.OrthogonalRegularizer(0.5, mode)(x)
    np.testing.assert_allclose(penalty, 0.5 * np.mean(pairs), rtol=1e-9, atol=1e-12)


def test_the_dtype_is_that_of_the_weights():
    for regularizer in (regularizers.L1L2(1, 1), regularizers.OrthogonalRegularizer()):
        assert regularizer(np.ones((2, 2), np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("l1", {"l1": 0.01}),
        ("l2", {"l2": 0.01}),
        ("l1_l2", {"l1": 0.01, "l2": 0.01}),
        ("L1L2", {"l1": 0.0, "l2": 0.0}),
        ("orthogonal_regularizer", {"factor": 0.01, "mode": "rows"}),
    ],
)
def test_names_and_configs(name, config):
    regularizer = regularizers.get(name)
    assert regularizer.get_config() == config
    twin = regularizers.get(regularizers.serialize(regularizer))
    assert (type(twin), twin.get_config()) == (type(regularizer), config)


def test_other_spellings():
    assert regularizers.l1(l=0.5).get_config() == {"l1": 0.5}
    assert regularizers.l2(l=0.5).get_config() == {"l2": 0.5}
    assert regularizers.L1(None).l1 == regularizers.L2(None).l2 == 0.01
    assert regularizers.L1L2(None, None).get_config() == {"l1": 0.0, "l2": 0.0}
    assert isinstance(regularizers.get(regularizers.L2), regularizers.L2)
    assert regularizers.get(None) is None
    assert regularizers.get(abs) is abs
    assert regularizers.Regularizer()(np.ones(3)) == 0


@pytest.mark.parametrize("bad", ["0.1", float("nan"), float("inf"), [1]])
def test_bad_factors(bad):
    for make in (regularizers.L1, regularizers.L2, regularizers.L1L2, regularizers.OrthogonalRegularizer):
        with pytest.raises(ValueError, match="finite number"):
            make(bad)


def test_bad_arguments():
    with pytest.raises(ValueError, match="mode"):
        regularizers.OrthogonalRegularizer(mode="diagonal")
    with pytest.raises(ValueError, match="matrix"):
        regularizers.OrthogonalRegularizer()(np.ones(3))
    with pytest.raises(ValueError, match="Unknown regularizer: l3"):
        regularizers.get("l3")
    with pytest.raises(ValueError, match="Could not interpret regularizer"):
        regularizers.get(3)
    for cls in (regularizers.L1, regularizers.L2):
        with pytest.raises(TypeError, match="not understood"):
            cls(l3=1)
    with pytest.raises(NotImplementedError):
        regularizers.Regularizer().get_config()
