"""The journal of a run: what it was asked, and how far it is, so that it can be gone on with."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnpack.datafiles import Column, SinkState

_SUFFIX = ".partial.json"
_FORMAT = "rnnpack run 1"
# Of a file, so many pieces of so many bytes tell whether it is the same.
_PIECES, _PIECE = 64, 1 << 16


@dataclass(frozen=True)
class Request:
    """What decides on every bit of the output.

    Attributes:
        version: of rnnpack.
        model: fingerprint of the model file.
        input: fingerprint of the input file.
        precision: of the recurrent layers.
        batch_size: rows that run together.
        chunk_rows: as asked for.
        columns: to use, as asked for.
        output_columns: names for the outputs, as asked for.
    """

    version: str
    model: str
    input: str
    precision: str
    batch_size: int
    chunk_rows: int | None
    columns: list[str] | None
    output_columns: list[str] | None


@dataclass(frozen=True)
class Position:
    """How far a run is.

    Attributes:
        columns: of the output.
        chunk_rows: rows of a chunk from here on.
        state: of the output's partial file.
    """

    columns: list[Column]
    chunk_rows: int
    state: SinkState


class Journal:
    """A small file beside the partial output.

    Args:
        output: the file that the run writes.
        request: what the run is asked.
    """

    def __init__(self, output: Path, request: Request) -> None:
        """See the class."""
        self.path = output.with_name(output.name + _SUFFIX)
        self._request = request

    def write(self, position: Position) -> None:
        """Notes a position, whole or not at all."""
        content = {
            "format": _FORMAT,
            "request": asdict(self._request),
            "columns": [[one.name, one.dtype.name, one.shape, one.ragged] for one in position.columns],
            "chunk_rows": position.chunk_rows,
            "rows": position.state.rows,
            "size": position.state.size,
        }
        new = self.path.with_name(self.path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)

    def read(self) -> Position:
        """The position that was noted last.

        Raises:
            ValueError: the file is damaged, or the run was asked something else.
        """
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            known = content["format"] == _FORMAT
            request = Request(**content["request"])
            columns = [
                Column(str(name), np.dtype(str(dtype)), tuple(map(int, shape)), bool(ragged))
                for name, dtype, shape, ragged in content["columns"]
            ]
            chunk_rows, rows, size = (int(content[key]) for key in ("chunk_rows", "rows", "size"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            known = False
        if not known or min(chunk_rows, size) < 1 or rows < 0:
            raise ValueError(f"{self.path}: damaged, cannot resume; --force begins anew")
        for key, value in asdict(self._request).items():
            if value != getattr(request, key):
                raise ValueError(
                    f"{self.path}: the interrupted run had {_difference(key, getattr(request, key), value)}; "
                    "--force begins anew"
                )
        return Position(columns, chunk_rows, SinkState(rows, size))

    def remove(self) -> None:
        """Removes the file."""
        self.path.unlink(missing_ok=True)


def fingerprint(path: Path, whole: bool) -> str:
    """Tells a file from others.

    Args:
        path: the file.
        whole: whether all bytes count; else its size, its time of change and pieces from all over it.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if whole:
            while piece := file.read(1 << 20):
                digest.update(piece)
        else:
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
            for index in range(_PIECES):
                file.seek(max(status.st_size - _PIECE, 0) * index // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    return digest.hexdigest()


def _difference(key: str, old: Any, new: Any) -> str:
    if key in ("model", "input"):
        return f"another {key}"
    name = "rnnpack " if key == "version" else f"--{key.replace('_', '-')} "
    before, now = ("not given" if value is None else value for value in (old, new))
    return f"{name}{before}, now it is {now}"
