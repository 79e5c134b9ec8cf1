"""A call that is interrupted or fails half-way leaves recorded states and contexts as they were."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
from contract_cells import DoublingCell, doubling, integers

import rnnpack
from rnnpack import RNN, Bidirectional

B, T, F = 2, 50, 3


class Boom(Exception):
    """Raised by a cell in the middle of a sequence."""


class FailingCell(DoublingCell):
    """Works until told to do something at one of its steps."""

    def __init__(self):
        super().__init__()
        self.action = None
        self.at = T // 2

    def call(self, inputs, states, training=None):
        self.training = training
        if self.action is not None and self.calls == self.at:
            self.action()
        return super().call(inputs, states)


def fail():
    """Raise an ordinary exception."""
    raise Boom


def interrupt():
    """What Ctrl-C does: the signal's Python handler raises KeyboardInterrupt."""
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("action", "error"), [(fail, Boom), (interrupt, KeyboardInterrupt)])
@pytest.mark.parametrize("stacked", [False, True])
def test_recorded_states_survive(stacked, action, error, masked, unroll):
    cell = FailingCell()
    layer = RNN([DoublingCell(), cell] if stacked else cell, stateful=True, unroll=unroll)
    x = integers(B, 8, F)
    mask = np.ones((B, T), bool) if masked else None
    layer(x)
    before = [np.array(s) for s in layer.states]
    cell.calls, cell.at, cell.action = 0, T // 2, action
    with pytest.raises(error):
        layer(integers(B, T, F), mask=mask)
    assert cell.calls == T // 2, "the call stopped in the middle"
    for got, want in zip(layer.states, before, strict=True):
        np.testing.assert_array_equal(np.asarray(got), want)


def test_the_next_call_continues_from_the_recorded_states():
    cell = FailingCell()
    layer = RNN(cell, stateful=True)
    x = integers(B, 5, F)
    layer(x)
    cell.calls, cell.at, cell.action = 0, 2, interrupt
    with pytest.raises(KeyboardInterrupt):
        layer(x)
    cell.action = None
    np.testing.assert_array_equal(layer(x), doubling(x, doubling(x)[2])[1])


def test_a_real_signal_in_a_long_call():
    class Slow:
        """Asks for a signal at its first step after it was armed; until it comes, time passes."""

        state_size = 3
        armed = False

        def call(self, inputs, states):
            if self.armed:
                self.armed = False
                threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
            time.sleep(0.001)
            return inputs.sum(-1, keepdims=True) + states[0], [states[0] + 1]

    cell = Slow()
    layer = RNN(cell, stateful=True)
    layer(integers(B, 2, F))
    before = np.array(layer.states[0])
    cell.armed = True
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        layer(integers(B, 20000, F))
    assert time.monotonic() - began < 10, "the interrupt waited for the end of the sequence"
    np.testing.assert_array_equal(np.asarray(layer.states[0]), before)


def test_first_call_of_a_stateful_layer_that_fails_can_be_repeated():
    cell = FailingCell()
    layer = RNN(cell, stateful=True)
    cell.at, cell.action = 3, fail
    x = integers(B, 5, F)
    with pytest.raises(Boom):
        layer(x)
    cell.action = None
    np.testing.assert_array_equal(layer(x), doubling(x)[1])


def test_training_does_not_stay_behind_after_a_failed_call():
    cell = FailingCell()
    layer = RNN(cell)
    cell.at, cell.action = 3, fail
    with pytest.raises(Boom):
        layer(integers(B, 5, F), training=True)
    cell.action = None
    layer(integers(B, 5, F))
    assert not cell.training


def test_a_failing_direction_of_a_bidirectional_layer_leaves_both_recorded_states():
    class Cell(rnnpack.Layer):
        fail = False
        state_size = 3

        def call(self, inputs, states):
            if Cell.fail and self.owner_fails:
                raise Boom
            h = states[0] + inputs.sum(-1, keepdims=True)
            return h, [h]

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config):
            return cls()

    with rnnpack.custom_object_scope({"Cell": Cell}):
        layer = Bidirectional(RNN(Cell(), stateful=True))
    layer.forward_layer.cell.owner_fails = False
    layer.backward_layer.cell.owner_fails = True
    x = integers(B, 5, F)
    layer(x)
    parts = (layer.forward_layer, layer.backward_layer)
    before = [np.array(p.states[0]) for p in parts]
    Cell.fail = True
    with pytest.raises(Boom):
        layer(x)
    for part, want in zip(parts, before, strict=True):
        np.testing.assert_array_equal(np.asarray(part.states[0]), want)


def test_a_cell_that_returns_nonsense_midway_leaves_recorded_states():
    class Cell(DoublingCell):
        bad = False

        def call(self, inputs, states):
            output, new = super().call(inputs, states)
            return output, ([new[0][:, :1]] if self.bad and self.calls % 7 == 0 else new)

    cell = Cell()
    layer = RNN(cell, stateful=True)
    layer(integers(B, 5, F))
    before = np.array(layer.states[0])
    cell.bad, cell.calls = True, 0
    with pytest.raises(ValueError, match="state"):
        layer(integers(B, 7, F))
    np.testing.assert_array_equal(np.asarray(layer.states[0]), before)
