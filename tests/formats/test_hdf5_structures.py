"""Structures of HDF5 files, byte by byte: what h5py never writes, because it is wrong or rare."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest

from rnnpack.formats import FormatError
from rnnpack.formats.hdf5 import (
    attributes,
    btree2,
    chunk_tables,
    chunks,
    datatypes,
    global_heap,
    headers,
    layouts,
    links,
    source,
)
from rnnpack.formats.hdf5.fractal_heap import FractalHeap

UNDEFINED = b"\xff" * 8
FLOAT32 = struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 31, 0, 4, 0, 32, 23, 8, 0, 23, 127)
INT32 = struct.pack("<BBBBIHH", 0x10, 8, 0, 0, 4, 0, 32)
SCALAR = struct.pack("<BBBB", 2, 0, 0, 0)


def file_of(data: bytes) -> source.Source:
    return source.Source(io.BytesIO(data), "file")


def cursor_of(data: bytes) -> source.Cursor:
    return source.Cursor(file_of(data), data, "part")


def refused(message: str) -> Any:
    return pytest.raises(FormatError, match=f"^file: .*{message}")


class TestSource:
    def test_reads_within_the_file_only(self) -> None:
        file = file_of(b"0123456789")
        assert file.read(2, 3, "part") == b"234"
        for address, size in ((8, 3), (11, 0), (1 << 64, 1), (0, 1 << 50)):
            with refused("are beyond the end of the file"):
                file.read(address, size, "part")

    def test_a_file_that_shrinks_meanwhile(self) -> None:
        data = io.BytesIO(b"0123456789")
        file = source.Source(data, "file")
        data.truncate(4)
        with refused("the file ended 4 bytes early"):
            file.read(0, 8, "part")

    def test_structures_that_are_read_without_end(self) -> None:
        file = file_of(bytes(100))
        with refused("structures refer to each other without end"):
            for _ in range(1 << 20):
                file.cursor(0, 100, "part")

    def test_cursors_stay_within_their_bytes(self) -> None:
        cursor = cursor_of(b"abc\0de")
        assert cursor.until_null() == b"abc"
        with refused("a text does not end"):
            cursor.until_null()
        with refused("3 bytes expected, 2 left"):
            cursor.take(3)
        with refused("expected b'xy', found b'de'"):
            cursor.expect(b"xy")


class TestDatatypes:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"\x60" + INT32[1:], "datatype version 6 is not supported"),
            (INT32[:4] + bytes(4), "a datatype of no bytes"),
            (struct.pack("<BBBBIHH", 0x10, 0, 0, 0, 4, 0, 31), "integers of 31 bits in 4 bytes"),
            (struct.pack("<BBBBIHH", 0x10, 0, 0, 0, 3, 0, 24), "integers of 24 bits in 3 bytes"),
            (FLOAT32[:-1] + b"\1", "floats of 32 bits"),
            (FLOAT32[:1] + b"\x61" + FLOAT32[2:], "floats of 32 bits"),
            (struct.pack("<BBBBI", 0x13, 0, 0, 0, 1 << 30), "elements of 1073741824 bytes are more than"),
            (struct.pack("<BBBBI", 0x12, 0, 0, 0, 4), "time datatypes are not supported"),
            (struct.pack("<BBBBI", 0x1F, 0, 0, 0, 4), "class 15 datatypes are not supported"),
            (struct.pack("<BBBBI", 0x19, 1, 0, 0, 12), "variable-length strings of 12 bytes"),
            (struct.pack("<BBBBI", 0x18, 0, 0, 0, 4) + FLOAT32, "enumerations of float"),
            (struct.pack("<BBBBI", 0x18, 0, 0, 0, 8) + INT32, "enumerations of integer"),
            (struct.pack("<BBBBI", 0x18, 9, 0, 0, 4) + INT32 + b"a", "a text does not end"),
            (INT32[:6], "4 bytes expected"),
        ],
    )
    def test_what_is_refused(self, data: bytes, message: str) -> None:
        with refused(message):
            datatypes.read_datatype(cursor_of(data))

    @pytest.mark.parametrize("version", [1, 3])
    def test_names_of_enumerations(self, version: int) -> None:
        """Padded to eight bytes in the older versions."""
        size = 8 if version == 1 else 4
        data = struct.pack("<BBBBI", version << 4 | 8, 2, 0, 0, 4) + INT32
        data += b"red".ljust(size, b"\0") + b"blu".ljust(size, b"\0") + struct.pack("<ii", 0, 1)
        assert datatypes.read_datatype(cursor_of(data)).dtype == np.int32

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (struct.pack("<BBBB", 3, 0, 0, 0), "version 3 is not supported"),
            (struct.pack("<BBBB", 2, 33, 0, 1) + bytes(300), "a dataspace of kind 1 with 33 axes"),
            (struct.pack("<BBBB", 2, 1, 0, 0) + bytes(300), "a dataspace of kind 0 with 1 axes"),
            (struct.pack("<BBBB", 2, 1, 0, 5) + bytes(300), "a dataspace of kind 5 with 1 axes"),
            (struct.pack("<BBBBQQ", 2, 2, 0, 1, 0, 1 << 50), "is too large"),
            (
                struct.pack("<BBBBQQ", 2, 1, 1, 1, 3, 2),
                r"the shape \(3,\) is larger than its largest, \(2,\)",
            ),
        ],
    )
    def test_dataspaces(self, data: bytes, message: str) -> None:
        with refused(message):
            datatypes.read_dataspace(cursor_of(data))


class TestHeaders:
    def test_continuations_in_a_circle(self) -> None:
        continuation = struct.pack("<HHB3xQQ", headers.CONTINUATION, 16, 0, 16, 24)
        data = struct.pack("<BxHII4x", 1, 10, 1, 24) + continuation
        with refused("continuations of the object header form a circle"):
            headers.read_messages(file_of(data), 0, "part")

    def test_shared_messages(self) -> None:
        with refused("shared header messages are not supported"):
            headers.Message(3, 2, b"").cursor(file_of(b""), "part")


class TestGlobalHeap:
    def heap(self, *objects: bytes) -> global_heap.GlobalHeap:
        data = b"".join(
            struct.pack("<HHxxxxQ", index, 1, len(one)) + one.ljust(-(-len(one) // 8) * 8, b"\0")
            for index, one in enumerate(objects, 1)
        )
        data += bytes(16)  # free space
        return global_heap.GlobalHeap(
            file_of(bytes(8) + b"GCOL\1\0\0\0" + struct.pack("<Q", 16 + len(data)) + data)
        )

    def test_strings(self) -> None:
        heap = self.heap("käse".encode(), b"ab\0")
        assert heap.text(struct.pack("<IQI", 5, 8, 1), "part") == "käse"
        assert heap.text(struct.pack("<IQI", 3, 8, 2), "part") == "ab"
        assert heap.text(struct.pack("<IQI", 0, 8, 1), "part") == ""
        assert heap.text(struct.pack("<IQI", 5, 0, 1), "part") == ""

    @pytest.mark.parametrize(
        ("element", "message"),
        [
            ((2, 8, 1), "a string is not UTF-8"),
            ((2, 8, 3), "object 3 of the heap at 8 is missing or too short"),
            ((9, 8, 1), "object 1 of the heap at 8 is missing or too short"),
            ((2, 0x700, 1), "beyond the end of the file"),
            ((2, 16, 1), "expected b'GCOL'"),
        ],
    )
    def test_damage(self, element: tuple[int, int, int], message: str) -> None:
        with refused(message):
            self.heap(b"\xff\xfe", b"b").text(struct.pack("<IQI", *element), "part")


class TestAttributes:
    def read(self, *bodies: bytes, kind: int = headers.ATTRIBUTE) -> dict[str, Any]:
        file = file_of(bytes(100))
        messages = [headers.Message(kind, 0, body) for body in bodies]
        return attributes.read_attributes(file, messages, global_heap.GlobalHeap(file), "/")

    def body(self, version: int = 3, flags: int = 0, name: bytes = b"a\0") -> bytes:
        head = struct.pack("<BBHHH", version, flags, len(name), len(INT32), len(SCALAR))
        return head + (b"\0" if version == 3 else b"") + name + INT32 + SCALAR + struct.pack("<i", -7)

    def test_versions(self) -> None:
        assert self.read(self.body(2)) == self.read(self.body(3)) == {"a": -7}
        with refused("version 4 is not supported"):
            self.read(self.body(4))

    def test_refusals(self) -> None:
        with refused("two attributes are named 'a'"):
            self.read(self.body(), self.body())
        with refused("shared datatypes are not supported"):
            self.read(self.body(flags=1))
        with refused("4 bytes expected, 3 left"):
            self.read(self.body()[:-1])

    def test_a_heap_that_is_not_there(self) -> None:
        assert self.read(b"\0\0" + 2 * UNDEFINED, kind=headers.ATTRIBUTE_INFO) == {}


class TestTrees:
    def tree(self, kind: int = 5, depth: int = 0, node: bytes = b"", record: int = 11, size: int = 64) -> Any:
        head = b"BTHD" + struct.pack("<BBIHHBBQHQI", 0, kind, size, record, depth, 100, 40, 38, 1, 1, 0)
        assert len(head) == 38
        return list(btree2.records(file_of(head + node + bytes(200)), 0, 5, "part"))

    def test_refusals(self) -> None:
        with refused("records of type 8, expected 5"):
            self.tree(kind=8)
        with refused("nodes of 64 bytes, records of 0, depth 0"):
            self.tree(record=0)
        with refused("nodes of 5 bytes"):
            self.tree(size=5)
        with refused("depth 33"):
            self.tree(depth=33)
        with refused("expected b'BTLF'"):
            self.tree(node=b"BTIN")
        with refused("a node with records of another type"):
            self.tree(node=b"BTLF\0\6")

    def test_a_circle(self) -> None:
        pointer = struct.pack("<QB", 38, 1)
        with refused("the B-tree reaches the node at 38 twice"):
            self.tree(depth=1, node=b"BTIN\0\5" + bytes(11) + 2 * pointer)

    def test_an_empty_tree(self) -> None:
        head = b"BTHD" + struct.pack("<BBIHHBB", 0, 5, 64, 11, 0, 100, 40) + UNDEFINED + bytes(14)
        assert list(btree2.records(file_of(head), 0, 5, "part")) == []

    def test_the_first_version(self) -> None:
        node = b"TREE" + struct.pack("<BBHQQ", 0, 1, 1, 0, 0) + struct.pack("<QQ", 0, 0)
        with refused("the B-tree reaches the node at 0 twice"):
            list(links.tree_leaves(file_of(node), 0, 0, 8, "part"))
        with refused("a B-tree node of type 0, level 1 where type 1 was expected"):
            list(links.tree_leaves(file_of(node), 0, 1, 8, "part"))


class TestLinks:
    def test_names(self) -> None:
        one = b"\1\0\1a" + bytes(8)
        with refused("two links are named 'a'"):
            links.read_links(file_of(b""), [headers.Message(headers.LINK, 0, one)] * 2, "part")
        with refused("is not UTF-8"):
            links.read_links(file_of(b""), [headers.Message(headers.LINK, 0, b"\1\0\1\xff")], "part")


class TestFractalHeap:
    def heap(self, **changes: Any) -> FractalHeap:
        fields = {"filters": 0, "first": 64, "width": 4, "largest": 128, "bits": 16, "rows": 1} | changes
        head = b"FRHP" + struct.pack("<BHHBI", 0, 8, fields["filters"], 0, 64) + bytes(8) + UNDEFINED
        head += bytes(8 + 8 + 64) + struct.pack(
            "<HQQHH", *(fields[key] for key in ("width", "first", "largest", "bits")), 0
        )
        head += struct.pack("<QHI", len(head) + 14, fields["rows"], 0)
        return FractalHeap(file_of(head + fields.get("block", b"") + bytes(400)), 0)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"filters": 3}, "filtered heaps are not supported"),
            ({"first": 0}, "blocks of 0 to 128 bytes, 4 in a row"),
            ({"largest": 32}, "blocks of 64 to 32 bytes"),
            ({"width": 0}, "0 in a row"),
            ({"rows": 65}, "blocks of"),
            ({"bits": 65}, "blocks of"),
        ],
    )
    def test_headers(self, changes: Any, message: str) -> None:
        with refused(message):
            self.heap(**changes)

    @pytest.mark.parametrize(
        ("heap_id", "changes", "message"),
        [
            (b"\x40", {}, "version 1 of heap IDs is not supported"),
            (b"\x20", {}, "heap IDs of kind 2 are not supported"),
            (b"\x30", {}, "heap IDs of kind 3 are not supported"),
            (b"\x10\1", {}, "beyond the end"),
            (b"\0\0\x04\4", {}, "there is no offset 1024"),
            (b"\0\0\0\4", {}, "expected b'FHIB"),
            (b"\0\0\0\4", {"rows": 0}, "expected b'FHDB"),
            (b"\0\0\0\4", {"rows": 0, "block": b"FHDB\0" + bytes(8) + b"\1\0"}, "does not start at offset 0"),
        ],
    )
    def test_objects(self, heap_id: bytes, changes: Any, message: str) -> None:
        with refused(message):
            self.heap(**changes).get(heap_id)

    def test_blocks_of_blocks_without_rows(self) -> None:
        """A row of blocks that are too small for even one row."""
        block = b"FHIB\0" + bytes(8 + 2)
        with refused("a block of no rows"):
            heap = self.heap(rows=9, largest=64, width=64, block=block + bytes(8 * 64 * 9))
            heap.get(b"\0" + struct.pack("<H", 64 * 64 * 2) + b"\4")


class TestTables:
    def fixed(self, count: int, entry: int = 8, block: bytes = UNDEFINED) -> Any:
        head = b"FAHD" + struct.pack("<BBBBQ", 0, 0, entry, 10, count) + block
        return list(chunk_tables.fixed_array(file_of(head + bytes(100)), 0, 8, 5, "part"))

    def test_fixed(self) -> None:
        assert self.fixed(5) == []
        with refused("a table of 6 entries of 8 bytes, expected 5 of 8"):
            self.fixed(6)
        with refused("a table of 5 entries of 9 bytes, expected 5 of 8"):
            self.fixed(5, 9)

    def extensible(self, least: int = 16, index: bytes = UNDEFINED) -> Any:
        head = b"EAHD" + struct.pack("<BBBBBBBB", 0, 0, 8, 32, 4, least, 4, 10) + bytes(48) + index
        return list(chunk_tables.extensible_array(file_of(head + bytes(100)), 0, 8, "part"))

    def test_extensible(self) -> None:
        assert self.extensible() == []
        for least in (0, 3):
            with refused(f"a table with entries of 8 bytes, {least} in its first block"):
                self.extensible(least)
        with refused("beyond the end of the file"):
            self.extensible(index=struct.pack("<Q", 50))

    def test_blocks_with_pages(self) -> None:
        """Two pages of two entries, of which only the second was written."""
        block = b"EADB" + bytes(2 + 8 + 4) + bytes(4) + bytes(16 + 4) + struct.pack("<QQ", 7, 8) + bytes(4)
        head = b"EAHD" + struct.pack("<BBBBBBBB", 0, 0, 8, 32, 4, 4, 4, 1) + bytes(56)
        file = file_of(block + head)
        cursor = file.cursor(len(block), len(head), "part")
        cursor.skip(6)
        array = chunk_tables._Extensible(file, cursor, 8, "part")
        found = list(array.data_block(0, 100, 4, b"\x40"))
        assert [(number, entry.uint(8)) for number, entry in found] == [(102, 7), (103, 8)]
        assert list(array.data_block((1 << 64) - 1, 100, 4, None)) == []

    def index(self, kind: int, data: bytes = b"", address: int = 0) -> chunks.Index:
        return chunks.Index(file_of(data), "part", kind, address, (2,), 8, 0, (8, 0))

    def test_chunks_without_an_index(self) -> None:
        assert list(self.index(0, address=(1 << 64) - 1).chunks((4,), (4,))) == []

    def test_an_extensible_array_has_one_unlimited_axis(self) -> None:
        with refused("needs one unlimited axis"):
            list(self.index(4).chunks((4,), (4,)))

    def test_chunks_between_chunks(self) -> None:
        node = b"TREE" + struct.pack("<BBHQQ", 1, 0, 1, 0, 0) + struct.pack("<IIQQQ", 8, 0, 3, 0, 0)
        with refused(r"a chunk begins at \[3\], between chunks of \(2,\)"):
            list(self.index(0, node).chunks((4,), (4,)))

    def test_very_many_chunks_in_a_row(self) -> None:
        with refused("structures refer to each other without end"):
            list(self.index(2).chunks((1 << 40,), (1 << 40,)))


class TestLayouts:
    def read(self, *messages: tuple[int, bytes], shape: tuple[int, ...] = (4,), data: bytes = b"") -> Any:
        found = [headers.Message(kind, 0, body) for kind, body in messages]
        space = datatypes.Dataspace(shape, shape)
        stored = layouts.Stored(file_of(data), "part", space, np.dtype("<i4"), found)
        return layouts.read_stored(stored)

    @pytest.mark.parametrize(
        ("layout", "message"),
        [
            (b"\2\1", "version 2 is not supported"),
            (b"\3\4", "layout 4"),
            (b"\3\0" + struct.pack("<H", 8) + bytes(8), "8 bytes are stored, expected 16"),
            (b"\3\1" + struct.pack("<QQ", 0, 8), "8 bytes are stored, expected 16"),
            (b"\3\1" + struct.pack("<QQ", 90, 16), "beyond the end of the file"),
            (b"\3\2" + struct.pack("<BQII", 2, 0, 2, 8), r"chunks of shape \(2,\) with elements of 8 bytes"),
            (b"\3\2" + struct.pack("<BQII", 2, 0, 0, 4), r"chunks of shape \(0,\)"),
            (b"\3\2" + struct.pack("<BQIII", 3, 0, 1, 1, 4), r"chunks of shape \(1, 1\)"),
            (b"\4\2" + struct.pack("<BBBBBB", 0, 2, 1, 2, 4, 9), "chunk index 9 is not supported"),
            (b"\4\2" + struct.pack("<BBBBBBQ", 0, 2, 1, 4, 4, 1, 95), "beyond the end of the file"),
        ],
    )
    def test_refusals(self, layout: bytes, message: str) -> None:
        with refused(message):
            self.read((headers.LAYOUT, layout), data=bytes(100))

    def test_no_layout(self) -> None:
        with refused("there is no data layout"):
            self.read()

    @pytest.mark.parametrize(
        ("kind", "fill", "expected"),
        [
            (headers.OLD_FILL, struct.pack("<Ii", 4, 9), 9),
            (headers.OLD_FILL, struct.pack("<I", 0), 0),
            (headers.FILL, struct.pack("<BBBBIi", 2, 1, 1, 1, 4, 9), 9),
            (headers.FILL, struct.pack("<BBBB", 2, 1, 1, 0), 0),
            (headers.FILL, struct.pack("<BBIi", 3, 32, 4, 9), 9),
            (headers.FILL, struct.pack("<BB", 3, 0), 0),
            (headers.FILL, struct.pack("<BBIh", 3, 32, 2, 9), 0),
        ],
    )
    def test_fill_values(self, kind: int, fill: bytes, expected: int) -> None:
        contiguous = b"\3\1" + UNDEFINED + bytes(8)
        assert self.read((headers.LAYOUT, contiguous), (kind, fill)).tolist() == [expected] * 4

    def test_chunks_outside_of_the_array_are_left_out(self) -> None:
        tree = b"TREE" + struct.pack("<BBHQQ", 1, 0, 2, 0, 0)
        tree += struct.pack("<IIQQQ", 8, 0, 2, 0, 88) + struct.pack("<IIQQQ", 8, 0, 80, 0, 0)
        data = tree + struct.pack("<ii", 5, 6)
        layout = b"\3\2" + struct.pack("<BQII", 2, 0, 2, 4)
        assert self.read((headers.LAYOUT, layout), data=data).tolist() == [0, 0, 5, 6]

    def test_chunks_at_the_edge_may_not_be_filtered(self) -> None:
        """Chunks of three of four elements: the second goes over the edge and is stored as it is."""
        pipeline = struct.pack("<BBHHH", 2, 1, 3, 0, 0)
        body = struct.pack("<iii", 1, 2, 3)
        from rnnpack.formats.hdf5.filters import fletcher32

        chunk = body + struct.pack("<I", fletcher32(body))
        entries = struct.pack("<QHI", 100, 16, 0) + struct.pack("<QHI", 116, 12, 0)
        head = b"FAHD" + struct.pack("<BBBBQQ", 0, 1, 14, 10, 2, 40)
        block = b"FADB" + bytes(2 + 8) + entries
        data = head.ljust(40, b"\0") + block
        data = data.ljust(100, b"\0") + chunk + struct.pack("<iii", 4, 0, 0)
        layout = b"\4\2" + struct.pack("<BBBBBBBQ", 1, 2, 1, 3, 4, 3, 10, 0)
        found = self.read((headers.LAYOUT, layout), (headers.FILTERS, pipeline), data=data)
        assert found.tolist() == [1, 2, 3, 4]
