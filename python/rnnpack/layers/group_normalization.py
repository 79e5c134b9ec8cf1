"""GroupNormalization: statistics of groups of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack.layers.checks import size
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.normalization import Normalization
from rnnpack.layers.weight_options import known_size


class GroupNormalization(Normalization):
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, statistics of each sample's groups of channels.

    Weights: `gamma` and `beta` (channels,).

    Args:
        groups: number of groups; -1 makes every channel one.
        axis: of the channels.
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

    Call: inputs, and a mask that broadcasts to their shape (not one of timesteps): only elements at which it
    is True count in the statistics. A mask is passed on.

    Raises:
        ValueError: an argument that is none of these; from a call, a number of channels that `groups` does
            not divide.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
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
        super().__init__(size("axis", axis, least=None), epsilon, center, scale, **kwargs)
        self.groups = -1 if groups == -1 else size("groups", groups)
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
        channels = known_size(self, input_shape, self.axis)
        if self.axis % len(input_shape) == 0:
            raise ValueError(f'`axis` of layer "{self.name}" must not be that of the batch, got {self.axis}')
        if self.groups == -1:
            self.groups = channels
        if channels % self.groups:
            raise ValueError(f"`groups` {self.groups} does not divide the {channels} channels of the inputs")
        self._add_learned((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The normalized inputs."""
        axis = self.axis % inputs.ndim
        values = np.moveaxis(self._working(inputs), axis, -1)
        shape = values.shape
        grouped = (*shape[:-1], self.groups, shape[-1] // self.groups)
        weights = None
        if mask is not None:
            try:
                weights = np.moveaxis(np.broadcast_to(mask, inputs.shape), axis, -1).reshape(grouped)
            except ValueError:
                raise ValueError(
                    f"`mask` must broadcast to the inputs of shape {inputs.shape}, got {mask.shape}"
                ) from None
        values = values.reshape(grouped)
        rest = tuple(one for one in range(1, values.ndim) if one != values.ndim - 2)
        mean, variance = self._statistics(values, rest, weights)
        outputs = ((values - mean) / np.sqrt(variance + values.dtype.type(self.epsilon))).reshape(shape)
        if self.gamma is not None:
            outputs *= self.gamma.value
        if self.beta is not None:
            outputs += self.beta.value
        return np.moveaxis(outputs, -1, axis).astype(self.dtype_policy.compute_dtype, copy=False)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "groups": self.groups}
