"""Dtype policies."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rnnpack import dtypes


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "int32", "uint8", "bool"])
def test_plain_names_and_dtypes(name):
    for given in (name, np.dtype(name), np.dtype(name).type, SimpleNamespace(name=name)):
        policy = dtypes.resolve(given)
        assert (policy.name, policy.compute_dtype, policy.variable_dtype) == (
            name,
            np.dtype(name),
            np.dtype(name),
        )
        assert policy.serialize() == name
    assert dtypes.resolve(policy) is policy


def test_mixed_float16_stores_float32():
    policy = dtypes.resolve("mixed_float16")
    assert (policy.compute_dtype, policy.variable_dtype) == (np.float16, np.float32)
    stored = policy.serialize()
    assert stored == {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    assert dtypes.resolve(stored) == policy


def test_non_native_byte_order_becomes_native():
    assert dtypes.resolve(np.dtype(">f8")).compute_dtype == np.dtype("float64")


@pytest.mark.parametrize("name", ["bfloat16", "mixed_bfloat16"])
def test_bfloat16_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match="NumPy has no bfloat16"):
        dtypes.resolve(name)


@pytest.mark.parametrize(
    "bad", ["float31", "complex64", "object", "S3", {"class_name": "Policy"}, {"config": None}]
)
def test_unknown_names_are_refused(bad):
    with pytest.raises(ValueError, match="dtype must be"):
        dtypes.resolve(bad)


def test_things_that_are_no_dtype_are_refused():
    with pytest.raises(TypeError, match="dtype must be"):
        dtypes.resolve(3.5)


def test_floatx_is_the_default():
    assert dtypes.resolve(None).name == dtypes.floatx() == "float32"
    dtypes.set_floatx("float64")
    try:
        assert dtypes.resolve().name == "float64"
    finally:
        dtypes.set_floatx("float32")
    with pytest.raises(ValueError, match="floatx"):
        dtypes.set_floatx("int32")
    assert dtypes.floatx() == "float32"
