"""Activation functions with the names and formulas of Keras 2, in NumPy.

Every function takes an array-like `x`, returns a new array of its shape and float dtype (integers become
`floatx`), never changes `x` and does not warn where a result saturates.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

import numpy as np
from numpy.typing import NDArray

from rnnpack.dtypes import floatx
from rnnpack.registry import deserialize_keras_object, serialize_keras_object

_Array = NDArray[Any]
_P = ParamSpec("_P")

# Klambauer et al. 2017, "Self-Normalizing Neural Networks", the fixed point (0, 1).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _activation(function: Callable[Concatenate[_Array, _P], Any]) -> Callable[Concatenate[Any, _P], _Array]:
    """Give `function` a float array, silence saturation and keep the dtype."""

    def wrapped(x: Any, *args: _P.args, **kwargs: _P.kwargs) -> _Array:
        x = np.asarray(x)
        if x.dtype.kind != "f":
            x = x.astype(floatx())
        with np.errstate(over="ignore", invalid="ignore"):
            # NumPy 1 widens 0-d operands; the cast is free everywhere else.
            return np.asarray(function(x, *args, **kwargs)).astype(x.dtype, copy=False)

    return cast("Callable[Concatenate[Any, _P], _Array]", functools.update_wrapper(wrapped, function))


@_activation
def tanh(x: _Array) -> Any:
    """Hyperbolic tangent."""
    return np.tanh(x)


@_activation
def sigmoid(x: _Array) -> Any:
    """`1 / (1 + exp(-x))`."""
    return 1 / (1 + np.exp(-x))


@_activation
def hard_sigmoid(x: _Array) -> Any:
    """`clip(0.2 * x + 0.5, 0, 1)`, the slope of Keras 2 (Keras 3 has 1/6)."""
    return np.clip(0.2 * x + 0.5, 0, 1)


@_activation
def hard_sigmoid_keras3(x: _Array) -> Any:
    """`clip(x / 6 + 0.5, 0, 1)`, what Keras 3 and PyTorch call hard_sigmoid."""
    return np.clip(x / 6 + 0.5, 0, 1)


@_activation
def hard_silu(x: _Array) -> Any:
    """`x * clip(x / 6 + 0.5, 0, 1)`, also called hard_swish."""
    return x * np.clip(x / 6 + 0.5, 0, 1)


@_activation
def relu6(x: _Array) -> Any:
    """`clip(x, 0, 6)`."""
    return np.clip(x, 0, 6)


@_activation
def leaky_relu(x: _Array, negative_slope: float = 0.2) -> Any:
    """`x` if positive, else `negative_slope * x`."""
    return np.where(x < 0, negative_slope * x, x)


@_activation
def mish(x: _Array) -> Any:
    """`x * tanh(softplus(x))`, Misra 2019."""
    return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


@_activation
def log_softmax(x: _Array, axis: int = -1) -> Any:
    """`x - log(sum(exp(x)))` along `axis`."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


@_activation
def exponential(x: _Array) -> Any:
    """`exp(x)`."""
    return np.exp(x)


@_activation
def relu(x: _Array, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """`x` from `threshold` on, at most `max_value`; `alpha * (x - threshold)` below."""
    if alpha == 0.0 and threshold == 0.0:
        result = np.maximum(x, 0)
    else:
        # Written so that NaN, which compares false, comes through.
        result = np.where(x < threshold, alpha * (x - threshold), x)
    return result if max_value is None else np.minimum(result, max_value)


@_activation
def elu(x: _Array, alpha: float = 1.0) -> Any:
    """`x` if positive, else `alpha * (exp(x) - 1)`."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@_activation
def selu(x: _Array) -> Any:
    """`scale * elu(x, alpha)` with the self-normalizing constants of Klambauer et al. 2017."""
    return _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


@_activation
def softplus(x: _Array) -> Any:
    """`log(1 + exp(x))`, without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@_activation
def softsign(x: _Array) -> Any:
    """`x / (1 + |x|)`."""
    return x / (1 + np.abs(x))


@_activation
def swish(x: _Array) -> Any:
    """`x * sigmoid(x)`."""
    return x / (1 + np.exp(-x))


@_activation
def gelu(x: _Array, approximate: bool = False) -> Any:
    """Gaussian error linear unit, Hendrycks and Gimpel 2016: `x * P(N(0, 1) <= x)`.

    Args:
        x: input.
        approximate: use their tanh formula instead of erf.
    """
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


@_activation
def softmax(x: _Array, axis: int | tuple[int, ...] = -1) -> Any:
    """`exp(x) / sum(exp(x))` along `axis`.

    Raises:
        ValueError: `x` has fewer than two axes, as in Keras.
    """
    if x.ndim < 2:
        raise ValueError(f"softmax needs an array of at least 2 axes; got shape {x.shape}.")
    powers = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return powers / np.sum(powers, axis=axis, keepdims=True)


def linear(x: Any) -> Any:
    """Return `x` itself."""
    return x


# The Taylor expansions of erf that `_erf` uses: every 1/16 up to 6, where erf rounds to 1 in float64. Terms
# up to the 10th power of a distance of at most 1/32 leave an error below 1e-17.
_ERF_STEPS = 16
_ERF_END = 6
_ERF_TERMS = 11


@functools.cache
def _erf_table() -> _Array:
    """Taylor coefficients `c[term, point]`, by the recurrence that `erf'' = -2 z erf'` gives."""
    points = np.arange(_ERF_END * _ERF_STEPS + 1) / _ERF_STEPS
    table = np.zeros((_ERF_TERMS, points.size))
    table[0] = [math.erf(z) for z in points]
    table[1] = 2 / math.sqrt(math.pi) * np.exp(-(points**2))
    for n in range(1, _ERF_TERMS - 1):
        table[n + 1] = -2 * (points * table[n] + (n - 1) / n * table[n - 1]) / (n + 1)
    return table


def _erf(x: _Array) -> _Array:
    """Error function in float64, to a few units in the last place."""
    z = np.abs(x.astype(np.float64))
    # NaN needs an index (fmin) and stays NaN (minimum).
    nearest = np.rint(np.fmin(z, _ERF_END) * _ERF_STEPS)
    distance = np.minimum(z, _ERF_END) - nearest / _ERF_STEPS
    index = nearest.astype(np.intp)
    table = _erf_table()
    result = table[-1].take(index)
    for coefficients in table[-2::-1]:
        result *= distance
        result += coefficients.take(index)
    return np.asarray(np.copysign(result, x))


_ELEMENTWISE = (
    elu, selu, softplus, softsign, swish, relu, gelu, tanh, sigmoid, exponential, hard_sigmoid, linear,
)  # fmt: skip

NATIVE_NAMES: dict[Callable[..., Any], str] = {function: function.__name__ for function in _ELEMENTWISE}
"""The activations that act on single elements, and their names in the native engine."""

_BY_NAME: dict[str, Callable[..., Any]] = {
    **{
        function.__name__: function
        for function in (softmax, log_softmax, hard_sigmoid_keras3, hard_silu, relu6, leaky_relu, mish)
    },
    **{name: fn for fn, name in NATIVE_NAMES.items()},
}


def serialize(activation: Callable[..., Any]) -> Any:
    """Return the name under which a config stores `activation`, or a dict for an object with `get_config`.

    Raises:
        ValueError: `activation` has neither a name nor `get_config`.
    """
    return serialize_keras_object(activation)


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Callable[..., Any]:
    """Return the activation that a config names.

    Raises:
        ValueError: unknown name.
    """
    if isinstance(name, dict) and name.get("class_name") == "function":  # the form of Keras 2.13 and later
        name = name.get("config")
    found = deserialize_keras_object(name, _BY_NAME, custom_objects, "activation function")
    return found  # type: ignore[no-any-return]


def get(identifier: Any) -> Callable[..., Any]:
    """Return the activation for None (linear), a name, a serialized dict or a callable.

    Raises:
        ValueError: unknown name.
        TypeError: `identifier` is none of these.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, (str, dict)):
        return deserialize(identifier)
    if callable(identifier):
        return identifier  # type: ignore[no-any-return]
    raise TypeError(f"An activation must be a name, a dict or a callable; got {identifier!r}.")
