"""Initializers: statistics, formulas, seeds, configs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpack import initializers, random

# name: (variance, hard limit of |x|) as functions of the fans; 0.8796... is the truncated normal's deviation.
SCALED = {
    "glorot_uniform": (lambda i, o: 2 / (i + o), lambda i, o: math.sqrt(6 / (i + o))),
    "glorot_normal": (lambda i, o: 2 / (i + o), lambda i, o: 2 * math.sqrt(2 / (i + o)) / 0.87962566),
    "he_uniform": (lambda i, o: 2 / i, lambda i, o: math.sqrt(6 / i)),
    "he_normal": (lambda i, o: 2 / i, lambda i, o: 2 * math.sqrt(2 / i) / 0.87962566),
    "lecun_uniform": (lambda i, o: 1 / i, lambda i, o: math.sqrt(3 / i)),
    "lecun_normal": (lambda i, o: 1 / i, lambda i, o: 2 * math.sqrt(1 / i) / 0.87962566),
}


def close_to(values, variance):
    """The sample's mean and variance lie within 6 standard errors (fourth moments are at most normal)."""
    n = values.size
    assert abs(values.mean()) < 6 * math.sqrt(variance / n)
    assert abs(values.var() / variance - 1) < 6 * math.sqrt(2 / n)


@pytest.mark.parametrize("shape", [(200, 300), (3, 5, 20, 150)])
@pytest.mark.parametrize("name", SCALED)
def test_scaled_distributions(name, shape):
    random.set_seed(1)
    field = math.prod(shape[:-2])
    fans = field * shape[-2], field * shape[-1]
    variance, limit = (f(*fans) for f in SCALED[name])
    values = initializers.get(name)(shape, dtype="float64")
    assert values.shape == shape
    close_to(values, variance)
    assert 0.98 * limit < np.abs(values).max() <= limit * (1 + 1e-6)


def test_vectors_and_scalars_have_fans():
    assert np.abs(initializers.LecunUniform()((7,))).max() <= math.sqrt(3 / 7)
    assert abs(initializers.LecunUniform()(())) <= math.sqrt(3)


def test_plain_distributions():
    random.set_seed(2)
    close_to(initializers.RandomUniform(-2, 2)((300, 300)), 4 / 3)
    close_to(initializers.RandomNormal(stddev=3.0)((300, 300), "float64"), 9.0)
    truncated = initializers.TruncatedNormal(1.0, 0.5)((300, 300), "float64") - 1
    assert 0.99 < np.abs(truncated).max() <= 1
    close_to(truncated, (0.5 * 0.87962566103423978) ** 2)
    untruncated = initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")((200, 300), "float64")
    close_to(untruncated, 2 / 300)
    assert np.abs(untruncated).max() > 2.5 * math.sqrt(2 / 300)
    assert initializers.VarianceScaling(distribution="normal").distribution == "truncated_normal"


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(["float32", "float64"]))
def test_orthogonal(rows, columns, dtype):
    matrix = initializers.Orthogonal(gain=2.0)((rows, columns), dtype)
    assert matrix.dtype == dtype
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=40 * np.finfo(dtype).eps)


def test_orthogonal_is_uniform_over_signs_and_flattens_leading_axes():
    random.set_seed(3)
    signs = [initializers.Orthogonal()((3, 3))[0, 0] > 0 for _ in range(400)]
    assert 140 < sum(signs) < 260
    kernel = initializers.Orthogonal()((2, 3, 4)).reshape(6, 4)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(4), atol=1e-6)


def test_constants():
    np.testing.assert_array_equal(initializers.Zeros()((2, 3)), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(initializers.Ones()((2,), "int32"), np.ones(2, np.int32))
    np.testing.assert_array_equal(initializers.Constant(2.5)((2, 2)), np.full((2, 2), 2.5, np.float32))
    np.testing.assert_array_equal(initializers.Constant([1, 2])((3, 2)), [[1, 2]] * 3)
    np.testing.assert_array_equal(initializers.Identity(3)((2, 3)), [[3, 0, 0], [0, 3, 0]])


ALL = [
    "zeros", "ones", "constant", "random_uniform", "random_normal", "truncated_normal", "variance_scaling",
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
    "orthogonal", "identity", "uniform", "normal", "zero", "one",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ALL)
def test_names_dtypes_and_configs(name, dtype):
    initializer = initializers.get(name)
    values = initializer((4, 5), dtype=dtype, partition_shape=None)
    assert (values.shape, values.dtype) == ((4, 5), np.dtype(dtype))
    config = initializers.serialize(initializer)
    twin = initializers.get(config)
    assert type(twin) is type(initializer)
    assert initializers.serialize(twin) == config
    assert type(initializers.get(type(initializer).__name__)) is type(initializer)


def test_configs_have_keras_keys():
    assert initializers.serialize(initializers.GlorotUniform(4)) == {
        "class_name": "GlorotUniform", "config": {"seed": 4}
    }  # fmt: skip
    assert initializers.RandomUniform(seed=1).get_config() == {"minval": -0.05, "maxval": 0.05, "seed": 1}
    assert initializers.TruncatedNormal().get_config() == {"mean": 0.0, "stddev": 0.05, "seed": None}
    assert initializers.Orthogonal().get_config() == {"gain": 1.0, "seed": None}
    assert initializers.VarianceScaling().get_config() == {
        "scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal", "seed": None
    }  # fmt: skip
    assert initializers.Constant(3).get_config() == {"value": 3}


@pytest.mark.parametrize(
    "name", ["random_uniform", "random_normal", "truncated_normal", "he_normal", "orthogonal"]
)
def test_a_seed_repeats_and_no_seed_does_not(name):
    cls = type(initializers.get(name))
    np.testing.assert_array_equal(cls(seed=5)((3, 3)), cls(seed=5)((3, 3)))
    seeded = cls(seed=5)
    np.testing.assert_array_equal(seeded((3, 3)), seeded((3, 3)))
    assert not np.array_equal(cls(seed=5)((3, 3)), cls(seed=6)((3, 3)))
    assert not np.array_equal(cls()((3, 3)), cls()((3, 3)))


def test_default_dtype_is_floatx():
    assert initializers.GlorotUniform()((2, 2)).dtype == np.float32


def test_get_takes_callables_classes_and_none():
    def mine(shape, dtype=None):
        return np.zeros(shape, dtype)

    assert initializers.get(mine) is mine
    assert initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    with pytest.raises(ValueError, match="Unknown initializer: nope"):
        initializers.get("nope")
    with pytest.raises(ValueError, match="Could not interpret initializer"):
        initializers.get(3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: initializers.VarianceScaling(scale=0),
        lambda: initializers.VarianceScaling(mode="fan"),
        lambda: initializers.VarianceScaling(distribution="cauchy"),
        lambda: initializers.Orthogonal()((3,)),
        lambda: initializers.Identity()((3,)),
        lambda: initializers.GlorotUniform()((2, 2), "int32"),
        lambda: initializers.Orthogonal()((2, 2), "int32"),
        lambda: initializers.TruncatedNormal()((2, 2), "bool"),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(ValueError):
        make()


def test_the_base_class_is_abstract():
    with pytest.raises(NotImplementedError):
        initializers.Initializer()((1,))
