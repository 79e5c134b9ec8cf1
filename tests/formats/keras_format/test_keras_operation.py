"""`Operation`: functions of NumPy between layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnnpack
from rnnpack import activations
from rnnpack.layers import Embedding, Operation, deserialize, serialize

X = np.arange(12, dtype=np.float32).reshape(2, 3, 2) - 4


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        (Operation("add", [[1, 0.5]]), X, X + np.float32(0.5)),
        (Operation("true_divide", [[0, 1.0]]), X + 9, 1 / (X + 9)),
        (Operation("subtract"), [X, X[:1]], X - X[:1]),
        (Operation("mean", options={"axis": 1, "keepdims": True}), X, X.mean(1, keepdims=True)),
        (Operation("not_equal", [[1, 0]]), X, X != 0),
        (Operation("concatenate"), [X, X], np.concatenate([X, X], -1)),
        (Operation("stack", options={"axis": 1}), [X, X, X], np.stack([X, X, X], 1)),
        (Operation("get_item", [[1, [{"stop": None}, -1]]]), X, X[:, -1]),
        (Operation("get_item", [[1, ["...", {"start": 1, "step": 1}]]]), X, X[..., 1::1]),
        (Operation("get_item", [[1, 0]]), X, X[0]),
        (Operation("softmax"), X, activations.softmax(X)),
    ],
)
def test_an_operation_is_the_function(operation: Operation, inputs: Any, expected: Any) -> None:
    again = deserialize(serialize(operation))
    for one in (operation, again):
        result = one(inputs)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)


def test_numbers_do_not_widen_the_result() -> None:
    assert Operation("multiply", [[1, 2.5]])(X).dtype == np.float32
    assert Operation("multiply", [[1, 2.5]])(X.astype(np.int32)).dtype == np.float32


def test_division_by_zero_does_not_warn() -> None:
    assert np.isinf(Operation("reciprocal")(np.zeros((1, 1), np.float32))).all()


def test_masks_end_at_an_operation_and_are_given_by_one() -> None:
    words = rnnpack.Input((None,), dtype="int32")
    embedded = Embedding(5, 2, mask_zero=True)(words)
    plain = rnnpack.Model(words, rnnpack.GRU(2, name="g")(Operation("add", [[1, 1.0]])(embedded)))
    mask = Operation("not_equal", [[1, 0]])(words)
    masked = rnnpack.Model(
        words, rnnpack.GRU(2)(Operation("with_mask")([Operation("add", [[1, 1.0]])(embedded), mask]))
    )
    masked.set_weights(plain.get_weights())
    data = np.array([[1, 2, 0, 0]])
    shorter = plain(data[:, :2])
    np.testing.assert_array_equal(masked(data), shorter)
    assert not np.array_equal(plain(data), shorter)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eval",), "unknown function 'eval', expected one of"),
        (("add", [[1]]), "must hold .position, value. pairs"),
        (("add", [["1", 2]]), "must hold .position, value. pairs"),
        (("add", [[10**9, 2]]), "must hold .position, value. pairs"),
        (("add", 3), "must hold .position, value. pairs"),
    ],
)
def test_arguments_are_checked(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Operation(*arguments)


# Straight from the definitions, at points on both sides of every corner; float64 rounds once or twice.
POINTS = np.array([[-7.0, -3.0, -2.5, -0.5, 0.0, 0.5, 2.5, 3.0, 7.0]])


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("hard_sigmoid_keras3", lambda x: min(max(x + 3, 0), 6) / 6),
        ("hard_silu", lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("relu6", lambda x: min(max(x, 0), 6)),
        ("leaky_relu", lambda x: x if x > 0 else 0.2 * x),
        ("mish", lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
    ],
)
def test_activations_of_keras_3(name: str, formula: Any) -> None:
    expected = [[formula(x) for x in POINTS[0]]]
    np.testing.assert_allclose(activations.get(name)(POINTS), expected, rtol=1e-14, atol=1e-15)
    assert activations.serialize(activations.get(name)) == name


def test_log_softmax() -> None:
    expected = np.log(np.exp(POINTS) / np.exp(POINTS).sum())
    np.testing.assert_allclose(activations.get("log_softmax")(POINTS), expected, rtol=1e-14)
