"""Dropout in cells: when, which scale, reuse, gates, threads."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

from rnnpack import random
from rnnpack.cells import DropoutRNNCellMixin, GRUCell, LSTMCell, SimpleRNNCell
from rnnpack.layers import Layer

B, F, U = 40, 30, 20
X = np.ones((B, F), np.float32)
CASES = [(SimpleRNNCell, 1), (GRUCell, 3), (LSTMCell, 4)]


def states_of(cls, value=0.0):
    return [np.full((B, U), value, np.float32)] * (2 if cls is LSTMCell else 1)


def reset(cell):
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()


def input_seen_by_gates(cls, gates, **kwargs):
    """A linear cell whose kernel copies the first U inputs into every gate, and a list of what gates see."""
    seen = []

    def spy(z):
        seen.append(np.array(z))
        return z

    gated = {} if gates == 1 else {"recurrent_activation": spy}
    cell = cls(U, activation=spy, use_bias=False, **gated, **kwargs)
    cell.build((None, F))
    cell.set_weights([np.tile(np.eye(F, U), gates), np.tile(np.eye(U), gates)])
    return cell, seen


@pytest.mark.parametrize(("cls", "gates"), CASES)
def test_no_dropout_unless_training(cls, gates):
    cell = cls(U, dropout=0.5, recurrent_dropout=0.5)
    plain = cls(U)
    plain.build((None, F))
    cell.build((None, F))
    cell.set_weights(plain.get_weights())
    want = plain(X, states_of(cls, 0.5))[0]
    np.testing.assert_allclose(cell(X, states_of(cls, 0.5))[0], want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cell(X, states_of(cls, 0.5), training=False)[0], want, rtol=1e-5, atol=1e-6)
    dropped = cell(X, states_of(cls, 0.5), training=True)[0]
    assert np.abs(dropped - want).max() > 0.01


@pytest.mark.parametrize(("cls", "gates"), CASES)
@pytest.mark.parametrize("implementation", [1, 2])
def test_input_masks_scale_and_belong_to_gates(cls, gates, implementation):
    random.set_seed(1)
    kwargs = {} if gates == 1 else {"implementation": implementation}
    cell, seen = input_seen_by_gates(cls, gates, dropout=0.25, **kwargs)
    cell(X, states_of(cls), training=True)
    gate_inputs = seen[:gates]
    for block in gate_inputs:
        np.testing.assert_allclose(np.unique(block), [0, 1 / 0.75], rtol=1e-6)
        # 800 draws: the share of zeros lies within 5 standard errors.
        assert abs((block == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / block.size)
    differing = [not np.array_equal(gate_inputs[0], other) for other in gate_inputs[1:]]
    assert differing == [implementation == 1] * (gates - 1)


@pytest.mark.parametrize(("cls", "gates"), CASES)
def test_recurrent_dropout_drops_the_projected_state_with_a_mask_for_each_gate(cls, gates):
    random.set_seed(2)
    cell, seen = input_seen_by_gates(cls, gates, recurrent_dropout=0.5)
    cell(np.zeros((B, F)), states_of(cls, 1.0), training=True)
    blocks = seen[: 2 if cls is GRUCell else gates]
    for block in blocks:
        np.testing.assert_array_equal(np.unique(block), [0, 2])
    assert all(not np.array_equal(blocks[0], other) for other in blocks[1:])


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_carried_state_of_a_gru_is_never_dropped(reset_after):
    cell = GRUCell(
        U, recurrent_dropout=0.5, recurrent_activation=lambda z: np.ones_like(z), reset_after=reset_after
    )
    h = cell(X, states_of(GRUCell, 0.5), training=True)[0]
    np.testing.assert_array_equal(h, np.full((B, U), 0.5))


def test_the_carry_of_an_lstm_is_never_dropped():
    cell = LSTMCell(
        U, recurrent_dropout=0.5, recurrent_activation=lambda z: np.ones_like(z), activation=lambda z: 0 * z
    )
    c = cell(X, states_of(LSTMCell, 0.5), training=True)[1][1]
    np.testing.assert_array_equal(c, np.full((B, U), 0.5))


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_candidate_uses_its_own_mask(reset_after):
    """With r = 1 and x = 0 the candidate is the dropped state; z = 0 shows it."""
    random.set_seed(3)
    gates = []

    def gate(z):
        gates.append(np.array(z))
        return np.zeros_like(z) if len(gates) % 2 else np.ones_like(z)  # z, then r

    cell = GRUCell(
        U,
        activation=None,
        recurrent_activation=gate,
        recurrent_dropout=0.5,
        reset_after=reset_after,
        use_bias=False,
    )
    cell.build((None, F))
    cell.set_weights([np.zeros((F, 3 * U)), np.tile(np.eye(U), 3)])
    h = cell(X, states_of(GRUCell, 1.0), training=True)[0]
    np.testing.assert_array_equal(np.unique(h), [0, 2])
    assert not np.array_equal(h, gates[0])
    assert not np.array_equal(h, gates[1])


@pytest.mark.parametrize(("cls", "gates"), CASES)
def test_masks_are_reused_until_reset(cls, gates):
    cell = cls(U, dropout=0.5, recurrent_dropout=0.5)
    first = cell(X, states_of(cls, 1.0), training=True)[0]
    np.testing.assert_array_equal(cell(X, states_of(cls, 1.0), training=True)[0], first)
    reset(cell)
    assert not np.array_equal(cell(X, states_of(cls, 1.0), training=True)[0], first)


def test_another_batch_size_draws_new_masks():
    cell = SimpleRNNCell(U, dropout=0.5)
    cell(X, states_of(SimpleRNNCell), training=True)
    assert cell(X[:3], np.zeros((3, U)), training=True)[0].shape == (3, U)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_zero_and_one_drop_nothing(rate):
    cell = SimpleRNNCell(U, dropout=rate, recurrent_dropout=rate)
    want = cell(X, states_of(SimpleRNNCell))[0]
    np.testing.assert_array_equal(cell(X, states_of(SimpleRNNCell), training=True)[0], want)


class Mixed(DropoutRNNCellMixin, Layer):
    def __init__(self, dropout, recurrent_dropout):
        super().__init__()
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout


def test_the_mixin_for_user_cells():
    cell = Mixed(0.5, 0.2)
    assert Mixed(0, 0).get_dropout_mask_for_cell(X, True) is None
    assert Mixed(0, 0).get_recurrent_dropout_mask_for_cell(X, True) is None
    np.testing.assert_array_equal(cell.get_dropout_mask_for_cell(X, False), np.ones_like(X))
    mask = cell.get_dropout_mask_for_cell(X.astype(np.float64), True)
    assert (mask.shape, mask.dtype) == (X.shape, np.float64)
    assert cell.get_dropout_mask_for_cell(X, True) is mask
    masks = cell.get_recurrent_dropout_mask_for_cell(X, True, count=3)
    assert isinstance(masks, list)
    assert len(masks) == 3
    np.testing.assert_allclose(np.unique(masks), [0, 1.25], rtol=1e-6)
    cell.reset_dropout_mask()
    assert cell.get_dropout_mask_for_cell(X, True) is not mask
    assert cell.get_recurrent_dropout_mask_for_cell(X, True, count=3) is masks
    cell.reset_recurrent_dropout_mask()
    assert cell.get_recurrent_dropout_mask_for_cell(X, True, count=3) is not masks


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_start_without_masks(clone):
    cell = SimpleRNNCell(U, dropout=0.5)
    first = cell(X, states_of(SimpleRNNCell), training=True)[0]
    assert not np.array_equal(clone(cell)(X, states_of(SimpleRNNCell), training=True)[0], first)


def test_threads_do_not_share_masks():
    cell = SimpleRNNCell(U, dropout=0.5)
    first = cell(X, states_of(SimpleRNNCell), training=True)[0]
    others = []

    def work():
        reset(cell)
        others.append(cell(X, states_of(SimpleRNNCell), training=True)[0])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not np.array_equal(others[0], first)
    np.testing.assert_array_equal(cell(X, states_of(SimpleRNNCell), training=True)[0], first)
