"""Normalization by statistics of the inputs, or of those seen in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.layers.checks import number
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.same_shape import SameShape
from rnnpack.layers.weight_options import known_size, needs_floats
from rnnpack.variable import Variable


class Normalization(SameShape):
    """What the normalizations share: axes, and the learned `gamma` and `beta`.

    float16 is computed in float32 and rounded once.
    """

    gamma: Variable | None
    beta: Variable | None

    def __init__(
        self, axis: int | Sequence[int], epsilon: float, center: bool, scale: bool, **kwargs: Any
    ) -> None:
        """See the subclasses."""
        super().__init__(**kwargs)
        needs_floats(self)
        axes = axis if isinstance(axis, (list, tuple)) else (axis,)
        if not axes or not all(isinstance(one, (int, np.integer)) for one in axes):
            raise ValueError(f"`axis` must be an integer or a list of integers, got {axis!r}")
        self.axis: Any = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.epsilon = number("epsilon", epsilon, 0)
        self.center = center
        self.scale = scale

    def _fix_axes(self, input_shape: Any) -> None:
        """Counts the axes from the start."""
        rank = len(input_shape)
        axes = self.axis if isinstance(self.axis, list) else [self.axis]
        if any(not -rank <= axis < rank for axis in axes) or len({axis % rank for axis in axes}) < len(axes):
            raise ValueError(f"`axis` {self.axis} does not fit inputs of shape {tuple(input_shape)}")
        self.axis = [axis % rank for axis in axes]

    def _add_learned(self, shape: Sequence[int], dtype: Any = None) -> None:
        self.gamma = self._add("gamma", shape, dtype=dtype) if self.scale else None
        self.beta = self._add("beta", shape, dtype=dtype) if self.center else None

    def _working(self, inputs: Any) -> NDArray[Any]:
        """The inputs as floats of at least 32 bits."""
        dtype = self.dtype_policy.compute_dtype
        return np.asarray(inputs, np.result_type(dtype, np.float32))

    def _parameter(self, variable: Variable, shape: tuple[int, ...]) -> NDArray[Any]:
        """A weight with an axis for each of the inputs, which have this shape."""
        # Reshaped and never transposed, also where `axis` is not in ascending order, as in Keras.
        return variable.value.reshape([n if axis in self.axis else 1 for axis, n in enumerate(shape)])

    def _statistics(self, values: NDArray[Any], axes: tuple[int, ...], counted: Any) -> tuple[Any, Any]:
        """Mean and variance along axes, of the elements at which `counted` is True (None for all)."""
        if counted is None:
            return values.mean(axis=axes, keepdims=True), values.var(axis=axes, keepdims=True)
        weights = np.broadcast_to(np.asarray(counted).astype(values.dtype), values.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            count = weights.sum(axis=axes, keepdims=True)
            mean = (values * weights).sum(axis=axes, keepdims=True) / count
            return mean, (np.square(values - mean) * weights).sum(axis=axes, keepdims=True) / count

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        names = ("axis", "epsilon", "center", "scale")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class LayerNormalization(Normalization):
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, statistics of each sample along some axes.

    Weights: `gamma` and `beta`, with the sizes of the axes.

    Args:
        axis: one axis or a list of them.
        epsilon: added to the variance.
        center: whether there is `beta`.
        scale: whether there is `gamma`.
        beta_initializer: of `beta`.
        gamma_initializer: of `gamma`.
        beta_regularizer: of `beta`.
        gamma_regularizer: of `gamma`.
        beta_constraint: of `beta`.
        gamma_constraint: of `gamma`.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `axis` is no integer or list of those, or does not fit the inputs.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(axis, epsilon, center, scale, **kwargs)
        self._set_options(
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        self._fix_axes(input_shape)
        sizes = [known_size(self, input_shape, axis) for axis in self.axis]
        self._add_learned(sizes)
        self.input_spec = InputSpec(ndim=len(input_shape), axes=dict(zip(self.axis, sizes, strict=True)))

    def call(self, inputs: Any) -> Any:
        """The normalized inputs."""
        values = self._working(inputs)
        axes = tuple(self.axis)
        values = values - values.mean(axis=axes, keepdims=True)
        values /= np.sqrt(np.square(values).mean(axis=axes, keepdims=True) + values.dtype.type(self.epsilon))
        if self.gamma is not None:
            values *= self._parameter(self.gamma, values.shape)
        if self.beta is not None:
            values += self._parameter(self.beta, values.shape)
        return values.astype(self.dtype_policy.compute_dtype, copy=False)


class BatchNormalization(Normalization):
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, statistics of each element of some axes.

    In inference, and when `trainable` is False, the statistics are weights. In training they are those of
    the batch, of its unmasked part where there is a mask of all axes but the last; the weights stay as they
    are, as this package does not train.

    Weights: `gamma`, `beta`, `moving_mean`, `moving_variance`; (size of the axis,), or for several axes of
    the inputs' rank, 1 along the others. float32 in layers of float16.

    Args:
        axis: one axis or a list of them.
        momentum: kept for configs.
        epsilon: added to the variance.
        center: whether there is `beta`.
        scale: whether there is `gamma`.
        beta_initializer: of `beta`.
        gamma_initializer: of `gamma`.
        moving_mean_initializer: of `moving_mean`.
        moving_variance_initializer: of `moving_variance`.
        beta_regularizer: of `beta`.
        gamma_regularizer: of `gamma`.
        beta_constraint: of `beta`.
        gamma_constraint: of `gamma`.
        synchronized: accepted, without effect: there is one device.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `axis` is no integer or list of those, or does not fit the inputs.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(axis, epsilon, center, scale, **kwargs)
        self.momentum = momentum
        self.synchronized = synchronized
        self._set_options(
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        self._fix_axes(input_shape)
        sizes = {axis: known_size(self, input_shape, axis) for axis in self.axis}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=sizes)
        shape = list(sizes.values())
        if len(shape) > 1:
            shape = [sizes.get(axis, 1) for axis in range(len(input_shape))]
        dtype = np.result_type(self.dtype_policy.variable_dtype, np.float32)
        self._add_learned(shape, dtype)
        self.moving_mean = self._add("moving_mean", shape, dtype=dtype, trainable=False)
        self.moving_variance = self._add("moving_variance", shape, dtype=dtype, trainable=False)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """The normalized inputs."""
        values = self._working(inputs)
        if training and self.trainable:
            rest = tuple(axis for axis in range(values.ndim) if axis not in self.axis)
            weights = None if mask is None else np.asarray(mask)[..., np.newaxis]
            mean, variance = self._statistics(values, rest, weights)
        else:
            mean, variance = (
                self._parameter(weight, values.shape) for weight in (self.moving_mean, self.moving_variance)
            )
        factor = 1 / np.sqrt(variance + values.dtype.type(self.epsilon))
        if self.gamma is not None:
            factor = factor * self._parameter(self.gamma, values.shape)
        outputs = (values - mean) * factor
        if self.beta is not None:
            outputs += self._parameter(self.beta, values.shape)
        return outputs.astype(self.dtype_policy.compute_dtype, copy=False)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "momentum": self.momentum}
