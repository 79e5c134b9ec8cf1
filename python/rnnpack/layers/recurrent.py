"""LSTM, GRU and SimpleRNN: recurrent layers that make their own cell."""

from __future__ import annotations

from typing import Any

from rnnpack import regularizers
from rnnpack.cells.gru import GRUCell
from rnnpack.cells.lstm import LSTMCell
from rnnpack.cells.simple_rnn import SimpleRNNCell
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.rnn import RNN


def _cell_attribute(name: str) -> Any:
    """A read-only property of a layer that shows its cell's attribute."""
    return property(lambda layer: getattr(layer.cell, name), doc=f"`{name}` of the cell.")


class _CellLayer(RNN):
    """A recurrent layer with a cell of a fixed type; saved flat, with the cell's arguments as its own."""

    units = _cell_attribute("units")
    activation = _cell_attribute("activation")
    use_bias = _cell_attribute("use_bias")
    kernel_initializer = _cell_attribute("kernel_initializer")
    recurrent_initializer = _cell_attribute("recurrent_initializer")
    bias_initializer = _cell_attribute("bias_initializer")
    kernel_regularizer = _cell_attribute("kernel_regularizer")
    recurrent_regularizer = _cell_attribute("recurrent_regularizer")
    bias_regularizer = _cell_attribute("bias_regularizer")
    kernel_constraint = _cell_attribute("kernel_constraint")
    recurrent_constraint = _cell_attribute("recurrent_constraint")
    bias_constraint = _cell_attribute("bias_constraint")
    dropout = _cell_attribute("dropout")
    recurrent_dropout = _cell_attribute("recurrent_dropout")

    def __init__(self, cell: Any, **kwargs: Any) -> None:
        """Takes the cell, and the arguments of `RNN`."""
        super().__init__(cell, **kwargs)
        self.input_spec = [InputSpec(ndim=3)]

    def call(  # type: ignore[override]
        self, inputs: Any, mask: Any = None, training: Any = None, initial_state: Any = None
    ) -> Any:
        """As `RNN.call`, shapes and errors included, but these cells take no constants."""
        return super().call(inputs, mask=mask, training=training, initial_state=initial_state)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        activity_regularizer = regularizers.serialize(self.activity_regularizer)
        return {
            **self.cell.get_config(),
            **self._flag_config(),  # name, trainable and dtype are the layer's
            "activity_regularizer": activity_regularizer,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:  # type: ignore[override]
        """A new layer without weights from what `get_config` returned; `implementation` 0 becomes 1."""
        config = dict(config)
        num_constants = config.pop("num_constants", 0)
        if config.get("implementation") == 0:
            config["implementation"] = 1
        layer = cls(**config)
        layer._num_constants = num_constants
        return layer


class SimpleRNN(_CellLayer):
    """The recurrence `h = activation(x @ kernel + bias + h @ recurrent_kernel)`.

    Positional order as in Keras 2.9. Inputs are `(batch, time, features)`; for calls, results and errors see
    `RNN`.

    Args:
        units: size of the state and of the output.
        activation: of the step; a name, a callable or None (linear).
        use_bias: whether there is a bias.
        kernel_initializer: of the weights for the inputs.
        recurrent_initializer: of the weights for the state.
        bias_initializer: of the bias.
        kernel_regularizer: of the weights for the inputs; its value appears in `losses`.
        recurrent_regularizer: of the weights for the state.
        bias_regularizer: of the bias.
        activity_regularizer: of the output.
        kernel_constraint: of the weights for the inputs, kept for optimizers.
        recurrent_constraint: of the weights for the state.
        bias_constraint: of the bias.
        dropout: part of the inputs dropped in training.
        recurrent_dropout: part of the state dropped in training.
        return_sequences: see `RNN`, as for the flags that follow.
        return_state: the output, then the final h.
        go_backwards: process the last timestep first.
        stateful: start where the previous call ended.
        unroll: accepted; the numbers are the same.
        **kwargs: `time_major`, `zero_output_for_mask`, `input_length`, and those of `Layer`.

    Raises:
        ValueError: `units` is not a positive integer, or a name is unknown.
        TypeError: an activation that is neither name nor callable, or an unknown keyword.
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        kwargs.pop("implementation", None)  # old configurations carry it
        cell = SimpleRNNCell(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="simple_rnn_cell",
        )
        super().__init__(
            cell,
            activity_regularizer=activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **kwargs,
        )


class LSTM(_CellLayer):
    """Long short-term memory; the formulas are in `LSTMCell`.

    Positional order as in Keras 2.9. Inputs are `(batch, time, features)`; for calls, results and errors see
    `RNN`.

    Args:
        units: size of the state and of the output.
        activation: of the candidate and of c; a name, a callable or None (linear).
        recurrent_activation: of the gates.
        use_bias: whether there is a bias.
        kernel_initializer: of the weights for the inputs.
        recurrent_initializer: of the weights for the state.
        bias_initializer: of the bias.
        unit_forget_bias: start the bias of the forget gate at 1.
        kernel_regularizer: of the weights for the inputs; its value appears in `losses`.
        recurrent_regularizer: of the weights for the state.
        bias_regularizer: of the bias.
        activity_regularizer: of the output.
        kernel_constraint: of the weights for the inputs, kept for optimizers.
        recurrent_constraint: of the weights for the state.
        bias_constraint: of the bias.
        dropout: part of the inputs dropped in training.
        recurrent_dropout: part of the state dropped in training.
        return_sequences: see `RNN`, as for the flags that follow.
        return_state: the output, then the final h and c.
        go_backwards: process the last timestep first.
        stateful: start where the previous call ended.
        time_major: the time axis comes first.
        unroll: accepted; the numbers are the same.
        **kwargs: `implementation`, `zero_output_for_mask`, `input_length`, and those of `Layer`.

    Raises:
        ValueError: `units` is not a positive integer, or a name is unknown.
        TypeError: an activation that is neither name nor callable, or an unknown keyword.
    """

    recurrent_activation = _cell_attribute("recurrent_activation")
    unit_forget_bias = _cell_attribute("unit_forget_bias")
    implementation = _cell_attribute("implementation")

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        time_major: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        cell = LSTMCell(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            implementation=kwargs.pop("implementation", 2),
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="lstm_cell",
        )
        super().__init__(
            cell,
            activity_regularizer=activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            time_major=time_major,
            unroll=unroll,
            **kwargs,
        )


class GRU(_CellLayer):
    """Gated recurrent unit; the formulas are in `GRUCell`.

    Positional order as in Keras 2.9. Inputs are `(batch, time, features)`; for calls, results and errors see
    `RNN`.

    Args:
        units: size of the state and of the output.
        activation: of the candidate; a name, a callable or None (linear).
        recurrent_activation: of the gates.
        use_bias: whether there is a bias.
        kernel_initializer: of the weights for the inputs.
        recurrent_initializer: of the weights for the state.
        bias_initializer: of the bias.
        kernel_regularizer: of the weights for the inputs; its value appears in `losses`.
        recurrent_regularizer: of the weights for the state.
        bias_regularizer: of the bias.
        activity_regularizer: of the output.
        kernel_constraint: of the weights for the inputs, kept for optimizers.
        recurrent_constraint: of the weights for the state.
        bias_constraint: of the bias.
        dropout: part of the inputs dropped in training.
        recurrent_dropout: part of the state dropped in training.
        return_sequences: see `RNN`, as for the flags that follow.
        return_state: the output, then the final h.
        go_backwards: process the last timestep first.
        stateful: start where the previous call ended.
        unroll: accepted; the numbers are the same.
        time_major: the time axis comes first.
        reset_after: apply the reset gate after the product with the recurrent kernel, not before it.
        **kwargs: `implementation`, `zero_output_for_mask`, `input_length`, and those of `Layer`.

    Raises:
        ValueError: `units` is not a positive integer, or a name is unknown.
        TypeError: an activation that is neither name nor callable, or an unknown keyword.
    """

    recurrent_activation = _cell_attribute("recurrent_activation")
    implementation = _cell_attribute("implementation")
    reset_after = _cell_attribute("reset_after")

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        time_major: bool = False,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        cell = GRUCell(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            reset_after=reset_after,
            implementation=kwargs.pop("implementation", 2),
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="gru_cell",
        )
        super().__init__(
            cell,
            activity_regularizer=activity_regularizer,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            time_major=time_major,
            **kwargs,
        )
