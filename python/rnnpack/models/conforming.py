"""What a model is called with, in the structure and the dtypes of its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack.engine import nest
from rnnpack.layers import masked
from rnnpack.symbolic import SymbolicArray

_REQUIRED = object()


def matched(given: Any, expected: Any, what: str, missing: Any = _REQUIRED) -> Any:
    """Values in the structure of a model's inputs.

    Args:
        given: a nest with as many leaves, or a dict of values by the inputs' names.
        expected: the nest of symbolic inputs.
        what: the values, for messages: "inputs" or "masks".
        missing: stands for what a dict does not name.

    Raises:
        ValueError: other names, or another number.
    """
    symbols = nest.flatten(expected)
    if isinstance(given, dict) and not (isinstance(expected, dict) and given.keys() == expected.keys()):
        names = [symbol.name for symbol in symbols]
        if unknown := sorted(map(str, given.keys() - set(names))):
            raise ValueError(f"`{what}` names {unknown}, but the model's inputs are {names}")
        if missing is _REQUIRED and len(given) < len(names):
            raise ValueError(f"`{what}` lacks {[name for name in names if name not in given]}")
        values = [given.get(name, missing) for name in names]
    else:
        values = nest.flatten(given)
    if len(values) != len(symbols):
        argument = "mask" if what == "masks" else what
        raise ValueError(f"`{argument}` must hold {len(symbols)} {what}, got {len(values)}")
    return nest.pack_sequence_as(expected, values)


def arrays(given: Any, expected: Any) -> Any:
    """Arrays in the structure and the dtypes of a model's inputs; masks that they carry stay with them.

    Raises:
        ValueError: they are not as many, or a dtype cannot become the input's without loss of meaning.
    """
    values = matched(given, expected, "inputs")
    return nest.map_structure(cast, values, expected)


def cast(value: Any, symbol: SymbolicArray) -> Any:
    """One array in the dtype of its input, with a last axis of size 1 where only that is missing."""
    if not (hasattr(value, "__array__") or np.isscalar(value)) or isinstance(value, SymbolicArray):
        return value
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    mask = getattr(value, "_keras_mask", None)
    if array.ndim + 1 == len(symbol.shape) and symbol.shape[-1] == 1:
        array = array[..., np.newaxis]
    if array.dtype != symbol.dtype:
        if array.dtype.kind not in "biuf" or not _holds(symbol.dtype, array):
            raise ValueError(
                f'Input "{symbol.name}" holds {symbol.dtype} numbers, got {array.dtype} ones that do not fit'
            )
        with np.errstate(over="ignore"):  # too large for float32: infinite, as everywhere
            array = array.astype(symbol.dtype)
    return array if mask is None else masked.carrying(array, mask)


def _holds(dtype: np.dtype[Any], array: np.ndarray[Any, Any]) -> bool:
    """Whether numbers can become a dtype; integers must keep their values, as tokens do not wrap around."""
    if dtype.kind not in "iu" or not array.size or np.can_cast(array.dtype, dtype):
        return True
    if array.dtype.kind == "f" and not np.all(array == np.floor(array)):
        return False
    limits = np.iinfo(dtype)
    return bool(int(limits.min) <= array.min() and array.max() <= int(limits.max))
