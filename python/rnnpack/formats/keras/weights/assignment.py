"""Weights into layers: everything is checked before anything changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cells import GRUCell, LSTMCell
from rnnpack.formats.errors import FormatError
from rnnpack.formats.keras.weights import conversion
from rnnpack.variable import Variable

Pair = tuple[Variable, NDArray[Any]]


def stored_order(layer: Any) -> list[Variable]:
    """A layer's variables as Keras stores them: all trainable ones, then the others."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def paired(layer: Any, arrays: Sequence[NDArray[Any]], version: str = "") -> list[Pair]:
    """A layer's variables with their values.

    Args:
        layer: built.
        arrays: in the order of `stored_order`.
        version: the Keras version that stored them; "1" merges what is stored gate by gate.

    Raises:
        FormatError: their number or a shape does not fit.
    """
    variables = stored_order(layer)
    arrays = list(arrays)
    if version.split(".")[0] == "1":
        arrays = _from_keras_1(layer, arrays)
    if len(arrays) != len(variables):
        raise FormatError(f"{layer.name}: expected {len(variables)} weights, got {len(arrays)}")
    values = {id(variable): array for variable, array in zip(variables, arrays, strict=True)}
    for cell in layer._flatten_layers():
        if isinstance(cell, (LSTMCell, GRUCell)) and cell.use_bias and id(cell.kernel) in values:
            own = [id(variable) for variable in (cell.kernel, cell.recurrent_kernel, cell.bias)]
            values.update(zip(own, conversion.recurrent(cell, [values[key] for key in own]), strict=True))
    return [(variable, values[id(variable)]) for variable in variables]


def _from_keras_1(layer: Any, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    if hasattr(layer, "forward_layer"):
        half = len(arrays) // 2
        return conversion.merged_gates(arrays[:half]) + conversion.merged_gates(arrays[half:])
    return conversion.merged_gates(arrays)


def assign(pairs: Sequence[Pair]) -> None:
    """Sets all variables, or none.

    Raises:
        FormatError: a shape or dtype does not fit.
    """
    for variable, array in pairs:
        if variable.shape != array.shape:
            raise FormatError(f"{variable.name}: expected shape {variable.shape}, got {array.shape}")
        if array.dtype.kind not in "fiub":
            raise FormatError(f"{variable.name}: expected numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):
        for variable, array in pairs:
            variable.assign(array.astype(variable.dtype))
