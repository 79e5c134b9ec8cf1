"""Calls with NumPy arrays: the bindings copy them to the GPU and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.engine import plan

# The kernels' arrays are float32 or float64; a float16 layer's are converted on the way in and out.


def run(
    cells: list[_core.CudaCell],
    inputs: NDArray[Any],
    states: list[NDArray[Any]] | None,
    *others: Any,
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """`_core.cuda_run` for arrays of the layer's dtype, float16 included; `others` are its arguments."""
    outputs, final = _core.cuda_run(cells, plan.widened(inputs), _all_widened(states), *others)
    return _as(inputs, outputs), [_as(inputs, one) for one in final]


def run_bidirectional(
    forward_cells: list[_core.CudaCell],
    backward_cells: list[_core.CudaCell],
    inputs: NDArray[Any],
    forward_states: list[NDArray[Any]] | None,
    backward_states: list[NDArray[Any]] | None,
    *others: Any,
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[NDArray[Any]]]:
    """`_core.cuda_run_bidirectional` for arrays of the layers' dtype, as `run`."""
    results = _core.cuda_run_bidirectional(
        forward_cells,
        backward_cells,
        plan.widened(inputs),
        _all_widened(forward_states),
        _all_widened(backward_states),
        *others,
    )
    outputs, forward, backward = ([_as(inputs, one) for one in part] for part in results)
    return outputs, forward, backward


def _all_widened(states: list[NDArray[Any]] | None) -> list[NDArray[Any]] | None:
    return None if states is None else [plan.widened(one) for one in states]


def _as(inputs: NDArray[Any], result: NDArray[Any]) -> NDArray[Any]:
    """A result in the inputs' dtype; what is too large for float16 becomes infinite, as in its arithmetic."""
    if inputs.dtype != np.float16:
        return result
    with np.errstate(over="ignore"):
        return result.astype(np.float16)
