"""Streams that have begun, shared by the tests of streams as objects."""

from __future__ import annotations

from contract.contract_cells import DoublingCell, bits, integers, randomise
from contract.contract_oracle import flatten

from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell

B, T, F, U = 4, 6, 3, 5
X = integers(B, T, F)  # integers, so that every dtype holds them
MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "stack": lambda **k: RNN([LSTMCell(4), GRUCell(U)], **k),
    "own": lambda **k: RNN(type("OwnGRU", (GRUCell,), {})(U), **k),
    "custom": lambda **k: RNN(DoublingCell(U), **k),
}


def begun(name, batch=B, **flags):
    """A layer, and its stream after one step, whose states are not zero."""
    layer = MAKE[name](**flags)
    randomise(layer, (None, None, F))
    stream = layer.stream(batch)
    stream(X[:batch, 0] + 1)
    return layer, stream


def held(stream):
    """The bits of all states."""
    return [bits(s) for s in flatten(stream.states)]
