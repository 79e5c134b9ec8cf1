"""The LSTM cell with peephole connections, Gers and Schmidhuber 2000."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from rnnpack.cells.lstm import LSTMCell

_Array = NDArray[Any]


class PeepholeLSTMCell(LSTMCell):
    """An LSTM step whose gates see the cell state, as that of `tf.keras.experimental.PeepholeLSTMCell`.

    Before their activation, input gate and forget gate get `p * c` and the output gate gets `p * c'`, where
    c and c' are the old and the new cell state and p is a weight for each unit:
    `input_gate_peephole_weights`, `forget_gate_peephole_weights` and `output_gate_peephole_weights`, each
    (units,), which come last among the weights. Everything else is as in `LSTMCell`, the arguments too;
    `kernel_initializer` also makes the new weights.
    """

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of shape `(batch, features)`.

        Raises:
            ValueError: the number of features is unknown.
        """
        super().build(input_shape)
        self.input_gate_peephole_weights = self._add_peephole("input_gate_peephole_weights")
        self.forget_gate_peephole_weights = self._add_peephole("forget_gate_peephole_weights")
        self.output_gate_peephole_weights = self._add_peephole("output_gate_peephole_weights")

    def _add_peephole(self, name: str) -> Any:
        return self.add_weight(name=name, shape=(self.units,), initializer=self.kernel_initializer)

    def _new_states(self, z: _Array, c: _Array) -> tuple[_Array, _Array]:
        u = self.units
        i = self.recurrent_activation(z[:, :u] + self.input_gate_peephole_weights * c)
        f = self.recurrent_activation(z[:, u : 2 * u] + self.forget_gate_peephole_weights * c)
        c = f * c + i * self.activation(z[:, 2 * u : 3 * u])
        o = self.recurrent_activation(z[:, 3 * u :] + self.output_gate_peephole_weights * c)
        return o * self.activation(c), c
