"""Contract §18: weights, training switches, configs, copies, regularizers, dtypes, input specs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, TwoStateCell, integers, normal, randomise

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    GRUCell,
    LSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)

B, T, F, U = 2, 4, 3, 5

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "gru before": lambda **k: GRU(U, reset_after=False, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "rnn lstm": lambda **k: RNN(LSTMCell(U), **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(U)], **k),
    "custom": lambda **k: RNN(LayerCell(U), **k),
}


def names_of(variables):
    """The last part of every name, without a suffix such as :0."""
    return [v.name.split("/")[-1].split(":")[0] for v in variables]


@pytest.mark.parametrize("name", ["lstm", "gru", "gru before", "simple", "rnn lstm"])
def test_order_is_kernel_recurrent_kernel_bias(name):
    layer = MAKE[name]()
    layer(normal(B, T, F))
    assert names_of(layer.weights) == ["kernel", "recurrent_kernel", "bias"]
    assert [w.shape[0] for w in layer.weights[:2]] == [F, U]


def test_weights_of_a_stack_come_cell_by_cell():
    layer = RNN([LSTMCell(2), GRUCell(3)])
    layer(normal(B, T, F))
    assert [w.shape for w in layer.get_weights()] == [(3, 8), (2, 8), (8,), (2, 9), (3, 9), (2, 9)]


def test_a_frozen_stacked_cell_moves_its_weights_behind_the_trainable_ones():
    layer = RNN([LSTMCell(2), GRUCell(3)])
    x = normal(B, T, F)
    layer(x)
    before = layer.get_weights()
    layer.cell.cells[0].trainable = False
    after = layer.get_weights()
    assert [w.shape for w in after] == [(2, 9), (3, 9), (2, 9), (3, 8), (2, 8), (8,)]
    for got, want in zip(after, before[3:] + before[:3], strict=True):
        np.testing.assert_array_equal(got, want)
    values = [w + 1 for w in after]
    layer.set_weights(values)
    np.testing.assert_array_equal(np.asarray(layer.cell.cells[1].kernel), values[0])
    np.testing.assert_array_equal(np.asarray(layer.cell.cells[0].kernel), values[3])
    assert len(layer.trainable_weights) == 3
    assert len(layer.non_trainable_weights) == 3


@pytest.mark.parametrize("name", MAKE)
def test_set_weights_checks_count_and_shapes_and_changes_nothing(name):
    layer = MAKE[name]()
    layer(normal(B, T, F))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=rf"expecting {len(before)} weights"):
        layer.set_weights([*before, before[0]])
    with pytest.raises(ValueError, match=rf"expecting {len(before)} weights"):
        layer.set_weights(before[:-1])
    wrong = [w + 1 for w in before]
    wrong[-1] = np.zeros((*before[-1].shape[:-1], before[-1].shape[-1] + 1), "float32")
    with pytest.raises(ValueError, match="shape"):
        layer.set_weights(wrong)
    for got, want in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_set_weights_needs_a_built_layer():
    donor = GRU(U)
    donor(normal(B, T, F))
    with pytest.raises(ValueError, match="weights"):
        GRU(U).set_weights(donor.get_weights())
    assert GRU(U).get_weights() == []


def test_set_weights_casts_the_dtype():
    layer = GRU(U)
    layer(normal(B, T, F))
    values = [w.astype("float64") for w in layer.get_weights()]
    layer.set_weights(values)
    assert {w.dtype for w in layer.get_weights()} == {np.dtype("float32")}
    layer.set_weights([np.ones(w.shape, int) for w in values])
    assert {w.dtype for w in layer.get_weights()} == {np.dtype("float32")}


@pytest.mark.parametrize("name", MAKE)
def test_get_weights_returns_copies_and_set_weights_takes_copies(name):
    layer = MAKE[name]()
    x = normal(B, T, F)
    want = layer(x)
    for w in layer.get_weights():
        w[...] = 99
    np.testing.assert_array_equal(layer(x), want)
    values = layer.get_weights()
    layer.set_weights(values)
    for w in values:
        w[...] = 99
    np.testing.assert_array_equal(layer(x), want)


def test_trainable_propagates_to_the_cell():
    layer = RNN([LSTMCell(2), GRUCell(U)])
    layer(normal(B, T, F))
    assert len(layer.trainable_weights) == 6
    layer.trainable = False
    assert layer.cell.trainable is False
    assert [c.trainable for c in layer.cell.cells] == [False, False]
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 6
    layer.trainable = True
    assert len(layer.trainable_weights) == 6


FLAGS = {"return_sequences", "return_state", "go_backwards", "stateful", "unroll", "time_major"}
CELL_KEYS = {
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
}


def test_config_keys_of_rnn():
    config = RNN(GRUCell(U)).get_config()
    assert set(config) == {"name", "trainable", "dtype", "cell"} | FLAGS
    assert config["cell"]["class_name"] == "GRUCell"
    assert set(config["cell"]) >= {"class_name", "config"}
    assert config["cell"]["config"]["units"] == U


@pytest.mark.parametrize(
    ("layer", "extra"),
    [
        (LSTM, {"recurrent_activation", "unit_forget_bias", "implementation"}),
        (GRU, {"recurrent_activation", "reset_after", "implementation"}),
        (SimpleRNN, set()),
    ],
)
def test_config_keys_of_the_built_in_layers(layer, extra):
    keys = set(layer(U).get_config())
    assert keys == {"name", "trainable", "dtype", "activity_regularizer"} | FLAGS | CELL_KEYS | extra


@pytest.mark.parametrize(
    ("cell", "extra"),
    [
        (LSTMCell, {"recurrent_activation", "unit_forget_bias", "implementation"}),
        (GRUCell, {"recurrent_activation", "reset_after", "implementation"}),
        (SimpleRNNCell, set()),
    ],
)
def test_config_keys_of_the_cells(cell, extra):
    assert set(cell(U).get_config()) == {"name", "trainable", "dtype"} | CELL_KEYS | extra


def test_zero_output_for_mask_is_in_the_config_only_when_true():
    for name in MAKE:
        assert "zero_output_for_mask" not in MAKE[name]().get_config()
        assert MAKE[name](zero_output_for_mask=True).get_config()["zero_output_for_mask"] is True


def test_batch_input_shape_is_in_the_config_when_given():
    assert tuple(GRU(U, input_shape=(T, F)).get_config()["batch_input_shape"]) == (None, T, F)


@pytest.mark.parametrize("name", MAKE)
def test_config_round_trip(name):
    flags = {
        "return_sequences": True,
        "return_state": True,
        "go_backwards": True,
        "unroll": True,
        "name": "mine",
    }
    layer = MAKE[name](zero_output_for_mask=True, time_major=True, trainable=False, dtype="float64", **flags)
    config = layer.get_config()
    again = type(layer).from_config(copy.deepcopy(config), **custom_objects(name))
    assert again.get_config() == config
    assert again.zero_output_for_mask is True
    assert again.name == "mine"


def custom_objects(name):
    """The keyword that RNN.from_config takes and the built-in layers do not."""
    return {"custom_objects": {"LayerCell": LayerCell}} if name == "custom" else {}


def test_config_round_trip_with_every_cell_argument():
    arguments = {
        "activation": "relu",
        "use_bias": False,
        "kernel_initializer": "ones",
        "recurrent_initializer": rnnpack.initializers.Orthogonal(gain=2.0, seed=3),
        "bias_initializer": "ones",
        "kernel_regularizer": "l1",
        "recurrent_regularizer": rnnpack.regularizers.L2(0.5),
        "bias_regularizer": "l1_l2",
        "kernel_constraint": "max_norm",
        "recurrent_constraint": rnnpack.constraints.NonNeg(),
        "bias_constraint": "unit_norm",
        "dropout": 0.25,
        "recurrent_dropout": 0.5,
    }
    layers = [
        SimpleRNN(U, activity_regularizer="l2", **arguments),
        LSTM(U, recurrent_activation="hard_sigmoid", unit_forget_bias=False, **arguments),
        GRU(U, recurrent_activation="hard_sigmoid", reset_after=False, **arguments),
    ]
    for layer in layers:
        config = layer.get_config()
        again = type(layer).from_config(copy.deepcopy(config))
        assert again.get_config() == config
        assert again.cell.get_config()["recurrent_regularizer"] == config["recurrent_regularizer"]
        assert again.activation is rnnpack.activations.relu
        assert isinstance(again.kernel_constraint, rnnpack.constraints.MaxNorm)


def test_config_is_json():
    import json

    for layer in (LSTM(U, kernel_regularizer="l2"), RNN([LSTMCell(2), GRUCell(3)]), Bidirectional(GRU(2))):
        assert json.loads(json.dumps(layer.get_config()))


def test_from_config_loses_weights():
    layer = GRU(U)
    layer(normal(B, T, F))
    again = GRU.from_config(layer.get_config())
    assert again.get_weights() == []


def test_from_config_with_implementation_zero_gives_one():
    for layer in (LSTM, GRU):
        config = layer(U, implementation=0).get_config()
        assert layer(U, implementation=0).implementation == 0
        assert layer.from_config(config).implementation == 1
    config = {**SimpleRNN(U).get_config(), "implementation": 2}
    assert "implementation" not in SimpleRNN.from_config(config).get_config()


def test_from_config_of_an_unknown_cell_is_a_value_error():
    config = RNN(LayerCell(U)).get_config()
    with pytest.raises(ValueError, match="Unknown layer"):
        RNN.from_config(config)


def test_from_config_finds_registered_cells_and_scopes():
    config = RNN(LayerCell(U)).get_config()
    with rnnpack.custom_object_scope({"LayerCell": LayerCell}):
        assert isinstance(RNN.from_config(copy.deepcopy(config)).cell, LayerCell)
    assert isinstance(RNN.from_config(config, custom_objects={"LayerCell": LayerCell}).cell, LayerCell)


def test_custom_cell_without_get_config_is_not_implemented():
    class Cell(rnnpack.Layer):
        def __init__(self, units):
            super().__init__()
            self.state_size = units

        def call(self, inputs, states):
            return states[0], [states[0]]

    with pytest.raises(NotImplementedError):
        RNN(Cell(3)).get_config()


def test_stacked_cells_config_round_trip():
    stack = StackedRNNCells([LSTMCell(2), GRUCell(3)])
    again = StackedRNNCells.from_config(copy.deepcopy(stack.get_config()))
    assert again.get_config() == stack.get_config()
    assert [type(c) for c in again.cells] == [LSTMCell, GRUCell]


def test_losses():
    """Three weight penalties after the build; the activity penalty, over the batch size, after a call."""
    kwargs = {f"{n}_regularizer": rnnpack.regularizers.L2(0.1) for n in ("kernel", "recurrent", "bias")}
    layer = SimpleRNN(U, activity_regularizer=rnnpack.regularizers.L2(0.5), **kwargs)
    x = normal(B, T, F)
    weights = randomise(layer, x.shape)
    assert len(layer.losses) == 3
    y = layer(x)
    assert len(layer.losses) == 4
    want = [0.1 * (w.astype("float64") ** 2).sum() for w in weights] + [
        0.5 * (y.astype("float64") ** 2).sum() / B
    ]
    # Sums of at most F*U squares: that many roundings.
    rtol = 2 * F * U * np.finfo("float32").eps
    np.testing.assert_allclose(sorted(float(v) for v in layer.losses), sorted(want), rtol=rtol, atol=0)
    layer(x)
    assert len(layer.losses) == 4, "the activity penalty of an earlier call stays behind"


@pytest.mark.parametrize(
    "make", [lambda **k: LSTM(U, **k), lambda **k: GRU(U, **k), lambda **k: RNN(LSTMCell(U, **k))]
)
def test_losses_of_the_other_layers(make):
    layer = make(kernel_regularizer="l2", recurrent_regularizer="l2", bias_regularizer="l2")
    layer.build((None, T, F))
    assert len(layer.losses) == 3


def test_activity_regularizer_of_a_generic_layer():
    layer = RNN(GRUCell(U), activity_regularizer="l2")
    layer(normal(B, T, F))
    assert len(layer.losses) == 1


def test_constraints_hang_on_the_weights():
    layer = GRU(U, kernel_constraint="max_norm", recurrent_constraint="non_neg", bias_constraint="unit_norm")
    layer(normal(B, T, F))
    kinds = [rnnpack.constraints.MaxNorm, rnnpack.constraints.NonNeg, rnnpack.constraints.UnitNorm]
    assert [type(w.constraint) for w in layer.weights] == kinds
    assert (layer.cell.recurrent_kernel.numpy() < 0).any(), "constraints are for optimizers only"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", MAKE)
def test_dtype_of_weights_and_outputs(name, dtype):
    if name in ("rnn lstm", "stack", "custom"):
        cells = {"rnn lstm": LSTMCell, "custom": LayerCell}
        if name == "stack":
            layer = RNN([LSTMCell(2, dtype=dtype), GRUCell(U, dtype=dtype)], return_state=True, dtype=dtype)
        else:
            layer = RNN(cells[name](U, dtype=dtype), return_state=True, dtype=dtype)
    else:
        layer = MAKE[name](return_state=True, dtype=dtype)
    y, *states = layer(normal(B, T, F))
    assert {w.dtype for w in layer.get_weights()} == {np.dtype(dtype)}
    arrays = [y, *[a for s in states for a in (s if isinstance(s, list) else [s])]]
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}


def test_float64_input_is_cast_to_the_compute_dtype():
    x = normal(B, T, F, dtype="float64")
    for name in MAKE:
        layer = MAKE[name]()
        y = layer(x)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, layer(x.astype("float32")))


def test_float32_and_float16_inputs_are_cast_up():
    layer = GRU(U, dtype="float64")
    x = normal(B, T, F, dtype="float16")
    np.testing.assert_array_equal(layer(x), layer(x.astype("float64")))


def test_mixed_precision_keeps_float32_weights_and_computes_in_float16():
    for make in (LSTM, GRU, SimpleRNN):
        layer = make(U, dtype="mixed_float16")
        y = layer(normal(B, T, F))
        assert y.dtype == np.float16
        assert {w.dtype for w in layer.get_weights()} == {np.dtype("float32")}
        assert np.dtype(layer.compute_dtype) == np.float16
        assert np.dtype(layer.variable_dtype) == np.float32


@pytest.mark.parametrize("name", MAKE)
def test_input_spec_after_the_build(name):
    layer = MAKE[name]()
    layer(normal(B, T, F))
    assert tuple(layer.input_spec[0].shape) == (None, None, F)


@pytest.mark.parametrize("name", MAKE)
def test_another_feature_size_later_is_refused(name):
    layer = MAKE[name]()
    layer(normal(B, T, F))
    text = r"is incompatible with the layer: expected shape=\(None, None, 3\), found shape=\(2, 4, 4\)"
    with pytest.raises(ValueError, match=text):
        layer(normal(B, T, F + 1))
    assert layer(normal(B + 1, T + 2, F)).shape == (B + 1, U)


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_compute_output_shape_unbuilt_agrees_with_the_call(name, time_major, return_sequences, return_state):
    layer = MAKE[name](time_major=time_major, return_sequences=return_sequences, return_state=return_state)
    shape = (T, B, F) if time_major else (B, T, F)
    got = layer.compute_output_shape(shape)
    assert not layer.built
    y = layer(normal(*shape))
    flat = (
        [y] if not return_state else [y[0], *[a for s in y[1:] for a in (s if isinstance(s, list) else [s])]]
    )
    got = got if return_state else [got]
    assert [tuple(s) for s in got] == [a.shape for a in flat]


def test_compute_output_shape_with_unknown_sizes():
    assert tuple(LSTM(U, return_sequences=True).compute_output_shape((None, None, F))) == (None, None, U)
    assert tuple(RNN(TwoStateCell()).compute_output_shape((None, None, F))) == (None, 3)


def test_a_layer_has_no_weights_before_the_build():
    for name in MAKE:
        layer = MAKE[name]()
        assert layer.weights == []
        assert layer.built is False
    layer = RNN(DoublingCell())
    layer(integers(B, T, F))
    assert layer.built is True


def test_count_params():
    layer = LSTM(U)
    layer(normal(B, T, F))
    assert layer.count_params() == 4 * U * (F + U + 1)
