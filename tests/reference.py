"""Float64 oracle of the recurrent layers: plain loops over samples and timesteps, one row at a time.

This file is the executable form of the package's contract and shares no code with the package. Every
sample is computed alone, so no rule about batches, masks or layouts can hide in a vectorised expression.

A *row* is the vector of one sample at one step. Rows are float64 arrays, or any objects with the operators
``+ - * @``, slicing and ``activate(name)``; ``tolerance.Bounded`` uses that to carry rounding error bounds
through the very same loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Row = Any

# Klambauer et al., "Self-Normalizing Neural Networks" (2017), appendix A.1.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _sigmoid(x: Array) -> Array:
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, decay) / (1.0 + decay)


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def _selu(x: Array) -> Array:
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0.0)))


def _gelu(x: Array) -> Array:
    normal_cdf = [0.5 * math.erfc(-float(v) / math.sqrt(2.0)) for v in x.ravel()]
    return x * np.array(normal_cdf, np.float64).reshape(x.shape)


def _softmax(x: Array) -> Array:
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0.0, 1.0),
    "relu": lambda x: np.maximum(x, 0.0),
    "elu": _elu,
    "selu": _selu,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "swish": lambda x: x * _sigmoid(x),
    "gelu": _gelu,
    "exponential": np.exp,
    "softmax": _softmax,
}
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name != "softmax")


def activate(name: str, x: Row) -> Row:
    """Apply the activation called ``name`` to one row."""
    return ACTIVATIONS[name](x) if isinstance(x, np.ndarray) else x.activate(name)


class Cell(Protocol):
    """One step of one sample: what the loop needs to know about a cell, built-in or made up by a test."""

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Length of every state row."""

    @property
    def output_size(self) -> int:
        """Length of the output row."""

    def step(self, x: Row, states: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        """Map an input row and the state rows to an output row and the new state rows."""


@dataclass(frozen=True)
class _GatedCell:
    """Weights in Keras layout: kernel (F, gates*U), recurrent_kernel (U, gates*U), bias or None."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array | None = None
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"

    @property
    def output_size(self) -> int:
        return int(self.recurrent_kernel.shape[0])

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.output_size,)

    def _gate(self, row: Row, index: int) -> Row:
        return row[index * self.output_size : (index + 1) * self.output_size]


class SimpleRNNCell(_GatedCell):
    """``h' = activation(x K + h R + b)``; the output is ``h'``."""

    def step(self, x: Row, states: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        """See ``Cell.step``."""
        bias = 0.0 if self.bias is None else self.bias
        h = activate(self.activation, x @ self.kernel + states[0] @ self.recurrent_kernel + bias)
        return h, (h,)


class LSTMCell(_GatedCell):
    """Gate columns i, f, c, o: ``c' = f c + i act(c~)``, ``h' = o act(c')``; the output is ``h'``."""

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Hidden state, then cell state."""
        return (self.output_size, self.output_size)

    def step(self, x: Row, states: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        """See ``Cell.step``."""
        h, c = states
        bias = 0.0 if self.bias is None else self.bias
        z = x @ self.kernel + h @ self.recurrent_kernel + bias
        i = activate(self.recurrent_activation, self._gate(z, 0))
        f = activate(self.recurrent_activation, self._gate(z, 1))
        candidate = activate(self.activation, self._gate(z, 2))
        o = activate(self.recurrent_activation, self._gate(z, 3))
        c = f * c + i * candidate
        h = o * activate(self.activation, c)
        return h, (h, c)


@dataclass(frozen=True)
class PeepholeLSTMCell(_GatedCell):
    """``LSTMCell`` with a weight p for each unit: before they activate, i and f get ``p c``, o ``p c'``."""

    input_peephole: Any = None
    forget_peephole: Any = None
    output_peephole: Any = None

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Hidden state, then cell state."""
        return (self.output_size, self.output_size)

    def step(self, x: Row, states: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        """See ``Cell.step``."""
        h, c = states
        bias = 0.0 if self.bias is None else self.bias
        z = x @ self.kernel + h @ self.recurrent_kernel + bias
        i = activate(self.recurrent_activation, self._gate(z, 0) + c * self.input_peephole)
        f = activate(self.recurrent_activation, self._gate(z, 1) + c * self.forget_peephole)
        c = f * c + i * activate(self.activation, self._gate(z, 2))
        o = activate(self.recurrent_activation, self._gate(z, 3) + c * self.output_peephole)
        h = o * activate(self.activation, c)
        return h, (h, c)


@dataclass(frozen=True)
class ProjectedLSTMCell(_GatedCell):
    """Recurrent kernel (P, 4U), projection kernel (U, P): ``h' = (o act(c')) P``; the output is ``h'``."""

    projection_kernel: Any = None

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Hidden state (P), then cell state (U)."""
        return (self.output_size, int(self.projection_kernel.shape[0]))

    def step(self, x: Row, states: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        """See ``Cell.step``."""
        h, c = states
        units = self.state_sizes[1]
        bias = 0.0 if self.bias is None else self.bias
        z = x @ self.kernel + h @ self.recurrent_kernel + bias
        i = activate(self.recurrent_activation, z[:units])
        f = activate(self.recurrent_activation, z[units : 2 * units])
        candidate = activate(self.activation, z[2 * units : 3 * units])
        o = activate(self.recurrent_activation, z[3 * units :])
        c = f * c + i * candidate
        h = (o * activate(self.activation, c)) @ self.projection_kernel
        return h, (h, c)


class GRUCell(_GatedCell):
    """``reset_after=True``: gate columns z, r, h; bias (2, 3U), row 0 for the input, row 1 for the state."""

    def step(self, x: Row, states: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        """See ``Cell.step``."""
        (h,) = states
        input_bias, state_bias = (0.0, 0.0) if self.bias is None else (self.bias[0], self.bias[1])
        from_x = x @ self.kernel + input_bias
        from_h = h @ self.recurrent_kernel + state_bias
        z = activate(self.recurrent_activation, self._gate(from_x, 0) + self._gate(from_h, 0))
        r = activate(self.recurrent_activation, self._gate(from_x, 1) + self._gate(from_h, 1))
        candidate = activate(self.activation, self._gate(from_x, 2) + r * self._gate(from_h, 2))
        h = z * h + (1.0 - z) * candidate
        return h, (h,)


class GRUResetBeforeCell(_GatedCell):
    """``reset_after=False``: bias (3U,) on the input side, the reset gate acts before the matrix product."""

    def step(self, x: Row, states: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
        """See ``Cell.step``."""
        (h,) = states
        units = self.output_size
        from_x = x @ self.kernel + (0.0 if self.bias is None else self.bias)
        from_h = h @ self.recurrent_kernel[:, : 2 * units]
        z = activate(self.recurrent_activation, self._gate(from_x, 0) + self._gate(from_h, 0))
        r = activate(self.recurrent_activation, self._gate(from_x, 1) + self._gate(from_h, 1))
        recurrent = (r * h) @ self.recurrent_kernel[:, 2 * units :]
        candidate = activate(self.activation, self._gate(from_x, 2) + recurrent)
        h = z * h + (1.0 - z) * candidate
        return h, (h,)


CELLS: dict[str, Callable[..., Cell]] = {
    "simple_rnn": SimpleRNNCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "gru_reset_before": GRUResetBeforeCell,
    "peephole_lstm": PeepholeLSTMCell,
    "projected_lstm": ProjectedLSTMCell,
}


@dataclass(frozen=True)
class Layer:
    """A recurrent layer: one cell or a stack of them, with the flags that change numbers."""

    cells: tuple[Cell, ...]
    return_sequences: bool = False
    go_backwards: bool = False
    time_major: bool = False
    zero_output_for_mask: bool = False

    def state_sizes(self) -> list[int]:
        """Length of every state row of every cell, in cell order."""
        return [size for cell in self.cells for size in cell.state_sizes]


@dataclass(frozen=True)
class Result:
    """``output`` is (B, U), (B, T, U), or (T, B, U) when time-major; ``states`` are (B, size), flat."""

    output: Any
    states: list[Any]


def _step(cells: Sequence[Cell], x: Row, states: Sequence[Row]) -> tuple[Row, list[Row]]:
    """One step through a stack: every cell's output feeds the next cell."""
    new_states: list[Row] = []
    for cell in cells:
        first = len(new_states)
        x, cell_states = cell.step(x, states[first : first + len(cell.state_sizes)])
        new_states += cell_states
    return x, new_states


def _run_sample(
    layer: Layer, rows: Sequence[Row], valid: Sequence[bool], states: list[Row], zero: Row
) -> tuple[list[Row], Row, list[Row]]:
    """Run one sample. Returns the emitted rows in processing order, the last valid output and the states."""
    emitted: list[Row] = []
    last = zero  # before the first valid step the output is zero, whatever the initial state
    steps = range(len(rows))
    for t in reversed(steps) if layer.go_backwards else steps:
        if valid[t]:
            last, states = _step(layer.cells, rows[t], states)
            emitted.append(last)
        else:
            emitted.append(zero if layer.zero_output_for_mask else last)
    return emitted, last, states


def _stack(parts: Sequence[Any]) -> Any:
    """Put rows (or sequences of rows) under a new first axis."""
    return np.stack(parts) if isinstance(parts[0], np.ndarray) else type(parts[0]).stack(parts)


def _float64_row(row: NDArray[Any]) -> Row:
    return np.asarray(row, np.float64)


def run(
    layer: Layer,
    inputs: NDArray[Any],
    mask: NDArray[Any] | None = None,
    initial_state: Sequence[NDArray[Any]] | None = None,
    lift: Callable[[NDArray[Any]], Row] = _float64_row,
) -> Result:
    """Run the layer.

    Args:
        layer: what to run.
        inputs: (B, T, F), or (T, B, F) when the layer is time-major.
        mask: (B, T) or (B, T, 1), or time-major like the inputs; non-zero means "use this step".
        initial_state: flat list of (B, size), batch first always; None means zeros.
        lift: turns an array's row into the row type the loop computes with.

    Returns:
        Outputs in processing order. Final state and last output of a row without a valid step are its
        initial state and zero. ``zero_output_for_mask`` concerns sequences only.
    """
    if layer.time_major:
        inputs = np.swapaxes(inputs, 0, 1)
        mask = None if mask is None else np.swapaxes(mask, 0, 1)
    batch, steps = inputs.shape[:2]
    sizes = layer.state_sizes()
    units = layer.cells[-1].output_size
    if initial_state is None:
        initial_state = [np.zeros((batch, size)) for size in sizes]
    if batch == 0:
        shape = (0, steps, units) if layer.return_sequences else (0, units)
        return Result(np.zeros(shape), [np.zeros((0, size)) for size in sizes])
    valid = np.ones((batch, steps), bool) if mask is None else np.asarray(mask, bool).reshape(batch, steps)

    sequences, last_outputs, final_states = [], [], []
    for b in range(batch):
        emitted, last, states = _run_sample(
            layer,
            [lift(inputs[b, t]) for t in range(steps)],
            [bool(bit) for bit in valid[b]],
            [lift(state[b]) for state in initial_state],
            lift(np.zeros(units)),
        )
        sequences.append(_stack(emitted))
        last_outputs.append(last)
        final_states.append(states)
    output = _stack(sequences if layer.return_sequences else last_outputs)
    if layer.return_sequences and layer.time_major:
        output = output.swapaxes(0, 1)
    return Result(output, [_stack([states[i] for states in final_states]) for i in range(len(sizes))])


def merge(forward: Any, backward: Any, mode: str | None) -> Any:
    """Merge the outputs of two directions: concat (last axis), sum, ave, mul, or None for the pair."""
    if mode is None:
        return [forward, backward]
    if mode == "sum":
        return forward + backward
    if mode == "ave":
        return (forward + backward) * 0.5
    if mode == "mul":
        return forward * backward
    if mode != "concat":
        raise ValueError(f"unknown merge mode {mode!r}")
    if isinstance(forward, np.ndarray):
        return np.concatenate([forward, backward], axis=-1)
    return type(forward).concatenate([forward, backward])


def run_bidirectional(
    forward: Layer,
    backward: Layer,
    merge_mode: str | None,
    inputs: NDArray[Any],
    mask: NDArray[Any] | None = None,
    initial_state: Sequence[NDArray[Any]] | None = None,
    lift: Callable[[NDArray[Any]], Row] = _float64_row,
) -> Result:
    """Run both directions and merge. Initial and final states are flat, forward's first, then backward's.

    Masked steps of sequences are zero and last outputs the last valid ones, whatever the layers say. The
    backward sequence is turned back to physical time order before merging.
    """
    split = len(forward.state_sizes())
    halves = (None, None) if initial_state is None else (initial_state[:split], initial_state[split:])
    results = [
        run(replace(layer, zero_output_for_mask=layer.return_sequences), inputs, mask, half, lift)
        for layer, half in zip((forward, backward), halves, strict=True)
    ]
    backward_output = results[1].output
    if backward.return_sequences:
        backward_output = backward_output[::-1] if backward.time_major else backward_output[:, ::-1]
    merged = merge(results[0].output, backward_output, merge_mode)
    return Result(merged, results[0].states + results[1].states)
