"""Methods and attributes that are replaced on an object count from the next call on."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import GRU, LSTM, RNN, LSTMCell, regularizers

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")


@pytest.mark.parametrize("calls_before", [0, 1, 2])
def test_a_replaced_call_is_used_every_time(calls_before):
    layer = LSTM(4)
    for _ in range(calls_before):
        layer(X)
    layer.call = lambda inputs, **kwargs: "replaced"
    assert [layer(X) for _ in range(3)] == ["replaced"] * 3


def test_a_replaced_compute_mask_is_used():
    layer = LSTM(4, return_sequences=True)
    mask = np.ones((2, 5), bool)
    assert layer(X, mask=mask)._keras_mask is mask
    layer.compute_mask = lambda inputs, mask=None: None
    assert not hasattr(layer(X, mask=mask), "_keras_mask")


def test_an_activity_regularizer_given_to_a_cell_later_counts():
    cell = LSTMCell(4)
    layer = RNN(cell)
    layer(X)
    cell.activity_regularizer = regularizers.L2(1.0)
    layer(X)
    assert layer.losses
    assert not layer.explain().native


def test_another_kind_of_gru_is_packed_anew():
    layer = GRU(4, use_bias=False)
    after = layer(X)
    layer.cell.reset_after = False
    before = layer(X)
    other = GRU(4, use_bias=False, reset_after=False)
    other.build((None, 5, 3))
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(before, other(X))
    assert not np.array_equal(before, after)


def test_losses_are_kept_until_the_next_call():
    layer = LSTM(4)
    layer(X)
    layer.add_loss(3.0)
    assert layer.losses == [3.0]
    layer(X)
    assert layer.losses == []


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_masks_of_bools_and_of_numbers_give_the_same(return_sequences, return_state):
    layer = LSTM(4, return_sequences=return_sequences, return_state=return_state)
    layer(X)
    mask = np.array([[True, True, False, True, False], [False] * 5])
    short, long = layer(X, mask=mask), layer(X, mask=mask.astype("f"))
    short, long = (short, long) if return_state else ([short], [long])
    for have, want in zip(short, long, strict=True):
        np.testing.assert_array_equal(have, want)
        assert type(have) is type(want)
    assert getattr(short[0], "_keras_mask", None) is (mask if return_sequences else None)


@pytest.mark.parametrize("shape", [(2, 4), (1, 5), (5, 2), (2, 5, 2), (2,)])
def test_masks_of_a_wrong_shape_are_refused_in_later_calls_too(shape):
    layer = LSTM(4)
    layer(X)
    with pytest.raises(ValueError, match="`mask`"):
        layer(X, mask=np.ones(shape, bool))


def test_an_error_that_is_not_about_the_arguments_is_raised_as_it_is(monkeypatch):
    layer = LSTM(4)
    layer(X)
    monkeypatch.setattr(layer, "_record", lambda final: (_ for _ in ()).throw(ValueError("inside")))
    calls = []
    monkeypatch.setattr("rnnpack.engine.plan.grouped", lambda cell, final: calls.append(1) or final)
    with pytest.raises(ValueError, match="inside"):
        layer(X)
    assert len(calls) == 1
