"""Contract §18: native weights follow every change, and copies are independent."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from contract_cells import LayerCell, bits, normal
from contract_oracle import assert_matches

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    GRUCell,
    LSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)

B, T, F, U = 2, 4, 3, 5

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "rnn lstm": lambda **k: RNN(LSTMCell(U), **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(U)], **k),
    "custom": lambda **k: RNN(LayerCell(U), **k),
}


CHANGES = {
    "layer.set_weights": lambda layer, cell, new: layer.set_weights(new),
    "cell.set_weights": lambda layer, cell, new: cell.set_weights(new),
    "assign": lambda layer, cell, new: [v.assign(n) for v, n in zip(cell.weights, new, strict=True)],
    "assign_add": lambda layer, cell, new: [
        v.assign_add(n - v.numpy()) for v, n in zip(cell.weights, new, strict=True)
    ],
    "setitem": lambda layer, cell, new: [
        v.__setitem__(..., n) for v, n in zip(cell.weights, new, strict=True)
    ],
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, SimpleRNNCell])
def test_packed_weights_notice_every_way_of_changing_them(cell, how):
    shared = cell(U)
    layer, other = RNN(shared, return_sequences=True), RNN(shared, return_sequences=True, go_backwards=True)
    x = normal(B, T, F)
    before = [layer(x), other(x)]
    new = [w + np.float32(0.25) for w in shared.get_weights()]
    CHANGES[how](layer, shared, new)
    for part, old in zip((layer, other), before, strict=True):
        got = part(x)
        assert bits(got) != bits(old)
        assert_matches(part, got, x)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, SimpleRNNCell])
def test_packed_weights_notice_a_change_of_any_single_weight(cell, index):
    layer = RNN(cell(U))
    x = normal(B, T, F)
    before = layer(x)
    weight = layer.cell.weights[index]
    weight.assign(weight.numpy() + 0.5)
    got = layer(x)
    assert bits(got) != bits(before)
    assert_matches(layer, got, x)


def test_packed_weights_notice_a_change_through_another_layer_that_shares_the_cell():
    cell = LSTMCell(U)
    first, second = RNN(cell), RNN([cell])
    x = normal(B, T, F)
    before = first(x)
    second(x)
    second.set_weights([w + np.float32(0.25) for w in second.get_weights()])
    assert bits(first(x)) != bits(before)
    assert_matches(first, first(x), x)


def test_packed_weights_notice_a_replaced_weight_attribute():
    layer = RNN(GRUCell(U))
    x = normal(B, T, F)
    before = layer(x)
    donor = GRUCell(U)
    donor.build((None, F))
    layer.cell.kernel = donor.kernel
    assert bits(layer(x)) != bits(before)


def test_packed_weights_notice_a_changed_activation():
    layer = RNN(GRUCell(U))
    x = normal(B, T, F)
    before = layer(x)
    layer.cell.activation = rnnpack.activations.relu
    got = layer(x)
    assert bits(got) != bits(before)
    assert_matches(layer, got, x)


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
def test_packed_weights_notice_a_changed_recurrent_activation(cell):
    layer = RNN(cell(U))
    x = normal(B, T, F)
    before = layer(x)
    layer.cell.recurrent_activation = rnnpack.activations.hard_sigmoid
    got = layer(x)
    assert bits(got) != bits(before)
    assert_matches(layer, got, x)


def test_changes_of_a_member_of_a_stack_are_noticed():
    layer = RNN([LSTMCell(2), GRUCell(U)])
    x = normal(B, T, F)
    before = layer(x)
    layer.cell.cells[1].bias.assign(np.full((2, 3 * U), 0.5))
    got = layer(x)
    assert bits(got) != bits(before)
    assert_matches(layer, got, x)


@pytest.mark.parametrize("name", MAKE)
def test_deepcopy_of_an_unbuilt_layer_is_independent(name):
    layer = MAKE[name]()
    twin = copy.deepcopy(layer)
    x = normal(B, T, F)
    layer(x)
    twin(x)
    assert twin.cell is not layer.cell
    if name != "custom":
        assert bits(twin(x)) != bits(layer(x))


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("name", MAKE)
def test_copy_of_a_built_layer_has_the_same_weights_and_outputs(name, how):
    layer = MAKE[name]()
    x = normal(B, T, F)
    want = layer(x)
    twin = how(layer)
    for a, b in zip(twin.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(twin(x), want)
    twin.set_weights([w + 1 for w in twin.get_weights()])
    np.testing.assert_array_equal(layer(x), want)
    assert bits(twin(x)) != bits(want)


def test_copies_of_cells():
    for cell in (LSTMCell(U), GRUCell(U), StackedRNNCells([LSTMCell(2), GRUCell(U)]), LayerCell(U)):
        x = normal(B, F)
        states = (
            cell.get_initial_state(batch_size=B, dtype="float32")
            if hasattr(cell, "get_initial_state")
            else None
        )
        states = [np.zeros((B, U), "float32")] if states is None else states
        want, _ = cell(x, states)
        for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
            np.testing.assert_array_equal(twin(x, states)[0], want)


def test_copy_of_a_stateful_layer_has_its_own_states():
    layer = GRU(U, stateful=True)
    x = normal(B, T, F)
    layer(x)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(np.asarray(twin.states[0]), np.asarray(layer.states[0]))
    recorded = np.array(layer.states[0])
    twin(x)
    np.testing.assert_array_equal(np.asarray(layer.states[0]), recorded)
