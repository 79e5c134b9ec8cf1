"""Wrappers leave precision to the layers inside."""

from __future__ import annotations

import numpy as np

import rnnpack


def test_bidirectional_does_not_round_the_inputs_of_float64_layers() -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    both = rnnpack.Bidirectional(rnnpack.LSTM(4, dtype="float64"))
    y = both(x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y[:, :4], both.forward_layer(x))


def test_bidirectional_still_casts_to_the_layers_precision() -> None:
    both = rnnpack.Bidirectional(rnnpack.GRU(4))
    assert both(np.ones((2, 5, 3))).dtype == np.float32
    assert both(np.ones((2, 5, 3), int)).dtype == np.float32
