"""Prepared calls: a layer that has passed the argument rules once still notices everything that changes."""

from __future__ import annotations

import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract.contract_cells import bits, normal, randomise
from contract.contract_oracle import flatten
from moments import at_line
from prepared_cases import OTHER, WEIGHTS, B, F, T, U, X, fresh, lstm, prepared, same

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    GRUCell,
    Input,
    InputSpec,
    Layer,
    LSTMCell,
    SymbolicArray,
    activations,
    backend,
    regularizers,
)

STACKED = [randomise(RNN(cell(U)), (None, None, F), seed=k) for k, cell in enumerate((LSTMCell, GRUCell))]


def stack():
    """A prepared stack."""
    return prepared(RNN([LSTMCell(U), GRUCell(U)]), STACKED[0] + STACKED[1])


def cell_with(weights, cell=LSTMCell):
    """A built cell."""
    made = cell(U)
    made.build((None, F))
    made.set_weights(weights)
    return made


# What changes on the layer or its cell ------------------------------------------------------------

CHANGES = {
    "set_weights": (lambda layer: layer.set_weights(OTHER), lambda: fresh(OTHER)),
    "set_weights of the cell": (lambda layer: layer.cell.set_weights(OTHER), lambda: fresh(OTHER)),
    "assign": (lambda layer: layer.cell.kernel.assign(OTHER[0]), lambda: fresh([OTHER[0], *WEIGHTS[1:]])),
    "assign_add": (
        lambda layer: layer.cell.bias.assign_add(np.ones(4 * U)),
        lambda: fresh([*WEIGHTS[:2], WEIGHTS[2] + 1]),
    ),
    "assign_sub": (
        lambda layer: layer.cell.bias.assign_sub(np.ones(4 * U)),
        lambda: fresh([*WEIGHTS[:2], WEIGHTS[2] - 1]),
    ),
    "setitem": (
        lambda layer: layer.weights[1].__setitem__(0, 0.0),
        lambda: fresh([WEIGHTS[0], np.vstack([np.zeros(4 * U, "f"), WEIGHTS[1][1:]]), WEIGHTS[2]]),
    ),
    "another variable": (
        lambda layer: setattr(layer.cell, "kernel", cell_with(OTHER).kernel),
        lambda: fresh([OTHER[0], *WEIGHTS[1:]]),
    ),
    "no bias": (lambda layer: setattr(layer.cell, "bias", None), lambda: fresh(WEIGHTS[:2], use_bias=False)),
    "another cell": (lambda layer: setattr(layer, "cell", cell_with(OTHER)), lambda: fresh(OTHER)),
    "activation": (
        lambda layer: setattr(layer.cell, "activation", activations.relu),
        lambda: fresh(activation="relu"),
    ),
    "recurrent activation": (
        lambda layer: setattr(layer.cell, "recurrent_activation", activations.hard_sigmoid),
        lambda: fresh(recurrent_activation="hard_sigmoid"),
    ),
    "activation in Python": (
        lambda layer: setattr(layer.cell, "activation", activations.softmax),
        lambda: fresh(activation="softmax"),
    ),
    "activation of one's own": (
        lambda layer: setattr(layer.cell, "activation", lambda x: 0.5 * x),
        lambda: fresh(activation=lambda x: 0.5 * x),
    ),
    "return_sequences": (
        lambda layer: setattr(layer, "return_sequences", True),
        lambda: fresh(return_sequences=True),
    ),
    "return_state": (lambda layer: setattr(layer, "return_state", True), lambda: fresh(return_state=True)),
    "go_backwards": (lambda layer: setattr(layer, "go_backwards", True), lambda: fresh(go_backwards=True)),
    "time_major": (lambda layer: setattr(layer, "time_major", True), lambda: fresh(time_major=True)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts_from_the_next_call_on(change):
    layer, before = lstm(), [bits(fresh()(X))]
    alter, make = CHANGES[change]
    alter(layer)
    want = make()(X)
    for _ in range(3):
        same(layer(X), want)
    assert [bits(a) for a in flatten([want])] != before, "the change must show"


@pytest.mark.parametrize("flag", ["return_sequences", "return_state", "go_backwards", "time_major"])
def test_a_flag_may_go_back(flag):
    layer, plain = lstm(**{flag: True}), fresh()(X)
    setattr(layer, flag, False)
    for _ in range(2):
        same(layer(X), plain)


def test_zeros_at_masked_steps_may_be_asked_for_later():
    layer, mask = lstm(return_sequences=True), np.arange(T) < 3 + np.zeros((B, 1))
    layer(X, mask=mask)
    layer.zero_output_for_mask = True
    assert not layer(X, mask=mask)[:, 3:].any()


def test_a_layer_that_becomes_stateful_records():
    layer = lstm()
    layer.build((B, None, F))
    layer.stateful = True
    layer.input_spec = [InputSpec(shape=(B, None, F))]
    whole = fresh()(np.concatenate([X, X], axis=1))
    layer(X)
    np.testing.assert_array_equal(layer(X), whole)


def test_the_other_kind_of_gru():
    layer = prepared(GRU(U, use_bias=False))
    layer.cell.reset_after = False
    same(layer(X), GRU(U, use_bias=False, reset_after=False, weights=layer.get_weights())(X))


STACKS = {
    "a member replaced": lambda cell: cell.cells.__setitem__(0, cell_with(OTHER)),
    "the last replaced": lambda cell: cell.cells.__setitem__(1, cell_with(OTHER)),
    "turned round": lambda cell: cell.cells.reverse(),
    "one less": lambda cell: cell.cells.pop(),
    "one more": lambda cell: cell.cells.append(cell_with(OTHER)),
    "one twice": lambda cell: cell.cells.append(cell.cells[0]),
    "another list": lambda cell: setattr(cell, "cells", cell.cells[:1]),
    "a weight of a member": lambda cell: cell.cells[1].kernel.assign(normal(F, 3 * U)),
    "the activation of a member": lambda cell: setattr(cell.cells[0], "activation", activations.relu),
    "a member of one's own": lambda cell: cell.cells.__setitem__(
        0, cell_with(OTHER, type("OwnLSTMCell", (LSTMCell,), {}))
    ),
}


@pytest.mark.parametrize("change", STACKS)
def test_a_change_of_a_stack_counts_from_the_next_call_on(change):
    layer = stack()
    before = bits(layer(X))
    STACKS[change](layer.cell)
    want = RNN(list(layer.cell.cells))(X)  # a new layer and a new stack of these cells
    for _ in range(3):
        same(layer(X), want)
    assert bits(want) != before


def test_the_cell_of_two_layers_changes_for_both():
    layer, other = lstm(), RNN(cell_with(OTHER))
    other.cell = layer.cell
    prepared(other)
    other.set_weights(OTHER)
    same(layer(X), fresh(OTHER)(X))
    same(other(X), fresh(OTHER)(X))


SPECS = {
    "another spec": lambda layer: layer.input_spec.__setitem__(0, InputSpec(shape=(None, 7, F))),
    "its shape": lambda layer: setattr(layer.input_spec[0], "shape", (7, None, F)),
    "its rank": lambda layer: setattr(layer.input_spec[0], "ndim", 4),
    "its dtype": lambda layer: setattr(layer.input_spec[0], "dtype", "float64"),
    "an axis": lambda layer: layer.input_spec[0].axes.__setitem__(1, 7),
    "another list": lambda layer: setattr(layer, "input_spec", [InputSpec(min_ndim=4)]),
    "one more input": lambda layer: layer.input_spec.append(InputSpec(ndim=3)),
}


@pytest.mark.parametrize("change", SPECS)
def test_a_change_of_the_input_spec_counts(change):
    layer, other = lstm(name="one"), fresh(name="one")
    other.build((None, None, F))
    for changed in (layer, other):
        SPECS[change](changed)
    errors = []
    for changed in (layer, layer, other):
        with pytest.raises(ValueError, match="one") as error:
            changed(X)
        errors.append(str(error.value))
    assert len(set(errors)) == 1


@pytest.mark.parametrize("calls", [1, 2])
def test_methods_replaced_on_the_objects_are_called(calls):
    first = [np.ones((B, U), "f"), normal(B, U)]

    def ones(inputs=None, batch_size=None, dtype=None):
        return list(first)

    want = fresh()(X, initial_state=first)
    for target in (lambda layer: layer, lambda layer: layer.cell):
        layer = lstm()
        target(layer).get_initial_state = ones
        for _ in range(calls):
            np.testing.assert_allclose(layer(X), want, rtol=0, atol=100 * np.finfo("f").eps)
    layer = lstm()
    layer.call = lambda inputs, **kwargs: "replaced"
    assert [layer(X) for _ in range(calls)] == ["replaced"] * calls
    del layer.call
    same(layer(X), fresh()(X))
    layer = lstm()
    layer.cell.call = lambda inputs, states, training=None: (inputs, [states[0] + 1, states[1]])
    for _ in range(calls):
        np.testing.assert_array_equal(layer(X), X[:, -1])
    layer = lstm(return_sequences=True)
    seen = []
    layer.compute_mask = lambda inputs, mask=None: seen.append(1)
    layer(X, mask=np.ones((B, T), bool))
    assert seen


def test_losses_and_regularizers_count():
    layer = lstm()
    layer.add_loss(3.0)
    assert layer.losses == [3.0]
    same(layer(X), fresh()(X))
    assert layer.losses == []
    layer.activity_regularizer = regularizers.L2(1.0)
    layer(X)
    assert len(layer.losses) == 1
    layer.activity_regularizer = None
    layer(X)
    assert layer.losses == []
    layer.cell.activity_regularizer = regularizers.L2(1.0)
    layer(X)
    assert len(layer.losses) >= 1


def test_another_instruction_set_counts(monkeypatch):
    layer = prepared(LSTM(37, return_sequences=True))
    names = rnnpack.available_isas()
    for name in (*names, *reversed(names)):
        monkeypatch.setenv("RNNPACK_ISA", name)
        want = LSTM(37, return_sequences=True, weights=layer.get_weights())(X)
        for _ in range(2):
            same(layer(X), want)
    monkeypatch.setenv("RNNPACK_ISA", "no_such")
    with pytest.raises(ValueError, match="no_such"):
        layer(X)
    monkeypatch.delenv("RNNPACK_ISA")
    same(layer(X), LSTM(37, return_sequences=True, weights=layer.get_weights())(X))


def test_copies_are_layers_of_their_own():
    layer = lstm()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(twin(X), fresh()(X))
        twin.set_weights(OTHER)
        same(twin(X), fresh(OTHER)(X))
        same(layer(X), fresh()(X))


def test_changes_while_others_run():
    """Every result belongs to one of the two sets of weights, and the last change counts for all."""
    layer, kernels = lstm(), [WEIGHTS, [OTHER[0], *WEIGHTS[1:]]]
    allowed = {bits(fresh(w)(X)) for w in kernels}

    def run(i):
        if i % 8 == 0:
            layer.cell.kernel.assign(kernels[i // 8 % 2][0])
        return bits(layer(X))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(run, range(400)))
    finally:
        sys.setswitchinterval(interval)
    assert set(got) == allowed
    layer.cell.kernel.assign(OTHER[0])
    assert bits(layer(X)) == bits(fresh(kernels[1])(X))


@pytest.mark.parametrize("calls_before", [0, 1])
def test_weights_may_change_at_any_moment_of_a_call(calls_before):
    """The call has the old or the new weights, and the next one has the new ones."""
    old, new, layer = fresh()(X), fresh([OTHER[0], *WEIGHTS[1:]])(X), lstm()
    happened, line = True, 0
    while happened:
        line += 1
        layer.cell.kernel.assign(WEIGHTS[0])
        for _ in range(calls_before):
            layer(X)
        got, happened = at_line(line, lambda: layer.cell.kernel.assign(OTHER[0]), lambda: layer(X))
        assert bits(got) in (bits(old), bits(new))
        if happened:
            same(layer(X), new)
    assert line > 3


def test_another_thread_may_call_a_changed_layer_at_any_moment_of_a_call():
    """A stack that returns states is never prepared, so the call that others began loses its short way."""
    happened, line = True, 0
    while happened:
        line += 1
        layer = stack()
        want = [bits(layer(X))]

        def change(layer=layer):
            layer.return_state = True
            layer(X)

        got, happened = at_line(line, change, lambda layer=layer: layer(X))
        assert bits(got[0] if isinstance(got, list) else got) in want
    assert line > 3


# What changes around the layer --------------------------------------------------------------------


def test_the_training_mode_around_a_call_counts():
    """Also for layers whose dropout was zero while they were prepared."""

    class Outer(Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs, training=None):
            return self.inner(inputs)

    layer, plain = lstm(), bits(fresh()(X))
    outer = Outer(layer)
    assert bits(outer(X)) == bits(outer(X, training=True)) == plain
    layer.cell.dropout = 0.5
    assert bits(layer(X)) == bits(outer(X)) == plain
    assert bits(layer(X, training=True)) != plain
    assert bits(outer(X, training=True)) != plain
    backend.set_learning_phase(1)
    try:
        assert bits(layer(X)) != plain
        assert bits(layer(X, training=False)) == plain
    finally:
        backend.set_learning_phase(None)
    assert bits(layer(X)) == plain


def test_symbolic_inputs_and_masked_arrays_are_seen():
    layer = lstm(return_sequences=True)
    assert isinstance(layer(Input((T, F))), SymbolicArray)
    mask = np.arange(T) < np.array([[2], [0], [5]])
    carrying = rnnpack.Masking()(np.where(mask[..., None], X, 0).astype("f"))
    same(layer(carrying), fresh(return_sequences=True)(carrying))
    assert bits(layer(carrying)) != bits(layer(np.array(carrying)))
