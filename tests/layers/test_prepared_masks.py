"""Prepared calls with masks and training modes give what first calls give."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract.contract_cells import bits, normal, randomise
from contract.contract_oracle import flatten
from prepared_cases import WEIGHTS, B, F, T, U, X, fresh, lstm, prepared, same

from rnnpack import GRU, LSTM, RNN, GRUCell, Layer, LSTMCell, SimpleRNN, backend
from rnnpack.layers.masked import MaskedOutput

MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(U), GRUCell(U)], **k),
}
HOLES = np.random.default_rng(5).random((B, T)) < 0.5
MASKS = {
    "all": np.ones((B, T), bool),
    "nothing": np.zeros((B, T), bool),
    "right": np.arange(T) < np.array([[2], [0], [5]]),
    "left": np.arange(T) >= np.array([[2], [0], [5]]),
    "holes": HOLES,
    "Fortran": np.asfortranarray(HOLES),
    "turned round": HOLES[::-1, ::-1],
    "gaps": np.repeat(HOLES, 2, axis=1)[:, ::2],
    "one row for all": np.broadcast_to(HOLES[:1], (B, T)),
}
FLAGS = {
    "last": {},
    "sequences": {"return_sequences": True},
    "zeros": {"return_sequences": True, "zero_output_for_mask": True, "return_state": True},
    "last, zeros asked for": {"zero_output_for_mask": True},
    "time first, backwards": {"return_sequences": True, "time_major": True, "go_backwards": True},
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", MAKE)
def test_masks(name, flags):
    layer = MAKE[name](**FLAGS[flags])
    weights = randomise(layer, (None, None, F))
    turned = layer.time_major
    x = X.swapaxes(0, 1) if turned else X
    for _ in range(2):
        layer(x)
    for mask in MASKS.values():
        m = mask.T if turned else mask
        hidden = np.where(m[..., None], x, np.float32(np.nan))  # never read
        result = layer._plain_call(hidden, None, {"mask": m})
        assert result is not None
        want = MAKE[name](weights=weights, **FLAGS[flags])(x, mask=m.astype("f"))
        same(result, want)
        output = result[0] if isinstance(result, list) else result
        assert isinstance(output, MaskedOutput) == layer.return_sequences
        if layer.return_sequences:
            assert output._keras_mask is m
        assert not any(isinstance(a, MaskedOutput) for a in flatten([result])[1:])
        same(layer(hidden, mask=m), want)


@pytest.mark.parametrize(
    "mask",
    [
        HOLES.astype("f"),
        HOLES.astype("u1"),
        HOLES[..., None],
        HOLES.view(type("Own", (np.ndarray,), {})),
        np.ma.masked_array(HOLES),
        HOLES.T,
        HOLES[:, :4],
        HOLES[:1],
        HOLES[0],
        HOLES.tolist(),
        [HOLES],
        True,
    ],
)
def test_other_masks_go_the_long_way(mask):
    assert lstm()._plain_call(X, None, {"mask": mask}) is None


PLAIN = [{}, {"mask": None}, *({"training": mode} for mode in (None, True, False))]
UNUSUAL = [{"training": mode} for mode in (0, 1, np.True_, np.False_, "no", np.ones(1))]
UNUSUAL += [{"other": 1}, {"mask": None, "other": 1}, {"constants": None}, {1: 2}]


@pytest.mark.parametrize("keywords", PLAIN, ids=str)
def test_plain_keywords(keywords):
    same(lstm()._plain_call(X, None, keywords), fresh()(X, **keywords))


@pytest.mark.parametrize("keywords", [*UNUSUAL, type("Keywords", (dict,), {})()], ids=str)
def test_unusual_keywords_go_the_long_way(keywords):
    assert lstm()._plain_call(X, None, keywords) is None


class Outer(Layer):
    """Calls a layer inside its own call."""

    def __init__(self, inner, **keywords):
        super().__init__()
        self.inner, self.keywords = inner, keywords

    def call(self, inputs, training=None):
        return self.inner(inputs, **self.keywords)


@pytest.mark.parametrize("rates", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}])
def test_a_layer_that_drops_is_prepared_for_explicit_inference_only(rates):
    layer, plain = LSTM(U, weights=WEIGHTS, **rates), bits(fresh()(X))
    for _ in range(2):
        layer(X)
    for keywords in ({}, {"training": None}, {"training": True}, {"mask": MASKS["all"]}):
        assert layer._plain_call(X, None, keywords) is None
    assert bits(layer._plain_call(X, None, {"training": False})) == plain
    assert bits(layer(X)) == plain
    assert bits(layer(X, training=True)) != plain
    assert bits(Outer(layer)(X, training=True)) != plain
    assert bits(Outer(layer, training=False)(X, training=True)) == plain
    assert bits(Outer(layer, training=None)(X, training=True)) != plain
    backend.set_learning_phase(1)
    try:
        assert bits(layer(X)) != plain
        assert bits(layer(X, training=None)) != plain
        assert bits(layer(X, training=False)) == plain
    finally:
        backend.set_learning_phase(None)


def test_dropout_that_begins_later_counts():
    layer = lstm()
    layer(X, training=True)
    layer.cell.dropout = 0.5
    assert bits(layer(X, training=True)) != bits(fresh()(X))


def test_an_unusual_argument_does_not_prepare_anew():
    layer = lstm()
    kept = layer._plain_call
    layer(X[:, :, ::-1])
    layer(X, mask=HOLES, training=np.False_)
    assert layer._plain_call is kept
    layer.set_weights(WEIGHTS)
    assert not kept.current()
    layer(X)
    assert layer._plain_call is not kept
    assert layer._plain_call.current()


def test_masks_are_kept_by_their_outputs_only():
    layer, mask = lstm(return_sequences=True), HOLES.copy()
    before = sys.getrefcount(mask)
    outputs = [layer(X, mask=mask) for _ in range(5)]
    assert sys.getrefcount(mask) == before + 5
    del outputs
    assert sys.getrefcount(mask) == before
    assert layer._plain_call(X[..., :2], None, {"mask": mask}) is None
    assert sys.getrefcount(mask) == before


@pytest.mark.parametrize("units", [U, 96])
def test_threads_with_masks_of_their_own(units):
    """Small calls keep the interpreter's lock, large ones release it."""
    layer = LSTM(units, return_sequences=True, return_state=True)
    x = normal(B, 40, F)
    masks = [np.random.default_rng(k).random((B, 40)) < 0.7 for k in range(8)]
    layer(x)
    want = [[bits(a) for a in layer(x, mask=m)] for m in masks]
    assert layer._plain_call.current()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            got = list(pool.map(lambda m: [bits(a) for a in layer(x, mask=m)], masks))
            assert got == want


def test_states_of_a_stack_of_one_are_a_nest():
    """`RNN([LSTMCell])` has one entry of two states, `RNN(LSTMCell)` two entries."""
    layer, state = prepared(RNN([LSTMCell(U)], return_state=True)), normal(B, U)
    _, (h, c) = layer._plain_call(X, [[state, state]], {})
    same([h, c], RNN([LSTMCell(U)], return_state=True, weights=layer.get_weights())(X, [[state, state]])[1])
    with pytest.raises(ValueError, match="initial"):
        layer(X, [state, state])


def test_states_of_a_stack_are_read_in_their_nest_only():
    layer, s = prepared(RNN([LSTMCell(U), GRUCell(U)])), normal(B, U)
    assert layer._plain_call(X, [[s, s], s], {}) is not None
    assert layer._plain_call(X, ((s, s), s), {}) is not None
    for other in ([s, s, s], [[s, s], [s]], [[s], s], [s, s], [[s, s]], [[s, s, s], s], [], [[], s]):
        assert layer._plain_call(X, other, {}) is None


def test_first_sizes_that_the_input_spec_fixes():
    layer = lstm()
    layer.input_spec[0].shape = (B, T, F)
    layer(X)
    assert layer._plain_call(X, None, {}) is not None
    for other in (X[:1], X[:, :1]):
        assert layer._plain_call(other, None, {}) is None
        with pytest.raises(ValueError, match="incompatible with the layer"):
            layer(other)
