"""Files with rows: .npy, .npz and .csv; the first byte says which."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from rnnpack.datafiles import Chunk, create_rows, open_rows
from rnnpack.datafiles.columns import columns_of

FORMAT = "rows"
ENDINGS = (".npy", ".npz", ".csv")


def seeds() -> list[bytes]:
    """Rows of one shape in each kind, rows of different lengths, and a compressed archive."""
    dense = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    ragged = np.arange(4), np.array([1, 0, 3])
    chunks: list[tuple[str, Chunk]] = [
        (".npy", {"x": dense}),
        (".npz", {"x": dense, "y": ragged}),
        (".csv", {"x": dense, "y": np.arange(3)}),
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for ending, chunk in chunks:
            path = Path(folder, f"seed{ending}")
            with create_rows(path, columns_of(chunk)) as sink:
                sink.append(chunk)
            found.append(bytes([ENDINGS.index(ending)]) + path.read_bytes())
        np.savez_compressed(Path(folder, "packed.npz"), x=dense, y=ragged[0], y_row_lengths=ragged[1])
        found.append(b"\x01" + Path(folder, "packed.npz").read_bytes())
    return found


def one(data: bytes) -> None:
    """Reads all rows, two at a time."""
    with tempfile.NamedTemporaryFile(suffix=ENDINGS[data[0] % 3] if data else ".npy") as file:
        file.write(data[1:])
        file.flush()
        with open_rows(file.name) as source:
            for _ in source.chunks(2):
                pass
