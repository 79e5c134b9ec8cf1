"""The mask argument of a recurrent layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.engine import nest


def first_mask(mask: Any) -> Any:
    """The mask that counts: the first leaf of a nest of masks, or None."""
    leaves = nest.flatten(mask)
    return leaves[0] if leaves else None


def as_mask(mask: Any, rows: int, columns: int, time_major: bool) -> NDArray[np.bool_] | None:
    """Checks a mask and turns it into booleans (False: this step of this row is masked).

    Args:
        mask: None, an array of shape `(rows, columns)` or `(rows, columns, 1)` of bools or numbers (0 is
            masked), or a nest of arrays, whose first one counts.
        rows: size of the inputs' first axis: the batch, or time if `time_major`.
        columns: size of their second axis.
        time_major: only for the message.

    Returns:
        Array `(rows, columns)`, a view where possible; or None.

    Raises:
        ValueError: another shape or dtype, or Python lists instead of an array.
    """
    leaf = first_mask(mask)
    if leaf is None:
        return None
    if not hasattr(leaf, "__array__"):
        raise ValueError(f"`mask` must be an array, got {type(mask).__name__} of {type(leaf).__name__}")
    array = np.asarray(leaf)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"`mask` must hold bools or numbers, got dtype {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.shape != (rows, columns):
        layout = "(time, batch)" if time_major else "(batch, time)"
        raise ValueError(f"`mask` must have shape {layout} = {(rows, columns)}, got {np.shape(leaf)}")
    return array if array.dtype == np.bool_ else array != 0
