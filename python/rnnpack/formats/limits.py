"""What files may ask for: sizes are checked before memory is taken, nesting before it is followed."""

from __future__ import annotations

import json
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnnpack.formats.errors import FormatError
from rnnpack.restoring import restoring

# JSON of configurations and of tables of contents.
MOST_JSON = 1 << 24
_MOST_DEPTH = 100

_MOST_AXES = 32
_MOST_ELEMENTS = 1 << 48

# Of an archive: bytes of its directory, and what all that is read from it may come to.
_MOST_DIRECTORY = 1 << 24
_DATA_BASE, _DATA_FACTOR = 1 << 26, 128


def data_budget(file_size: int) -> int:
    """Bytes that everything read from one file may come to: trained numbers never shrink a hundredfold."""
    return _DATA_BASE + _DATA_FACTOR * file_size


def parse_json(data: bytes | bytearray | str, part: str, most: int = MOST_JSON) -> Any:
    """A JSON text as Python objects.

    Args:
        data: the text, in UTF-8 if bytes.
        part: the file and part, for messages.
        most: bytes that are parsed at most.

    Raises:
        FormatError: it is too long, nested too deeply, has a key twice in one object or is no JSON.
    """
    text = data.encode(errors="surrogatepass") if isinstance(data, str) else bytes(data)
    if len(text) > most:
        raise FormatError(f"{part}: {len(text)} bytes of JSON, expected at most {most}")
    if _depth(text) > _MOST_DEPTH:
        raise FormatError(f"{part}: JSON is nested more than {_MOST_DEPTH} deep")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise FormatError(f"{part}: the key {key[:100]!r} occurs twice in one JSON object")
            found[key] = value
        return found

    try:
        return json.loads(text.decode(), object_pairs_hook=unique)
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{part}: not valid JSON ({error})") from None


def _depth(text: bytes) -> int:
    """The most brackets that are open at the same time, outside of strings."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quote begins or ends a string
    codes = np.frombuffer(plain, np.uint8)
    inside = np.cumsum(codes == ord('"'), dtype=np.int32) & 1
    steps = np.isin(codes, list(b"[{")).astype(np.int8) - np.isin(codes, list(b"]}"))
    return int(np.cumsum(steps * (1 - inside), dtype=np.int32).max(initial=0))


def checked_size(shape: Sequence[Any], itemsize: int, available: int, part: str) -> int:
    """Bytes of an array that a file declares, if the shape is sane and they can be there.

    Args:
        shape: as the file has it.
        itemsize: bytes of an element.
        available: bytes that the array can have at most.
        part: the file and part, for messages.

    Raises:
        FormatError: otherwise.
    """
    sane = len(shape) <= _MOST_AXES and all(type(size) is int and size >= 0 for size in shape)
    if not sane or math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
        raise FormatError(f"{part}: {str(shape)[:100]} is not the shape of an array")
    size: int = math.prod(shape) * itemsize
    if size > available:
        raise FormatError(
            f"{part}: an array of shape {tuple(shape)} has {size} bytes, but there are {available}"
        )
    return size


@contextmanager
def restored_model(part: str, weight_bytes: int) -> Iterator[None]:
    """A block that makes layers from a configuration that a file holds, and fails with FormatError alone.

    Initializers do not run in it; weights are zeros until they are set.

    Args:
        part: the file and part, for messages.
        weight_bytes: what the layers' weights can take, all together: as much as the file has for them.

    Raises:
        FormatError: for whatever constructors, those of custom layers too, raise.
    """
    try:
        with restoring(weight_bytes):
            yield
    except FormatError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FormatError(f"{part}: {reason[:500]}") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends, and disappears if it fails.

    Raises:
        OSError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Archive:
    """Reads members of a zip file, which may be made to harm.

    Members are found by their exact names. Each is read up to a limit, all together up to a multiple of the
    file's size.
    """

    def __init__(self, opened: zipfile.ZipFile, name: str, size: int) -> None:
        self.name = name
        self._opened = opened
        self._left = data_budget(size)
        self._members = {member.filename: member for member in opened.infolist()}
        if len(self._members) != len(opened.infolist()):
            raise FormatError(f"{name}: two members of the archive have the same name")

    def names(self) -> list[str]:
        """Names of all members."""
        return list(self._members)

    def size(self, member: str) -> int:
        """Bytes that a member declares to have.

        Raises:
            FormatError: there is no such member.
        """
        return self._member(member).file_size

    def read(self, member: str, limit: int) -> bytes:
        """All bytes of a member.

        Raises:
            FormatError: it is missing, encrypted, damaged, or larger than `limit` (bytes).
        """
        found = self._member(member)
        part = f"{self.name}: member {member!r}"
        if found.flag_bits & 1:
            raise FormatError(f"{part} is encrypted")
        if found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(f"{part} is compressed by method {found.compress_type}, expected deflate")
        most = min(limit, self._left)
        if found.file_size > most:
            raise FormatError(f"{part} has {found.file_size} bytes, expected at most {most}")
        self._left -= found.file_size
        try:
            with self._opened.open(found) as file:
                data = file.read(found.file_size + 1)
        except _DAMAGED as error:
            raise FormatError(f"{part} is damaged ({error})") from None
        if len(data) != found.file_size:
            raise FormatError(f"{part} has not the {found.file_size} bytes that the archive says")
        return data

    def _member(self, member: str) -> zipfile.ZipInfo:
        if member not in self._members:
            raise FormatError(f"{self.name}: there is no {member!r} in the archive")
        return self._members[member]


# What the standard library raises for damaged archives.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError)


@contextmanager
def open_archive(path: str | os.PathLike[str] | BinaryIO, name: str | None = None) -> Iterator[Archive]:
    """Opens a zip file for reading.

    Args:
        path: of the file, or a seekable file in binary mode, which stays open.
        name: what messages call it; default the path.

    Raises:
        FormatError: it is not a zip file or damaged, or its directory is absurdly large.
        OSError: it cannot be read.
    """
    if isinstance(path, (str, os.PathLike)):
        with open(path, "rb") as file, open_archive(file, name or os.fspath(path)) as archive:
            yield archive
        return
    name = name or "archive"
    size = path.seek(0, os.SEEK_END)
    _check_directory(path, size, name)
    try:
        opened = zipfile.ZipFile(path)
        archive = Archive(opened, name, size)
    except FormatError:
        raise
    except _DAMAGED as error:
        raise FormatError(f"{name}: not a zip file, or damaged ({error})") from None
    with opened:
        yield archive


def _check_directory(file: BinaryIO, size: int, name: str) -> None:
    """The archive's directory, of which every entry becomes an object, must not be absurdly large."""
    tail_size = min(size, 22 + 0xFFFF + 76)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    declared = 0
    for signature, at, width in ((b"PK\5\6", 12, 4), (b"PK\6\6", 40, 8)):
        start = tail.rfind(signature)
        number = int.from_bytes(tail[start + at : start + at + width], "little") if start >= 0 else 0
        if number != (1 << 8 * width) - 1:
            declared = max(declared, number)
    if declared > _MOST_DIRECTORY:
        raise FormatError(f"{name}: a directory of {declared} bytes, expected at most {_MOST_DIRECTORY}")
