"""Finds the kind of a file with rows by its ending."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rnnpack.datafiles.columns import Column
from rnnpack.datafiles.sink import RowSink, SinkState
from rnnpack.datafiles.source import RowSource
from rnnpack.formats.errors import FormatError

# Ending -> module, class that reads, class that writes.
_KINDS = {
    ".npy": ("npy", "NpySource", "NpySink"),
    ".npz": ("npz", "NpzSource", "NpzSink"),
    ".parquet": ("parquet", "ParquetSource", "ParquetSink"),
    ".csv": ("csv", "CsvSource", "CsvSink"),
}
SUFFIXES = tuple(_KINDS)


def open_rows(path: str | os.PathLike[str]) -> RowSource:
    """Opens a file with rows; it is never read as a whole.

    Args:
        path: a file that ends in .npy, .npz, .parquet or .csv.

    Raises:
        FormatError: another ending, or the file is damaged.
        ImportError: .parquet, and pyarrow is not installed.
        OSError: it cannot be opened.
    """
    source: RowSource = _kind(Path(path), 1)(Path(path))
    return source


def create_rows(
    path: str | os.PathLike[str], columns: Sequence[Column], state: SinkState | None = None
) -> RowSink:
    """Begins a file with rows, or goes on with one.

    Args:
        path: a file that ends in .npy, .npz, .parquet or .csv.
        columns: what it will hold.
        state: what the `commit` of an earlier sink returned, to go on with its partial file.

    Raises:
        FormatError: another ending.
        ValueError: the format cannot hold these columns, or the partial file does not fit the state.
        ImportError: .parquet, and pyarrow is not installed.
        OSError: it cannot be written.
    """
    sink: RowSink = _kind(Path(path), 2)(Path(path), columns, state)
    return sink


def _kind(path: Path, which: int) -> Any:
    names = _KINDS.get(path.suffix.lower())
    if names is None:
        raise FormatError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    return getattr(import_module(f"rnnpack.datafiles.{names[0]}"), names[which])
