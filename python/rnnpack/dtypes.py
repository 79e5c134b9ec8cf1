"""Dtype policies: what a layer computes in and what it stores its weights in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_FLOATS = ("float16", "float32", "float64")
_PLAIN = (*_FLOATS, "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_floatx = "float32"


def floatx() -> str:
    """Return the name of the default float dtype, initially `"float32"`."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the default float dtype for layers made from now on.

    Raises:
        ValueError: `value` is not "float16", "float32" or "float64".
    """
    global _floatx
    if value not in _FLOATS:
        raise ValueError(f"floatx must be one of {_FLOATS}; got {value!r}.")
    _floatx = value


@dataclass(frozen=True)
class Policy:
    """The dtypes of a layer.

    Attributes:
        name: a NumPy dtype name, or "mixed_float16".
        compute_dtype: dtype of the inputs after autocast, of the arithmetic and of the outputs.
        variable_dtype: dtype of the weights.
    """

    name: str
    compute_dtype: np.dtype[Any]
    variable_dtype: np.dtype[Any]

    def serialize(self) -> str | dict[str, Any]:
        """Return what a config stores: the plain dtype name, or Keras' dict for a mixed policy."""
        if self.compute_dtype == self.variable_dtype:
            return self.name
        return {"class_name": "Policy", "config": {"name": self.name}}


def resolve(dtype: Any = None) -> Policy:
    """Return the policy that a layer's `dtype` argument asks for.

    Args:
        dtype: None for the current `floatx`, a name, a NumPy dtype or scalar type, a `Policy`, a serialized
            policy `{"class_name": "Policy", "config": {"name": ...}}`, or any object with a `name` such as
            another framework's dtype.

    Raises:
        ValueError: a dtype that NumPy lacks (bfloat16) or that layers cannot hold.
        TypeError: not a dtype at all.
    """
    if isinstance(dtype, Policy):
        return dtype
    name = _name_of(dtype)
    if name == "mixed_float16":
        return Policy(name, np.dtype("float16"), np.dtype("float32"))
    if "bfloat16" in name:
        raise ValueError(f"dtype {name!r} is not supported: NumPy has no bfloat16.")
    if name not in _PLAIN:
        raise ValueError(f"dtype must be one of {(*_PLAIN, 'mixed_float16')}; got {dtype!r}.")
    return Policy(name, np.dtype(name), np.dtype(name))


def _name_of(dtype: Any) -> str:
    if dtype is None:
        return _floatx
    if isinstance(dtype, str):
        return dtype
    if isinstance(dtype, dict):
        try:
            return str(dtype["config"]["name"])
        except (KeyError, TypeError):
            raise ValueError(f"dtype must be a serialized policy with a name; got {dtype!r}.") from None
    name = getattr(dtype, "name", None)
    if isinstance(name, str):
        return name
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        raise TypeError(f"dtype must be a dtype, its name or a policy; got {dtype!r}.") from None
