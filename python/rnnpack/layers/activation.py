"""Activation functions as layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack import activations
from rnnpack.dtypes import floatx
from rnnpack.layers.checks import number, size
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.same_shape import SameShape
from rnnpack.layers.weight_options import as_floats, known_size


class Activation(SameShape):
    """Applies an activation function.

    Args:
        activation: name, dict, callable or None (linear).
        **kwargs: those of `Layer`.
    """

    activation: Any

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self._set_options(activation=activation)

    def call(self, inputs: Any) -> Any:
        """The function's result."""
        return self.activation(inputs)


def _rounded(value: float) -> float:
    """The number as `floatx` holds it, as in Keras."""
    return float(np.dtype(floatx()).type(value))


class ReLU(SameShape):
    """`max_value` where inputs are larger, `negative_slope * (inputs - threshold)` below `threshold`.

    Args:
        max_value: largest output, None for no limit.
        negative_slope: slope below the threshold.
        threshold: where the rectified part ends.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: an argument is negative or no number.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else _rounded(number("max_value", max_value, 0))
        self.negative_slope = _rounded(number("negative_slope", negative_slope, 0))
        self.threshold = _rounded(number("threshold", threshold, 0))

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        names = ("max_value", "negative_slope", "threshold")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class LeakyReLU(SameShape):
    """`inputs` where positive, else `alpha * inputs`.

    Args:
        alpha: slope of the negative part.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `alpha` is no number.
    """

    def __init__(self, alpha: float = 0.3, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.alpha = _rounded(number("alpha", alpha))

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        return activations.relu(inputs, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "alpha": self.alpha}


class ELU(SameShape):
    """`inputs` where positive, else `alpha * (exp(inputs) - 1)`.

    Args:
        alpha: factor of the negative part.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `alpha` is no number.
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.alpha = _rounded(number("alpha", alpha))

    def call(self, inputs: Any) -> Any:
        """The function's result."""
        return activations.elu(inputs, self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "alpha": self.alpha}


class ThresholdedReLU(SameShape):
    """`inputs` where larger than `theta`, else 0.

    Args:
        theta: the threshold.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `theta` is negative or no number.
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.theta = _rounded(number("theta", theta, 0))

    def call(self, inputs: Any) -> Any:
        """The inputs with small ones set to zero."""
        inputs = as_floats(self, inputs)
        return inputs * (inputs > self.theta)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "theta": self.theta}


class PReLU(SameShape):
    """`inputs` where positive, else `alpha * inputs` with a learned `alpha`.

    Weights: `alpha`, of the inputs' shape without the batch, 1 along shared axes.

    Args:
        alpha_initializer: of `alpha`.
        alpha_regularizer: of `alpha`.
        alpha_constraint: of `alpha`.
        shared_axes: axes (batch is 0) along which all elements have the same `alpha`.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: (from building) an axis that is not shared has no known size.
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self._set_options(
            alpha_initializer=alpha_initializer,
            alpha_regularizer=alpha_regularizer,
            alpha_constraint=alpha_constraint,
        )
        if shared_axes is not None:
            axes = shared_axes if isinstance(shared_axes, (list, tuple)) else [shared_axes]
            shared_axes = [size("shared_axes", axis) for axis in axes]
        self.shared_axes = shared_axes

    def build(self, input_shape: Any) -> None:
        """Creates `alpha`."""
        rank, shared = len(input_shape), self.shared_axes or []
        if any(not 1 <= axis < rank for axis in shared):
            raise ValueError(f"`shared_axes` must lie in [1, {rank}), got {shared}")
        own = [axis for axis in range(1, rank) if axis not in shared]
        sizes = {axis: known_size(self, input_shape, axis) for axis in own}
        self.alpha = self._add("alpha", [sizes.get(axis, 1) for axis in range(1, rank)])
        self.input_spec = InputSpec(ndim=rank, axes=sizes if shared else {})

    def call(self, inputs: Any) -> Any:
        """The rectified inputs."""
        inputs = as_floats(self, inputs)
        return np.where(inputs > 0, inputs, self.alpha.operand * inputs)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "shared_axes": self.shared_axes}


class Softmax(SameShape):
    """`exp(x) / sum(exp(x))` along some axes.

    Args:
        axis: one axis or a list of them.
        **kwargs: those of `Layer`.

    Call: inputs, and a mask that broadcasts to their shape (not one of timesteps): elements at which it is
    False count as very small and get weight 0, unless all do.

    Raises:
        ValueError: (from a call) the mask does not broadcast.
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The weights."""
        inputs = as_floats(self, inputs)
        if mask is not None:
            mask = np.asarray(mask)
            # Added, so that rows without any True element keep finite weights, as in Keras.
            hidden = 1 - _broadcast(mask, inputs.shape).astype(inputs.dtype)
            inputs = inputs + hidden * very_small(inputs.dtype)
        axis = tuple(self.axis) if isinstance(self.axis, (list, tuple)) else self.axis
        return activations.softmax(inputs, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "axis": self.axis}


def very_small(dtype: Any) -> Any:
    """What Keras adds to a score that must not count: -1e9, in float16 half of the smallest number."""
    return np.dtype(dtype).type(-32752.0 if dtype == np.float16 else -1e9)


def _broadcast(mask: Any, shape: tuple[int, ...]) -> Any:
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"`mask` must broadcast to the inputs of shape {shape}, got {mask.shape}") from None
