"""Weights of layers that stand for others: CuDNN layers, and the layers of Keras 1, as those of Keras 2."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cells import GRUCell, LSTMCell
from rnnpack.formats.errors import FormatError

_Arrays = list[NDArray[Any]]


def recurrent(cell: Any, arrays: _Arrays) -> _Arrays:
    """Kernel, recurrent kernel and bias for an LSTM or GRU cell, which cuDNN may have stored.

    The bias tells: cuDNN adds two of them, one to the products with the inputs and one to those with the
    state, and stores `2 * gates * units` numbers in one row.

    Args:
        cell: an `LSTMCell` or `GRUCell` with a bias.
        arrays: the three weights as stored.

    Raises:
        FormatError: a GRU whose reset gate is applied at the other place, or a bias of no known shape.
    """
    kernel, recurrent_kernel, bias = arrays
    gates, units = _gates(cell), cell.units
    if bias.shape == (2 * gates * units,):
        return _from_cudnn(cell, kernel, recurrent_kernel, bias)
    expected = (2, gates * units) if getattr(cell, "reset_after", False) else (gates * units,)
    if bias.shape != expected:
        hint = " (reset_after differs)" if bias.shape in ((2, gates * units), (gates * units,)) else ""
        raise FormatError(f"{cell.name}: bias must have shape {expected}, got {bias.shape}{hint}")
    return arrays


def _from_cudnn(
    cell: Any, kernel: NDArray[Any], recurrent_kernel: NDArray[Any], bias: NDArray[Any]
) -> _Arrays:
    """Every gate's matrices are stored transposed, though whole kernels have the shapes of Keras's own."""
    gates, units = _gates(cell), cell.units
    if isinstance(cell, GRUCell) and not cell.reset_after:
        raise FormatError(f"{cell.name}: weights of a CuDNNGRU need reset_after=True")
    shapes = [one.shape for one in (kernel, recurrent_kernel)]
    if len(shapes[0]) != 2 or shapes[0][1] != gates * units or shapes[1] != (units, gates * units):
        raise FormatError(f"{cell.name}: kernels of shapes {shapes} do not fit {units} units")
    inputs = np.hstack([gate.reshape(units, -1).T for gate in np.hsplit(kernel, gates)])
    states = np.hstack([gate.T for gate in np.hsplit(recurrent_kernel, gates)])
    halves = bias.reshape(2, -1)
    return [inputs, states, halves if isinstance(cell, GRUCell) else halves[0] + halves[1]]


def _gates(cell: Any) -> int:
    return 4 if isinstance(cell, LSTMCell) else 3


def merged_gates(arrays: _Arrays) -> _Arrays:
    """Kernel, recurrent kernel and bias from one of each for every gate, as Keras 1 stored them.

    Its LSTM had the gates in the order input, candidate, forget, output; its GRU update, reset, candidate.
    """
    order = {12: (0, 2, 1, 3), 9: (0, 1, 2)}.get(len(arrays))
    if order is None:
        return arrays
    return [np.concatenate([arrays[3 * gate + kind] for gate in order], axis=-1) for kind in range(3)]
