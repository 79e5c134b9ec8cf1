"""Contract §10: the mask a layer hands on."""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import DoublingCell, normal

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, Masking, SimpleRNN

MASK = np.array([[1, 1, 0], [1, 0, 0]], bool)


def x():
    """Two samples of three steps."""
    return normal(2, 3, 4)


@pytest.mark.parametrize(
    "make", [lambda **k: LSTM(3, **k), lambda **k: RNN(DoublingCell(), **k), lambda **k: GRU(3, **k)]
)
def test_sequences_hand_the_mask_on_unchanged_and_last_outputs_none(make):
    assert make(return_sequences=True).compute_mask(x(), MASK) is MASK
    assert make().compute_mask(x(), MASK) is None
    assert make(return_sequences=True).compute_mask(x(), None) is None


def test_go_backwards_does_not_reverse_the_mask():
    np.testing.assert_array_equal(
        GRU(3, return_sequences=True, go_backwards=True).compute_mask(x(), MASK), MASK
    )


@pytest.mark.parametrize("return_sequences", [False, True])
def test_return_state_adds_none_for_every_state(return_sequences):
    first = MASK if return_sequences else None
    flags = {"return_sequences": return_sequences, "return_state": True}
    for layer, count in [
        (LSTM(3, **flags), 2),
        (GRU(3, **flags), 1),
        (SimpleRNN(3, **flags), 1),
        (RNN([LSTMCell(3), GRUCell(2)], **flags), 2),
    ]:
        got = layer.compute_mask(x(), MASK)
        assert isinstance(got, list)
        assert got[0] is first
        assert got[1:] == [None] * count


def test_the_first_leaf_of_a_nest_of_masks_counts():
    layer = LSTM(3, return_sequences=True)
    assert layer.compute_mask(x(), [MASK, None, None]) is MASK
    assert layer.compute_mask(x(), (MASK, ~MASK)) is MASK


def test_masks_are_attached_to_sequence_outputs():
    data = x()
    data[~MASK] = 0
    carrying = Masking()(data)
    np.testing.assert_array_equal(carrying._keras_mask, MASK)
    for layer in (LSTM(3, return_sequences=True), RNN(DoublingCell(), return_sequences=True)):
        np.testing.assert_array_equal(layer(carrying)._keras_mask, MASK)
        np.testing.assert_array_equal(layer(data, mask=MASK)._keras_mask, MASK)
        assert getattr(layer(data), "_keras_mask", None) is None
    assert getattr(LSTM(3)(carrying), "_keras_mask", None) is None
    y, h, c = LSTM(3, return_sequences=True, return_state=True)(carrying)
    np.testing.assert_array_equal(y._keras_mask, MASK)
    assert getattr(h, "_keras_mask", None) is None
    assert getattr(c, "_keras_mask", None) is None


def test_masking_compares_every_feature_with_the_mask_value():
    data = np.array([[[0, 0], [0, 1], [7, 7]]], "float32")
    np.testing.assert_array_equal(Masking()(data)._keras_mask, [[False, True, True]])
    out = Masking(mask_value=7)(data)
    np.testing.assert_array_equal(out._keras_mask, [[True, True, False]])
    np.testing.assert_array_equal(out, [[[0, 0], [0, 1], [0, 0]]])


def test_masks_flow_through_a_stack_of_three_layers():
    data = x()
    data[~MASK] = 0
    layers = [LSTM(3, return_sequences=True), Bidirectional(GRU(2, return_sequences=True)), SimpleRNN(4)]
    flowing, explicit = Masking()(data), data
    for layer in layers:
        explicit = layer(np.array(explicit), mask=MASK)
        flowing = layer(flowing)
    np.testing.assert_array_equal(flowing, explicit)


@pytest.mark.parametrize("merge_mode", ["concat", None])
@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_bidirectional(return_sequences, return_state, merge_mode):
    inner = LSTM(3, return_sequences=return_sequences, return_state=return_state)
    layer = Bidirectional(inner, merge_mode=merge_mode)
    first = MASK if return_sequences else None
    got = layer.compute_mask(x(), MASK)
    if merge_mode is None or return_state:
        outputs = [first, first] if merge_mode is None else [first]
        assert isinstance(got, list)
        assert [g is w for g, w in zip(got, outputs + [None] * (4 * return_state), strict=True)] == [
            True
        ] * len(got)
    else:
        assert got is first


def test_supports_masking_is_true_for_every_recurrent_layer():
    for layer in (LSTM(3), GRU(3), SimpleRNN(3), RNN(DoublingCell()), Bidirectional(LSTM(3)), Masking()):
        assert layer.supports_masking is True
