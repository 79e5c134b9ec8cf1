"""The keras.backend functions."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import backend
from rnnpack.variable import Variable

A = np.arange(6.0).reshape(2, 3) - 2
V = Variable(A, dtype="float64")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda x: backend.dot(x, np.ones((3, 2))), A @ np.ones((3, 2))),
        (lambda x: backend.dot(np.ones((4, 5, 2)), x), np.ones((4, 5, 2)) @ A),
        (lambda x: backend.dot(x, np.ones(3)), A.sum(1)),
        (lambda x: backend.concatenate([x, x]), np.concatenate([A, A], 1)),
        (lambda x: backend.concatenate([x, A], axis=0), np.concatenate([A, A], 0)),
        (lambda x: backend.stack([x, x]), np.stack([A, A])),
        (lambda x: backend.expand_dims(x), A[:, :, None]),
        (lambda x: backend.squeeze(backend.expand_dims(x, 0), 0), A),
        (lambda x: backend.sum(x), A.sum()),
        (lambda x: backend.sum(x, axis=[0, 1], keepdims=True), A.sum(keepdims=True)),
        (lambda x: backend.mean(x, axis=1), A.mean(1)),
        (lambda x: backend.max(x, axis=0), A.max(0)),
        (lambda x: backend.min(x, axis=0), A.min(0)),
        (lambda x: backend.square(x), A**2),
        (lambda x: backend.sqrt(x), np.sqrt(np.maximum(A, 0))),
        (lambda x: backend.exp(x), np.exp(A)),
        (lambda x: backend.log(backend.exp(x)), A),
        (lambda x: backend.abs(x), abs(A)),
        (lambda x: backend.clip(x, -1, 1), np.clip(A, -1, 1)),
        (lambda x: backend.reshape(x, (3, -1)), A.reshape(3, 2)),
        (lambda x: backend.transpose(x), A.T),
        (lambda x: backend.permute_dimensions(x, [1, 0]), A.T),
        (lambda x: backend.batch_flatten(backend.expand_dims(x, 1)), A),
        (lambda x: backend.repeat_elements(x, 2, axis=1), A.repeat(2, 1)),
        (lambda x: backend.tile(x, (2, 1)), np.tile(A, (2, 1))),
        (lambda x: backend.maximum(x, 0), np.maximum(A, 0)),
        (lambda x: backend.minimum(0, x), np.minimum(A, 0)),
        (lambda x: backend.pow(x, 3), A**3),
        (lambda x: backend.tanh(x), np.tanh(A)),
        (lambda x: backend.relu(x), np.maximum(A, 0)),
        (lambda x: backend.hard_sigmoid(x), np.clip(0.2 * A + 0.5, 0, 1)),
        (lambda x: backend.bias_add(x, np.arange(3)), A + np.arange(3)),
        (lambda x: backend.bias_add(x, [1, 2, 3], "channels_first"), A + np.array([1, 2, 3])),
        (lambda x: backend.zeros_like(x), np.zeros((2, 3))),
        (lambda x: backend.ones_like(x), np.ones((2, 3))),
        (lambda x: backend.eval(x), A),
    ],
)
@pytest.mark.parametrize("x", [A, V], ids=["array", "variable"])
def test_functions(result, expected, x):
    got = result(x)
    assert type(got) is np.ndarray
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-15)


def test_channels_first_bias():
    x = np.zeros((2, 3, 4, 5))
    np.testing.assert_array_equal(
        backend.bias_add(x, [1, 2, 3], "channels_first"), x + np.reshape([1, 2, 3], (1, 3, 1, 1))
    )
    with pytest.raises(ValueError, match="data_format"):
        backend.bias_add(x, [1], "middle")


def test_shapes_and_dtypes():
    assert backend.shape(V) == backend.int_shape(A) == backend.int_shape([[1, 2, 3], [4, 5, 6]]) == (2, 3)
    assert backend.ndim(V) == 2
    assert backend.dtype(V) == "float64"
    assert backend.dtype([1.0]) == "float64"
    assert backend.zeros((2,)).dtype == backend.ones((2,)).dtype == np.float32
    assert backend.zeros((2,), "int32").dtype == np.int32
    assert backend.cast(A, "float16").dtype == np.float16
    assert backend.cast_to_floatx([1]).dtype == np.float32
    assert backend.constant(3, shape=(2, 2)).tolist() == [[3, 3], [3, 3]]
    assert backend.constant([1, 2], "float64").dtype == np.float64


def test_values():
    v = backend.variable([1, 2], name="v")
    w = backend.variable([[3.0]], dtype="float64")
    assert (v.name, v.dtype, w.dtype) == ("v", np.float32, np.float64)
    backend.set_value(v, [5, 6])
    backend.batch_set_value([(w, [[7]]), (v, [8, 9])])
    got = backend.batch_get_value([v, w])
    assert [g.tolist() for g in got] == [[8, 9], [[7]]]
    got[0][:] = 0
    assert backend.get_value(v).tolist() == [8, 9]
    with pytest.raises(ValueError, match="shape"):
        backend.set_value(v, [1])


def test_epsilon():
    assert backend.epsilon() == 1e-7
    backend.set_epsilon(1e-3)
    try:
        assert backend.epsilon() == 1e-3
    finally:
        backend.set_epsilon(1e-7)


def test_learning_phase():
    assert backend.learning_phase() is None
    try:
        backend.set_learning_phase(True)
        assert backend.learning_phase() == 1
        backend.set_learning_phase(0)
        assert backend.learning_phase() == 0
        with pytest.raises(ValueError, match="learning phase"):
            backend.set_learning_phase(2)
        assert backend.learning_phase() == 0
    finally:
        backend.set_learning_phase(None)
    assert backend.learning_phase() is None


def test_floatx_is_shared_with_the_policies():
    backend.set_floatx("float64")
    try:
        assert backend.floatx() == "float64"
        assert backend.zeros((1,)).dtype == np.float64
    finally:
        backend.set_floatx("float32")
