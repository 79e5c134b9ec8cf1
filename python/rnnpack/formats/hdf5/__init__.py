"""A reader of HDF5 files as h5py and Keras write them, in memory-safe code alone.

The C library may crash on files made to harm. Nothing here can: every address and size is checked against the
file before it is used, memory and work are bounded by the size of the file, and everything else is a
`FormatError`. The format is that of "HDF5 File Format Specification Version 4.0" (The HDF Group).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from rnnpack.formats.hdf5.objects import Dataset, File, Group
from rnnpack.formats.hdf5.source import Source

__all__ = ["Dataset", "Group", "open_hdf5"]


@contextmanager
def open_hdf5(file: str | os.PathLike[str] | BinaryIO, name: str | None = None) -> Iterator[Group]:
    """Opens an HDF5 file for reading; the context is its root group.

    Args:
        file: a path, or a seekable file in binary mode (such as `io.BytesIO`), which stays open.
        name: what messages call the file; default its path.

    Raises:
        FormatError: it is not an HDF5 file, or damaged; reading from its objects may raise it too.
        OSError: the file cannot be read.
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            yield _root(opened, name or os.fspath(file))
    else:
        yield _root(file, name or str(getattr(file, "name", "HDF5 data")))


def _root(file: BinaryIO, name: str) -> Group:
    opened = File(Source(file, name))
    return Group(opened, opened.root, "/")
