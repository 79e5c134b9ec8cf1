"""Small questions to HDF5 groups."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError
from rnnpack.formats.hdf5 import Dataset

# A layer has about seven.
_MOST_OBJECTS = 50_000


def text(value: Any) -> str:
    """A string attribute, stored as bytes or text."""
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise FormatError(f"expected text, got {value[:20]!r}") from None


def names(group: Any, name: str) -> list[str]:
    """A list of names in an attribute, or in `name0`, `name1`, ... where one would be too long."""
    if name in group.attrs:
        parts = [group.attrs[name]]
    else:
        parts = []
        while f"{name}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{name}{len(parts)}"])
    return [text(item) for part in parts for item in np.atleast_1d(part)]


def find(group: Any, path: str) -> Any:
    """The group or dataset at a path of several names, None where there is none."""
    for part in filter(None, path.split("/")):
        if not hasattr(group, "keys") or part not in group:
            return None
        group = group[part]
    return group


def array(group: Any, path: str) -> NDArray[Any]:
    """The numbers of the dataset at a path.

    Raises:
        FormatError: there is none.
    """
    dataset = find(group, path)
    if dataset is None or not hasattr(dataset, "read"):
        raise FormatError(f"the weight {path!r} is missing")
    return np.asarray(dataset.read())


def count_numbers(group: Any) -> int:
    """How many numbers all datasets in a group hold.

    Raises:
        FormatError: there are more groups and datasets than any model has, as where groups share each other.
    """
    count, pending = 0, [group]
    for _ in range(_MOST_OBJECTS):
        if not pending:
            return count
        found = pending.pop()
        if isinstance(found, Dataset):
            count += math.prod(found.shape)
        else:
            pending.extend(found[name] for name in found if name in found)
    raise FormatError(f"the file has more than {_MOST_OBJECTS} groups and arrays")
