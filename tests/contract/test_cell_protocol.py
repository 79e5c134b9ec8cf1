"""Contract §3: what a cell may look like and what it is given."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, TwoStateCell, doubling, integers

import rnnpack
from rnnpack import (
    RNN,
    AbstractRNNCell,
    GRUCell,
    LSTMCell,
)

States = namedtuple("States", ["s1", "s2"])


def test_a_cell_need_not_be_a_layer():
    x = integers(2, 3, 4)
    layer = RNN(DoublingCell())
    np.testing.assert_array_equal(layer(x), doubling(x)[1])
    assert layer.weights == []
    assert layer.get_weights() == []


def test_a_cell_that_is_no_layer_is_never_built():
    class Cell(DoublingCell):
        built = False

        def build(self, input_shape):
            raise AssertionError("built")

    RNN(Cell())(integers(2, 3, 4))


def test_callable_cell_is_called_through_dunder_call():
    class Cell(DoublingCell):
        def __call__(self, inputs, states):
            return super().call(10 * inputs, states)

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell())(x), doubling(10 * x)[1])


def test_layer_cell_with_its_own_dunder_call_is_called_through_it():
    class Cell(LayerCell):
        def __call__(self, inputs, states, **kwargs):
            return super().__call__(10 * inputs, states, **kwargs)

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell(3))(x), RNN(LayerCell(3))(10 * x))


def test_a_plain_cell_with_only_call_works():
    x = integers(2, 3, 4)
    assert not callable(DoublingCell())
    np.testing.assert_array_equal(RNN(DoublingCell())(x), doubling(x)[1])


@pytest.mark.parametrize("unroll", [False, True])
def test_states_reach_the_cell_as_a_tuple(unroll):
    seen = []

    class Cell(DoublingCell):
        def call(self, inputs, states):
            seen.append(type(states))
            return super().call(inputs, states)

    x = integers(2, 3, 4)
    RNN(Cell(), unroll=unroll)(x)
    RNN(Cell(), unroll=unroll)(x, initial_state=[integers(2, 3)])
    RNN(Cell(), unroll=unroll)(x, mask=np.ones((2, 3), bool))
    assert seen == [tuple] * 9


def test_cells_marked_as_tf_rnn_cells_get_a_bare_single_state():
    class Cell:
        state_size = 3
        _is_tf_rnn_cell = True

        def call(self, inputs, states):
            assert isinstance(states, np.ndarray)
            output, new = DoublingCell().call(inputs, [states])
            return output, new[0]

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell())(x), doubling(x)[1])


def test_cells_marked_as_tf_rnn_cells_get_a_tuple_when_there_are_two_states():
    class Cell(TwoStateCell):
        _is_tf_rnn_cell = True

        def call(self, inputs, states):
            assert isinstance(states, tuple)
            return super().call(inputs, states)

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell())(x), RNN(TwoStateCell())(x))


def test_abstract_cell_may_return_output_and_output():
    class Cell(AbstractRNNCell):
        def __init__(self, units, **kwargs):
            self.units = units
            super().__init__(**kwargs)

        @property
        def state_size(self):
            return self.units

        @property
        def output_size(self):
            return self.units

        def build(self, input_shape):
            self.kernel = self.add_weight(
                shape=(input_shape[-1], self.units), initializer="ones", name="kernel"
            )
            self.built = True

        def call(self, inputs, states):
            output = 2 * states[0] + inputs @ self.kernel
            return output, output

    x = integers(2, 3, 4)
    y, state = RNN(Cell(3), return_state=True)(x)
    np.testing.assert_array_equal(y, doubling(x)[2])
    np.testing.assert_array_equal(state, y)
    stacked = RNN([Cell(3), Cell(2)], return_state=True)(x)
    assert [np.shape(a) for a in stacked] == [(2, 2), (2, 3), (2, 2)]


def test_a_double_star_parameter_is_not_a_request_for_training():
    class Cell(DoublingCell):
        def call(self, inputs, states, **kwargs):
            assert kwargs == {}
            return super().call(inputs, states)

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell())(x, training=True), doubling(x)[1])


def test_a_double_star_parameter_is_not_a_request_for_constants():
    class Cell(DoublingCell):
        def call(self, inputs, states, **kwargs):
            return super().call(inputs, states)

    with pytest.raises(ValueError, match="constants"):
        RNN(Cell())(integers(2, 3, 4), constants=[integers(2, 4)])


def test_keyword_only_training_and_constants_are_found():
    seen = []

    class Cell(DoublingCell):
        def call(self, inputs, states, *, training=None, constants=None):
            seen.append((training, len(constants)))
            return super().call(inputs, states)

    RNN(Cell())(integers(2, 3, 4), constants=[integers(2, 4)], training=True)
    assert seen == [(True, 1)] * 3


def test_a_cell_that_does_not_name_training_is_not_given_it():
    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(DoublingCell())(x, training=True), doubling(x)[1])


def test_training_reaches_sub_layers_of_a_cell_that_does_not_name_it():
    seen = []

    class Inner(rnnpack.Layer):
        def call(self, inputs, training=None):
            seen.append(bool(training))
            return inputs

    class Cell(rnnpack.Layer):
        state_size = 4

        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, inputs, states):
            h = self.inner(inputs) + states[0]
            return h, [h]

    layer = RNN(Cell())
    layer(integers(2, 3, 4), training=True)
    layer(integers(2, 3, 4))
    assert seen == [True] * 3 + [False] * 3


def test_constants_for_a_cell_that_does_not_name_them_are_refused():
    with pytest.raises(ValueError, match="does not support constants"):
        RNN(GRUCell(3))(integers(2, 3, 4), constants=[integers(2, 4)])


def test_an_empty_list_of_constants_does_not_count():
    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(DoublingCell())(x, constants=[]), doubling(x)[1])


def test_output_size_is_used_for_shapes():
    class Cell(DoublingCell):
        output_size = 7

        def call(self, inputs, states):
            _, new = super().call(inputs, states)
            return np.zeros((len(inputs), 7), "float32"), new

    layer = RNN(Cell(), return_sequences=True)
    assert tuple(layer.compute_output_shape((2, 5, 4))) == (2, 5, 7)
    assert layer(integers(2, 5, 4)).shape == (2, 5, 7)
    assert tuple(layer(rnnpack.Input((5, 4))).shape) == (None, 5, 7)


@pytest.mark.parametrize("size", [None, "absent"])
@pytest.mark.parametrize(("state_size", "first"), [(3, 3), ([3, 2], 3), ((3, 2), 3)])
def test_output_size_absent_or_none_falls_back_to_the_first_state(size, state_size, first):
    class Cell:
        def __init__(self):
            self.state_size = state_size
            if size is None:
                self.output_size = None

        def call(self, inputs, states):
            return states[0], list(states)

    assert tuple(RNN(Cell()).compute_output_shape((2, 5, 4))) == (2, first)


def test_output_may_differ_from_the_state_in_value_and_width():
    class PlusOne(rnnpack.Layer):
        """Output is state + 1 and one unit wider."""

        state_size = 3
        output_size = 4

        def call(self, inputs, states):
            h = states[0] + 1
            return np.pad(h + 1, ((0, 0), (0, 1))), [h]

    y, state = RNN(PlusOne(), return_state=True)(integers(2, 5, 4))
    np.testing.assert_array_equal(state, np.full((2, 3), 5))
    np.testing.assert_array_equal(y, np.pad(np.full((2, 3), 6), ((0, 0), (0, 1))))


def test_actual_outputs_are_not_checked_against_output_size():
    class Cell(DoublingCell):
        output_size = 99

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell(), return_sequences=True)(x), doubling(x)[0])


def test_a_layer_cell_is_built_once_with_the_shape_of_one_step():
    shapes = []

    class Cell(LayerCell):
        def build(self, input_shape):
            shapes.append(input_shape)
            super().build(input_shape)

    layer = RNN(Cell(3))
    layer(integers(2, 3, 4))
    layer(integers(5, 6, 4))
    assert len(shapes) == 1
    assert shapes[0][0] in (None, 2)
    assert tuple(shapes[0][1:]) == (4,)
    assert layer.cell.built is True


def test_a_built_cell_is_not_built_again():
    cell = LayerCell(3)
    cell.build((None, 4))
    cell.kernel.assign(np.full((4, 3), 2))
    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(cell)(x), doubling(2 * x)[1])


def test_step_shape_drops_the_time_axis_when_time_major():
    shapes = []

    class Cell(LayerCell):
        def build(self, input_shape):
            shapes.append(tuple(input_shape))
            super().build(input_shape)

    RNN(Cell(3), time_major=True)(integers(7, 2, 4))
    assert shapes[0] in ((2, 4), (None, 4))


def test_nested_inputs_build_with_the_same_nest_of_tuples():
    Pair = namedtuple("Pair", ["a", "b"])
    seen = []

    class Cell(rnnpack.Layer):
        state_size = 3

        def build(self, input_shape):
            seen.append(input_shape)
            self.built = True

        def call(self, inputs, states):
            return states[0], [states[0]]

    RNN(Cell())(Pair(integers(2, 3, 4), integers(2, 3, 5)))
    RNN(Cell())({"x": integers(2, 3, 4), "y": (integers(2, 3, 5), integers(2, 3, 6))})
    assert type(seen[0]).__name__ == "Pair"
    assert (tuple(seen[0].a[1:]), tuple(seen[0].b[1:])) == ((4,), (5,))
    assert set(seen[1]) == {"x", "y"}
    assert [tuple(s[1:]) for s in (seen[1]["x"], *seen[1]["y"])] == [(4,), (5,), (6,)]


def test_sub_layers_of_a_cell_are_built_on_their_first_call_and_tracked():
    class Scale(rnnpack.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
            self.built = True

        def call(self, inputs):
            return inputs * self.scale

    class Cell(rnnpack.Layer):
        state_size = 4

        def __init__(self):
            super().__init__()
            self.scale = Scale()

        def call(self, inputs, states):
            h = self.scale(inputs) + states[0]
            return h, [h]

    layer = RNN(Cell())
    x = integers(2, 3, 4)
    np.testing.assert_array_equal(layer(x), x.sum(1))
    assert [w.shape for w in layer.get_weights()] == [(4,)]


@pytest.mark.parametrize(
    "mask", [None, np.array([[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]], bool)], ids=["no mask", "mask"]
)
@pytest.mark.parametrize("unroll", [False, True])
def test_a_custom_cell_is_called_exactly_once_a_timestep(mask, unroll):
    cell = DoublingCell()
    layer = RNN(cell, unroll=unroll)
    layer(integers(2, 5, 4), mask=mask)
    assert cell.calls == 5
    layer(integers(2, 5, 4), mask=mask)
    assert cell.calls == 10


def test_cell_sees_the_steps_in_processing_order():
    seen = []

    class Cell(DoublingCell):
        def call(self, inputs, states):
            seen.append(float(inputs[0, 0]))
            return super().call(inputs, states)

    x = np.arange(5, dtype="float32").reshape(1, 5, 1)
    RNN(Cell())(x)
    RNN(Cell(), go_backwards=True)(x)
    assert seen == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]


def test_direct_use_of_the_lstm_cell():
    x, h, c = integers(2, 4), integers(2, 3, seed=1), integers(2, 3, seed=2)
    output, states = LSTMCell(3)(x, [h, c])
    assert isinstance(states, list)
    assert len(states) == 2
    np.testing.assert_array_equal(output, states[0])
    assert output.shape == states[1].shape == (2, 3)


def test_inputs_given_to_the_cell_have_the_layer_dtype():
    seen = []

    class Cell(DoublingCell):
        def call(self, inputs, states):
            seen.append(inputs.dtype)
            return super().call(inputs, states)

    RNN(Cell())(integers(2, 3, 4, dtype="float64"))
    assert set(seen) == {np.dtype("float32")}


@pytest.mark.parametrize("masked", [False, True])
def test_a_cell_that_writes_into_its_states_never_reaches_the_callers_arrays(masked):
    class Cell(DoublingCell):
        def call(self, inputs, states):
            output, (h,) = super().call(inputs, states)
            states[0][...] = h
            return output, [h]

    x, h = integers(2, 3, 4), integers(2, 3, seed=1)
    given = h.copy()
    layer = RNN(Cell())
    layer(x, initial_state=given, mask=np.ones((2, 3), bool) if masked else None)
    np.testing.assert_array_equal(given, h)


def test_a_cell_that_writes_into_its_inputs_never_changes_the_callers_array():
    """Either the writing is refused or it reaches a copy."""

    class Cell(DoublingCell):
        def call(self, inputs, states):
            inputs *= 2
            return super().call(inputs, states)

    x = integers(2, 3, 4)
    before = x.copy()
    for unroll in (False, True):
        try:
            y = RNN(Cell(), unroll=unroll)(x)
        except ValueError as error:
            assert "read-only" in str(error)
        else:
            np.testing.assert_array_equal(y, doubling(2 * before)[1])
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("other", [(1, 3, 5), (2, 2, 5), (3, 3, 5)], ids=str)
def test_nested_inputs_must_agree_in_batch_and_time(other):
    class Cell(DoublingCell):
        def call(self, inputs, states):
            return super().call(inputs[0], states)

    with pytest.raises(ValueError, match="inputs"):
        RNN(Cell())((integers(2, 3, 4), integers(*other)))


def test_nested_inputs_keep_their_feature_sizes_after_the_build():
    class Cell(DoublingCell):
        def call(self, inputs, states):
            return super().call(inputs[0], states)

    layer = RNN(Cell())
    layer((integers(2, 3, 4), integers(2, 3, 5)))
    with pytest.raises(ValueError, match="is incompatible with the layer: expected shape="):
        layer((integers(2, 3, 4), integers(2, 3, 6)))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_cell_may_return_the_same_arrays_at_every_step(unroll, stacked, masked):
    class Cell(DoublingCell):
        output = state = None

        def call(self, inputs, states):
            output, (h,) = super().call(inputs, states)
            if self.output is None:
                self.output, self.state = np.empty_like(output), np.empty_like(h)
            self.output[...], self.state[...] = output, h
            return self.output, [self.state]

    x, h = integers(2, 5, 4), integers(2, 3, seed=1)
    mask = np.array([[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]], bool) if masked else None
    want, last, final = doubling(x, h, mask)
    for return_sequences, expected in ((True, want), (False, last)):
        cell = [Cell()] if stacked else Cell()
        layer = RNN(cell, return_sequences=return_sequences, return_state=True, unroll=unroll)
        y, state = layer(x, initial_state=[h], mask=mask)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(state, final)
        kept = np.array(y), np.array(state)
        layer(x + 1)
        np.testing.assert_array_equal(y, kept[0])
        np.testing.assert_array_equal(state, kept[1])
