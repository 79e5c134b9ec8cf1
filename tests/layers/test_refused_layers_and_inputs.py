"""Inputs and layers that make no sense are refused in words."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, Input, Masking

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")


@pytest.mark.parametrize("empty", [{}, (), ({}, ())])
@pytest.mark.parametrize("wrap", [lambda layer: layer, Bidirectional])
def test_inputs_without_any_array_are_refused(wrap, empty):
    with pytest.raises(ValueError, match="`inputs` must hold at least one array"):
        wrap(RNN(GRUCell(4)))(empty)


def test_inputs_too_large_to_cast_are_named():
    huge = np.broadcast_to(np.float32(0), (2**20, 2**20, 2**20))
    with pytest.raises(MemoryError, match=r"`inputs` of shape \(1048576, 1048576, 1048576\) as float64"):
        LSTM(4, dtype="float64")(huge)


@pytest.mark.parametrize("role", ["layer", "backward_layer"])
def test_bidirectional_needs_recurrent_layers(role):
    layers = {"layer": GRU(4), role: Masking()}
    with pytest.raises(ValueError, match=f"`{role}` of Bidirectional must have attributes .*go_backwards"):
        Bidirectional(**layers)


def pair(merge_mode, **flags):
    """Directions of different sizes."""
    return Bidirectional(
        LSTM(4, **flags), backward_layer=GRU(5, go_backwards=True, **flags), merge_mode=merge_mode
    )


@pytest.mark.parametrize("merge_mode", ["concat", None])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("return_state", [False, True])
def test_shapes_of_directions_of_different_sizes(merge_mode, sequences, return_state):
    layer = pair(merge_mode, return_sequences=sequences, return_state=return_state)
    outputs = layer(X)
    shapes = layer.compute_output_shape(X.shape)
    symbolic = pair(merge_mode, return_sequences=sequences, return_state=return_state)(
        Input(batch_shape=X.shape)
    )
    if isinstance(outputs, list):
        want = [output.shape for output in outputs]
        assert shapes == want and [one.shape for one in symbolic] == want
    else:
        assert shapes == outputs.shape == symbolic.shape


def test_directions_of_different_sizes_cannot_be_summed():
    with pytest.raises(ValueError, match="needs equal outputs of both directions"):
        pair("sum").compute_output_shape(X.shape)
