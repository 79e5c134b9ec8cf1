"""Golden cases as data: nested Python values with arrays, many cases in one small .npz file.

A case is ``{"name", "tags", "layer", "steps"}``. ``layer`` is a specification (see ``golden_runner.build``),
each step ``{"op", "args", "kwargs"}`` with ``"result"`` or ``"raises"``, and ``"keras"`` where live Keras
gave something else than what this project decided; ``tags`` then names the decision (for example "Q1").

All arrays of one dtype lie in one flat array of the file, equal arrays once; the values refer to them by
offset and shape. That keeps hundreds of cases under a megabyte without pickling.
"""

from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NestedInput = namedtuple("NestedInput", ["first", "second"])
NestedState = namedtuple("NestedState", ["vector", "matrix"])
_NAMED: dict[str, Any] = {"NestedInput": NestedInput, "NestedState": NestedState}


class ArrayPool:
    """Flat arrays by dtype name; equal arrays share their place."""

    def __init__(self, flat: dict[str, NDArray[Any]] | None = None) -> None:
        """Start empty for writing, or from the flat arrays of a file for reading."""
        self._flat = flat or {}
        self._parts: dict[str, list[NDArray[Any]]] = {}
        self._sizes: dict[str, int] = {}
        self._seen: dict[tuple[str, bytes], int] = {}

    def add(self, array: NDArray[Any]) -> list[Any]:
        """Store an array; returns its reference [dtype, offset, shape]."""
        name, key = array.dtype.name, (array.dtype.name, array.tobytes())
        if key not in self._seen:
            self._seen[key] = self._sizes.get(name, 0)
            self._sizes[name] = self._seen[key] + array.size
            self._parts.setdefault(name, []).append(array.ravel())
        return [name, self._seen[key], list(array.shape)]

    def get(self, reference: list[Any]) -> NDArray[Any]:
        """A fresh copy of the array behind a reference."""
        name, offset, shape = reference
        size = int(np.prod(shape, dtype=np.int64))
        return self._flat[name][offset : offset + size].reshape(shape).copy()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The flat arrays to write."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


def _encode(value: Any, pool: ArrayPool) -> Any:
    if isinstance(value, np.ndarray):
        return {"$array": pool.add(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"$named": [type(value).__name__, [_encode(v, pool) for v in value]]}
    if isinstance(value, tuple):
        return {"$tuple": [_encode(v, pool) for v in value]}
    if isinstance(value, list):
        return [_encode(v, pool) for v in value]
    if isinstance(value, dict):
        return {key: _encode(v, pool) for key, v in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _decode(value: Any, pool: ArrayPool) -> Any:
    if isinstance(value, list):
        return [_decode(v, pool) for v in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return pool.get(value["$array"])
    if "$named" in value:
        name, members = value["$named"]
        return _NAMED[name](*(_decode(v, pool) for v in members))
    if "$tuple" in value:
        return tuple(_decode(v, pool) for v in value["$tuple"])
    return {key: _decode(v, pool) for key, v in value.items()}


def save(path: Path, cases: list[dict[str, Any]]) -> None:
    """Write the cases to one compressed .npz file."""
    pool = ArrayPool()
    text = json.dumps([_encode(case, pool) for case in cases], separators=(",", ":"))
    arrays = {**pool.arrays(), "cases": np.frombuffer(text.encode(), np.uint8)}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> list[dict[str, Any]]:
    """Read the cases of one file."""
    with np.load(path, allow_pickle=False) as archive:
        flat = {name: archive[name] for name in archive.files}
    encoded = json.loads(flat.pop("cases").tobytes().decode())
    pool = ArrayPool(flat)
    return [_decode(case, pool) for case in encoded]


def load_all(folder: Path) -> list[dict[str, Any]]:
    """The cases of every .npz file of a folder, each with its file's stem as ``group``."""
    return [{**case, "group": path.stem} for path in sorted(folder.glob("*.npz")) for case in load(path)]
