"""Arrays of other frameworks as NumPy arrays, and layers made with trained weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError

_FLOATS = (np.dtype("float32"), np.dtype("float64"))


def as_array(value: Any, name: str) -> NDArray[Any]:
    """A weight as a NumPy array; tensors come to the CPU first. The memory may be shared.

    Args:
        value: an array, or an object that becomes one: a tensor of PyTorch, an array of JAX.
        name: of the weight, for messages.

    Raises:
        FormatError: not an array of float32 or float64.
    """
    try:
        for method in ("detach", "cpu"):
            value = getattr(value, method)() if hasattr(value, method) else value
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # bfloat16, quantised, sparse and meta tensors
        reason = str(error).partition("\n")[0]
        raise FormatError(f"{name}: cannot be read as an array of float32 or float64: {reason}") from None
    if array.dtype.newbyteorder("=") not in _FLOATS:
        raise FormatError(f"{name}: must be of dtype float32 or float64, got {array.dtype}")
    return array


def check_shape(array: NDArray[Any], expected: tuple[int, ...], name: str) -> None:
    """Raises FormatError unless the array has this shape, without a size of zero."""
    if array.shape != expected or 0 in expected:
        raise FormatError(f"{name}: expected shape {expected}, got {array.shape}")


def some(names: Iterable[Any]) -> str:
    """Names for a message, not too many."""
    known = [str(name)[:100] for name in names]
    return ", ".join([*known[:12], *(["..."] if len(known) > 12 else [])])


def with_weights(layer: Any, input_shape: tuple[Any, ...], weights: Sequence[NDArray[Any]]) -> Any:
    """The layer, built for inputs of this shape (batch included, None where unknown), with these weights.

    Raises:
        FormatError: a weight has another dtype than the layer.
    """
    for array in weights:
        if array.dtype.name != layer.dtype:
            raise FormatError(f"{layer.name}: all weights must be {layer.dtype}, got one of {array.dtype}")
    layer.build(input_shape)
    layer.set_weights(weights)
    return layer
