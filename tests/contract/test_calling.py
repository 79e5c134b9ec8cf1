"""Contract §2: the arguments of a call, their order, the list form, training and implicit masks."""

from __future__ import annotations

import inspect
import itertools
from collections import namedtuple

import numpy as np
import pytest
from contract_cells import DoublingCell, TwoStateCell, bits, doubling, integers, normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN
from rnnpack.keras import backend

Pair = namedtuple("Pair", ["a", "b"])


def test_second_positional_argument_is_initial_state():
    x, h = integers(2, 3, 4), integers(2, 3, seed=1)
    np.testing.assert_array_equal(RNN(DoublingCell())(x, h), doubling(x, h)[1])
    layer = GRU(3)
    np.testing.assert_array_equal(layer(x, h), layer(x, initial_state=h))
    assert bits(layer(x, h)) != bits(layer(x))


def test_a_mask_given_as_second_positional_argument_is_taken_as_a_state():
    mask = np.ones((2, 5), bool)
    with pytest.raises(ValueError, match="state"):
        GRU(3)(normal(2, 5, 4), mask)


def test_third_positional_argument_is_constants():
    class Cell(DoublingCell):
        def call(self, inputs, states, constants=None):
            return super().call(inputs + constants[0], states)

    x, h, c = integers(2, 3, 4), integers(2, 3, seed=1), integers(2, 4, seed=2)
    np.testing.assert_array_equal(RNN(Cell())(x, h, c), doubling(x + c[:, None], h)[1])


def test_call_signature_names_states_and_constants_first():
    for layer in (RNN, Bidirectional):
        names = list(inspect.signature(layer.__call__).parameters)
        assert names[:4] == ["self", "inputs", "initial_state", "constants"]
        assert "mask" not in names
        assert "training" not in names


def test_the_order_of_call_differs_from_the_order_of_the_layer_call():
    def order(layer):
        return [n for n in inspect.signature(layer.call).parameters if n != "self"]

    assert order(RNN) == ["inputs", "mask", "training", "initial_state", "constants"]
    for layer in (LSTM, GRU, SimpleRNN):
        assert order(layer) == ["inputs", "mask", "training", "initial_state"]
    assert order(Bidirectional) == ["inputs", "training", "mask", "initial_state", "constants"]


def test_call_method_takes_the_mask_as_second_positional_argument():
    x = integers(2, 3, 4)
    mask = np.array([[1, 0, 1], [1, 1, 0]], bool)
    layer = RNN(DoublingCell())
    layer(x)
    np.testing.assert_array_equal(layer.call(x, mask), doubling(x, mask=mask)[1])


class PairCell:
    """Sums the parts of a nested input: a*1 + b*10 (+ c*100)."""

    state_size = 3

    def call(self, inputs, states):
        parts = [inputs[k] for k in sorted(inputs)] if isinstance(inputs, dict) else inputs
        total = sum(10**i * p.sum(-1, keepdims=True) for i, p in enumerate(parts))
        h = 2 * states[0] + total
        return h, [h]


@pytest.mark.parametrize(
    "nest", [lambda a, b: (a, b), Pair, lambda a, b: {"a": a, "b": b}], ids=["tuple", "named", "dict"]
)
def test_nested_inputs_are_tuples_namedtuples_and_dicts(nest):
    a, b = integers(2, 3, 4), integers(2, 3, 5, seed=1)
    joined = a.sum(-1, keepdims=True) + 10 * b.sum(-1, keepdims=True)
    want = doubling(joined)[0] - 100
    np.testing.assert_array_equal(RNN(PairCell(), return_sequences=True)(nest(a, b)), want)


def test_nested_inputs_reach_the_cell_in_the_same_structure():
    seen = []

    class Spy(PairCell):
        def call(self, inputs, states):
            seen.append(inputs)
            return super().call(inputs, states)

    RNN(Spy())(Pair(integers(2, 3, 4), integers(2, 3, 5)))
    assert [type(s) for s in seen] == [Pair] * 3
    assert (seen[0].a.shape, seen[0].b.shape) == ((2, 4), (2, 5))


def test_deeply_nested_inputs_work():
    class Deep:
        state_size = 3

        def call(self, inputs, states):
            (a, b), c = inputs["left"], inputs["right"]
            h = (
                states[0]
                + a.sum(-1, keepdims=True)
                + b.sum(-1, keepdims=True) * 10
                + c.sum(-1, keepdims=True) * 100
            )
            return h, [h]

    a, b, c = integers(2, 3, 4), integers(2, 3, 5, seed=1), integers(2, 3, 1, seed=2)
    want = (a.sum(-1) + 10 * b.sum(-1) + 100 * c.sum(-1)).sum(1)[:, None].repeat(3, 1)
    np.testing.assert_array_equal(RNN(Deep())({"left": (a, b), "right": c}), want)


def test_a_list_is_input_and_states_never_a_nested_input():
    x, h = integers(2, 3, 4), integers(2, 3, seed=1)
    np.testing.assert_array_equal(RNN(DoublingCell())([x, h]), doubling(x, h)[1])
    with pytest.raises(ValueError, match="state"):
        RNN(PairCell())([integers(2, 3, 4), integers(2, 3, 5)])


def test_list_form_carries_every_state():
    x, a, b = integers(2, 3, 4), integers(2, 3, seed=1), integers(2, 2, seed=2)
    layer = RNN(TwoStateCell(), return_state=True)
    for got, want in zip(layer([x, a, b]), layer(x, initial_state=[a, b]), strict=True):
        np.testing.assert_array_equal(got, want)


class ConstantCell(DoublingCell):
    """Adds the sum of every constant to the input."""

    def call(self, inputs, states, constants=None):
        for c in constants or ():
            inputs = inputs + c
        return super().call(inputs, states)


def test_list_form_finds_the_constants_by_the_remembered_count():
    x, h, c, d = integers(2, 3, 4), integers(2, 3, seed=1), integers(2, 4, seed=2), integers(2, 4, seed=3)
    layer = RNN(ConstantCell())
    want = layer(x, initial_state=h, constants=[c, d])
    np.testing.assert_array_equal(layer([x, h, c, d]), want)
    assert layer._num_constants == 2
    np.testing.assert_array_equal(want, doubling(x + c[:, None] + d[:, None], h)[1])


def test_list_form_without_a_remembered_count_has_no_constants():
    x, h, c = integers(2, 3, 4), integers(2, 3, seed=1), integers(2, 4, seed=2)
    with pytest.raises(ValueError, match="state"):
        RNN(ConstantCell())([x, h, c])


@pytest.mark.parametrize("extra", ["initial_state", "constants"])
def test_list_form_together_with_the_keyword_is_an_assertion_error(extra):
    x, h = integers(2, 3, 4), integers(2, 3, seed=1)
    with pytest.raises(AssertionError):
        RNN(ConstantCell())([x, h], **{extra: [h]})


def test_list_of_one_array_equals_the_array():
    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(DoublingCell())([x]), doubling(x)[1])
    layer = LSTM(3)
    np.testing.assert_array_equal(layer([x]), layer(x))


@pytest.mark.parametrize("wrap", [list, tuple, lambda s: Pair(*s)], ids=["list", "tuple", "namedtuple"])
def test_initial_state_may_be_a_list_tuple_or_namedtuple(wrap):
    x, a, b = normal(2, 3, 4), normal(2, 3, seed=1), normal(2, 3, seed=2)
    layer = LSTM(3)
    np.testing.assert_array_equal(layer(x, initial_state=wrap([a, b])), layer([x, a, b]))


def test_initial_state_and_constants_may_be_single_arrays():
    x, h, c = integers(2, 3, 4), integers(2, 3, seed=1), integers(2, 4, seed=2)
    layer = RNN(ConstantCell())
    np.testing.assert_array_equal(
        layer(x, initial_state=h, constants=c), layer(x, initial_state=[h], constants=[c])
    )
    np.testing.assert_array_equal(layer(x, initial_state=(h,), constants=(c,)), layer(x, h, c))


class TrainingCell:
    """Reports the training value it was given as its output."""

    state_size = 1

    def call(self, inputs, states, training=None):
        self.seen = training
        value = np.full((len(inputs), 1), float(bool(training)), "float32")
        return value, [value]


def sees(layer, **kwargs):
    return bool(np.asarray(layer(np.zeros((2, 3, 4), "float32"), **kwargs))[0, 0])


def test_training_explicit_argument_reaches_the_cell():
    layer = RNN(TrainingCell())
    assert sees(layer, training=True) is True
    assert sees(layer, training=False) is False


def test_training_defaults_to_inference():
    layer = RNN(TrainingCell())
    assert sees(layer) is False
    assert sees(layer, training=None) is False
    assert sees(layer, training=True) is True
    assert sees(layer) is False, "the value of an earlier call stays behind"


def test_training_comes_from_the_enclosing_layer_call():
    class Outer(rnnpack.Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs, training=None):
            return self.inner(inputs)

    layer = Outer(RNN(TrainingCell()))
    assert sees(layer, training=True) is True
    assert sees(layer, training=False) is False
    assert sees(layer) is False


def test_training_argument_wins_over_the_enclosing_layer_call():
    class Outer(rnnpack.Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs, training=None):
            return self.inner(inputs, training=False)

    assert sees(Outer(RNN(TrainingCell())), training=True) is False


def test_training_comes_from_the_global_learning_phase_last():
    class Outer(rnnpack.Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs, training=None):
            return self.inner(inputs)

    layer = RNN(TrainingCell())
    previous = backend.learning_phase()
    try:
        backend.set_learning_phase(1)
        assert sees(layer) is True
        assert sees(layer, training=False) is False
        assert sees(Outer(layer), training=False) is False
    finally:
        backend.set_learning_phase(previous)
    assert sees(layer) is False


def masked_input():
    """An input whose last steps carry the mask value 0, the upstream masking layer's output and the mask."""
    x = normal(2, 4, 3)
    x[0, 2:] = 0
    x[1, 0] = 0
    mask = (x != 0).any(-1)
    return x, rnnpack.Masking()(x), mask


@pytest.mark.parametrize(
    "make", [lambda: LSTM(3), lambda: GRU(3), lambda: SimpleRNN(3), lambda: RNN(LSTMCell(3))]
)
def test_implicit_mask_of_the_input_is_used(make):
    x, carrying, mask = masked_input()
    layer = make()
    want = layer(x, mask=mask)
    np.testing.assert_array_equal(layer(carrying), want)
    assert bits(want) != bits(layer(x))


def test_explicit_mask_wins_over_the_implicit_one():
    x, carrying, _ = masked_input()
    other = np.array([[1, 1, 1, 0], [1, 0, 1, 1]], bool)
    layer = GRU(3)
    np.testing.assert_array_equal(layer(carrying, mask=other), layer(x, mask=other))


def test_explicit_none_turns_the_implicit_mask_off():
    x, carrying, _ = masked_input()
    layer = GRU(3)
    np.testing.assert_array_equal(layer(carrying, mask=None), layer(x))


def test_implicit_mask_of_the_first_element_of_the_list_form_is_used():
    x, carrying, mask = masked_input()
    h = normal(2, 3, seed=5)
    layer = GRU(3)
    np.testing.assert_array_equal(layer([carrying, h]), layer(x, initial_state=h, mask=mask))


def test_mask_list_for_the_list_form_uses_its_first_element():
    x, h = integers(2, 3, 4), integers(2, 3, seed=1)
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    np.testing.assert_array_equal(RNN(DoublingCell())([x, h], mask=[mask, None]), doubling(x, h, mask)[1])
    layer = LSTM(3)
    states = [normal(2, 3), normal(2, 3)]
    np.testing.assert_array_equal(
        layer([x, *states], mask=[mask, None, None]), layer(x, initial_state=states, mask=mask)
    )


def test_operations_on_an_output_drop_its_mask():
    _, carrying, _ = masked_input()
    plain = carrying * 1
    assert getattr(plain, "_keras_mask", None) is None
    layer = GRU(3)
    np.testing.assert_array_equal(layer(plain), layer(carrying, mask=None))


def test_masks_flow_through_stacked_sequence_layers():
    x, carrying, mask = masked_input()
    first, second = LSTM(3, return_sequences=True), GRU(2)
    want = second(first(x, mask=mask), mask=mask)
    np.testing.assert_array_equal(second(first(carrying)), want)


def test_mixing_symbolic_and_plain_arrays_is_a_value_error():
    x = rnnpack.Input((3, 4))
    with pytest.raises(ValueError, match=r"(?i)keras tensor|symbolic"):
        LSTM(3)(x, initial_state=[rnnpack.Input((3,)), normal(2, 3)])


def test_keyword_and_positional_arguments_mean_the_same():
    x, h = normal(2, 3, 4), normal(2, 3, seed=1)
    mask = np.array([[1, 1, 0], [1, 0, 1]], bool)
    layer = RNN(GRUCell(3))
    results = [
        layer(x, h, mask=mask),
        layer(x, initial_state=h, mask=mask),
        layer(inputs=x, initial_state=[h], mask=mask),
    ]
    for a, b in itertools.pairwise(results):
        np.testing.assert_array_equal(a, b)
