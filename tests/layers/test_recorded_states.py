"""Recorded states change when a call has succeeded, and only then."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, Input, LSTMCell, Model
from rnnpack.layers import Layer

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")


def test_a_failing_merge_keeps_the_states_of_both_directions():
    layer = Bidirectional(
        GRU(4, stateful=True), backward_layer=GRU(5, stateful=True, go_backwards=True), merge_mode="sum"
    )
    layer.merge_mode = "concat"
    layer(X)
    before = [np.array(part.states[0]) for part in (layer.forward_layer, layer.backward_layer)]
    layer.merge_mode = "sum"
    with pytest.raises(ValueError):
        layer(X)
    np.testing.assert_array_equal(layer.forward_layer.states[0], before[0])
    np.testing.assert_array_equal(layer.backward_layer.states[0], before[1])


@pytest.mark.parametrize("wrap", [lambda layer: layer, Bidirectional])
def test_a_failing_activity_regularizer_keeps_the_states(wrap):
    def refuse(output):
        raise RuntimeError("refused")

    layer = wrap(GRU(4, stateful=True))
    layer(X)
    recorder = getattr(layer, "forward_layer", layer)
    before = np.array(recorder.states[0])
    layer.activity_regularizer = refuse
    with pytest.raises(RuntimeError, match="refused"):
        layer(X)
    np.testing.assert_array_equal(recorder.states[0], before)


def test_symbolic_calls_never_change_recorded_states():
    class Doubled(Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, inputs):
            return 2 * self.inner(np.array(inputs)[:2] + 1)

    inner = GRU(4, stateful=True)
    inner(X)
    before = np.array(inner.states[0])
    assert Doubled(inner)(Input(batch_shape=(2, 5, 3))).shape == (2, 4)
    np.testing.assert_array_equal(inner.states[0], before)


def test_predict_refuses_a_short_last_batch_before_anything_runs():
    inputs = Input(batch_shape=(2, 5, 3))
    layer = GRU(4, stateful=True)
    model = Model(inputs, layer(inputs))
    model.predict(X, batch_size=2)
    before = np.array(layer.states[0])
    with pytest.raises(ValueError, match="full batches"):
        model.predict(np.concatenate([X, X[:1]]), batch_size=2)
    np.testing.assert_array_equal(layer.states[0], before)
    assert model.predict(X, batch_size=32).shape == (2, 4)


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("make", [lambda **k: LSTM(4, **k), lambda **k: RNN([LSTMCell(4), GRUCell(3)], **k)])
def test_a_stateful_layer_goes_on_where_it_ended_and_shares_no_array(make, return_state):
    layer = make(stateful=True, return_sequences=True, return_state=return_state)
    whole = make(return_sequences=True)
    whole.build((2, 10, 3))
    layer.build((2, 5, 3))
    whole.set_weights(layer.get_weights())
    parts = []
    for half in (X, X[::-1]):
        result = layer(half)
        if return_state:
            result, *states = result
            for state in states:
                (state[0] if isinstance(state, list) else state)[:] = np.nan
        parts.append(result)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole(np.concatenate([X, X[::-1]], axis=1)))


def test_a_stateful_call_agrees_with_the_long_way():
    layer = LSTM(4, stateful=True)
    other = LSTM(4, stateful=True)
    layer(X)
    other(X)
    other.set_weights(layer.get_weights())
    layer.reset_states()
    other.reset_states()
    mask = np.array([[True, True, False, True, False], [False] * 5])
    for _ in range(3):
        # Masks of numbers take the long way.
        np.testing.assert_array_equal(layer(X, mask=mask), other(X, mask=mask.astype("f")))
        for have, want in zip(layer.states, other.states, strict=True):
            np.testing.assert_array_equal(have, want)
