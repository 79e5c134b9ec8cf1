"""Contract §15: StackedRNNCells."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, TwoStateCell, integers, normal, randomise
from contract_oracle import assert_matches

import rnnpack
from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells

B, T, F = 2, 4, 3


def test_every_member_needs_call_and_state_size():
    class NoCall:
        state_size = 3

    class NoStateSize:
        def call(self, inputs, states):
            return inputs, states

    for make in (StackedRNNCells, RNN):
        with pytest.raises(ValueError, match=r"\bcall\b"):
            make([GRUCell(2), NoCall()])
        with pytest.raises(ValueError, match="state_size"):
            make([GRUCell(2), NoStateSize()])


def test_state_size_is_the_tuple_of_the_members_sizes():
    stack = StackedRNNCells([LSTMCell(2), GRUCell(3), TwoStateCell(4, 5)])
    assert stack.state_size == ([2, 2], 3, [4, 5])
    assert isinstance(stack.state_size, tuple)


def test_output_size_is_the_last_members_or_falls_back_to_its_first_state():
    assert StackedRNNCells([LSTMCell(2), TwoStateCell(4, 5)]).output_size == 4
    assert StackedRNNCells([LSTMCell(2), GRUCell(3)]).output_size == 3

    class Wide(DoublingCell):
        output_size = 9

    assert StackedRNNCells([GRUCell(2), Wide()]).output_size == 9
    plain = DoublingCell(6)
    assert StackedRNNCells([GRUCell(2), plain]).output_size == 6


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("path", ["native", "python"])
def test_output_of_one_cell_feeds_the_next(path, masked):
    own = (lambda c: c) if path == "native" else (lambda c: type("Own", (c,), {}))
    cells = [own(LSTMCell)(5), own(GRUCell)(2), own(SimpleRNNCell)(4), own(GRUCell)(3, reset_after=False)]
    layer = RNN(cells, return_sequences=True, return_state=True)
    x = normal(B, T, F)
    mask = np.array([[1, 0, 1, 0], [0, 0, 1, 1]], bool) if masked else None
    randomise(layer, x.shape)
    assert_matches(layer, layer(x, mask=mask), x, mask)


def test_a_stack_equals_a_chain_of_layers():
    x = normal(B, T, F)
    stack = RNN([LSTMCell(5), GRUCell(2)], return_sequences=True)
    first, second = LSTM(5, return_sequences=True), GRU(2, return_sequences=True)
    weights = randomise(stack, x.shape)
    first.build((B, T, F))
    second.build((B, T, 5))
    first.set_weights(weights[:3])
    second.set_weights(weights[3:])
    assert_matches(stack, second(first(x)), x)


def test_build_walks_the_shapes_by_output_sizes():
    shapes = []

    class Cell(LayerCell):
        def __init__(self, units, output_size):
            super().__init__(units)
            self.output_size = output_size

        def build(self, input_shape):
            shapes.append(tuple(input_shape[1:]))
            super().build(input_shape)

        def call(self, inputs, states):
            _, (h,) = super().call(inputs, states)
            return np.zeros((len(inputs), self.output_size), "float32"), [h]

    RNN([Cell(3, 7), Cell(4, 2), Cell(5, 6)])(integers(B, T, F))
    assert shapes == [(F,), (7,), (2,)]


def test_nested_outputs_may_feed_the_next_cell():
    class Split(rnnpack.Layer):
        state_size = 3
        output_size = (3, 2)

        def call(self, inputs, states):
            h = states[0] + inputs.sum(-1, keepdims=True)
            return (h, h[:, :2] + 1), [h]

    class Join(rnnpack.Layer):
        state_size = 1

        def build(self, input_shape):
            assert [tuple(s[1:]) for s in input_shape] == [(3,), (2,)]
            self.built = True

        def call(self, inputs, states):
            a, b = inputs
            h = a.sum(-1, keepdims=True) + 10 * b.sum(-1, keepdims=True)
            return h, [h]

    x = integers(B, T, F)
    total = x.sum((1, 2))[:, None]
    np.testing.assert_array_equal(RNN([Split(), Join()])(x), 3 * total + 10 * 2 * (total + 1))


def test_training_and_constants_reach_only_the_members_that_name_them():
    seen = []

    class Names(DoublingCell):
        def call(self, inputs, states, training=None, constants=None):
            seen.append((training, len(constants)))
            return super().call(inputs, states)

    x = integers(B, T, F)
    RNN([DoublingCell(), Names(), GRUCell(2)])(x, constants=[integers(B, 2)], training=True)
    assert seen == [(True, 1)] * T


def test_a_stack_ignores_constants_that_a_single_cell_refuses():
    x, c = normal(B, T, F), normal(B, 2)
    layer = RNN([GRUCell(8)])
    np.testing.assert_array_equal(layer(x, constants=c), layer(x))
    with pytest.raises(ValueError, match="does not support constants"):
        RNN(GRUCell(8))(x, constants=c)


def test_members_may_be_plain_objects_without_get_initial_state():
    x = integers(B, T, F)
    y, first, second = RNN([DoublingCell(2), LayerCell(3)], return_state=True)(x)
    assert (y.shape, first.shape, second.shape) == ((B, 3), (B, 2), (B, 3))
    assert RNN([DoublingCell(2), DoublingCell(3)]).weights == []


def test_members_get_initial_states_are_used():
    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return np.full((batch_size, self.units), 5, dtype)

    states = RNN([Cell(2), DoublingCell(3), Cell(4)]).get_initial_state(integers(B, T, F))
    assert [float(np.asarray(s)[0, 0]) for s in states] == [5, 0, 5]


def test_one_cell_twice_shares_its_weights_and_lists_them_once():
    cell = GRUCell(F)
    layer = RNN([cell, cell], return_sequences=True, return_state=True)
    x = normal(B, T, F)
    randomise(layer, x.shape)
    assert len(layer.get_weights()) == 3
    assert_matches(layer, layer(x), x)


def test_default_order_of_the_states_is_first_cell_first():
    layer = RNN([LSTMCell(2), LSTMCell(3)], return_state=True)
    _, first, second = layer(normal(B, T, F))
    assert [s.shape for s in first] == [(B, 2)] * 2
    assert [s.shape for s in second] == [(B, 3)] * 2


def test_stack_in_a_stack():
    layer = RNN([StackedRNNCells([GRUCell(2), GRUCell(3)]), SimpleRNNCell(4)], return_state=True)
    y, inner, outer = layer(normal(B, T, F))
    assert y.shape == outer.shape == (B, 4)
    assert [s.shape for s in inner] == [(B, 2), (B, 3)]


def test_high_dimensional_members():
    class Cell:
        state_size = rnnpack.TensorShape((2, 3))
        output_size = rnnpack.TensorShape((2, 3))

        def call(self, inputs, states):
            h = states[0] + inputs
            return h, [h]

    x = integers(B, T, 2, 3)
    np.testing.assert_array_equal(RNN([Cell(), Cell()], return_sequences=True)(x), x.cumsum(1).cumsum(1))


def test_a_stack_given_as_a_cell_is_kept():
    stack = StackedRNNCells([GRUCell(2), GRUCell(3)])
    assert RNN(stack).cell is stack


def test_direct_use_of_a_stack():
    stack = StackedRNNCells([LSTMCell(2), GRUCell(3)])
    x = normal(B, F)
    states = stack.get_initial_state(batch_size=B, dtype="float32")
    y, new = stack(x, states)
    assert y.shape == (B, 3)
    assert [len(new), len(new[0])] == [2, 2]
    np.testing.assert_array_equal(y, new[1] if isinstance(new[1], np.ndarray) else new[1][0])


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("wrap", [list, StackedRNNCells], ids=["list", "stack"])
def test_a_float64_stack_computes_in_float64(wrap, path):
    """A stack that rounds its inputs to float32 on the way is off by 1e-8, the bound is near 1e-14."""
    own = (lambda c: c) if path == "native" else (lambda c: type("Own", (c,), {}))
    cells = [own(LSTMCell)(5, dtype="float64"), own(GRUCell)(2, dtype="float64")]
    layer = RNN(wrap(cells), return_sequences=True, return_state=True, dtype="float64")
    x = normal(B, T, F, dtype="float64")
    randomise(layer, x.shape)
    assert_matches(layer, layer(x), x)
