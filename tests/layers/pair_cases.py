"""Bidirectional layers and what their two halves give one by one, shared by the tests of native pairs."""

from __future__ import annotations

import numpy as np
from contract.contract_cells import bits, randomise
from contract.contract_oracle import flatten

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

B, T, F, U = 4, 6, 3, 5
MODES = ["concat", "sum", "mul", "ave", None]
MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "gru reset before": lambda **k: GRU(U, reset_after=False, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(4, dtype=k.get("dtype")), GRUCell(U, dtype=k.get("dtype"))], **k),
}
MASKS = {
    "none": None,
    "all": np.ones((B, T), bool),
    "nothing": np.zeros((B, T), bool),
    "right": np.arange(T) < np.array([[6], [3], [0], [1]]),
    "left": np.arange(T) >= np.array([[0], [3], [6], [5]]),
    "holes": np.random.default_rng(5).random((B, T)) < 0.5,
    "numbers": (np.random.default_rng(6).random((B, T)) < 0.5).astype("f"),
    "three axes": np.random.default_rng(7).random((B, T, 1)) < 0.5,
}


def bidirectional(name, mode="concat", features=F, **flags):
    """An unbuilt layer that will have random weights."""
    weights = randomise(Bidirectional(MAKE[name](**flags), mode), (B, None, features))
    return Bidirectional(MAKE[name](**flags), mode, weights=weights)


def each(layer, x, mask=None, states=None, **kwargs):
    """What two calls of the layer's halves give, merged here: `[*outputs, *states]`, flat."""
    firsts = (None, None) if states is None else (states[: len(states) // 2], states[len(states) // 2 :])
    outputs, finals = [], []
    for half, first in zip((layer.forward_layer, layer.backward_layer), firsts, strict=True):
        result = half(x, mask=mask, initial_state=first, **kwargs)
        output, *final = result if half.return_state else [result]
        outputs.append(np.array(output))
        finals += flatten(final)
    forward, backward = outputs
    if layer.forward_layer.return_sequences:
        backward = np.flip(backward, 0 if layer.forward_layer.time_major else 1)
    merged = {
        "concat": lambda: np.concatenate([forward, backward], axis=-1),
        "sum": lambda: forward + backward,
        "mul": lambda: forward * backward,
        "ave": lambda: (forward + backward) / 2,
        None: lambda: [forward, backward],
    }[layer.merge_mode]()
    return [*flatten([merged]), *finals]


def assert_same(result, want):
    """Equal in number, shapes, dtypes and bits."""
    got, want = flatten([result]), flatten([want])
    assert [(a.shape, a.dtype, bits(a)) for a in got] == [(a.shape, a.dtype, bits(a)) for a in want]


def recorded(layer):
    """The recorded states of both directions."""
    return [*layer.forward_layer.states, *layer.backward_layer.states]
