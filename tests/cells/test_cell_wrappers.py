"""Residual, dropout and device wrappers around cells."""

from __future__ import annotations

import base64
import copy
import json
import marshal
import pickle

import numpy as np
import pytest

from rnnpack import random
from rnnpack.cells import DeviceWrapper, DropoutWrapper, GRUCell, LSTMCell, ResidualWrapper, SimpleRNNCell
from rnnpack.layers import RNN, Layer

X = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
H = np.random.default_rng(1).normal(size=(2, 5)).astype(np.float32)


def halve(inputs, outputs):
    return inputs / 2 + outputs


class Echo(Layer):
    """Returns its inputs and states."""

    state_size = (400, (400, 400))
    output_size = 400

    def call(self, inputs, states, training=None):
        self.training = training
        return inputs, states


def test_residual_adds_inputs_and_leaves_states_alone():
    cell = GRUCell(5)
    y, states = ResidualWrapper(cell)(X, [H])
    want, want_states = cell(X, [H])
    np.testing.assert_array_equal(y, X + want)
    np.testing.assert_array_equal(states[0], want_states[0])
    np.testing.assert_array_equal(ResidualWrapper(cell, halve)(X, [H])[0], X / 2 + want)


def test_residual_needs_equal_shapes_and_structures():
    with pytest.raises(ValueError, match="shape"):
        ResidualWrapper(GRUCell(3))(X, [H[:, :3]])
    with pytest.raises(ValueError, match="shape"):
        ResidualWrapper(GRUCell(1))(X, [H[:, :1]])

    class Paired(Echo):
        def call(self, inputs, states):
            return (inputs, inputs), states

    with pytest.raises(ValueError, match="differ"):
        ResidualWrapper(Paired())(X, [])


@pytest.mark.parametrize(
    "wrap", [ResidualWrapper, DropoutWrapper, lambda cell: DeviceWrapper(cell, "/cpu:0")]
)
def test_wrappers_expose_the_cell(wrap):
    cell = SimpleRNNCell(5, dtype="float64")
    wrapper = wrap(cell)
    assert wrapper.wrapped_cell is wrapper.cell is cell
    assert (wrapper.state_size, wrapper.output_size) == (5, 5)
    assert wrapper.compute_dtype == "float64"
    wrapper.build((None, 5))
    assert wrapper.weights == [] or all(a is b for a, b in zip(wrapper.weights, cell.weights, strict=True))
    assert len(wrapper.weights) == 3
    kernel = cell.kernel
    wrapper.build((None, 5))
    assert cell.kernel is kernel


def test_wrappers_start_from_zeros_whatever_the_cell_says():
    class Ones(GRUCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return np.ones((batch_size, self.units), dtype)

    assert not ResidualWrapper(Ones(3)).get_initial_state(batch_size=2, dtype="float32").any()


def test_training_reaches_the_wrapped_cell():
    cell = Echo()
    wrapper = ResidualWrapper(cell)
    x = np.ones((1, 400), np.float32)
    wrapper(x, (x, (x, x)), training=True)
    assert cell.training is True
    wrapper(x, (x, (x, x)))
    assert cell.training is False
    dropping = ResidualWrapper(GRUCell(5, dropout=0.5))
    quiet = dropping(X, [H])[0]
    assert not np.array_equal(dropping(X, [H], training=True)[0], quiet)
    np.testing.assert_array_equal(dropping(X, [H])[0], quiet)


def test_device_has_no_effect():
    cell = LSTMCell(5)
    wrapper = DeviceWrapper(cell, "/gpu:7")
    np.testing.assert_array_equal(wrapper(X, [H, H])[0], cell(X, [H, H])[0])
    assert wrapper.get_config()["device"] == "/gpu:7"


def ones(*shape):
    return np.ones(shape, np.float32)


def echo_states():
    return (ones(3, 400), (ones(3, 400), ones(3, 400)))


@pytest.mark.parametrize("training", [False, True])
def test_dropout_of_inputs_outputs_and_states_in_any_mode(training):
    random.set_seed(5)
    states = echo_states()
    y, new = DropoutWrapper(Echo(), input_keep_prob=0.5)(ones(3, 400), states, training=training)
    np.testing.assert_array_equal(np.unique(y), [0, 2])
    assert new[0] is states[0]
    # 1200 draws, within 5 standard errors of one half.
    assert abs((y == 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(y.size)
    y, _ = DropoutWrapper(Echo(), input_keep_prob=0.5, output_keep_prob=0.5)(ones(3, 400), states)
    np.testing.assert_array_equal(np.unique(y), [0, 4])
    y, new = DropoutWrapper(Echo(), state_keep_prob=0.25)(ones(3, 400), states)
    np.testing.assert_array_equal(y, ones(3, 400))
    for state in (new[0], *new[1]):
        np.testing.assert_array_equal(np.unique(state), [0, 4])
    assert not np.array_equal(new[1][0], new[1][1])
    np.testing.assert_array_equal(states[0], ones(3, 400))


def test_keeping_nothing_gives_zeros():
    y, _ = DropoutWrapper(Echo(), output_keep_prob=0.0)(ones(3, 400), echo_states())
    np.testing.assert_array_equal(y, 0 * ones(3, 400))


def test_every_step_draws_new_masks_unless_variational():
    x = ones(3, 400)
    cell = DropoutWrapper(Echo(), 0.5)
    assert not np.array_equal(cell(x, echo_states())[0], cell(x, echo_states())[0])
    same = DropoutWrapper(Echo(), 0.5, 0.5, 0.5, variational_recurrent=True, input_size=400, dtype="float32")
    y, new = same(x, echo_states())
    again, new_again = same(x, echo_states())
    np.testing.assert_array_equal(y, again)
    np.testing.assert_array_equal(new[1][0], new_again[1][0])
    np.testing.assert_array_equal(y[0], y[1])  # one mask for all samples
    same.reset_dropout_mask()
    assert not np.array_equal(same(x, echo_states())[0], y)


def test_variational_masks_hold_for_one_layer_call():
    class Forward(Layer):
        state_size = output_size = 50

        def call(self, inputs, states):
            return inputs, states

    layer = RNN(
        DropoutWrapper(Forward(), 0.5, variational_recurrent=True, input_size=50, dtype="float32"),
        return_sequences=True,
    )
    y = layer(ones(1, 4, 50))
    for t in range(1, 4):
        np.testing.assert_array_equal(y[:, t], y[:, 0])
    assert not np.array_equal(layer(ones(1, 4, 50)), y)


@pytest.mark.parametrize(
    ("visitor", "dropped"),
    [
        (lambda s: not isinstance(s, tuple), [False, False, False]),
        (lambda s: True, [True, True, True]),
        (lambda s: (True, False) if isinstance(s, tuple) else True, [True, False, False]),
        (lambda s: (False, True) if isinstance(s, tuple) else True, [False, False, True]),
    ],
)  # fmt: skip
def test_state_filter(visitor, dropped):
    cell = DropoutWrapper(Echo(), state_keep_prob=0.5, dropout_state_filter_visitor=visitor)
    _, new = cell(ones(3, 400), echo_states())
    assert [bool((s == 0).any()) for s in (new[0], *new[1])] == dropped


def test_a_seed_repeats():
    def run(seed):
        cell = DropoutWrapper(Echo(), 0.5, seed=seed)
        return np.stack([cell(ones(3, 400), echo_states())[0] for _ in range(2)])

    np.testing.assert_array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))
    assert not np.array_equal(run(None), run(None))


def test_bad_arguments():
    with pytest.raises(ValueError, match="LSTMCell"):
        DropoutWrapper(LSTMCell(3))
    for name in ("input_keep_prob", "output_keep_prob", "state_keep_prob"):
        for value in (-0.1, 1.1):
            with pytest.raises(ValueError, match=name):
                DropoutWrapper(GRUCell(3), **{name: value})
    with pytest.raises(TypeError, match="callable"):
        DropoutWrapper(GRUCell(3), dropout_state_filter_visitor=3)
    with pytest.raises(ValueError, match="dtype"):
        DropoutWrapper(GRUCell(3), variational_recurrent=True)
    with pytest.raises(ValueError, match="input_size"):
        DropoutWrapper(GRUCell(3), 0.5, variational_recurrent=True, dtype="float32")


def spare(state):
    return False


@pytest.mark.parametrize(
    "wrapper",
    [
        ResidualWrapper(GRUCell(3), name="r"),
        ResidualWrapper(GRUCell(3), halve),
        DropoutWrapper(GRUCell(3), 0.5, 0.6, 0.7, True, 4, "float32", 8),
        DropoutWrapper(GRUCell(3), dropout_state_filter_visitor=spare),
        DeviceWrapper(ResidualWrapper(SimpleRNNCell(3)), "/cpu:0"),
    ],
    ids=lambda w: type(w).__name__,
)
def test_config_round_trip_and_copies(wrapper):
    config = wrapper.get_config()
    before = copy.deepcopy(config)
    twin = type(wrapper).from_config(config, {"halve": halve, "spare": spare})
    assert twin.get_config() == config == before
    for clone in (copy.deepcopy(wrapper), pickle.loads(pickle.dumps(wrapper))):
        assert clone.get_config() == config


def test_named_functions_in_configs_are_known_by_name():
    config = ResidualWrapper(GRUCell(3), halve).get_config()
    assert config["residual_fn"] == "halve"
    with pytest.raises(ValueError, match="Unknown function in wrapper: halve"):
        ResidualWrapper.from_config(config)


def test_lambdas_in_configs():
    wrapper = ResidualWrapper(GRUCell(5), lambda i, o, scale=3: np.negative(i) * scale + o)
    config = json.loads(json.dumps(wrapper.get_config()))
    y, _ = wrapper(X, [H])
    twin = ResidualWrapper.from_config(config)
    twin.build((None, 5))
    twin.set_weights(wrapper.get_weights())
    np.testing.assert_array_equal(twin(X, [H])[0], y)


def test_functions_that_cannot_be_stored_or_read():
    outer = 3
    with pytest.raises(ValueError, match="outer"):
        ResidualWrapper(GRUCell(3), lambda a, b: a * outer).get_config()
    with pytest.raises(ValueError, match="must be a function"):
        ResidualWrapper(GRUCell(3), np.add).get_config()
    config = ResidualWrapper(GRUCell(3), lambda a, b: a).get_config()
    number = base64.b64encode(marshal.dumps(3)).decode()
    for stored in ([config["residual_fn"][0][:20], []], ["*", []], [], None, [number, []]):
        with pytest.raises(ValueError, match="residual_fn holds"):
            ResidualWrapper.from_config({**config, "residual_fn": stored})
