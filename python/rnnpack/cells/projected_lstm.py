"""The LSTM cell with a recurrent projection layer, Sak, Senior and Beaufays 2014."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cells.built_in import positive_int
from rnnpack.cells.lstm import LSTMCell

_Array = NDArray[Any]


class ProjectedLSTMCell(LSTMCell):
    """An LSTM step whose output is projected, as that of PyTorch's `LSTM(proj_size=...)`.

    `h' = (o * activation(c')) @ projection_kernel`; the states are `[h, c]` of sizes `projection_units` and
    `units`, and the output is h'. The weights are `kernel` (features, 4 * units), `recurrent_kernel`
    (projection_units, 4 * units), `bias` (4 * units,) unless `use_bias=False`, and `projection_kernel`
    (units, projection_units), which `kernel_initializer` makes. Everything else is as in `LSTMCell`.

    Args:
        units: size of the gates and of the cell state c.
        projection_units: size of h and of the output.
        *args: of `LSTMCell`, after `units`.
        **kwargs: of `LSTMCell`.

    Raises:
        ValueError: `projection_units` is not a positive integer; or as `LSTMCell`.
    """

    def __init__(self, units: int, projection_units: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(units, *args, **kwargs)
        self.projection_units = positive_int("projection_units", projection_units)
        self.state_size = [self.projection_units, self.units]
        self.output_size = self.projection_units

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of shape `(batch, features)`.

        Raises:
            ValueError: the number of features is unknown.
        """
        super().build(input_shape)
        self.projection_kernel = self.add_weight(
            name="projection_kernel",
            shape=(self.units, self.projection_units),
            initializer=self.kernel_initializer,
        )

    def _new_states(self, z: _Array, c: _Array) -> tuple[_Array, _Array]:
        h, c = super()._new_states(z, c)
        return np.asarray(h @ self.projection_kernel), c

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments as plain values."""
        return {**super().get_config(), "projection_units": self.projection_units}
