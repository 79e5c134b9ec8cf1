"""Dense: every feature times every unit."""

from __future__ import annotations

import math
from typing import Any

from rnnpack.layers.building import build_cell
from rnnpack.layers.checks import size
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.weight_options import OptionsLayer, as_floats, known_size, needs_floats, product
from rnnpack.variable import Variable


class Dense(OptionsLayer):
    """`activation(inputs @ kernel + bias)` over the last axis.

    Weights: `kernel` (features, units), `bias` (units,).

    Args:
        units: size of the last axis of the outputs.
        activation: name, dict, callable or None (linear).
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel`.
        bias_initializer: of `bias`.
        kernel_regularizer: of `kernel`.
        bias_regularizer: of `bias`.
        activity_regularizer: of the outputs.
        kernel_constraint: of `kernel`.
        bias_constraint: of `bias`.
        **kwargs: those of `Layer`.

    Call: inputs (batch, ..., features) of real numbers give (batch, ..., units). A mask is passed on.

    Raises:
        ValueError: `units` is not a positive integer, or the dtype is not a float.
    """

    bias: Variable | None
    activation: Any

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        needs_floats(self)
        self.units = size("units", units)
        self.use_bias = use_bias
        self._set_options(
            activation=activation,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the weights for inputs (batch, ..., features)."""
        features = known_size(self, input_shape)
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})
        self.kernel = self._add("kernel", (features, self.units))
        self.bias = self._add("bias", (self.units,)) if self.use_bias else None
        build_cell(self.activation, self.compute_output_shape(input_shape))

    def call(self, inputs: Any) -> Any:
        """One matrix product for all rows and timesteps."""
        rows = as_floats(self, inputs).reshape(math.prod(inputs.shape[:-1]), inputs.shape[-1])
        outputs = product(rows, self.kernel.operand)
        if self.bias is not None:
            outputs += self.bias.operand
        return self.activation(outputs.reshape(*inputs.shape[:-1], self.units))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, ..., units)."""
        known_size(self, input_shape)
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "units": self.units, "use_bias": self.use_bias}
