"""The fully connected cell."""

from __future__ import annotations

from typing import Any

from rnnpack.cells.built_in import BuiltInCell, product


class SimpleRNNCell(BuiltInCell):
    """`h' = activation(x @ kernel + bias + h @ recurrent_kernel)`; for the arguments see `BuiltInCell`."""

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
        z = product(inputs, self.kernel, self._input_masks(inputs, training))
        if self.bias is not None:
            z += self.bias
        z += product(h, self.recurrent_kernel, self._state_masks(h, training))
        h = self.activation(z)
        return h, [h] if nested else h
