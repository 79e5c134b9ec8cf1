"""Initial values of weights, with the names, arguments and configs of Keras 2.9.

An initializer is called with `(shape, dtype=None)` and returns an array; further keywords that Keras passes
(placement, partitions) are ignored. Without a seed the random ones draw from `random.generator()`; with one
they return the same values on every call. TensorFlow's random sequences are not reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import random
from rnnpack.dtypes import resolve
from rnnpack.registry import deserialize_keras_object, interpret, serialize_keras_object

_Array = NDArray[Any]

# Standard deviation of the standard normal distribution truncated to [-2, 2].
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer:
    """Base class; subclasses define `__call__` and, if their constructor has arguments, `get_config`."""

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return an array of this shape, in `dtype` (default `floatx`)."""
        raise NotImplementedError("Initializer subclasses must implement __call__().")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return an initializer made from what `get_config` gave."""
        return cls(**{key: value for key, value in config.items() if key != "dtype"})


class Zeros(Initializer):
    """All zero."""

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return zeros."""
        return np.zeros(tuple(shape), resolve(dtype).variable_dtype)


class Ones(Initializer):
    """All one."""

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return ones."""
        return np.ones(tuple(shape), resolve(dtype).variable_dtype)


class Constant(Initializer):
    """All `value`; an array-like must broadcast to the shape asked for."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return the constant, spread over `shape`."""
        return np.full(tuple(shape), self.value, resolve(dtype).variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"value": self.value}


class _Random(Initializer):
    """What the initializers with a `seed` share."""

    seed: int | None

    def _generator(self) -> np.random.Generator:
        return random.generator() if self.seed is None else np.random.default_rng(self.seed)

    def _float_dtype(self, dtype: Any) -> np.dtype[Any]:
        result = resolve(dtype).variable_dtype
        if result.kind != "f":
            raise ValueError(f"{type(self).__name__} needs a float dtype; got {result}.")
        return result

    def _uniform(self, shape: Sequence[int], dtype: Any, low: float, high: float) -> _Array:
        target = self._float_dtype(dtype)
        return self._generator().uniform(low, high, tuple(shape)).astype(target, copy=False)

    def _normal(self, shape: Sequence[int], dtype: Any, mean: float, stddev: float) -> _Array:
        target = self._float_dtype(dtype)
        return self._generator().normal(mean, stddev, tuple(shape)).astype(target, copy=False)

    def _truncated_normal(self, shape: Sequence[int], dtype: Any, mean: float, stddev: float) -> _Array:
        """Draw again what lies more than two standard deviations from the mean."""
        target = self._float_dtype(dtype)
        generator = self._generator()
        values = generator.standard_normal(tuple(shape))
        while (outside := np.abs(values) > 2).any():
            values[outside] = generator.standard_normal(int(outside.sum()))
        return (mean + stddev * values).astype(target, copy=False)


class RandomUniform(_Random):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = minval
        self.maxval = maxval
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return random values; ValueError unless `dtype` is a float."""
        return self._uniform(shape, dtype, self.minval, self.maxval)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


class RandomNormal(_Random):
    """Normal."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return random values; ValueError unless `dtype` is a float."""
        return self._normal(shape, dtype, self.mean, self.stddev)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


class TruncatedNormal(RandomNormal):
    """Normal, within two standard deviations of the mean."""

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return random values; ValueError unless `dtype` is a float."""
        return self._truncated_normal(shape, dtype, self.mean, self.stddev)


class VarianceScaling(_Random):
    """Random with variance `scale / n`, n the number of inputs, of outputs, or their mean.

    Args:
        scale: positive factor.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal" ("normal" means the same), "untruncated_normal" or "uniform".
        seed: for the same values on every call.

    Raises:
        ValueError: any of them is something else.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        if scale <= 0:
            raise ValueError(f"scale must be positive; got {scale}.")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"mode must be 'fan_in', 'fan_out' or 'fan_avg'; got {mode!r}.")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                "distribution must be 'uniform', 'truncated_normal' or 'untruncated_normal'; "
                f"got {distribution!r}."
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return random values; ValueError unless `dtype` is a float."""
        fan_in, fan_out = _fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return self._uniform(shape, dtype, -limit, limit)
        if self.distribution == "untruncated_normal":
            return self._normal(shape, dtype, 0.0, stddev)
        return self._truncated_normal(shape, dtype, 0.0, stddev / _TRUNCATED_STDDEV)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, "seed": self.seed}


def _fans(shape: Sequence[int]) -> tuple[float, float]:
    """Return the numbers of inputs and outputs of a weight (receptive field..., in, out)."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    field = math.prod(shape[:-2])
    return float(field * shape[-2]), float(field * shape[-1])


class _FixedScaling(VarianceScaling):
    """A `VarianceScaling` whose only argument is the seed."""

    _arguments: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._arguments, seed=seed)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"seed": self.seed}


class GlorotUniform(_FixedScaling):
    """Uniform within sqrt(6 / (fan_in + fan_out)); Glorot and Bengio 2010."""

    _arguments = (1.0, "fan_avg", "uniform")


class GlorotNormal(_FixedScaling):
    """Truncated normal of standard deviation sqrt(2 / (fan_in + fan_out)); Glorot and Bengio 2010."""

    _arguments = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_FixedScaling):
    """Uniform within sqrt(6 / fan_in); He et al. 2015."""

    _arguments = (2.0, "fan_in", "uniform")


class HeNormal(_FixedScaling):
    """Truncated normal of standard deviation sqrt(2 / fan_in); He et al. 2015."""

    _arguments = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_FixedScaling):
    """Uniform within sqrt(3 / fan_in)."""

    _arguments = (1.0, "fan_in", "uniform")


class LecunNormal(_FixedScaling):
    """Truncated normal of standard deviation sqrt(1 / fan_in)."""

    _arguments = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Random):
    """Random orthonormal rows or columns, whichever are fewer, times `gain`; Saxe et al. 2013."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = gain
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return the matrix, all axes but the last taken as rows.

        Raises:
            ValueError: fewer than two axes, or `dtype` is not a float.
        """
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs a shape of at least 2 axes; got {tuple(shape)}.")
        target = self._float_dtype(dtype)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = self._generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        # Signs that make the factorization unique make the distribution uniform over orthogonal matrices.
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        matrix = q if rows >= columns else q.T
        return (self.gain * matrix.reshape(tuple(shape))).astype(target, copy=False)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"gain": self.gain, "seed": self.seed}


class Identity(Initializer):
    """The identity matrix times `gain`."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return the matrix; ValueError unless `shape` has two axes."""
        if len(shape) != 2:
            raise ValueError(f"Identity needs a shape of 2 axes; got {tuple(shape)}.")
        return (self.gain * np.eye(shape[0], shape[1])).astype(resolve(dtype).variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"gain": self.gain}


_CLASSES = {
    "constant": Constant,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "identity": Identity,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "ones": Ones,
    "orthogonal": Orthogonal,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "zeros": Zeros,
}

_BY_NAME: dict[str, type[Initializer]] = {
    **_CLASSES,
    **{cls.__name__: cls for cls in _CLASSES.values()},
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "one": Ones,
    "zero": Zeros,
}


def serialize(initializer: Any) -> Any:
    """Return the storable form of an initializer: a class_name and config dict, or the name of a function."""
    return serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the initializer that a stored form describes; ValueError for an unknown name."""
    return deserialize_keras_object(config, _BY_NAME, custom_objects, "initializer")


def get(identifier: Any) -> Any:
    """Return the initializer for None (None), a name, a serialized dict, a class or a callable.

    Raises:
        ValueError: unknown name, or something else.
    """
    return interpret(identifier, deserialize, "initializer")
