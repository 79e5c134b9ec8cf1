"""The part of `keras.backend` that cells and layers use, on NumPy arrays and variables.

Every function takes anything `np.asarray` takes, variables included, and returns a NumPy array unless it says
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.activations import elu as elu
from rnnpack.activations import hard_sigmoid as hard_sigmoid
from rnnpack.activations import relu as relu
from rnnpack.activations import sigmoid as sigmoid
from rnnpack.activations import softmax as softmax
from rnnpack.activations import softplus as softplus
from rnnpack.activations import softsign as softsign
from rnnpack.activations import tanh as tanh
from rnnpack.dtypes import floatx as floatx
from rnnpack.dtypes import resolve
from rnnpack.dtypes import set_floatx as set_floatx
from rnnpack.variable import Variable

_Array = NDArray[Any]
_Axis = int | Sequence[int] | None

_epsilon = 1e-7
_learning_phase: int | None = None


def _array(x: Any) -> _Array:
    return x.operand if isinstance(x, Variable) else np.asarray(x)


# ---- settings ----------------------------------------------------------------------------------------------


def epsilon() -> float:
    """Return the small number that layers add to avoid division by zero, initially 1e-7."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Set the number that `epsilon` returns."""
    global _epsilon
    _epsilon = float(value)


def learning_phase() -> int | None:
    """Return 1 for training and 0 for inference if set for the whole process, else None."""
    return _learning_phase


def set_learning_phase(value: int | bool | None) -> None:
    """Set the process-wide training flag for calls that are not told `training`; None unsets it.

    Raises:
        ValueError: `value` is not 0, 1 or None.
    """
    global _learning_phase
    if value not in (0, 1, None):
        raise ValueError(f"The learning phase must be 0, 1 or None; got {value!r}.")
    _learning_phase = None if value is None else int(value)


# ---- making arrays -----------------------------------------------------------------------------------------


def variable(value: Any, dtype: Any = None, name: str = "Variable", constraint: Any = None) -> Variable:
    """Return a `Variable` of `value` in `dtype` (default `floatx`)."""
    return Variable(value, name=name, dtype=resolve(dtype).variable_dtype, constraint=constraint)


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None) -> _Array:
    """Return `value` in `dtype` (default `floatx`), spread over `shape` if given."""
    array = np.array(value, dtype=resolve(dtype).compute_dtype)
    return array if shape is None else np.broadcast_to(array, tuple(shape)).copy()


def zeros(shape: Sequence[int], dtype: Any = None) -> _Array:
    """Return zeros in `dtype` (default `floatx`)."""
    return np.zeros(tuple(shape), resolve(dtype).compute_dtype)


def ones(shape: Sequence[int], dtype: Any = None) -> _Array:
    """Return ones in `dtype` (default `floatx`)."""
    return np.ones(tuple(shape), resolve(dtype).compute_dtype)


def zeros_like(x: Any, dtype: Any = None) -> _Array:
    """Return zeros of the shape of `x`, and of its dtype unless given."""
    return np.zeros_like(_array(x), dtype)


def ones_like(x: Any, dtype: Any = None) -> _Array:
    """Return ones of the shape of `x`, and of its dtype unless given."""
    return np.ones_like(_array(x), dtype)


def cast(x: Any, dtype: Any) -> _Array:
    """Return `x` in `dtype`."""
    return _array(x).astype(resolve(dtype).compute_dtype, copy=False)


def cast_to_floatx(x: Any) -> _Array:
    """Return `x` in the default float dtype."""
    return cast(x, floatx())


# ---- shapes ------------------------------------------------------------------------------------------------


def shape(x: Any) -> tuple[int, ...]:
    """Return the shape."""
    return _array(x).shape


def int_shape(x: Any) -> tuple[int | None, ...]:
    """Return the shape; entries of a symbolic array may be None."""
    known: tuple[int | None, ...] = tuple(x.shape) if hasattr(x, "shape") else _array(x).shape
    return known


def ndim(x: Any) -> int:
    """Return the number of axes."""
    return len(int_shape(x))


def dtype(x: Any) -> str:
    """Return the name of the dtype."""
    return str((x if hasattr(x, "dtype") else _array(x)).dtype)


def reshape(x: Any, shape: Sequence[int]) -> _Array:
    """Return `x` in another shape; one entry may be -1."""
    return _array(x).reshape(tuple(shape))


def batch_flatten(x: Any) -> _Array:
    """Return `x` with all axes but the first merged."""
    array = _array(x)
    return array.reshape(array.shape[0], int(np.prod(array.shape[1:])))


def expand_dims(x: Any, axis: int = -1) -> _Array:
    """Return `x` with an axis of length 1 at `axis`."""
    return np.expand_dims(_array(x), axis)


def squeeze(x: Any, axis: int) -> _Array:
    """Return `x` without its axis `axis`, which must have length 1."""
    return np.squeeze(_array(x), axis)


def transpose(x: Any) -> _Array:
    """Return `x` with its axes reversed."""
    return _array(x).T


def permute_dimensions(x: Any, pattern: Sequence[int]) -> _Array:
    """Return `x` with axis i taken from axis `pattern[i]`."""
    return np.transpose(_array(x), tuple(pattern))


def concatenate(tensors: Sequence[Any], axis: int = -1) -> _Array:
    """Join arrays along an axis."""
    return np.concatenate([_array(x) for x in tensors], axis)


def stack(x: Sequence[Any], axis: int = 0) -> _Array:
    """Join arrays along a new axis."""
    return np.stack([_array(item) for item in x], axis)


def tile(x: Any, n: int | Sequence[int]) -> _Array:
    """Repeat `x` as a whole, `n` times an axis."""
    return np.tile(_array(x), n)


def repeat_elements(x: Any, rep: int, axis: int) -> _Array:
    """Repeat every element `rep` times along `axis`."""
    return np.repeat(_array(x), rep, axis)


# ---- arithmetic --------------------------------------------------------------------------------------------


def dot(x: Any, y: Any) -> _Array:
    """Return the product over the last axis of `x` and the last but one (or only one) of `y`."""
    return np.asarray(np.dot(_array(x), _array(y)))


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> _Array:
    """Add a bias vector to the channel axis: the last, or the second if `data_format` is "channels_first".

    Raises:
        ValueError: another `data_format`.
    """
    if data_format not in (None, "channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first'; got {data_format!r}.")
    array, offset = _array(x), _array(bias)
    if data_format == "channels_first" and offset.ndim == 1:
        offset = offset.reshape(-1, *(1,) * (array.ndim - 2))
    return np.asarray(array + offset)


def sum(x: Any, axis: _Axis = None, keepdims: bool = False) -> _Array:
    """Sum over `axis`, default all."""
    return np.asarray(np.sum(_array(x), axis=_axes(axis), keepdims=keepdims))


def mean(x: Any, axis: _Axis = None, keepdims: bool = False) -> _Array:
    """Mean over `axis`, default all."""
    return np.asarray(np.mean(_array(x), axis=_axes(axis), keepdims=keepdims))


def max(x: Any, axis: _Axis = None, keepdims: bool = False) -> _Array:
    """Largest element over `axis`, default all."""
    return np.asarray(np.max(_array(x), axis=_axes(axis), keepdims=keepdims))


def min(x: Any, axis: _Axis = None, keepdims: bool = False) -> _Array:
    """Smallest element over `axis`, default all."""
    return np.asarray(np.min(_array(x), axis=_axes(axis), keepdims=keepdims))


def _axes(axis: _Axis) -> int | tuple[int, ...] | None:
    return axis if axis is None or isinstance(axis, int) else tuple(axis)


def maximum(x: Any, y: Any) -> _Array:
    """Element-wise larger one."""
    return np.asarray(np.maximum(_array(x), _array(y)))


def minimum(x: Any, y: Any) -> _Array:
    """Element-wise smaller one."""
    return np.asarray(np.minimum(_array(x), _array(y)))


def clip(x: Any, min_value: Any, max_value: Any) -> _Array:
    """Limit the elements to [min_value, max_value]."""
    return np.asarray(np.clip(_array(x), min_value, max_value))


def abs(x: Any) -> _Array:
    """Absolute value."""
    return np.asarray(np.abs(_array(x)))


def square(x: Any) -> _Array:
    """Element-wise square."""
    return np.asarray(np.square(_array(x)))


def sqrt(x: Any) -> _Array:
    """Square root; 0 for negative elements, as in Keras."""
    return np.asarray(np.sqrt(np.maximum(_array(x), 0)))


def exp(x: Any) -> _Array:
    """Exponential."""
    return np.asarray(np.exp(_array(x)))


def log(x: Any) -> _Array:
    """Natural logarithm."""
    return np.asarray(np.log(_array(x)))


def pow(x: Any, a: Any) -> _Array:
    """Element-wise power."""
    return np.asarray(np.power(_array(x), a))


# ---- values ------------------------------------------------------------------------------------------------


def eval(x: Any) -> _Array:
    """Return the value as an array."""
    return get_value(x)


def get_value(x: Any) -> _Array:
    """Return a copy of the value of a variable or array."""
    return x.numpy() if isinstance(x, Variable) else np.array(x)


def batch_get_value(tensors: Iterable[Any]) -> list[_Array]:
    """Return copies of the values of several variables."""
    return [get_value(x) for x in tensors]


def set_value(x: Variable, value: Any) -> None:
    """Assign to a variable; errors as `Variable.assign`."""
    x.assign(value)


def batch_set_value(tuples: Iterable[tuple[Variable, Any]]) -> None:
    """Assign to several variables, given as (variable, value) pairs."""
    for x, value in tuples:
        set_value(x, value)
