"""The gated recurrent unit, Cho et al. 2014."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cells.built_in import GatedCell, product

_Array = NDArray[Any]


class GRUCell(GatedCell):
    """A GRU step, with column blocks update gate z, reset gate r, candidate.

    `h' = z * h + (1 - z) * candidate`. With `reset_after` the reset gate multiplies the projected state,
    `activation(x_h + r * (h @ R_h + b_h))`, and the bias has two rows, for inputs and state; otherwise it
    multiplies the state before the projection, `activation(x_h + (r * h) @ R_h)`, and the bias belongs to the
    inputs.

    For the arguments see `BuiltInCell` and `GatedCell`.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            recurrent_activation=recurrent_activation,
            **kwargs,
        )
        self.reset_after = reset_after

    def _bias_shape(self) -> tuple[int, ...]:
        width = self.gates * self.units
        return (2, width) if self.reset_after else (width,)

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        """Compute one step.

        Args:
            inputs: (batch, features).
            states: the state (batch, units), bare or as the one item of a list or tuple.
            training: whether to apply dropout.

        Returns:
            The new state, and once more in a list, or bare if it came bare.

        Raises:
            ValueError: a shape does not fit.
        """
        nested = isinstance(states, (list, tuple))
        h = self._state(states[0] if nested else states, inputs, self.units)
        x = product(inputs, self.kernel, self._input_masks(inputs, training))
        step = self._reset_after_step if self.reset_after else self._reset_before_step
        z, candidate = step(x, h, training)
        h = z * h + (1 - z) * candidate
        return h, [h] if nested else h

    def _reset_after_step(self, x: _Array, h: _Array, training: Any) -> tuple[Any, Any]:
        """Return update gate and candidate from projected inputs and state."""
        u = self.units
        recurrent = product(h, self.recurrent_kernel, self._state_masks(h, training))
        if self.bias is not None:
            x += self.bias[0]
            recurrent += self.bias[1]
        z = self.recurrent_activation(x[:, :u] + recurrent[:, :u])
        r = self.recurrent_activation(x[:, u : 2 * u] + recurrent[:, u : 2 * u])
        return z, self.activation(x[:, 2 * u :] + r * recurrent[:, 2 * u :])

    def _reset_before_step(self, x: _Array, h: _Array, training: Any) -> tuple[Any, Any]:
        """Return update gate and candidate from projected inputs and state."""
        u = self.units
        masks = self._state_masks(h, training)
        matrix = np.asarray(self.recurrent_kernel)
        if self.bias is not None:
            x += self.bias
        recurrent = product(h, matrix[:, : 2 * u], masks and masks[:2])
        z = self.recurrent_activation(x[:, :u] + recurrent[:, :u])
        r = self.recurrent_activation(x[:, u : 2 * u] + recurrent[:, u:])
        return z, self.activation(x[:, 2 * u :] + product(r * h, matrix[:, 2 * u :], masks and masks[-1:]))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments as plain values."""
        return {**super().get_config(), "reset_after": self.reset_after}
