"""Contract §16: constants."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, doubling, integers, normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, SimpleRNN

B, T, F = 2, 4, 3


class PlainConstantCell(DoublingCell):
    """Adds every constant to the input and remembers what it was given."""

    def __init__(self, units=3):
        super().__init__(units)
        self.seen = []

    def call(self, inputs, states, constants=None):
        self.seen.append(constants)
        for c in constants or ():
            inputs = inputs + c
        return super().call(inputs, states)


class ConstantCell(rnnpack.Layer):
    """A Layer with an input, a recurrent and a constant kernel."""

    def __init__(self, units, constant_size, **kwargs):
        self.units = units
        self.constant_size = constant_size
        self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape):
        shapes = {"kernel": input_shape[-1], "recurrent": self.units, "constant": self.constant_size}
        for name, size in shapes.items():
            setattr(self, name, self.add_weight(name=name, shape=(size, self.units), initializer="uniform"))
        self.built = True

    def call(self, inputs, states, constants):
        (c,) = constants
        h = inputs @ self.kernel + states[0] @ self.recurrent + c @ self.constant
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "constant_size": self.constant_size}


CUSTOM = {"ConstantCell": ConstantCell}


@pytest.mark.parametrize("unroll", [False, True])
def test_constants_reach_every_step_as_a_sequence_and_are_not_sliced(unroll):
    cell = PlainConstantCell()
    c, d = integers(B, F, seed=1), integers(B, F, seed=2)
    x = integers(B, T, F)
    y = RNN(cell, unroll=unroll)(x, constants=[c, d])
    assert len(cell.seen) == T
    for constants in cell.seen:
        assert isinstance(constants, (list, tuple))
        np.testing.assert_array_equal(constants[0], c)
        np.testing.assert_array_equal(constants[1], d)
    np.testing.assert_array_equal(y, doubling(x + (c + d)[:, None])[1])


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: [c], lambda c: (c,)], ids=["array", "list", "tuple"])
def test_one_constant_may_come_bare(wrap):
    cell = PlainConstantCell()
    c = integers(B, F, seed=1)
    RNN(cell)(integers(B, T, F), constants=wrap(c))
    assert [len(s) for s in cell.seen] == [1] * T


@pytest.mark.parametrize("flags", [{"go_backwards": True}, {"time_major": True}, {"unroll": True}], ids=str)
def test_constants_together_with_flags_mask_and_states(flags):
    x, c, h = integers(B, T, F), integers(B, F, seed=1), integers(B, 3, seed=2)
    mask = np.array([[1, 0, 1, 0], [0, 1, 1, 1]], bool)
    swap = (lambda a: a.swapaxes(0, 1)) if "time_major" in flags else (lambda a: a)
    layer = RNN(PlainConstantCell(), return_sequences=True, **flags)
    y = layer(swap(x), initial_state=h, constants=[c], mask=swap(mask))
    want = doubling(x + c[:, None], h, mask, go_backwards="go_backwards" in flags)[0]
    np.testing.assert_array_equal(swap(y), want)


def test_number_of_constants_is_remembered_and_serialized():
    layer = RNN(ConstantCell(3, 5))
    assert "num_constants" not in layer.get_config()
    layer(normal(B, T, F), constants=normal(B, 5))
    assert layer._num_constants == 1
    assert layer.get_config()["num_constants"] == 1


def test_list_form_works_after_a_reload():
    x, h, c = normal(B, T, F), normal(B, 3, seed=1), normal(B, 5, seed=2)
    layer = RNN(ConstantCell(3, 5))
    want = layer(x, initial_state=h, constants=c)
    again = RNN.from_config(layer.get_config(), custom_objects=CUSTOM)
    again.build((B, T, F))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again([x, h, c]), want)
    np.testing.assert_array_equal(again([x, c]), layer(x, constants=c))


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_built_in_layers_take_no_constants(make):
    with pytest.raises(TypeError, match="constants"):
        make(3)(normal(B, T, F), constants=[normal(B, 2)])


def test_constants_in_a_stack_of_constant_cells():
    x, c = normal(B, T, F), normal(B, 5, seed=1)
    stack = RNN([ConstantCell(3, 5), ConstantCell(4, 5)], return_sequences=True)
    y = stack(x, constants=c)
    weights = stack.get_weights()
    first, second = (
        RNN(ConstantCell(3, 5), return_sequences=True),
        RNN(ConstantCell(4, 5), return_sequences=True),
    )
    middle = first(x, constants=c)
    second(middle, constants=c)
    first.set_weights(weights[:3])
    second.set_weights(weights[3:])
    np.testing.assert_array_equal(second(np.array(first(x, constants=c)), constants=c), y)


def test_constants_in_bidirectional_reach_both_directions():
    x, c = normal(B, T, F), normal(B, 5, seed=1)
    with rnnpack.custom_object_scope(CUSTOM):
        layer = Bidirectional(RNN(ConstantCell(3, 5)))
    y = layer(x, constants=c)
    weights = layer.get_weights()
    forward, backward = RNN(ConstantCell(3, 5)), RNN(ConstantCell(3, 5), go_backwards=True)
    for part, values in ((forward, weights[:3]), (backward, weights[3:])):
        part(x, constants=c)
        part.set_weights(values)
    want = np.concatenate([forward(x, constants=c), backward(x, constants=c)], -1)
    np.testing.assert_array_equal(y, want)
    h = [normal(B, 3, seed=2), normal(B, 3, seed=3)]
    want = np.concatenate([forward(x, h[0], c), backward(x, h[1], c)], -1)
    np.testing.assert_array_equal(layer(x, initial_state=h, constants=c), want)
    np.testing.assert_array_equal(layer([x, *h, c]), want)


def test_constants_of_any_shape_are_handed_on_untouched():
    seen = []

    class Cell(DoublingCell):
        def call(self, inputs, states, constants=None):
            seen.append([c.shape for c in constants])
            return super().call(inputs, states)

    RNN(Cell())(integers(B, T, F), constants=[normal(7), normal(B, 2, 3, 4), np.float32(1.5) * np.ones(())])
    assert seen == [[(7,), (B, 2, 3, 4), ()]] * T


def test_constants_are_not_autocast():
    seen = []

    class Cell(DoublingCell):
        def call(self, inputs, states, constants=None):
            seen.append(constants[0].dtype)
            return super().call(inputs, states)

    RNN(Cell())(integers(B, T, F), constants=[normal(B, 2, dtype="float64")])
    RNN(Cell())(integers(B, T, F), constants=[np.arange(4)])
    assert set(seen) == {np.dtype("float64"), np.arange(4).dtype}


def test_a_state_and_a_constant_are_not_confused_by_position():
    x, h, c = integers(B, T, F), integers(B, 3, seed=1), integers(B, 3, seed=2)
    layer = RNN(PlainConstantCell())
    np.testing.assert_array_equal(layer(x, h, c), doubling(x + c[:, None], h)[1])
    np.testing.assert_array_equal(layer(x, None, c), doubling(x + c[:, None])[1])
