"""What a model takes, and columns in that dtype and shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.datafiles.columns import Rows

Shape = tuple["int | None", ...]


@dataclass(frozen=True)
class ModelInput:
    """An input of a model.

    Attributes:
        name: as the model calls it.
        dtype: that its arrays are cast to.
        shape: of one row, None where any size will do.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape

    def __str__(self) -> str:
        """Name and shape."""
        return f"{self.name}({', '.join('any' if size is None else str(size) for size in self.shape)})"


def fitted(rows: Rows, group: list[str], one: ModelInput) -> Rows:
    """A column in the dtype and shape of an input.

    Raises:
        ValueError: it has another shape, or numbers that are not whole where the input takes whole ones.
    """
    label = group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}"
    if isinstance(rows, tuple):
        values, lengths = _cast(rows[0], label, one), np.asarray(rows[1], np.int64)
        if values.ndim == 1 and len(one.shape) > 1 and None not in one.shape[1:]:
            size = math.prod(one.shape[1:])  # type: ignore[arg-type]
            if size == 0 or np.any(lengths % size):
                raise ValueError(
                    f"column {label!r}: expected lists of a multiple of {size} numbers for {one}"
                )
            values, lengths = values.reshape(-1, *one.shape[1:]), lengths // size
        if not one.shape or not _fits(values.shape[1:], one.shape[1:]):
            raise ValueError(
                f"column {label!r} has timesteps of shape {values.shape[1:]}, the model takes {one}"
            )
        if one.shape[0] is None:
            return values, lengths
        if np.any(lengths != one.shape[0]):
            raise ValueError(f"column {label!r} has rows of different lengths, the model takes {one}")
        return values.reshape(len(lengths), one.shape[0], *values.shape[1:])
    array = _cast(rows, label, one)
    if _fits(array.shape[1:], one.shape):
        return array
    size = math.prod(size for size in one.shape if size is not None)
    numbers = math.prod(array.shape[1:])
    free = one.shape.count(None)
    if array.ndim > 2 or free > 1 or size == 0 or numbers % size or (numbers != size and not free):
        raise ValueError(f"column {label!r} has rows of shape {array.shape[1:]}, the model takes {one}")
    return array.reshape(len(array), *(numbers // size if axis is None else axis for axis in one.shape))


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(b in (None, a) for a, b in zip(shape, wanted, strict=True))


def _cast(array: NDArray[Any], label: str, one: ModelInput) -> NDArray[Any]:
    if one.dtype.kind in "iu" and not np.can_cast(array.dtype, one.dtype):
        limits = np.iinfo(one.dtype)
        if not np.all((np.rint(array) == array) & (array >= limits.min) & (array <= limits.max)):
            raise ValueError(f"column {label!r}: input {one.name!r} takes whole numbers ({one.dtype.name})")
    cast: NDArray[Any] = array.astype(one.dtype, copy=False)
    return cast
