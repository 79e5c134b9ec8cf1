"""The LSTM cell of Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cells.built_in import GatedCell, product
from rnnpack.initializers import Initializer

_Array = NDArray[Any]


class LSTMCell(GatedCell):
    """An LSTM step, with column blocks input gate i, forget gate f, candidate, output gate o.

    `c' = f * c + i * activation(candidate)` and `h' = o * activation(c')`; the states are `[h, c]`.

    For the arguments see `BuiltInCell` and `GatedCell`; `unit_forget_bias` starts the forget gate's bias at 1
    and leaves the rest to `bias_initializer`.
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
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
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.units, self.units]

    def _bias_initializer(self) -> Any:
        return _UnitForgetBias(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        """Compute one step.

        Args:
            inputs: (batch, features).
            states: h (batch, output_size) and c (batch, units).
            training: whether to apply dropout.

        Returns:
            The new h, and `[h, c]`.

        Raises:
            ValueError: a number of states or a shape does not fit.
        """
        if len(states) != 2:
            raise ValueError(f"{self.name} expects the states [h, c]; got {len(states)} states.")
        h = self._state(states[0], inputs, self.output_size)
        c = self._state(states[1], inputs, self.units)
        z = product(inputs, self.kernel, self._input_masks(inputs, training))
        z += product(h, self.recurrent_kernel, self._state_masks(h, training))
        if self.bias is not None:
            z += self.bias
        h, c = self._new_states(z, c)
        return h, [h, c]

    def _new_states(self, z: _Array, c: _Array) -> tuple[_Array, _Array]:
        """Return the new h and c from the gates' sums (batch, 4 * units) and the old c (batch, units)."""
        u = self.units
        i, f = self.recurrent_activation(z[:, :u]), self.recurrent_activation(z[:, u : 2 * u])
        c = f * c + i * self.activation(z[:, 2 * u : 3 * u])
        return self.recurrent_activation(z[:, 3 * u :]) * self.activation(c), c

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments as plain values."""
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}


class _UnitForgetBias(Initializer):
    """Ones in the forget gate's block, another initializer in the others."""

    def __init__(self, others: Any) -> None:
        self._others = others

    def __call__(self, shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> _Array:
        """Return the bias, 4 blocks long."""
        units = shape[0] // 4
        blocks = [
            self._others((units,), dtype=dtype),
            np.ones(units, dtype),
            self._others((2 * units,), dtype=dtype),
        ]
        return np.concatenate([np.asarray(block) for block in blocks])
