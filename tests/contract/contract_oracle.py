"""Bridge from a built layer to the float64 oracle and back: same weights, same flags, derived bounds."""

from __future__ import annotations

import numpy as np
import reference
import tolerance

from rnnpack import (
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
    activations,
)


def name_of(activation):
    """The oracle's name of a cell's activation."""
    return activations.serialize(activation)


def reference_cell(cell):
    """The oracle's cell with the weights of a built cell."""
    weights = [np.asarray(w, np.float64) for w in cell.get_weights()]
    kernel, recurrent = weights[:2]
    bias, own = (weights[2], weights[3:]) if cell.use_bias else (None, weights[2:])
    if isinstance(cell, SimpleRNNCell):
        return reference.SimpleRNNCell(kernel, recurrent, bias, name_of(cell.activation))
    names = (name_of(cell.activation), name_of(cell.recurrent_activation))
    if isinstance(cell, PeepholeLSTMCell):
        return reference.PeepholeLSTMCell(kernel, recurrent, bias, *names, *own)
    if isinstance(cell, ProjectedLSTMCell):
        return reference.ProjectedLSTMCell(kernel, recurrent, bias, *names, *own)
    if isinstance(cell, LSTMCell):
        return reference.LSTMCell(kernel, recurrent, bias, *names)
    assert isinstance(cell, GRUCell)
    kind = reference.GRUCell if cell.reset_after else reference.GRUResetBeforeCell
    return kind(kernel, recurrent, bias, *names)


def reference_layer(layer):
    """The oracle's layer for a built recurrent layer of built-in cells."""
    cells = layer.cell.cells if isinstance(layer.cell, StackedRNNCells) else [layer.cell]
    return reference.Layer(
        tuple(reference_cell(c) for c in cells),
        return_sequences=layer.return_sequences,
        go_backwards=layer.go_backwards,
        time_major=layer.time_major,
        zero_output_for_mask=layer.zero_output_for_mask,
    )


def flatten(nest):
    """The arrays of a nest of lists and tuples."""
    return [a for item in nest for a in flatten(item)] if isinstance(nest, (list, tuple)) else [nest]


def assert_close(got, want, dtype):
    """Every element within its running error bound.

    One smallest normal number is allowed on top, because a kernel may flush denormals to zero.
    """
    bound = want.error + np.finfo(dtype).tiny
    assert got.dtype == np.dtype(dtype)
    assert got.shape == want.value.shape
    assert tolerance.excess(got, want.value, bound) <= 1


def assert_matches(layer, result, x, mask=None, initial_state=None):
    """The result of `layer(x, ...)`, with or without states, agrees with the oracle."""
    states = None if initial_state is None else flatten(initial_state)
    dtype = layer.compute_dtype
    x = np.asarray(x, dtype)  # what the layer computes with
    want = tolerance.run(reference_layer(layer), x, mask, states, dtype=dtype)
    arrays = flatten(result)
    assert_close(arrays[0], want.output, dtype)
    if layer.return_state:
        assert len(arrays) == 1 + len(want.states)
        for got, state in zip(arrays[1:], want.states, strict=True):
            assert_close(got, state, dtype)
    else:
        assert len(arrays) == 1
