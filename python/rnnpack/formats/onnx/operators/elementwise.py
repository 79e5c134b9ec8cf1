"""Operators that work element by element, with broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import activations
from rnnpack.formats.onnx.limits import SMALL, check_broadcast
from rnnpack.formats.onnx.node import MANY, Function, Node, operator

Array = NDArray[Any]


def _divide(a: Array, b: Array) -> Any:
    """Division; of integers towards zero, as in C."""
    if a.dtype.kind not in "iu":
        return np.divide(a, b)
    quotient = np.floor_divide(a, b)
    return quotient + ((quotient < 0) & (quotient * b != a))


def _sigmoid(x: Array) -> Any:
    # Of the tail, so that large numbers do not overflow in float16.
    decay = np.exp(-np.abs(x))
    return _like(x, np.where(x >= 0, 1, decay) / (1 + decay))


def _like(x: Array, value: Any) -> Array:
    """The result in the dtype of x, which Python's scalars and NumPy 1 may have widened."""
    return np.asarray(value).astype(x.dtype, copy=False)


_UNARY: dict[str, tuple[Function, int]] = {
    "Abs": (np.abs, 7),
    "Acos": (np.arccos, 7),
    "Acosh": (np.arccosh, 9),
    "Asin": (np.arcsin, 7),
    "Asinh": (np.arcsinh, 9),
    "Atan": (np.arctan, 7),
    "Atanh": (np.arctanh, 9),
    "BitwiseNot": (np.bitwise_not, 18),
    "Ceil": (np.ceil, 7),
    "Cos": (np.cos, 7),
    "Cosh": (np.cosh, 9),
    "Erf": (lambda x: _like(x, activations._erf(x)), 9),
    "Exp": (np.exp, 7),
    "Floor": (np.floor, 7),
    "HardSwish": (lambda x: _like(x, x * np.clip(x / 6 + 0.5, 0, 1)), 14),
    "Identity": (lambda x: x, 7),
    "IsNaN": (np.isnan, 9),
    "Log": (np.log, 7),
    "Mish": (lambda x: _like(x, x * np.tanh(activations.softplus(x))), 18),
    "Neg": (np.negative, 7),
    "Not": (np.logical_not, 7),
    "Reciprocal": (lambda x: _like(x, 1 / x), 7),
    "Relu": (lambda x: np.maximum(x, x.dtype.type(0)), 7),
    "Round": (np.rint, 11),
    "Sigmoid": (_sigmoid, 7),
    "Sign": (np.sign, 9),
    "Sin": (np.sin, 7),
    "Sinh": (np.sinh, 9),
    "Softplus": (activations.softplus, 7),
    "Softsign": (activations.softsign, 7),
    "Sqrt": (np.sqrt, 7),
    "Tan": (np.tan, 7),
    "Tanh": (np.tanh, 7),
}

_BINARY: dict[str, tuple[Function, int]] = {
    "Add": (np.add, 7),
    "And": (np.logical_and, 7),
    "BitwiseAnd": (np.bitwise_and, 18),
    "BitwiseOr": (np.bitwise_or, 18),
    "BitwiseXor": (np.bitwise_xor, 18),
    "Div": (_divide, 7),
    "Equal": (np.equal, 7),
    "Greater": (np.greater, 7),
    "GreaterOrEqual": (np.greater_equal, 12),
    "Less": (np.less, 7),
    "LessOrEqual": (np.less_equal, 12),
    "Mul": (np.multiply, 7),
    "Or": (np.logical_or, 7),
    "Sub": (np.subtract, 7),
    "Xor": (np.logical_xor, 7),
}

_FOLDED: dict[str, Callable[[Array, Array], Any]] = {
    "Max": np.maximum,
    "Min": np.minimum,
    "Sum": np.add,
    "Mean": np.add,
}


def _binary(function: Function) -> Function:
    def run(a: Array, b: Array) -> Any:
        if a.shape != b.shape and a.size * b.size > SMALL:
            check_broadcast(a, b)
        return function(a, b)

    return run


for _name, (_, _since) in _UNARY.items():
    operator(_name, since=_since)(lambda node: _UNARY[node.op][0])
for _name, (_, _since) in _BINARY.items():
    operator(_name, inputs=2, since=_since)(lambda node: _binary(_BINARY[node.op][0]))


def _folded(node: Node) -> Function:
    """Max, Min, Sum, Mean: any number of inputs."""
    function, mean = _FOLDED[node.op], node.op == "Mean"

    def run(*arrays: Array) -> Any:
        check_broadcast(*arrays)
        total = reduce(function, arrays)
        return _like(arrays[0], total / len(arrays)) if mean else total

    return run


for _name in _FOLDED:
    operator(_name, inputs=(1, MANY))(_folded)


@operator("Pow", inputs=2)
def _pow(node: Node) -> Function:
    def run(base: Array, exponent: Array) -> Any:
        check_broadcast(base, exponent)
        return _like(base, np.power(*_common(base, exponent)))

    return run


def _common(base: Array, exponent: Array) -> tuple[Array, Array]:
    """Integers with a float or negative exponent are computed in float64."""
    if base.dtype.kind in "iu" and (exponent.dtype.kind == "f" or (exponent.size and exponent.min() < 0)):
        return base.astype(np.float64), exponent.astype(np.float64)
    return base, exponent if base.dtype.kind in "iu" else exponent.astype(base.dtype)


@operator("Mod", inputs=2, since=10)
def _mod(node: Node) -> Function:
    return _binary(np.fmod if node.flag("fmod") else np.mod)


@operator("BitShift", inputs=2, since=11)
def _bit_shift(node: Node) -> Function:
    left = node.text("direction", "", ("LEFT", "RIGHT")) == "LEFT"
    return _binary(np.left_shift if left else np.right_shift)


@operator("IsInf", since=10)
def _is_inf(node: Node) -> Function:
    positive, negative = node.flag("detect_positive", True), node.flag("detect_negative", True)
    return lambda x: (positive & np.isposinf(x)) | (negative & np.isneginf(x))


@operator("Where", inputs=3, since=9)
def _where(node: Node) -> Function:
    def run(condition: Array, a: Array, b: Array) -> Any:
        check_broadcast(condition, a, b)
        return np.where(condition, a, b)

    return run


@operator("Clip", inputs=(1, 3))
def _clip(node: Node) -> Function:
    if node.opset < 11:
        low, high = node.number("min"), node.number("max")
        return lambda x: _clipped(x, *(None if v is None else x.dtype.type(v) for v in (low, high)))
    return _clipped


def _clipped(x: Array, low: Any = None, high: Any = None) -> Any:
    # Minimum last: where the bounds are crossed, the upper one holds. NaN comes through.
    if low is not None:
        x = np.maximum(x, low.reshape(()))
    return x if high is None else np.minimum(x, high.reshape(()))


@operator("PRelu", inputs=2)
def _prelu(node: Node) -> Function:
    def run(x: Array, slope: Array) -> Any:
        check_broadcast(x, slope)
        return np.where(x < 0, slope * x, x)

    return run


@operator("Cast")
def _cast(node: Node) -> Function:
    target = node.dtype("to")
    if target is None:
        raise node.error("attribute 'to' is missing")
    _only_plain_casts(node)
    return lambda x: x.astype(target)


@operator("CastLike", inputs=2, since=15)
def _cast_like(node: Node) -> Function:
    _only_plain_casts(node)
    return lambda x, like: x.astype(like.dtype)


def _only_plain_casts(node: Node) -> None:
    """These concern 8-bit floats, which no tensor here can be."""
    node.flag("saturate", True)
    node.text("round_mode", "up")


def parametric(name: str, alpha: float | None, beta: float | None) -> Function:
    """An activation by ONNX's name, with its parameters; None for their defaults.

    Returns:
        A function of one float array that returns a new one of its dtype.

    Raises:
        KeyError: it is not one of `ACTIVATIONS`.
    """
    formula, first, second = ACTIVATIONS[name]
    a, b = first if alpha is None else alpha, second if beta is None else beta
    return lambda x: _like(x, formula(x, a, b))


def _exp_minus_one(x: Array) -> Array:
    """`exp(x) - 1` of the negative part."""
    negative: Array = np.expm1(np.minimum(x, 0))
    return negative


# Formula and the defaults of alpha and beta; None where there is no such parameter.
ACTIVATIONS: dict[str, tuple[Callable[[Array, Any, Any], Any], float | None, float | None]] = {
    "Affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "Celu": (lambda x, a, b: np.maximum(x, 0) + np.minimum(a * np.expm1(np.minimum(x, 0) / a), 0), 1.0, None),
    "Elu": (lambda x, a, b: np.where(x < 0, a * _exp_minus_one(x), x), 1.0, None),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "LeakyRelu": (lambda x, a, b: np.where(x < 0, a * x, x), 0.01, None),
    "Relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "Sigmoid": (lambda x, a, b: _sigmoid(x), None, None),
    "Softplus": (lambda x, a, b: activations.softplus(x), None, None),
    "Softsign": (lambda x, a, b: activations.softsign(x), None, None),
    "Swish": (lambda x, a, b: x * _sigmoid(a * x), 1.0, None),
    "Tanh": (lambda x, a, b: np.tanh(x), None, None),
    "ThresholdedRelu": (lambda x, a, b: np.where(x > a, x, 0), 1.0, None),
}


def _parametric(node: Node) -> Function:
    _, first, second = ACTIVATIONS[node.op]
    alpha = None if first is None else node.number("alpha")
    return parametric(node.op, alpha, None if second is None else node.number("beta"))


_SINCE = {"Celu": 12, "ThresholdedRelu": 10, "Swish": 24}
for _name in ("Celu", "Elu", "HardSigmoid", "LeakyRelu", "Swish", "ThresholdedRelu"):
    operator(_name, since=_SINCE.get(_name, 7))(_parametric)


@operator("Selu")
def _selu(node: Node) -> Function:
    # The standard gives these digits as the defaults.
    alpha = node.number("alpha", 1.67326319217681884765625)
    gamma = node.number("gamma", 1.05070102214813232421875)
    return lambda x: _like(x, gamma * np.where(x > 0, x, alpha * _exp_minus_one(x)))


@operator("Shrink", since=9)
def _shrink(node: Node) -> Function:
    bias, edge = node.number("bias", 0.0), node.number("lambd", 0.5)
    return lambda x: _like(x, np.where(x < -edge, x + bias, np.where(x > edge, x - bias, 0)))


@operator("Gelu", since=20)
def _gelu(node: Node) -> Function:
    approximate = node.text("approximate", "none", ("none", "tanh")) == "tanh"
    if approximate:
        root = math.sqrt(2 / math.pi)
        return lambda x: _like(x, 0.5 * x * (1 + np.tanh(root * (x + 0.044715 * x * x * x))))
    return lambda x: _like(x, 0.5 * x * (1 + activations._erf(x / math.sqrt(2))))
