"""Penalties on weights and activities, with the names, arguments and configs of Keras 2.9."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnpack.registry import deserialize_keras_object, interpret, serialize_keras_object


def _penalty(name: str, value: Any, default: float) -> float:
    """Return a finite number; None means the default."""
    if value is None:
        return default
    if not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {value!r}.")
    return float(value)


class Regularizer:
    """Base class; subclasses define `__call__` and `get_config`."""

    def __call__(self, x: Any) -> Any:
        """Return the penalty on `x`, a scalar; the base class has none."""
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        raise NotImplementedError(f"{type(self).__name__} does not implement get_config().")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return a regularizer made from what `get_config` gave."""
        return cls(**config)


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x**2)`.

    Args:
        l1: factor, None means 0.
        l2: factor, None means 0.

    Raises:
        ValueError: a factor is not a finite number.
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _penalty("l1", l1, 0.0)
        self.l2 = _penalty("l2", l2, 0.0)

    def __call__(self, x: Any) -> Any:
        """Return the penalty, in the dtype of `x`."""
        x = np.asarray(x)
        return x.dtype.type(self.l1 * np.sum(np.abs(x)) + self.l2 * np.sum(np.square(x)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """`l1 * sum(|x|)`; `l` is another name of the argument, None means 0.01."""

    def __init__(self, l1: float | None = 0.01, **kwargs: Any) -> None:
        l1 = kwargs.pop("l", l1)
        if kwargs:
            raise TypeError("Keyword argument not understood:", *kwargs)
        super().__init__(l1=_penalty("l1", l1, 0.01))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"l1": self.l1}


class L2(L1L2):
    """`l2 * sum(x**2)`; `l` is another name of the argument, None means 0.01."""

    def __init__(self, l2: float | None = 0.01, **kwargs: Any) -> None:
        l2 = kwargs.pop("l", l2)
        if kwargs:
            raise TypeError("Keyword argument not understood:", *kwargs)
        super().__init__(l2=_penalty("l2", l2, 0.01))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Mean absolute cosine between different rows (or columns) of a matrix, times `factor`.

    Args:
        factor: of the penalty.
        mode: "rows" or "columns".

    Raises:
        ValueError: another mode, or (when called) not a matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise ValueError(f"mode must be 'rows' or 'columns'; got {mode!r}.")
        self.factor = _penalty("factor", factor, 0.01)
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        """Return the penalty, in the dtype of `x`."""
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer needs a matrix; got shape {x.shape}.")
        vectors = x if self.mode == "rows" else x.T
        squares = np.sum(np.square(vectors), axis=1, keepdims=True)
        unit = vectors / np.sqrt(np.maximum(squares, 1e-12))  # the epsilon of tf.math.l2_normalize
        cosines = np.abs(unit @ unit.T)
        pairs = len(unit) * (len(unit) - 1) / 2
        off_diagonal = np.sum(cosines) - np.trace(cosines)
        return x.dtype.type(self.factor * 0.5 * off_diagonal / pairs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"factor": self.factor, "mode": self.mode}


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Return an `L1L2` whose factors default to 0.01."""
    return L1L2(l1, l2)


l1 = L1
l2 = L2
orthogonal_regularizer = OrthogonalRegularizer

_BY_NAME: dict[str, Callable[..., Any]] = {
    "l1": L1,
    "l2": L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
    **{cls.__name__: cls for cls in (Regularizer, L1, L2, L1L2, OrthogonalRegularizer)},
}


def serialize(regularizer: Any) -> Any:
    """Return the storable form of a regularizer: a class_name and config dict, or the name of a function."""
    return serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the regularizer that a stored form describes; ValueError for an unknown name."""
    if config == "l1_l2":
        return l1_l2()  # the name stands for the function, whose defaults are not those of the class
    return deserialize_keras_object(config, _BY_NAME, custom_objects, "regularizer")


def get(identifier: Any) -> Any:
    """Return the regularizer for None (None), a name, a serialized dict, a class or a callable.

    Raises:
        ValueError: unknown name, or something else.
    """
    return interpret(identifier, deserialize, "regularizer")
