"""What the built-in cells share: arguments, weights, projections, config."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import activations, constraints, initializers, regularizers
from rnnpack.cells.base import generate_zero_filled_state_for_cell
from rnnpack.cells.dropout import DropoutRNNCellMixin
from rnnpack.layers.base import Layer
from rnnpack.variable import Variable

_Array = NDArray[Any]
_Masks = list[_Array] | None


class BuiltInCell(DropoutRNNCellMixin, Layer):
    """A cell whose weights have one block of `units` columns for each gate.

    The weights are `kernel` (features, gates * units), `recurrent_kernel` (output_size, gates * units) and
    `bias`, which is None with `use_bias=False`. The output is the first state.

    Args:
        units: of each gate; size of the state and of the output unless the cell says otherwise.
        activation: name, dict, callable or None (linear).
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel`.
        recurrent_initializer: of `recurrent_kernel`.
        bias_initializer: of `bias`.
        kernel_regularizer: of `kernel`.
        recurrent_regularizer: of `recurrent_kernel`.
        bias_regularizer: of `bias`.
        kernel_constraint: of `kernel`.
        recurrent_constraint: of `recurrent_kernel`.
        bias_constraint: of `bias`.
        dropout: part of the inputs dropped in training, clipped into [0, 1].
        recurrent_dropout: part of the state dropped in training, clipped into [0, 1].
        **kwargs: of `Layer`.

    Raises:
        ValueError: `units` is not a positive integer, an unknown name, or a dtype that is not a float.
        TypeError: an activation that is not a name, dict or callable, or an unknown keyword.
    """

    gates = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
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
        **kwargs: Any,
    ) -> None:
        kwargs.pop("enable_caching_device", None)  # where TensorFlow keeps variables; old configs have it
        super().__init__(**kwargs)
        if self._policy.compute_dtype.kind != "f":
            raise ValueError(f"{type(self).__name__} needs a float dtype; got {self._policy.name}.")
        self.units = positive_int("units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.state_size: Any = self.units
        self.output_size = self.units

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of shape `(batch, features)`.

        Raises:
            ValueError: the number of features is unknown.
        """
        features = input_shape[-1]
        if features is None:
            raise ValueError(f"{self.name} needs a known number of features; got input shape {input_shape}.")
        width = self.gates * self.units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, width),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.output_size, width),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias: Variable | None = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self._bias_shape(),
                initializer=self._bias_initializer(),
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _bias_initializer(self) -> Any:
        return self.bias_initializer

    def get_initial_state(self, inputs: Any = None, batch_size: int | None = None, dtype: Any = None) -> Any:
        """Return zero states, in the batch size and dtype of `inputs` if given.

        Raises:
            ValueError: neither `inputs` nor both of `batch_size` and `dtype` are given.
        """
        return generate_zero_filled_state_for_cell(self, inputs, batch_size, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments as plain values."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": initializers.serialize(self.recurrent_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "recurrent_regularizer": regularizers.serialize(self.recurrent_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "recurrent_constraint": constraints.serialize(self.recurrent_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
        }

    # ---- the parts of a step -------------------------------------------------------------------------------

    def _state(self, value: Any, inputs: _Array, size: int) -> _Array:
        """Return a state (batch, size) in the compute dtype; check it and the inputs (batch, features)."""
        state = np.asarray(value, self._policy.compute_dtype)
        if inputs.ndim != 2 or inputs.shape[1] != self.kernel.shape[0]:
            raise ValueError(
                f"{self.name} expects inputs of shape (batch, {self.kernel.shape[0]}); got {inputs.shape}."
            )
        if state.shape != (inputs.shape[0], size):
            raise ValueError(
                f"{self.name} expects states of shape {(inputs.shape[0], size)}; got {state.shape}."
            )
        return state

    def _mask_count(self) -> int:
        """Number of independent dropout masks, one or one for each gate."""
        return 1

    def _input_masks(self, inputs: _Array, training: Any) -> _Masks:
        """Return the dropout masks for the inputs of this call, None where nothing is dropped."""
        if not training or not 0 < self.dropout < 1:
            return None
        return self._masks("inputs", self.dropout, inputs, self._mask_count())

    def _state_masks(self, state: _Array, training: Any) -> _Masks:
        """Return the dropout masks for the state of this call, None where nothing is dropped."""
        if not training or not 0 < self.recurrent_dropout < 1:
            return None
        return self._masks("states", self.recurrent_dropout, state, self._mask_count())


class GatedCell(BuiltInCell):
    """A built-in cell with several gates, which have an activation of their own.

    Args:
        *args: of `BuiltInCell`.
        recurrent_activation: of the gates.
        implementation: 1 draws a dropout mask for each gate, 2 (and 0) one for all; a `recurrent_dropout`
            makes it 1.
        **kwargs: of `BuiltInCell`.
    """

    def __init__(
        self, *args: Any, recurrent_activation: Any = "sigmoid", implementation: int = 2, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.implementation = 1 if self.recurrent_dropout != 0 else implementation

    def _mask_count(self) -> int:
        return self.gates if self.implementation == 1 else 1

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments as plain values."""
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "implementation": self.implementation,
        }


def product(values: _Array, matrix: Any, masks: _Masks) -> _Array:
    """Return `values @ matrix`, a new array, with dropped `values`.

    Args:
        values: (batch, n).
        matrix: (n, gates * units).
        masks: None, one mask (batch, n) for all gates, or one for each block of columns.
    """
    if masks is None:
        return np.asarray(values @ matrix)
    if len(masks) == 1:
        return np.asarray((values * masks[0]) @ matrix)
    blocks = np.split(np.asarray(matrix), len(masks), axis=1)
    return np.concatenate(
        [(values * mask) @ block for mask, block in zip(masks, blocks, strict=True)], axis=1
    )


def positive_int(argument: str, given: Any) -> int:
    """Return the value of an argument; ValueError unless it is a positive integer."""
    try:
        value = operator.index(given)
    except TypeError:
        value = 0
    if value <= 0:
        raise ValueError(
            f"Received an invalid value for argument `{argument}`, expected a positive integer, "
            f"got {given!r}."
        )
    return value
