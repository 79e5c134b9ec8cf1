"""Layers that change their inputs at random in training, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import random
from rnnpack.layers.checks import number, size
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.same_shape import SameShape
from rnnpack.layers.weight_options import as_floats

# The value of SELU far left of zero (Klambauer et al. 2017): what alpha dropout replaces inputs with.
_SELU_LIMIT = -1.6732632423543772 * 1.0507009873554805


class RandomLayer(SameShape):
    """A layer with a source of random numbers: its own with a `seed`, else the package's.

    Args:
        seed: None, or an integer from which the layer's numbers start.
        **kwargs: those of `Layer`.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.seed = None if seed is None else size("seed", seed, least=0)
        self._generator = None if seed is None else np.random.default_rng(self.seed)

    def _random(self) -> np.random.Generator:
        return random.generator() if self._generator is None else self._generator

    def call(self, inputs: Any, training: Any = None) -> Any:
        """The inputs; in training, changed."""
        return self._changed(as_floats(self, inputs)) if training else inputs

    def _changed(self, inputs: NDArray[Any]) -> NDArray[Any]:
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "seed": self.seed}


class _Rate(RandomLayer):
    """A random layer with the part of the inputs to change."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(seed, **kwargs)
        self.rate = number("rate", rate, 0, 1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "rate": self.rate}


def dropped(generator: np.random.Generator, inputs: Any, rate: float, noise_shape: Any = None) -> Any:
    """The inputs with a part `rate` of them set to zero and the others times `1 / (1 - rate)`.

    Args:
        generator: of the random numbers.
        inputs: floats.
        rate: in [0, 1].
        noise_shape: shape of the choices, which broadcast to the inputs; default all independent.
    """
    kept = generator.random(inputs.shape if noise_shape is None else noise_shape) >= rate
    return inputs * kept * inputs.dtype.type(1 / (1 - rate) if rate < 1 else 0)


class Dropout(_Rate):
    """In training, sets a part of the inputs to zero and scales the others up, so that means stay.

    Args:
        rate: the part, in [0, 1].
        noise_shape: shape of the random choices, None where it is the inputs'; 1 shares a choice along an
            axis. Default: every element by itself.
        seed: None, or an integer from which the layer's random numbers start.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `rate` is outside of [0, 1].
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = noise_shape

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the random choices for inputs of this shape."""
        if self.noise_shape is None:
            return shape
        if len(self.noise_shape) != len(shape):
            raise ValueError(f"`noise_shape` {self.noise_shape} does not fit inputs of shape {shape}")
        return tuple(own if one is None else one for one, own in zip(self.noise_shape, shape, strict=True))

    def _changed(self, inputs: NDArray[Any]) -> Any:
        if self.rate == 0:
            return inputs
        return dropped(self._random(), inputs, self.rate, self._shape(inputs.shape))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "noise_shape": self.noise_shape}


class SpatialDropout1D(Dropout):
    """Dropout of whole features: one choice for all timesteps.

    Args:
        rate: the part of the features set to zero, in [0, 1].
        **kwargs: `seed`, and those of `Layer`.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(rate, **kwargs)
        self.input_spec = InputSpec(ndim=3)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], 1, shape[2])


class GaussianNoise(RandomLayer):
    """In training, adds normally distributed noise.

    Args:
        stddev: its standard deviation.
        seed: None, or an integer from which the layer's random numbers start.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `stddev` is negative or no number.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(seed, **kwargs)
        self.stddev = number("stddev", stddev, 0)

    def _changed(self, inputs: NDArray[Any]) -> Any:
        return inputs + self._random().normal(0.0, self.stddev, inputs.shape).astype(inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "stddev": self.stddev}


class GaussianDropout(_Rate):
    """In training, multiplies by normal numbers of mean 1 and variance `rate / (1 - rate)`.

    Args:
        rate: as that of Dropout; 0 and 1 change nothing.
        seed: None, or an integer from which the layer's random numbers start.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `rate` is outside of [0, 1].
    """

    def _changed(self, inputs: NDArray[Any]) -> Any:
        if not 0 < self.rate < 1:
            return inputs
        deviation = np.sqrt(self.rate / (1 - self.rate))
        return inputs * self._random().normal(1.0, deviation, inputs.shape).astype(inputs.dtype)


class AlphaDropout(_Rate):
    """Dropout that keeps mean and variance of self-normalizing networks (Klambauer et al. 2017).

    Args:
        rate: the part of the inputs that is replaced; 0 and 1 change nothing.
        noise_shape: shape of the random choices; default that of the inputs. As in Keras not in configs.
        seed: None, or an integer from which the layer's random numbers start.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `rate` is outside of [0, 1].
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = noise_shape

    def _changed(self, inputs: NDArray[Any]) -> Any:
        if not 0 < self.rate < 1:
            return inputs
        kept = self._random().random(self.noise_shape or inputs.shape) >= self.rate
        scale = ((1 - self.rate) * (1 + self.rate * _SELU_LIMIT**2)) ** -0.5
        replaced = np.where(kept, inputs, inputs.dtype.type(_SELU_LIMIT))
        return replaced * inputs.dtype.type(scale) + inputs.dtype.type(-scale * _SELU_LIMIT * self.rate)
