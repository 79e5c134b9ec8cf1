"""Projections that optimizers apply to weights, with the names, arguments and configs of Keras 2.9.

A constraint is called with an array-like and returns a new array of the same shape and dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import backend
from rnnpack.registry import deserialize_keras_object, interpret, serialize_keras_object

_Array = NDArray[Any]
_Axis = int | Sequence[int]


class Constraint:
    """Base class; subclasses define `__call__` and, if their constructor has arguments, `get_config`."""

    def __call__(self, w: Any) -> _Array:
        """Return the projection of the weights `w`; the base class changes nothing."""
        return np.asarray(w)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return a constraint made from what `get_config` gave."""
        return cls(**config)


def _norms(w: _Array, axis: _Axis) -> _Array:
    """Euclidean norms along `axis`, kept as axes of length 1."""
    axes = axis if isinstance(axis, int) else tuple(axis)
    return np.asarray(np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True)))


class MaxNorm(Constraint):
    """Scale vectors along `axis` down to a norm of at most `max_value`."""

    def __init__(self, max_value: float = 2, axis: _Axis = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> _Array:
        """Return the scaled weights."""
        w = np.asarray(w)
        norms = _norms(w, self.axis)
        return np.asarray(w * (np.clip(norms, 0, self.max_value) / (backend.epsilon() + norms)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Set negative weights to 0."""

    def __call__(self, w: Any) -> _Array:
        """Return the non-negative weights."""
        return np.asarray(np.maximum(w, 0))


class UnitNorm(Constraint):
    """Scale vectors along `axis` to norm 1."""

    def __init__(self, axis: _Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> _Array:
        """Return the scaled weights."""
        w = np.asarray(w)
        return np.asarray(w / (backend.epsilon() + _norms(w, self.axis)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Move the norms of vectors along `axis` into [min_value, max_value], by the part `rate` of the way."""

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: _Axis = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> _Array:
        """Return the scaled weights."""
        w = np.asarray(w)
        norms = _norms(w, self.axis)
        desired = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return np.asarray(w * (desired / (backend.epsilon() + norms)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


class RadialConstraint(Constraint):
    """Make image kernels `(rows, columns, in, out)` constant along squares around their centre.

    As in Keras, the outermost ring takes the element `[2 h - 1, 2 h - 1]` with `h = rows // 2`, the next ones
    the diagonal elements before, and the centre (one pixel, 2 x 2 for even sizes) `[h - 1, h - 1]`.
    """

    def __call__(self, w: Any) -> _Array:
        """Return the constrained weights.

        Raises:
            ValueError: not 4 axes, or the kernels are not square.
        """
        w = np.asarray(w)
        if w.ndim != 4 or w.shape[0] != w.shape[1]:
            raise ValueError(
                f"RadialConstraint needs square kernels (rows, columns, in, out); got {w.shape}."
            )
        size = w.shape[0]
        half, odd = divmod(size, 2)
        if half == 0:
            return np.array(w)
        result = np.array(w)
        for edge in range(half):  # from the outermost ring inwards
            diagonal = 2 * half - 1 - edge
            result[edge : size - edge, edge : size - edge] = w[diagonal, diagonal]
        centre = slice(half - 1 + odd, half + 1)
        result[centre, centre] = w[half - 1, half - 1]
        return np.asarray(result)


max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm
radial_constraint = RadialConstraint

_CLASSES = {
    "max_norm": MaxNorm, "maxnorm": MaxNorm, "non_neg": NonNeg, "nonneg": NonNeg, "unit_norm": UnitNorm,
    "unitnorm": UnitNorm, "min_max_norm": MinMaxNorm, "radial_constraint": RadialConstraint,
}  # fmt: skip

_BY_NAME: dict[str, type[Constraint]] = {
    **_CLASSES,
    **{cls.__name__: cls for cls in (Constraint, *_CLASSES.values())},
}


def serialize(constraint: Any) -> Any:
    """Return the storable form of a constraint: a class_name and config dict, or the name of a function."""
    return serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the constraint that a stored form describes; ValueError for an unknown name."""
    return deserialize_keras_object(config, _BY_NAME, custom_objects, "constraint function")


def get(identifier: Any) -> Any:
    """Return the constraint for None (None), a name, a serialized dict, a class or a callable.

    Raises:
        ValueError: unknown name, or something else.
    """
    return interpret(identifier, deserialize, "constraint function")
