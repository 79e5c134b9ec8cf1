"""Trained recurrent cores of Haiku, from their parameters: no JAX is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnnpack
from rnnpack.formats.arrays import as_array, check_shape, some, with_weights
from rnnpack.formats.errors import FormatError

_Params = Mapping[str, Any]
_GRU = {"w_i", "w_h", "b"}
# The names that Haiku gives to the modules of an LSTM or VanillaRNN if their users do not.
_DEFAULT_NAME = re.compile(r"(.*/)?(lstm|vanilla_rnn)(_[0-9]+)?")


def from_haiku(params: Mapping[str, Any], prefix: str | None = None, **arguments: Any) -> Any:
    """Converts the parameters of `hk.LSTM`, `hk.GRU` or `hk.VanillaRNN` to a layer.

    They become an `LSTM` (Haiku's extra 1 for the forget gate is added to its bias), a `GRU`
    (`reset_after=False`; Haiku's update gate is one minus ours, so its weights change sign) and a
    `SimpleRNN` with relu. Weights keep their dtype, float32 or float64. The formulas are those in Haiku's
    docstrings.

    Args:
        params: what `init` returned or training made of it: a dict of module names to dicts of arrays. What
            belongs to no recurrent core is passed over.
        prefix: name of the core's module, such as "encoder/~/lstm"; needed if there are several, or if an
            LSTM or VanillaRNN has a name of its own.
        **arguments: of the layer, such as `return_state` or `time_major`. Inputs are (batch, time, features),
            and the whole sequence is returned.

    Returns:
        The layer, built, with its weights.

    Raises:
        FormatError: no such core, several, or arrays that do not fit together; what was found is named.
    """
    name = _found(params, prefix)
    own: dict[str, Any] = {}
    if f"{name}/linear_1" in params:
        kind, own, weights = "SimpleRNN", {"activation": "relu"}, _vanilla_rnn(params, name)
    elif f"{name}/linear" in params:
        kind, weights = "LSTM", _lstm(params, name)
    else:
        kind, own, weights = "GRU", {"reset_after": False}, _gru(params, name)
    options = {"return_sequences": True, **arguments}
    layer = getattr(rnnpack, kind)(len(weights[1]), dtype=weights[0].dtype, **own, **options)
    return with_weights(layer, (None, None, len(weights[0])), weights)


def _found(params: _Params, prefix: str | None) -> str:
    """The name of the core's module."""
    names = []
    for name, arrays in params.items():
        module, _, inner = name.rpartition("/")
        if inner == "linear" and (_DEFAULT_NAME.fullmatch(module) or module == prefix):
            names.append(module)
        elif isinstance(arrays, Mapping) and set(arrays) == _GRU:
            names.append(name)
    if prefix is not None and prefix in names:
        return prefix
    if not names or prefix is not None:
        at = "any name" if prefix is None else prefix
        raise FormatError(
            f"`params`: no LSTM, GRU or VanillaRNN of Haiku at {at!r}; there are {some(params)}"
        )
    if len(names) > 1:
        raise FormatError(
            f"`params`: several recurrent cores: pass `prefix`, one of {some(map(repr, names))}"
        )
    return names[0]


def _lstm(params: _Params, name: str) -> list[NDArray[Any]]:
    """One matrix for inputs and state, one below the other; gates i, g, f, o."""
    matrix, bias = (_array(params, f"{name}/linear", role) for role in ("w", "b"))
    units = len(bias) // 4
    features = len(matrix) - units
    if features < 1:
        raise FormatError(f"{name}/linear/w: expected more than {units} rows, got shape {matrix.shape}")
    check_shape(matrix, (features + units, 4 * units), f"{name}/linear/w")
    check_shape(bias, (4 * units,), f"{name}/linear/b")

    def reordered(array: NDArray[Any]) -> NDArray[Any]:
        i, g, f, o = np.split(array, 4, axis=-1)
        return np.concatenate([i, f, g, o], axis=-1)

    bias = reordered(bias)
    bias[units : 2 * units] += 1
    matrix = reordered(matrix)
    return [matrix[:features], matrix[features:], bias]


def _gru(params: _Params, name: str) -> list[NDArray[Any]]:
    """Gates z, r, a; z is the part of h replaced, here the part kept: sigmoid(-x) = 1 - sigmoid(x)."""
    weights = [_array(params, name, role) for role in ("w_i", "w_h", "b")]
    units = len(weights[1])
    for array, lead, role in zip(
        weights, ((len(weights[0]),), (units,), ()), ("w_i", "w_h", "b"), strict=True
    ):
        check_shape(array, (*lead, 3 * units), f"{name}/{role}")
    sign = np.repeat(np.array([-1, 1, 1], weights[0].dtype), units)
    return [array * sign for array in weights]


def _vanilla_rnn(params: _Params, name: str) -> list[NDArray[Any]]:
    """Two Linear modules; the second has no bias with `double_bias=False`."""
    kernel, recurrent_kernel = (_array(params, f"{name}/{inner}", "w") for inner in ("linear", "linear_1"))
    units = len(recurrent_kernel)
    bias = _array(params, f"{name}/linear", "b")
    check_shape(kernel, (len(kernel), units), f"{name}/linear/w")
    check_shape(recurrent_kernel, (units, units), f"{name}/linear_1/w")
    check_shape(bias, (units,), f"{name}/linear/b")
    if "b" in params[f"{name}/linear_1"]:
        second = _array(params, f"{name}/linear_1", "b")
        check_shape(second, (units,), f"{name}/linear_1/b")
        bias = bias + second
    return [kernel, recurrent_kernel, bias]


def _array(params: _Params, module: str, role: str) -> NDArray[Any]:
    """One array of a module."""
    arrays = params[module]
    if not isinstance(arrays, Mapping) or role not in arrays:
        raise FormatError(f"{module}/{role}: missing")
    array = as_array(arrays[role], f"{module}/{role}")
    if not array.ndim:
        raise FormatError(f"{module}/{role}: expected an array, got a single number")
    return array
