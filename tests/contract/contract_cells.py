"""Small cells with exact arithmetic and a plain loop to predict them, shared by the contract tests.

The cells work on small integers held in floats, so the expected values are exact in every dtype and the tests
compare with equality: a wrong step order, a leaked masked step or a blended state cannot hide in a tolerance.
"""

from __future__ import annotations

import numpy as np

import rnnpack


class DoublingCell:
    """Not a Layer. State h' = 2h + sum(x) (order sensitive), output h' + 100 (never equal to the state)."""

    def __init__(self, units=3):
        """Remember the width of state and output."""
        self.units = units
        self.state_size = units
        self.calls = 0

    def call(self, inputs, states):
        """One step."""
        self.calls += 1
        h = 2 * states[0] + inputs.sum(axis=-1, keepdims=True)
        return h + 100, [h]


class TwoStateCell:
    """Not a Layer. Two states of different width, a sum and a counter; the output is twice the sum."""

    def __init__(self, units=3, counter=2):
        """Remember both widths."""
        self.state_size = [units, counter]
        self.output_size = units

    def call(self, inputs, states):
        """One step."""
        total = states[0] + inputs.sum(axis=-1, keepdims=True)
        return 2 * total, [total, states[1] + 1]


class LayerCell(rnnpack.Layer):
    """A Layer with one weight: h' = 2h + x·kernel, output h' + 100."""

    def __init__(self, units, **kwargs):
        """Remember the width."""
        self.units = units
        self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape):
        """Create the kernel, all ones."""
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="ones", name="kernel")
        self.built = True

    def call(self, inputs, states):
        """One step."""
        h = 2 * states[0] + np.matmul(inputs, np.asarray(self.kernel))
        return h + 100, [h]

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "units": self.units}


def integers(*shape, seed=0, dtype="float32"):
    """Small random integers stored as floats."""
    return np.random.default_rng(seed).integers(-3, 4, size=shape).astype(dtype)


def normal(*shape, seed=0, dtype="float32"):
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def scan(step, x, states, mask=None, go_backwards=False, zero_output=False):
    """The masking rules of a recurrent layer, spelled out row by row.

    Args:
        step: `(x_t, states) -> (output, new_states)` on arrays with a batch axis.
        x: `(B, T, ...)`.
        states: list of `(B, ...)` arrays.
        mask: bool `(B, T)` or None.
        go_backwards: read physical steps T-1 ... 0; the sequence stays in processing order.
        zero_output: masked steps emit zeros instead of the previous output.

    Returns:
        `(sequence (B, T, ...), last valid output (B, ...), final states)`.
    """
    batch, length = x.shape[:2]
    states = [np.array(s) for s in states]
    sequence, held = [], None
    for t in reversed(range(length)) if go_backwards else range(length):
        output, new_states = step(x[:, t], tuple(states))
        held = np.zeros_like(output) if held is None else held
        shown = np.zeros_like(output) if zero_output else held.copy()
        held = held.copy()
        for b in range(batch):
            if mask is None or mask[b, t]:
                held[b] = shown[b] = output[b]
                for state, new in zip(states, new_states, strict=True):
                    state[b] = new[b]
        sequence.append(shown)
    return np.stack(sequence, axis=1), held, states


def doubling(x, h=None, mask=None, units=3, **flags):
    """What `DoublingCell(units)` must give on `(B, T, F)`: `(sequence, last, final state)`."""
    h = np.zeros((len(x), units), x.dtype) if h is None else h
    sequence, last, states = scan(lambda x_t, s: DoublingCell(units).call(x_t, s), x, [h], mask, **flags)
    return sequence, last, states[0]


def randomise(layer, input_shape, seed=0, scale=0.5):
    """Build a layer for `input_shape` and give every weight normal numbers; returns the list of weights."""
    if not layer.built:
        layer.build(input_shape)
    generator = np.random.default_rng(seed)
    weights = [scale * generator.standard_normal(w.shape).astype(w.dtype) for w in layer.get_weights()]
    layer.set_weights(weights)
    return weights


def bits(array):
    """The bytes of an array, for comparisons bit for bit (NaN equals NaN, 0.0 differs from -0.0)."""
    return np.ascontiguousarray(array).tobytes()
