"""Models check what they are given, and masks reach the layers they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import GRU, LSTM, Input, Masking, Model
from rnnpack.layers import Layer

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")
MASK = np.array([[True, True, False, False, False], [True] * 5])


def test_a_mask_given_to_a_model_reaches_its_first_layer():
    inputs = Input((5, 3))
    layer = LSTM(4)
    model = Model(inputs, layer(inputs))
    np.testing.assert_array_equal(model(X, mask=MASK), layer(X, mask=MASK))
    assert not np.array_equal(model(X, mask=MASK), model(X))


def test_a_mask_carried_by_the_inputs_of_a_model_counts_unless_another_is_given():
    inputs = Input((5, 3))
    layer = LSTM(4)
    model = Model(inputs, layer(inputs))
    masked = Masking()(np.where(MASK[..., np.newaxis], X, 0).astype("f"))
    np.testing.assert_array_equal(model(masked), layer(X, mask=MASK))
    np.testing.assert_array_equal(model(masked, mask=None), layer(np.asarray(masked)))


def test_a_model_with_two_inputs_takes_two_masks():
    first, second = Input((5, 3)), Input((5, 3))
    layer = LSTM(4)
    model = Model([first, second], [layer(first), layer(second)])
    got = model([X, X], mask=[None, MASK])
    np.testing.assert_array_equal(got[0], layer(X))
    np.testing.assert_array_equal(got[1], layer(X, mask=MASK))
    with pytest.raises(ValueError, match="`mask` must hold 2 masks"):
        model([X, X], mask=MASK)


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 5, 2), (2, 5), (2, 5, 3, 1)])
def test_a_model_checks_the_shapes_of_its_inputs(shape):
    inputs = Input((5, 3))
    model = Model(inputs, GRU(4)(inputs))
    with pytest.raises(ValueError, match="incompatible"):
        model(np.zeros(shape, "f"))


def test_symbolic_constants_are_ignored_by_layers_that_take_none():
    layer = LSTM(4)
    assert layer(Input((5, 3)), constants=[Input((2,))]).shape == (None, 4)
    with pytest.raises(TypeError, match="constants"):
        layer(X, constants=[X])


def test_reductions_of_masked_outputs_are_scalars_and_results_plain_arrays():
    output = LSTM(4, return_sequences=True)(X, mask=MASK)
    for value in (output.sum(), np.mean(output), output.max(), np.linalg.norm(output)):
        assert isinstance(value, np.floating)
        hash(value)
    assert isinstance(output.argmax(), np.integer)
    assert type(output + 1) is np.ndarray and type(np.exp(output)) is np.ndarray
    assert type(output.sum(axis=0)) is np.ndarray


def test_masking_looks_at_its_inputs_once(monkeypatch):
    layer = Masking()
    calls = []
    original = Masking.compute_mask
    monkeypatch.setattr(Masking, "compute_mask", lambda *a, **k: calls.append(1) or original(*a, **k))
    output = layer(X)
    assert output._keras_mask.shape == (2, 5) and len(calls) == 1


def test_a_layer_may_compute_its_mask_with_its_output():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True
            self.inner = Masking()

        def call(self, inputs):
            return self.inner(inputs)

    assert Outer()(X)._keras_mask.all()
