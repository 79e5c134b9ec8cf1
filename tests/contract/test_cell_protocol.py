"""Contract §3: what a cell may look like and what it is given."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, TwoStateCell, doubling, integers

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    AbstractRNNCell,
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
    TensorShape,
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


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("pack", [lambda h: [h], lambda h: (h,), lambda h: h], ids=["list", "tuple", "bare"])
def test_new_states_may_be_a_list_a_tuple_or_a_bare_array(pack, unroll):
    class Cell(DoublingCell):
        def call(self, inputs, states):
            output, (h,) = super().call(inputs, states)
            return output, pack(h)

    x, h0 = integers(2, 3, 4), integers(2, 3, seed=1)
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    y, state = RNN(Cell(), return_state=True, unroll=unroll)(x, initial_state=h0, mask=mask)
    _, last, want = doubling(x, h0, mask)
    np.testing.assert_array_equal(y, last)
    np.testing.assert_array_equal(state, want)


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
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="ones", name="kernel")
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


def test_cell_may_return_a_namedtuple_where_the_state_was_a_tuple():
    class Cell:
        state_size = (3, 2)
        output_size = 3

        def call(self, inputs, states):
            assert type(states) is tuple
            output, new = TwoStateCell().call(inputs, states)
            return output, States(*new)

    x = integers(2, 3, 4)
    for mask in (None, np.array([[1, 0, 1], [0, 1, 1]], bool)):
        got = RNN(Cell(), return_state=True)(x, mask=mask)
        want = RNN(TwoStateCell(), return_state=True)(x, mask=mask)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wrap", [list, tuple, lambda s: States(*s)], ids=["list", "tuple", "namedtuple"])
def test_a_list_of_ints_is_several_states_never_one_shape(wrap):
    class Cell(TwoStateCell):
        def __init__(self):
            super().__init__()
            self.state_size = wrap([3, 2])

    y, first, second = RNN(Cell(), return_state=True)(integers(4, 5, 6))
    assert (y.shape, first.shape, second.shape) == ((4, 3), (4, 3), (4, 2))


class AsList:
    """A shape in the way other packages spell one."""

    def __init__(self, dims):
        self._dims = list(dims)

    def as_list(self):
        return list(self._dims)


@pytest.mark.parametrize("shape", [TensorShape((2, 3)), AsList((2, 3))], ids=["TensorShape", "as_list"])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_tensor_shape_is_one_high_dimensional_state(shape, unroll):
    class Cell:
        state_size = shape
        output_size = shape

        def call(self, inputs, states):
            assert len(states) == 1
            h = states[0] * 2 + inputs
            return h, [h]

    x = integers(2, 3, 2, 3)
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    y, state = RNN(Cell(), return_state=True, unroll=unroll)(x, mask=mask)
    want = np.zeros((2, 2, 3), "float32")
    for t in range(3):
        want = np.where(mask[:, t, None, None], 2 * want + x[:, t], want)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(state, want)


def test_several_high_dimensional_states():
    class Cell:
        state_size = [TensorShape((2, 3)), TensorShape((4,)), 5]
        output_size = TensorShape((2, 3))

        def call(self, inputs, states):
            return states[0] + 1, [states[0] + 1, states[1] + 2, states[2] + 3]

    y, *states = RNN(Cell(), return_state=True)(integers(2, 3, 7))
    assert [s.shape for s in states] == [(2, 2, 3), (2, 4), (2, 5)]
    assert [float(np.asarray(s).flat[0]) for s in states] == [3, 6, 9]
    np.testing.assert_array_equal(y, states[0])


@pytest.mark.parametrize("unroll", [False, True])
def test_stateless_cells_are_legal(unroll):
    class Cell(rnnpack.Layer):
        def __init__(self):
            self.state_size = ((), [], ())
            self.output_size = None
            super().__init__()

        def build(self, input_shape):
            self.output_size = input_shape[-1]

        def call(self, inputs, states):
            return inputs, states

    x = integers(2, 3, 4)
    layer = RNN(Cell(), return_state=True, unroll=unroll)
    assert len(layer.states) == 3
    y, *states = layer(x)
    np.testing.assert_array_equal(y, x[:, -1])
    assert [len(s) for s in states] == [0, 0, 0]


def test_state_size_is_read_again_on_every_use():
    cell = DoublingCell(3)
    layer = RNN(cell, return_state=True)
    assert layer(integers(2, 3, 4))[1].shape == (2, 3)
    cell.state_size = cell.units = 5
    assert layer(integers(2, 3, 4))[1].shape == (2, 5)


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


def test_get_initial_state_is_called_with_keywords_and_without_inputs():
    seen = []

    class Cell(DoublingCell):
        def get_initial_state(self, *args, **kwargs):
            seen.append((args, kwargs))
            return np.ones((kwargs["batch_size"], 3), "float32")

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell())(x), doubling(x, np.ones((2, 3), "float32"))[1])
    for args, kwargs in seen:
        assert args == ()
        assert set(kwargs) == {"inputs", "batch_size", "dtype"}
        assert kwargs["inputs"] is None
        assert kwargs["batch_size"] == 2
        assert np.dtype(kwargs["dtype"]) == np.float32
    assert seen


def test_get_initial_state_is_given_the_dtype_of_the_cast_inputs():
    seen = []

    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            seen.append(np.dtype(dtype))
            return np.zeros((batch_size, 3), dtype)

    RNN(Cell())(integers(2, 3, 4, dtype="float64"))
    RNN(Cell(), dtype="float64")(integers(2, 3, 4))
    assert set(seen[:1]) == {np.dtype("float32")}
    assert seen[-1] == np.dtype("float64")


def test_get_initial_state_batch_size_under_time_major():
    seen = []

    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            seen.append(batch_size)
            return np.zeros((batch_size, 3), dtype)

    RNN(Cell(), time_major=True)(integers(5, 2, 4))
    assert set(seen) == {2}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_get_initial_state_the_states_are_zeros_in_the_layer_dtype(dtype):
    seen = []

    class Cell(TwoStateCell):
        def call(self, inputs, states):
            seen.append([(s.shape, s.dtype, float(abs(s).sum())) for s in states])
            return super().call(inputs, states)

    RNN(Cell(), dtype=dtype)(integers(2, 3, 4))
    assert seen[0] == [((2, 3), np.dtype(dtype), 0.0), ((2, 2), np.dtype(dtype), 0.0)]


@pytest.mark.parametrize("pack", [lambda a, b: States(a, b), lambda a, b: (a, b), lambda a, b: [a, b]])
def test_get_initial_state_may_return_any_sequence_of_non_zero_arrays(pack):
    class Cell(TwoStateCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return pack(np.full((batch_size, 3), 5, dtype), np.full((batch_size, 2), 7, dtype))

    x = integers(2, 3, 4)
    _, total, count = RNN(Cell(), return_state=True)(x)
    np.testing.assert_array_equal(total, 5 + x.sum((1, 2))[:, None].repeat(3, 1))
    np.testing.assert_array_equal(count, np.full((2, 2), 10))


def test_layer_get_initial_state_wraps_one_array_in_a_list():
    x = integers(2, 3, 4)
    for layer, widths in [(RNN(DoublingCell()), [3]), (RNN(TwoStateCell()), [3, 2]), (LSTM(3), [3, 3]), (GRU(3), [3])]:
        states = layer.get_initial_state(x)
        assert isinstance(states, list)
        assert [np.shape(s) for s in states] == [(2, w) for w in widths]
        assert all(not np.asarray(s).any() for s in states)


@pytest.mark.parametrize("cell", [LSTMCell(3), GRUCell(3), SimpleRNNCell(3), StackedRNNCells([GRUCell(3)])])
@pytest.mark.parametrize("kwargs", [{}, {"batch_size": 2}, {"dtype": "float32"}], ids=str)
def test_get_initial_state_helper_needs_inputs_or_both_batch_size_and_dtype(cell, kwargs):
    with pytest.raises(ValueError, match="batch_size and dtype cannot be None"):
        cell.get_initial_state(**kwargs)


def test_get_initial_state_inputs_override_batch_size_and_dtype():
    h = GRUCell(3).get_initial_state(inputs=np.zeros((5, 4), "float64"), batch_size=2, dtype="float32")
    assert (h.shape, h.dtype) == ((5, 3), np.dtype("float64"))
    h, c = LSTMCell(3).get_initial_state(batch_size=2, dtype="float32")
    assert h.shape == c.shape == (2, 3)
    assert h.dtype == c.dtype == np.float32


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


@pytest.mark.parametrize("mask", [None, np.array([[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]], bool)], ids=["no mask", "mask"])
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


def test_state_sizes_of_the_built_in_cells():
    assert LSTMCell(3).state_size == [3, 3]
    assert isinstance(LSTMCell(3).state_size, list)
    assert GRUCell(3).state_size == 3
    assert SimpleRNNCell(3).state_size == 3
    stack = StackedRNNCells([LSTMCell(3), GRUCell(2)]).state_size
    assert isinstance(stack, tuple)
    assert stack == ([3, 3], 2)


def test_direct_use_of_the_lstm_cell():
    x, h, c = integers(2, 4), integers(2, 3, seed=1), integers(2, 3, seed=2)
    output, states = LSTMCell(3)(x, [h, c])
    assert isinstance(states, list)
    assert len(states) == 2
    np.testing.assert_array_equal(output, states[0])
    assert output.shape == states[1].shape == (2, 3)


@pytest.mark.parametrize("cell", [GRUCell, SimpleRNNCell])
def test_direct_use_returns_the_kind_of_state_it_was_given(cell):
    x, h = integers(2, 4), integers(2, 3, seed=1)
    made = cell(3)
    output, bare = made(x, h)
    again, listed = made(x, [h])
    assert isinstance(bare, np.ndarray)
    assert isinstance(listed, list)
    assert len(listed) == 1
    for value in (bare, again, listed[0]):
        np.testing.assert_array_equal(value, output)


def test_inputs_given_to_the_cell_have_the_layer_dtype():
    seen = []

    class Cell(DoublingCell):
        def call(self, inputs, states):
            seen.append(inputs.dtype)
            return super().call(inputs, states)

    RNN(Cell())(integers(2, 3, 4, dtype="float64"))
    assert set(seen) == {np.dtype("float32")}
