"""Arrays and layers go when their last reference does, without the garbage collector."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from rnnpack import GRU, LSTM, RNN, GRUCell, Input, LSTMCell, Model
from rnnpack.layers import AbstractRNNCell

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")
MASK = np.array([[True, True, False, True, False], [True, False, False, False, False]])


@pytest.fixture(autouse=True)
def no_collector():
    """Switch the cyclic collector off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class OwnGRU(GRUCell):
    """Runs in Python."""


class TwoInputs(AbstractRNNCell):
    """Adds two inputs up."""

    state_size = 3
    output_size = 3

    def call(self, inputs, states):
        """Add."""
        h = states[0] + inputs[0] + inputs[1]
        return h, [h]


CALLS = {
    "masked sequences": (lambda: LSTM(4, return_sequences=True), lambda layer: layer(X, mask=MASK)),
    "masked sequences, number mask": (
        lambda: LSTM(4, return_sequences=True),
        lambda layer: layer(X, mask=MASK.astype("f")),
    ),
    "stateful": (lambda: LSTM(4, stateful=True), lambda layer: layer(X)),
    "stateful stack": (lambda: RNN([LSTMCell(4), GRUCell(3)], stateful=True), lambda layer: layer(X)),
    "python": (lambda: RNN(OwnGRU(4)), lambda layer: layer(X, mask=MASK)),
    "stateful python": (lambda: RNN(OwnGRU(4), stateful=True), lambda layer: layer(X)),
    "nested inputs": (lambda: RNN(TwoInputs()), lambda layer: layer((X, X))),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_output_goes_with_its_last_reference(name):
    make, call = CALLS[name]
    layer = make()
    for _ in range(2):
        output = call(layer)
        reference = weakref.ref(output)
        del output
        assert reference() is None


@pytest.mark.parametrize("name", CALLS)
def test_a_layer_goes_with_its_last_reference(name):
    make, call = CALLS[name]
    layer = make()
    call(layer)
    reference = weakref.ref(layer)
    del layer
    assert reference() is None


def test_the_search_for_the_nodes_of_a_model_leaves_nothing_behind():
    inputs = Input((5, 3))
    layer = GRU(4)
    outputs = layer(inputs)
    reference = weakref.ref(outputs)
    model = Model(inputs, outputs)
    model(X)
    before = len(gc.get_referrers(outputs))
    Model(inputs, outputs)(X)
    assert len(gc.get_referrers(outputs)) == before
    assert reference() is outputs
