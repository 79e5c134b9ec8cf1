"""Contract §1: what the constructors accept, check, keep and refuse."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, doubling, integers, normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell, StackedRNNCells

LAYERS = [LSTM, GRU, SimpleRNN]
FLAGS = ["return_sequences", "return_state", "go_backwards", "stateful", "unroll", "time_major"]


def test_rnn_signature_order():
    names = list(inspect.signature(RNN).parameters)
    assert names[:7] == ["cell", *FLAGS]


def test_a_single_cell_is_kept_as_it_is():
    cell = DoublingCell()
    assert RNN(cell).cell is cell


@pytest.mark.parametrize("container", [list, tuple])
@pytest.mark.parametrize("count", [1, 2])
def test_list_or_tuple_of_cells_becomes_a_stack_even_with_one_member(container, count):
    cells = [GRUCell(2) for _ in range(count)]
    layer = RNN(container(cells))
    assert isinstance(layer.cell, StackedRNNCells)
    assert [a is b for a, b in zip(layer.cell.cells, cells, strict=True)] == [True] * count


def test_missing_call_is_a_value_error_naming_call():
    class NoCall:
        state_size = 3

    with pytest.raises(ValueError, match=r"\bcall\b"):
        RNN(NoCall())


def test_missing_state_size_is_a_value_error_naming_state_size():
    class NoStateSize:
        def call(self, inputs, states):
            return inputs, states

    with pytest.raises(ValueError, match="state_size"):
        RNN(NoStateSize())


def test_state_size_value_is_not_read_at_construction():
    class Late:
        reads = 0

        @property
        def state_size(self):
            type(self).reads += 1
            raise RuntimeError("read too early")

        def call(self, inputs, states):
            return inputs, states

    RNN(Late())
    RNN([Late(), Late()])
    assert Late.reads == 0


def test_state_size_and_output_size_may_be_filled_in_by_build():
    class Late(rnnpack.Layer):
        state_size = None
        output_size = None

        def build(self, input_shape):
            self.state_size = self.output_size = input_shape[-1]
            self.built = True

        def call(self, inputs, states):
            return inputs + states[0], [inputs + states[0]]

    x = integers(2, 3, 4)
    y, state = RNN(Late(), return_state=True)(x)
    np.testing.assert_array_equal(y, x.sum(axis=1))
    np.testing.assert_array_equal(state, x.sum(axis=1))


def test_cell_state_size_may_be_a_class_attribute_or_property():
    class Cell:
        @property
        def state_size(self):
            return 3

        def call(self, inputs, states):
            return DoublingCell(3).call(inputs, states)

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell())(x), doubling(x)[1])


def test_zero_output_for_mask_is_a_keyword_with_default_false():
    assert "zero_output_for_mask" not in list(inspect.signature(RNN).parameters)[:7]
    assert RNN(DoublingCell()).zero_output_for_mask is False
    assert RNN(DoublingCell(), zero_output_for_mask=True).zero_output_for_mask is True
    for layer in LAYERS:
        assert layer(2).zero_output_for_mask is False
        assert layer(2, zero_output_for_mask=True).zero_output_for_mask is True


@pytest.mark.parametrize(
    "make", [lambda **k: RNN(GRUCell(2), **k), *[lambda _c=c, **k: _c(2, **k) for c in LAYERS]]
)
def test_unknown_keyword_is_a_type_error_with_its_name(make):
    with pytest.raises(TypeError) as caught:
        make(banana=1)
    assert "Keyword argument not understood:" in str(caught.value)
    assert "banana" in str(caught.value)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"name": "mine"},
        {"dtype": "float64"},
        {"trainable": False},
        {"dynamic": False},
        {"input_shape": (5, 4)},
        {"batch_input_shape": (2, 5, 4)},
        {"batch_size": 2, "input_shape": (5, 4)},
        {"input_dim": 4},
        {"input_length": 5},
        {"activity_regularizer": None},
        {"autocast": True},
    ],
    ids=lambda k: "+".join(k),
)
def test_base_keywords_are_accepted(kwargs):
    layers = [RNN(GRUCell(3), **kwargs), *[layer(3, **kwargs) for layer in LAYERS]]
    for layer in layers:
        assert np.shape(layer(normal(2, 5, 4))) == (2, 3)


def test_implementation_is_accepted_by_the_built_in_layers():
    for layer in (LSTM, GRU, SimpleRNN):
        assert np.shape(layer(3, implementation=1)(normal(2, 5, 4))) == (2, 3)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"input_length": 5, "input_dim": 4}, (None, 5, 4)),
        ({"input_dim": 4}, (None, None, 4)),
        ({"input_length": 5}, (None, 5, None)),
        ({"input_shape": (5, 4)}, (None, 5, 4)),
        ({"input_shape": (5, 4), "batch_size": 7}, (7, 5, 4)),
        ({"batch_input_shape": (7, 5, 4)}, (7, 5, 4)),
    ],
)
def test_input_length_and_input_dim_make_the_batch_input_shape(kwargs, shape):
    for layer in (RNN(GRUCell(2), **kwargs), LSTM(2, **kwargs), GRU(2, **kwargs), SimpleRNN(2, **kwargs)):
        assert tuple(layer._batch_input_shape) == shape


def test_weights_keyword_is_applied_once_right_after_the_first_build():
    x = normal(2, 3, 4)
    donor = GRU(3)
    donor(x)
    values = [w + 1 for w in donor.get_weights()]
    layer = GRU(3, weights=values)
    layer(x)
    for got, want in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_array_equal(got, want)
    layer.set_weights(donor.get_weights())
    layer(x)
    for got, want in zip(layer.get_weights(), donor.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


def test_weights_keyword_of_rnn_with_a_cell():
    x = normal(2, 3, 4)
    layer = RNN(LayerCell(3), weights=[np.full((4, 3), 2.0, "float32")])
    layer(x)
    np.testing.assert_array_equal(layer.get_weights()[0], np.full((4, 3), 2.0))


def test_simple_rnn_takes_time_major_through_its_keywords():
    assert "time_major" not in inspect.signature(SimpleRNN).parameters
    x = normal(2, 5, 4)
    plain = SimpleRNN(3, return_sequences=True)
    swapped = SimpleRNN(3, return_sequences=True, time_major=True)
    want = plain(x)
    swapped.build((5, 2, 4))
    swapped.set_weights(plain.get_weights())
    assert swapped.time_major is True
    np.testing.assert_array_equal(swapped(x.transpose(1, 0, 2)), want.transpose(1, 0, 2))


def test_positional_orders_of_the_flags_differ_between_the_layers():
    tail = {layer: list(inspect.signature(layer).parameters) for layer in (LSTM, GRU, SimpleRNN, RNN)}
    tail = {k: [n for n in v if n != "kwargs"] for k, v in tail.items()}
    assert tail[LSTM][-3:] == ["stateful", "time_major", "unroll"]
    assert tail[GRU][-4:] == ["stateful", "unroll", "time_major", "reset_after"]
    assert tail[SimpleRNN][-2:] == ["stateful", "unroll"]
    assert tail[RNN][-3:] == ["stateful", "unroll", "time_major"]


def test_positional_callers_reach_the_right_flag():
    lstm = LSTM(2, *_lstm_defaults(), False, False, False, False, True, False)
    assert (lstm.time_major, lstm.unroll) == (True, False)
    gru = GRU(2, *_gru_defaults(), False, False, False, False, True, False, False)
    assert (gru.unroll, gru.time_major, gru.reset_after) == (True, False, False)
    rnn = RNN(GRUCell(2), False, False, False, False, True, False)
    assert (rnn.unroll, rnn.time_major) == (True, False)


def _lstm_defaults():
    names = list(inspect.signature(LSTM).parameters.values())
    return [p.default for p in names[1 : [p.name for p in names].index("return_sequences")]]


def _gru_defaults():
    names = list(inspect.signature(GRU).parameters.values())
    return [p.default for p in names[1 : [p.name for p in names].index("return_sequences")]]


COMMON_TAIL = ["kernel_initializer", "recurrent_initializer", "bias_initializer"]
REGULARIZERS = ["kernel_regularizer", "recurrent_regularizer", "bias_regularizer"]
CONSTRAINTS = ["kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout"]
ACTIVATIONS = ["activation", "recurrent_activation"]


@pytest.mark.parametrize(
    ("thing", "names"),
    [
        (
            LSTM,
            [
                "units",
                *ACTIVATIONS,
                "use_bias",
                *COMMON_TAIL,
                "unit_forget_bias",
                *REGULARIZERS,
                "activity_regularizer",
                *CONSTRAINTS,
                "return_sequences",
                "return_state",
                "go_backwards",
                "stateful",
                "time_major",
                "unroll",
            ],
        ),
        (
            GRU,
            [
                "units",
                *ACTIVATIONS,
                "use_bias",
                *COMMON_TAIL,
                *REGULARIZERS,
                "activity_regularizer",
                *CONSTRAINTS,
                "return_sequences",
                "return_state",
                "go_backwards",
                "stateful",
                "unroll",
                "time_major",
                "reset_after",
            ],
        ),
        (
            SimpleRNN,
            [
                "units",
                "activation",
                "use_bias",
                *COMMON_TAIL,
                *REGULARIZERS,
                "activity_regularizer",
                *CONSTRAINTS,
                "return_sequences",
                "return_state",
                "go_backwards",
                "stateful",
                "unroll",
            ],
        ),
        (
            LSTMCell,
            [
                "units",
                *ACTIVATIONS,
                "use_bias",
                *COMMON_TAIL,
                "unit_forget_bias",
                *REGULARIZERS,
                *CONSTRAINTS,
            ],
        ),
        (
            GRUCell,
            ["units", *ACTIVATIONS, "use_bias", *COMMON_TAIL, *REGULARIZERS, *CONSTRAINTS, "reset_after"],
        ),
        (SimpleRNNCell, ["units", "activation", "use_bias", *COMMON_TAIL, *REGULARIZERS, *CONSTRAINTS]),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_positional_order_of_every_argument(thing, names):
    assert list(inspect.signature(thing).parameters)[: len(names)] == names


def test_public_attributes_of_rnn():
    layer = RNN(GRUCell(2), True, True, True, False, True, True)
    assert [getattr(layer, f) for f in FLAGS] == [True, True, True, False, True, True]
    assert layer.supports_masking is True
    assert layer.states == [None]
    for name in ("cell", "input_spec", "state_spec", "constants_spec"):
        assert hasattr(layer, name)


PROXIED = [
    "units",
    "activation",
    "use_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
    "dropout",
    "recurrent_dropout",
]


@pytest.mark.parametrize(
    ("layer", "extra"),
    [
        (LSTM, ["recurrent_activation", "implementation", "unit_forget_bias"]),
        (GRU, ["recurrent_activation", "implementation", "reset_after"]),
        (SimpleRNN, []),
    ],
)
def test_built_in_layers_proxy_their_cell(layer, extra):
    made = layer(7, dropout=0.25, recurrent_dropout=0.5, kernel_regularizer="l2", bias_constraint="non_neg")
    for name in PROXIED + extra:
        assert getattr(made, name) is getattr(made.cell, name), name
    assert (made.units, made.dropout, made.recurrent_dropout) == (7, 0.25, 0.5)


def test_auto_names_count_up_per_class():
    for make, base in [
        (lambda: RNN(GRUCell(2)), "rnn"),
        (lambda: LSTM(2), "lstm"),
        (lambda: GRU(2), "gru"),
        (lambda: SimpleRNN(2), "simple_rnn"),
    ]:
        first, second = make().name, make().name

        def index(name, base=base):
            assert name == base or name.startswith(base + "_"), name
            return 0 if name == base else int(name.removeprefix(base + "_"))

        assert index(second) == index(first) + 1


def test_first_auto_name_has_no_number():
    import subprocess
    import sys

    code = (
        "import rnnpack as r; print(r.RNN(r.GRUCell(2)).name, r.LSTM(2).name, r.GRU(2).name, "
        "r.SimpleRNN(2).name, r.GRU(2).name)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["rnn", "lstm", "gru", "simple_rnn", "gru_1"]


@pytest.mark.parametrize("thing", [LSTM, GRU, SimpleRNN, LSTMCell, GRUCell, SimpleRNNCell])
@pytest.mark.parametrize("units", [0, -1])
def test_units_must_be_positive(thing, units):
    with pytest.raises(ValueError, match="units"):
        thing(units)


def test_trainable_false_reaches_the_cell():
    for layer in (RNN(GRUCell(2), trainable=False), LSTM(2, trainable=False)):
        layer(normal(2, 3, 4))
        assert layer.cell.trainable is False
        assert layer.trainable_weights == []
        assert len(layer.non_trainable_weights) == 3
