"""Groups and datasets of an open file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.hdf5 import headers
from rnnpack.formats.hdf5.attributes import read_attributes
from rnnpack.formats.hdf5.datatypes import Dataspace, read_dataspace, read_datatype
from rnnpack.formats.hdf5.global_heap import GlobalHeap
from rnnpack.formats.hdf5.headers import Message, read_messages, read_superblock
from rnnpack.formats.hdf5.layouts import Stored, read_stored
from rnnpack.formats.hdf5.links import Link, read_links
from rnnpack.formats.hdf5.source import Source

_NO_SPACE = Dataspace((), ())
_MAX_DEPTH = 64
_MAX_SOFT_LINKS = 32
_GROUP_MESSAGES = (headers.SYMBOL_TABLE, headers.LINK_INFO, headers.LINK)


class File:
    """What the objects of one open file share; headers and links are read once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.heap = GlobalHeap(source)
        self.root = read_superblock(source)
        self._messages: dict[int, list[Message]] = {}
        self._links: dict[int, dict[str, Link]] = {}

    def messages(self, address: int, name: str) -> list[Message]:
        """The header messages of the object at an address."""
        self.source.charge(0, name)
        if address not in self._messages:
            self._messages[address] = read_messages(self.source, address, name)
        return self._messages[address]

    def links(self, address: int, name: str) -> dict[str, Link]:
        """The links of the group at an address."""
        if address not in self._links:
            self._links[address] = read_links(self.source, self.messages(address, name), name)
        return self._links[address]


class Object:
    """What groups and datasets have in common.

    Attributes:
        name: the path from the root, as "/a/b".
    """

    def __init__(self, file: File, address: int, name: str) -> None:
        self.name = name
        self._file = file
        self._address = address
        self._attrs: dict[str, Any] | None = None

    @property
    def _messages(self) -> list[Message]:
        return self._file.messages(self._address, self.name)

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes by name, read on first use.

        Scalars are NumPy scalars, fixed-length strings bytes, variable-length strings str, arrays of either
        arrays, empty attributes None.
        """
        if self._attrs is None:
            file = self._file
            self._attrs = read_attributes(file.source, self._messages, file.heap, self.name)
        return self._attrs

    def __repr__(self) -> str:
        """Kind and name."""
        return f"<{type(self).__name__} {self.name}>"


class Dataset(Object):
    """An array in a file."""

    def __init__(self, file: File, address: int, name: str) -> None:
        super().__init__(file, address, name)
        part = f"dataset {name}"
        self._stored = Stored(file.source, part, _NO_SPACE, np.dtype(np.uint8), self._messages)
        space, datatype = self._stored.message(headers.DATASPACE), self._stored.message(headers.DATATYPE)
        if space is None or datatype is None:
            raise file.source.error(part, "there is no datatype or no dataspace")
        self._datatype = read_datatype(datatype)
        self._stored = self._stored._replace(space=read_dataspace(space), dtype=self._datatype.stored)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes; (0,) for a dataset without any elements."""
        found = self._stored.space.shape
        return (0,) if found is None else found

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what `read` returns: bool for h5py's bools, float32 for bfloat16, object for strings."""
        return self._datatype.dtype

    def read(self) -> NDArray[Any]:
        """All elements, in a new array.

        Raises:
            FormatError: the file is damaged, or filters or storage are not supported.
        """
        if self._stored.space.shape is None:
            return np.empty(0, self.dtype)
        stored = read_stored(self._stored)
        return self._datatype.convert(stored, self._file.heap, self._stored.part)


class Group(Object, Mapping[str, "Group | Dataset"]):
    """A folder in a file: a mapping from names, or paths such as "a/b", to groups and datasets."""

    def __init__(self, file: File, address: int, name: str, above: tuple[int, ...] = ()) -> None:
        super().__init__(file, address, name)
        self._path = (*above, address)
        if address in above or len(above) > _MAX_DEPTH:
            raise file.source.error(f"group {name}", "groups contain each other in a circle, or too deep")

    @property
    def _links(self) -> dict[str, Link]:
        return self._file.links(self._address, f"group {self.name}")

    def __len__(self) -> int:
        """Number of links."""
        return len(self._links)

    def __iter__(self) -> Iterator[str]:
        """Names of the links, sorted."""
        return iter(self._links)

    def __contains__(self, path: object) -> bool:
        """Whether there is something that can be read at a path."""
        return isinstance(path, str) and self._find(path, [0]) is not None

    def __getitem__(self, path: str) -> Group | Dataset:
        """The object at a path, relative to this group or, beginning with "/", to the root.

        Raises:
            KeyError: there is none.
            FormatError: it is damaged, or in another file.
        """
        found = self._find(path, [0])
        if found is None:
            raise KeyError(f"{self._file.source.name}: there is no {path!r} in group {self.name}")
        return found

    def _find(self, path: str, followed: list[int]) -> Group | Dataset | None:
        here: Group | Dataset = self
        if path.startswith("/"):
            here = Group(self._file, self._file.root, "/")
        for name in path.split("/"):
            if name in ("", "."):
                continue
            child = here._child(name, followed) if isinstance(here, Group) else None
            if child is None:
                return None
            here = child
        return here

    def _child(self, name: str, followed: list[int]) -> Group | Dataset | None:
        """What one link leads to; `followed` counts soft links."""
        link = self._links.get(name)
        if link is None:
            return None
        part = f"group {self.name}"
        if link.path is not None:
            followed[0] += 1
            if followed[0] > _MAX_SOFT_LINKS:
                raise self._file.source.error(part, f"soft links go round in circles at {name!r}")
            return self._find(link.path, followed)
        if link.address is None:
            raise self._file.source.error(part, f"{name!r} is a link out of the file: not supported")
        full = str(PurePosixPath(self.name, name))
        messages = self._file.messages(link.address, full)
        if any(message.kind in _GROUP_MESSAGES for message in messages):
            return Group(self._file, link.address, full, self._path)
        return Dataset(self._file, link.address, full)
