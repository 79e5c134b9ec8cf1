"""After its first plain call a layer keeps a prepared one, which must notice every change it depends on."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import GRU, LSTM, RNN, GRUCell, InputSpec, LSTMCell, SimpleRNN, _core, activations

X = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("f")


def warm(make=LSTM, **flags):
    """A layer of 6 units that has a prepared call."""
    layer = make(6, **{"return_sequences": True, **flags})
    layer(X)
    layer(X)
    assert isinstance(layer._plain_call, _core.PlainCall)
    assert layer._plain_call(X, None, {}) is not None
    return layer


def replace_weights(layer):
    layer.set_weights([w * 0.5 for w in layer.get_weights()])


def write_into_weight(layer):
    layer.cell.kernel[0, 0] = 9.0


def swap_weight(layer):
    layer.cell.bias = None


CHANGES = {
    "set_weights": replace_weights,
    "assign": lambda layer: layer.cell.recurrent_kernel.assign(np.zeros((6, 24), "f")),
    "assign_add": lambda layer: layer.cell.bias.assign_add(np.ones(24, "f")),
    "item of a weight": write_into_weight,
    "another weight": swap_weight,
    "activation": lambda layer: setattr(layer.cell, "activation", activations.relu),
    "recurrent_activation": lambda layer: setattr(
        layer.cell, "recurrent_activation", activations.hard_sigmoid
    ),
    "go_backwards": lambda layer: setattr(layer, "go_backwards", True),
    "cell": lambda layer: setattr(layer, "cell", warm().cell),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_counts_from_the_next_call_on(change):
    layer = warm()
    before = layer(X)
    change(layer)
    after = layer(X)
    assert not np.array_equal(before, after)
    # The long way, which knows no prepared call.
    layer._plain_call = None
    np.testing.assert_array_equal(after, layer(X, mask=np.ones((3, 5), bool)))


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_flags_change_the_form_of_the_result(make):
    layer = warm(make)
    whole = layer(X)
    layer.return_sequences = False
    np.testing.assert_array_equal(layer(X), whole[:, -1])
    layer.return_state = True
    assert isinstance(layer(X), list)
    layer.return_state, layer.return_sequences, layer.time_major = False, True, True
    np.testing.assert_array_equal(layer(X.swapaxes(0, 1)), whole.swapaxes(0, 1))


def test_a_replaced_method_is_called():
    layer = warm()
    layer.call = lambda inputs, **_: inputs + 1
    np.testing.assert_array_equal(layer(X), X + 1)
    del layer.call
    assert layer(X).shape == (3, 5, 6)


@pytest.mark.parametrize("by_item", [False, True])
def test_another_input_spec_is_enforced(by_item):
    layer = warm()
    if by_item:
        layer.input_spec[0] = InputSpec(shape=(7, None, 4))
    else:
        layer.input_spec[0].shape = (7, None, 4)
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(X)


def test_a_cell_replaced_inside_a_stack_counts():
    layer = RNN([GRUCell(6), LSTMCell(6)], return_sequences=True)
    layer(X)
    before = layer(X)
    other = RNN([GRUCell(6), LSTMCell(6)], return_sequences=True)
    other(X)
    layer.cell.cells[1] = other.cell.cells[1]
    assert not np.array_equal(layer(X), before)


def test_a_regularizer_and_losses_are_not_lost():
    layer = warm()
    layer.activity_regularizer = lambda output: float(np.abs(output).sum())
    layer(X)
    assert len(layer.losses) == 1


def test_the_instruction_set_of_the_environment_counts(monkeypatch):
    layer = warm()
    assert layer._plain_call(X, None, {}) is not None
    monkeypatch.setenv("RNNPACK_ISA", "scalar")
    assert layer._plain_call(X, None, {}) is None
    layer(X)
    ((_, packed, _),) = layer.cell._native_cache.values()
    assert packed.isa == "scalar"
    monkeypatch.setenv("RNNPACK_ISA", "none such")
    with pytest.raises(ValueError, match="RNNPACK_ISA"):
        layer(X)


@pytest.mark.parametrize(
    "inputs",
    [X[:, ::2], X[:, :, ::-1], X.astype("f8"), X.astype(int), X[::-1], np.asfortranarray(X), X[:0]],
    ids=["steps left out", "features reversed", "float64", "integers", "rows reversed", "fortran", "no rows"],
)
def test_unusual_inputs_take_the_long_way_with_the_same_result(inputs):
    layer = warm()
    plain = np.ascontiguousarray(inputs, "f")
    np.testing.assert_array_equal(layer(inputs), layer(plain, mask=np.ones(plain.shape[:2], bool)))


@pytest.mark.parametrize("bad", [X[0], X[:, :, :3], X[:, :0], X.astype(object), X.astype(complex), None])
def test_bad_inputs_are_refused_as_in_the_first_call(bad):
    layer, fresh = warm(), LSTM(6, return_sequences=True)
    fresh.build((None, None, 4))
    with pytest.raises(ValueError) as first:
        fresh(bad)
    with pytest.raises(ValueError) as later:
        layer(bad)
    assert (
        str(later.value).split("layer", 1)[-1].split(":", 1)[-1]
        == str(first.value).split("layer", 1)[-1].split(":", 1)[-1]
    )


def test_given_states_are_checked():
    layer = warm(return_state=True)
    _, h, c = layer(X)
    np.testing.assert_array_equal(layer(X, initial_state=[h, c])[1], layer(X, initial_state=(h, c))[1])
    for states in ([h], [h, c[:2]], [h, c, c]):
        with pytest.raises(ValueError, match="initial"):
            layer(X, initial_state=states)
    wide = layer(X, initial_state=[h.astype("f8"), c[:, ::-1]])
    np.testing.assert_array_equal(wide[0], layer(X, initial_state=[h, np.ascontiguousarray(c[:, ::-1])])[0])


def test_a_prepared_call_is_not_copied():
    import copy
    import pickle

    layer = warm()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        replace_weights(layer)
        assert not np.array_equal(twin(X), layer(X))
