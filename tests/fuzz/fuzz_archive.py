"""Members of zip files, in which several formats keep their parts."""

from __future__ import annotations

import io
import zipfile

from rnnpack.formats.limits import open_archive

FORMAT = "zip"
LIMIT = 1 << 20


def seeds() -> list[bytes]:
    """Archives with stored and with compressed members."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("config.json", '{"a": [1, 2]}')
            archive.writestr("data/0", bytes(300))
        found.append(file.getvalue())
    return found


def one(data: bytes) -> None:
    """Reads all members."""
    with open_archive(io.BytesIO(data)) as archive:
        for name in archive.names():
            archive.read(name, LIMIT)
