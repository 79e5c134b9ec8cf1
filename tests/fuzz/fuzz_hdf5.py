"""The HDF5 reader: everything in a file is visited and read."""

from __future__ import annotations

import io
from pathlib import Path

from rnnpack.formats.hdf5 import Dataset, Group, open_hdf5

FORMAT = "hdf5"
FILES = Path(__file__).parents[1] / "formats" / "files" / "hdf5"
MOST_OBJECTS = 200


def seeds() -> list[bytes]:
    """The smaller recorded files."""
    return [path.read_bytes() for path in sorted(FILES.glob("*.h5")) if path.stat().st_size < 20_000]


def one(data: bytes) -> None:
    """Reads all attributes and all arrays."""
    with open_hdf5(io.BytesIO(data), "data") as root:
        pending: list[Group | Dataset] = [root]
        for _ in range(MOST_OBJECTS):
            if not pending:
                return
            found = pending.pop()
            _ = found.attrs
            if isinstance(found, Dataset):
                found.read()
            else:
                pending.extend(found[name] for name in found if name in found)
