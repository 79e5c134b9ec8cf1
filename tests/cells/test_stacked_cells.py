"""StackedRNNCells used directly."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

from rnnpack import registry
from rnnpack.cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from rnnpack.engine.nest import TensorShape
from rnnpack.layers import Layer

X = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)


class Plain:
    """A cell that is no layer: keeps a running sum."""

    state_size = 5

    def call(self, inputs, states):
        return inputs + states[0], [inputs + states[0]]


def zeros(*sizes):
    return [np.zeros((2, size), np.float32) for size in sizes]


def test_output_and_states_equal_the_cells_one_after_the_other():
    cells = [LSTMCell(3), GRUCell(4), SimpleRNNCell(2)]
    stack = StackedRNNCells(cells)
    states = ([zeros(3)[0] + 0.1, zeros(3)[0] + 0.2], zeros(4)[0] + 0.3, zeros(2)[0] + 0.4)
    y, new = stack(X, states)
    a, (h, c) = cells[0](X, states[0])
    b, g = cells[1](a, states[1])
    d, s = cells[2](b, states[2])
    np.testing.assert_array_equal(y, d)
    assert isinstance(new, tuple)
    np.testing.assert_array_equal(new[0][0], h)
    np.testing.assert_array_equal(new[0][1], c)
    np.testing.assert_array_equal(new[1], g)
    np.testing.assert_array_equal(new[2], s)
    assert stack.state_size == ([3, 3], 4, 2)
    assert stack.output_size == 2
    flat, _ = stack(X, [*states[0], *states[1:]])
    np.testing.assert_array_equal(flat, y)


def test_initial_states():
    stack = StackedRNNCells([LSTMCell(3), Plain()])
    states = stack.get_initial_state(batch_size=2, dtype="float64")
    assert [s.shape for s in states[0]] == [(2, 3), (2, 3)]
    assert states[1].shape == (2, 5)
    assert states[1].dtype == np.float64
    assert stack.get_initial_state(inputs=X)[1].dtype == np.float32
    with pytest.raises(ValueError, match="cannot be None"):
        stack.get_initial_state()


def test_members_without_layer_base_and_twice():
    shared = SimpleRNNCell(5)
    stack = StackedRNNCells((shared, Plain(), shared))
    y, states = stack(X, zeros(5, 5, 5))
    assert len(stack.weights) == 3
    assert len(states) == 3
    a = shared(X, zeros(5))[0]
    np.testing.assert_array_equal(y, shared(a, zeros(5))[0])


def test_build_walks_output_sizes():
    Pair = namedtuple("Pair", ["a", "b"])

    class Wide(Layer):
        state_size = TensorShape((2, 3))
        output_size = Pair(TensorShape((4, 5)), 6)

    class Last(Layer):
        state_size = (7, 8)

        def build(self, input_shape):
            self.shape = input_shape

    last = Last()
    stack = StackedRNNCells([Wide(), last])
    stack.build((None, 9))
    assert last.shape == Pair((None, 4, 5), (None, 6))
    assert stack.built and last.built
    assert stack.output_size == 7
    assert StackedRNNCells([GRUCell(2), Wide()]).output_size == Wide.output_size


class Listening(Layer):
    state_size = output_size = 5

    def call(self, inputs, states, training=None, constants=None):
        self.heard = training, constants
        return inputs, states


class Deaf(Layer):
    state_size = output_size = 5

    def call(self, inputs, states, **kwargs):
        self.heard = kwargs
        return inputs, states


def test_training_and_constants_reach_only_cells_that_name_them():
    listening, deaf = Listening(), Deaf()
    stack = StackedRNNCells([listening, deaf])
    stack(X, zeros(5, 5), constants=[1], training=True)
    assert listening.heard == (True, [1])
    assert deaf.heard == {}
    stack(X, zeros(5, 5))
    assert listening.heard == (False, None)


@pytest.mark.parametrize("returned", [[], [1, 1]])
def test_a_member_with_another_number_of_states_is_an_error(returned):
    class Odd(Plain):
        def call(self, inputs, states):
            return inputs, [inputs] * len(returned)

    with pytest.raises(ValueError, match="1 leaves"):
        StackedRNNCells([Odd()])(X, zeros(5))


def test_given_states_of_wrong_number():
    with pytest.raises(ValueError, match="2 leaves"):
        StackedRNNCells([Plain(), Plain()])(X, zeros(5))


def test_bad_cells():
    class NoCall:
        state_size = 3

    class NoSize:
        def call(self, inputs, states):
            return inputs, states

    with pytest.raises(ValueError, match="`call`"):
        StackedRNNCells([Plain(), NoCall()])
    with pytest.raises(ValueError, match="`state_size`"):
        StackedRNNCells([NoSize()])
    with pytest.raises(ValueError, match="at least one"):
        StackedRNNCells([])


def test_reversed_states_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="reverse_state_order"):
        StackedRNNCells([Plain()], reverse_state_order=True)
    StackedRNNCells([Plain()], reverse_state_order=False)


def test_config_round_trip():
    stack = StackedRNNCells([LSTMCell(3, activation="relu"), GRUCell(4)], name="s")
    config = stack.get_config()
    assert [c["class_name"] for c in config["cells"]] == ["LSTMCell", "GRUCell"]
    twin = StackedRNNCells.from_config(config)
    assert twin.get_config() == config
    assert len(config["cells"]) == 2


def test_config_with_custom_cells():
    class Own(SimpleRNNCell):
        pass

    config = StackedRNNCells([Own(3)]).get_config()
    with pytest.raises(ValueError, match="Unknown layer: Own"):
        StackedRNNCells.from_config(config)
    assert type(StackedRNNCells.from_config(config, {"Own": Own}).cells[0]) is Own
    with registry.custom_object_scope({"Own": Own}):
        assert type(StackedRNNCells.from_config(config).cells[0]) is Own
    with pytest.raises(ValueError, match="Cannot serialize"):
        StackedRNNCells([Plain()]).get_config()
