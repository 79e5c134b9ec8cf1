"""Layers whose calls are prepared, and new ones to compare them with."""

from __future__ import annotations

from contract.contract_cells import bits, normal, randomise
from contract.contract_oracle import flatten

from rnnpack import LSTM

B, T, F, U = 3, 5, 4, 4  # as many features as units, so that cells of a stack can change places
X = normal(B, T, F)
WEIGHTS = randomise(LSTM(U), (None, None, F), seed=1)
OTHER = randomise(LSTM(U), (None, None, F), seed=2)


def prepared(layer, weights=None):
    """The layer after calls of the plainest kind."""
    layer.build((None, None, F))
    if weights is not None:
        layer.set_weights(weights)
    for _ in range(3):
        layer(X)
    assert layer._plain_call(X, None, {}) is not None, "nothing is prepared, so nothing is tested"
    return layer


def after(change, layer):
    """What a layer gives right after a change: other layers that are made would announce changes, too."""
    prepared(layer)
    change(layer)
    return layer(X)


def lstm(**flags):
    """A prepared layer."""
    return prepared(LSTM(U, **flags), WEIGHTS)


def fresh(weights=WEIGHTS, **kwargs):
    """A layer that has never been called."""
    return LSTM(U, weights=weights, **kwargs)


def same(result, want):
    """Both results have the same structure, types of arrays and bits."""
    assert type(result) is type(want)
    got, want = flatten([result]), flatten([want])
    assert [(type(a), a.shape, a.dtype, bits(a)) for a in got] == [
        (type(a), a.shape, a.dtype, bits(a)) for a in want
    ]
