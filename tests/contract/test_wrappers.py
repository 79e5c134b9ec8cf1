"""Contract §19, second part: the cell wrappers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from contract_cells import DoublingCell, bits, integers, normal

import rnnpack
from rnnpack import RNN, DeviceWrapper, DropoutWrapper, GRUCell, LSTMCell, ResidualWrapper, SimpleRNNCell

B, T, F = 2, 4, 3
N = 400


class Pass(rnnpack.Layer):
    """Output and state are the input; shows what a wrapper did to it."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    @property
    def state_size(self):
        return self.units

    @property
    def output_size(self):
        return self.units

    def call(self, inputs, states):
        return inputs, [inputs]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Keep(Pass):
    """Output and new state are the old state."""

    def call(self, inputs, states):
        return states[0], [states[0]]

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return np.ones((batch_size, self.units), dtype)


def wrappers(cell):
    """The cell in each of the three wrappers."""
    return [ResidualWrapper(cell), DropoutWrapper(cell), DeviceWrapper(cell, "/cpu:0")]


def test_residual_adds_the_input_to_the_output_and_leaves_the_states():
    cell = GRUCell(F)
    x, h = normal(B, F), normal(B, F, seed=1)
    output, states = cell(x, [h])
    wrapped, wrapped_states = ResidualWrapper(cell)(x, [h])
    np.testing.assert_array_equal(wrapped, x + output)
    np.testing.assert_array_equal(wrapped_states[0], states[0])


def test_residual_in_a_layer_holds_the_output_not_the_state():
    cell = GRUCell(F)
    x = normal(B, T, F)
    mask = np.array([[1, 0, 1, 0], [0, 1, 1, 1]], bool)
    plain, h = RNN(cell, return_sequences=True, return_state=True)(x, mask=mask)
    y, h2 = RNN(ResidualWrapper(cell), return_sequences=True, return_state=True)(x, mask=mask)
    eps = np.finfo("float32").eps
    np.testing.assert_allclose(h2, h, rtol=0, atol=4 * T * 2 * F * eps)
    held = x.copy()
    held[0, 1], held[0, 3], held[1, 0] = x[0, 0], x[0, 2], 0
    np.testing.assert_allclose(
        y, plain + held, rtol=0, atol=4 * T * 2 * F * eps * max(1, float(np.abs(x).max()))
    )


def test_residual_fn():
    cell = GRUCell(F)
    x, h = normal(B, F), normal(B, F, seed=1)
    output, _ = cell(x, [h])
    wrapped, _ = ResidualWrapper(cell, residual_fn=lambda inputs, outputs: 2 * inputs - outputs)(x, [h])
    np.testing.assert_array_equal(wrapped, 2 * x - output)


def test_residual_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match=r"shape|incompatible"):
        ResidualWrapper(GRUCell(5))(normal(B, F), [normal(B, 5)])
    with pytest.raises(ValueError, match=r"shape|incompatible"):
        ResidualWrapper(GRUCell(1))(normal(B, F), [normal(B, 1)])


def test_residual_around_an_lstm_in_a_stack():
    x = normal(B, T, F)
    layer = RNN([ResidualWrapper(LSTMCell(F)), GRUCell(2)], return_state=True)
    y, first, second = layer(x)
    assert y.shape == second.shape == (B, 2)
    assert [s.shape for s in first] == [(B, F)] * 2


@pytest.mark.parametrize("training", [False, True, None])
def test_dropout_wrapper_applies_regardless_of_training(training):
    layer = RNN(DropoutWrapper(Pass(N), input_keep_prob=0.5))
    y = layer(np.ones((1, 1, N), "float32"), training=training)
    assert set(np.unique(y)) == {0.0, 2.0}


def test_dropout_wrapper_keep_probabilities_scale_inversely():
    x = np.ones((1, N), "float32")
    output, state = DropoutWrapper(Pass(N), output_keep_prob=0.25)(x, [x])
    assert set(np.unique(output)) == {0.0, 4.0}
    np.testing.assert_array_equal(state[0], x)
    # 400 draws, P(kept) = 1/4: standard deviation 8.7.
    assert abs(int((output > 0).sum()) - N // 4) < 6 * 8.7
    output, state = DropoutWrapper(Pass(N), state_keep_prob=0.5)(x, [x])
    np.testing.assert_array_equal(output, x)
    assert set(np.unique(state[0])) == {0.0, 2.0}


def test_dropout_wrapper_draws_a_new_mask_every_step():
    layer = RNN(DropoutWrapper(Pass(N), input_keep_prob=0.5), return_sequences=True)
    y = layer(np.ones((1, 3, N), "float32"))
    assert (y[:, 0] != y[:, 1]).any()
    assert (y[:, 1] != y[:, 2]).any()


def test_dropout_wrapper_keeps_its_mask_when_variational():
    cell = DropoutWrapper(
        Pass(N),
        input_keep_prob=0.5,
        variational_recurrent=True,
        input_size=rnnpack.TensorShape((N,)),
        dtype="float32",
    )
    y = RNN(cell, return_sequences=True)(np.ones((2, 3, N), "float32"))
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(y[:, 1], y[:, 0])
    np.testing.assert_array_equal(y[:, 2], y[:, 0])


def test_variational_dropout_needs_dtype_and_input_size():
    with pytest.raises(ValueError, match="dtype"):
        DropoutWrapper(GRUCell(3), input_keep_prob=0.5, variational_recurrent=True)
    with pytest.raises(ValueError, match="input_size"):
        DropoutWrapper(GRUCell(3), input_keep_prob=0.5, variational_recurrent=True, dtype="float32")
    DropoutWrapper(GRUCell(3), output_keep_prob=0.5, variational_recurrent=True, dtype="float32")


def test_dropout_wrapper_refuses_an_lstm_cell():
    with pytest.raises(ValueError, match="LSTMCell"):
        DropoutWrapper(LSTMCell(3), input_keep_prob=0.5)


@pytest.mark.parametrize("name", ["input_keep_prob", "output_keep_prob", "state_keep_prob"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_keep_probabilities_outside_zero_and_one_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        DropoutWrapper(GRUCell(3), **{name: value})


def test_a_filter_that_is_not_callable_is_a_type_error():
    with pytest.raises(TypeError, match="callable"):
        DropoutWrapper(GRUCell(3), dropout_state_filter_visitor=3)


def test_a_filter_chooses_the_states():
    x = np.ones((1, N), "float32")
    cell = DropoutWrapper(Pass(N), state_keep_prob=0.5, dropout_state_filter_visitor=lambda state: False)
    np.testing.assert_array_equal(cell(x, [x])[1][0], x)


def test_keep_probability_one_changes_nothing():
    cell = GRUCell(F)
    x, h = normal(B, F), normal(B, F, seed=1)
    want, _ = cell(x, [h])
    np.testing.assert_array_equal(DropoutWrapper(cell)(x, [h])[0], want)


def test_device_wrapper_has_no_numeric_effect():
    cell = SimpleRNNCell(5)
    x = normal(B, T, F)
    want = RNN(cell)(x)
    # The wrapped cell runs on the Python loop, the cell itself on the native one: F + U roundings a step.
    tolerance = 4 * T * (F + 5) * np.finfo("float32").eps
    np.testing.assert_allclose(RNN(DeviceWrapper(cell, "/gpu:0"))(x), want, rtol=0, atol=tolerance)


def test_wrappers_expose_sizes_and_weights_of_the_wrapped_cell():
    for make in (lambda: GRUCell(5), lambda: SimpleRNNCell(5)):
        for wrapper in wrappers(make()):
            assert wrapper.state_size == 5
            assert wrapper.output_size == 5
            wrapper.build((None, 5))
            assert len(wrapper.get_weights()) == 3
            layer = RNN(wrapper)
            layer(normal(B, T, 5))
            assert len(layer.get_weights()) == 3
    assert ResidualWrapper(LSTMCell(5)).state_size == [5, 5]


def test_wrappers_ignore_the_wrapped_cells_own_get_initial_state():
    x = integers(B, T, F)
    np.testing.assert_array_equal(RNN(Keep(F))(x), np.ones((B, F)))
    for wrapper in wrappers(Keep(F)):
        states = RNN(wrapper).get_initial_state(x)
        assert not np.asarray(states[0]).any()
    np.testing.assert_array_equal(RNN(DeviceWrapper(Keep(F), "/cpu:0"))(x), np.zeros((B, F)))
    np.testing.assert_array_equal(RNN(ResidualWrapper(Keep(F)))(x), x[:, -1])


def double_residual(inputs, outputs):
    """A residual function of a module, for the serialization test."""
    return 2 * inputs + outputs


@pytest.mark.parametrize(
    "residual_fn", [None, double_residual, lambda i, o: 3 * i + o], ids=["none", "function", "lambda"]
)
def test_residual_config_round_trip(residual_fn):
    wrapper = (
        ResidualWrapper(GRUCell(F), residual_fn=residual_fn) if residual_fn else ResidualWrapper(GRUCell(F))
    )
    config = wrapper.get_config()
    assert config["cell"]["class_name"] == "GRUCell"
    again = ResidualWrapper.from_config(
        copy.deepcopy(config), custom_objects={"double_residual": double_residual}
    )
    x, h = normal(B, F), normal(B, F, seed=1)
    want, _ = wrapper(x, [h])
    again.build((None, F))
    again.set_weights(wrapper.get_weights())
    np.testing.assert_array_equal(again(x, [h])[0], want)


def test_dropout_and_device_config_round_trip():
    dropout = DropoutWrapper(
        GRUCell(3), input_keep_prob=0.5, output_keep_prob=0.75, state_keep_prob=0.25, seed=1
    )
    config = dropout.get_config()
    keys = (
        "input_keep_prob",
        "output_keep_prob",
        "state_keep_prob",
        "variational_recurrent",
        "input_size",
        "seed",
    )
    assert [config[k] for k in keys] == [0.5, 0.75, 0.25, False, None, 1]
    assert DropoutWrapper.from_config(copy.deepcopy(config)).get_config() == config
    device = DeviceWrapper(GRUCell(3), "/cpu:0")
    config = device.get_config()
    assert config["device"] == "/cpu:0"
    assert DeviceWrapper.from_config(copy.deepcopy(config)).get_config() == config


def test_wrapped_cells_in_a_layer_round_trip_through_the_config():
    layer = RNN(ResidualWrapper(GRUCell(F)))
    again = RNN.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_a_wrapper_around_a_plain_cell():
    layer = RNN(ResidualWrapper(DoublingCell(F)), return_sequences=True)
    x = integers(B, T, F)
    np.testing.assert_array_equal(layer(x), RNN(DoublingCell(F), return_sequences=True)(x) + x)


def test_a_seed_repeats_a_dropout_wrapper():
    x = np.ones((1, 3, N), "float32")
    results = []
    for seed in (1, 1, 2):
        rnnpack.set_seed(seed)
        results.append(bits(RNN(DropoutWrapper(Pass(N), input_keep_prob=0.5), return_sequences=True)(x)))
    assert results[0] == results[1]
    assert results[0] != results[2]
