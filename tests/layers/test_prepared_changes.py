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
from prepared_cases import OTHER, WEIGHTS, B, F, T, U, X, after, fresh, lstm, prepared, same

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


DONOR, OWN_DONOR = cell_with(OTHER), cell_with(OTHER, type("OwnLSTMCell", (LSTMCell,), {}))


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
        lambda layer: setattr(layer.cell, "kernel", DONOR.kernel),
        lambda: fresh([OTHER[0], *WEIGHTS[1:]]),
    ),
    "no bias": (lambda layer: setattr(layer.cell, "bias", None), lambda: fresh(WEIGHTS[:2], use_bias=False)),
    "another cell": (lambda layer: setattr(layer, "cell", DONOR), lambda: fresh(OTHER)),
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
    alter, make = CHANGES[change]
    want, before, layer = make()(X), [bits(fresh()(X))], lstm()
    same(after(alter, layer), want)
    for _ in range(3):
        same(layer(X), want)
    assert [bits(a) for a in flatten([want])] != before, "the change must show"


@pytest.mark.parametrize("flag", ["return_sequences", "return_state", "go_backwards", "time_major"])
def test_a_flag_may_go_back(flag):
    plain, layer = fresh()(X), lstm(**{flag: True})
    for _ in range(2):
        same(after(lambda layer: setattr(layer, flag, False), layer), plain)


def test_zeros_at_masked_steps_may_be_asked_for_later():
    layer, mask = lstm(return_sequences=True), np.arange(T) < 3 + np.zeros((B, 1))
    layer(X, mask=mask)
    layer.zero_output_for_mask = True
    assert not layer(X, mask=mask)[:, 3:].any()


def test_a_layer_that_becomes_stateful_records():
    whole, layer = fresh()(np.concatenate([X, X], axis=1)), lstm()
    after(lambda layer: setattr(layer, "stateful", True), layer)
    np.testing.assert_array_equal(layer(X), whole)


def test_the_other_kind_of_gru():
    layer = GRU(U, use_bias=False)
    got = after(lambda layer: setattr(layer.cell, "reset_after", False), layer)
    same(got, GRU(U, use_bias=False, reset_after=False, weights=layer.get_weights())(X))


STACKS = {
    "a member replaced": lambda cell: cell.cells.__setitem__(0, DONOR),
    "the last replaced": lambda cell: cell.cells.__setitem__(1, DONOR),
    "turned round": lambda cell: cell.cells.reverse(),
    "one less": lambda cell: cell.cells.pop(),
    "one more": lambda cell: cell.cells.append(DONOR),
    "one twice": lambda cell: cell.cells.append(cell.cells[0]),
    "another list": lambda cell: setattr(cell, "cells", cell.cells[:1]),
    "a weight of a member": lambda cell: cell.cells[1].kernel.assign(normal(F, 3 * U)),
    "the activation of a member": lambda cell: setattr(cell.cells[0], "activation", activations.relu),
    "a member of one's own": lambda cell: cell.cells.__setitem__(0, OWN_DONOR),
}


@pytest.mark.parametrize("change", STACKS)
def test_a_change_of_a_stack_counts_from_the_next_call_on(change):
    layer = stack()
    before = bits(layer(X))
    got = after(lambda layer: STACKS[change](layer.cell), layer)
    want = RNN(list(layer.cell.cells))(X)  # a new layer and a new stack of these cells
    same(got, want)
    same(layer(X), want)
    assert bits(want) != before


def test_the_cell_of_two_layers_changes_for_both():
    want, layer = fresh(OTHER)(X), lstm()
    other = prepared(RNN(layer.cell))
    same(after(lambda _: other.set_weights(OTHER), layer), want)
    same(other(X), want)


SEVEN_STEPS, SPEC = InputSpec(shape=(None, 7, F)), InputSpec(ndim=3)
SPECS = {
    "another spec": lambda layer: layer.input_spec.__setitem__(0, SEVEN_STEPS),
    "its shape": lambda layer: setattr(layer.input_spec[0], "shape", (7, None, F)),
    "its rank": lambda layer: setattr(layer.input_spec[0], "ndim", 4),
    "its dtype": lambda layer: setattr(layer.input_spec[0], "dtype", "float64"),
    "an axis": lambda layer: layer.input_spec[0].axes.__setitem__(1, 7),
    "another list": lambda layer: setattr(layer, "input_spec", [InputSpec(min_ndim=4)]),
    "one more input": lambda layer: layer.input_spec.append(SPEC),
}


@pytest.mark.parametrize("change", SPECS)
def test_a_change_of_the_input_spec_counts(change):
    other, layer = fresh(name="one"), LSTM(U, name="one")
    other.build((None, None, F))
    SPECS[change](other)
    with pytest.raises(ValueError, match="one") as error:
        other(X)
    for attempt in (lambda: after(SPECS[change], layer), lambda: layer(X)):
        with pytest.raises(ValueError) as later:
            attempt()
        assert str(later.value) == str(error.value)


FIRST = [np.ones((B, U), "f"), normal(B, U)]


def replaced(path, function):
    """A change that puts a function in the place of a method of the layer or of its cell."""

    def change(layer):
        *owner, name = path.split(".")
        setattr(layer.cell if owner else layer, name, function)

    return change


METHODS = {
    "get_initial_state": lambda inputs: list(FIRST),
    "cell.get_initial_state": lambda inputs=None, batch_size=None, dtype=None: list(FIRST),
    "call": lambda inputs, initial_state=None, **kwargs: fresh()(inputs, initial_state=FIRST),
    "cell.call": lambda inputs, states, training=None: (inputs, [states[0] + 1, states[1]]),
}


@pytest.mark.parametrize("path", METHODS)
def test_methods_replaced_on_the_objects_are_called(path):
    want = X[:, -1] if path == "cell.call" else fresh()(X, initial_state=FIRST)
    layer = lstm()
    for got in (after(replaced(path, METHODS[path]), layer), layer(X)):
        # Replaced methods of a cell leave the native path: 100 is more than the roundings of five steps.
        np.testing.assert_allclose(got, want, rtol=0, atol=100 * np.finfo("f").eps)
    target, name = (layer.cell, path[5:]) if path.startswith("cell.") else (layer, path)
    delattr(target, name)
    same(layer(X), fresh()(X))


def test_a_replaced_compute_mask_is_asked():
    layer, seen = lstm(return_sequences=True), []
    layer.compute_mask = lambda inputs, mask=None: seen.append(1)
    layer(X, mask=np.ones((B, T), bool))
    assert seen


def test_losses_and_regularizers_count():
    layer = lstm()
    after(lambda layer: layer.add_loss(3.0), layer)
    assert layer.losses == []
    after(lambda layer: layer.cell.add_loss(3.0), layer)
    assert layer.losses == []
    after(lambda layer: setattr(layer, "activity_regularizer", regularizers.L2(1.0)), layer)
    assert len(layer.losses) == 1
    layer.activity_regularizer = None
    layer(X)
    assert layer.losses == []
    after(lambda layer: setattr(layer.cell, "activity_regularizer", regularizers.L2(1.0)), layer)
    assert layer.losses


def test_losses_of_a_call_inside_another_are_cleared_by_the_next_call():
    class Outer(Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs):
            self.inner.add_loss(3.0)
            return self.inner(inputs)

    layer = lstm()
    outer = Outer(layer)
    for _ in range(2):
        outer(X)
        assert layer.losses == outer.losses == [3.0]
    layer(X)
    assert layer.losses == []


def test_another_instruction_set_counts(monkeypatch):
    layer = prepared(LSTM(37, return_sequences=True))
    names = rnnpack.available_isas()
    for name in (*names, *reversed(names)):
        got = after(lambda _, name=name: monkeypatch.setenv("RNNPACK_ISA", name), layer)
        same(got, LSTM(37, return_sequences=True, weights=layer.get_weights())(X))
    with pytest.raises(ValueError, match="no_such"):
        after(lambda _: monkeypatch.setenv("RNNPACK_ISA", "no_such"), layer)
    monkeypatch.delenv("RNNPACK_ISA")
    got = after(lambda _: monkeypatch.setenv("RNNPACK_ISA", names[-1]), layer)
    assert layer.explain().isa == names[-1]
    same(got, np.array(layer(X, mask=np.ones((B, T), "f"))))


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
    """A layer with such a spec is never prepared, so the call that others began loses its short way."""
    happened, line = True, 0
    while happened:
        line += 1
        layer = stack()
        want = [bits(layer(X))]

        def change(layer=layer):
            layer.input_spec = [InputSpec(min_ndim=3)]
            layer(X)
            assert layer._plain_call is None

        got, happened = at_line(line, change, lambda layer=layer: layer(X))
        assert bits(got) in want
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

    plain, layer = bits(fresh()(X)), lstm()
    outer = Outer(layer)
    assert bits(outer(X)) == bits(outer(X, training=True)) == plain
    prepared(layer)
    layer.cell.dropout = 0.5
    assert bits(outer(X, training=True)) != plain
    assert bits(layer(X)) == bits(outer(X)) == plain
    assert bits(layer(X, training=True)) != plain
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
