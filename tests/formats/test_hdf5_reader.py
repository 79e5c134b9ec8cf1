"""The HDF5 reader on files that h5py wrote, and on files made to harm."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import make_hdf5_files as made
import numpy as np
import pytest

from rnnpack.formats import FormatError
from rnnpack.formats.hdf5 import Dataset, Group, filters, open_hdf5
from rnnpack.formats.hdf5.source import Cursor, Source

FILES = made.FOLDER


def all_versions(name: str) -> Any:
    return pytest.mark.parametrize("version", made.FILES[name])


def opened(name: str) -> Any:
    return open_hdf5(FILES / f"{name}.h5")


def read(group: Group, path: str) -> Any:
    found = group[path]
    assert isinstance(found, Dataset)
    return found.read()


def changed(name: str, change: Callable[[bytearray], None]) -> io.BytesIO:
    data = bytearray((FILES / f"{name}.h5").read_bytes())
    change(data)
    return io.BytesIO(data)


class TestRecordedFiles:
    @all_versions("types")
    def test_all_datatypes(self, version: str) -> None:
        with opened(f"types-{version}") as root:
            for path, expected in made.expected_arrays().items():
                dataset = root[path]
                assert isinstance(dataset, Dataset)
                assert dataset.shape == np.shape(expected), path
                assert dataset.dtype == np.asarray(expected).dtype, path
                found = dataset.read()
                assert found.dtype == dataset.dtype
                assert found.shape == dataset.shape
                assert np.array_equal(found, expected), path

    @all_versions("types")
    def test_attributes(self, version: str) -> None:
        expected = made.expected_attributes()
        with opened(f"types-{version}") as root:
            found = root["types"].attrs
            assert found is root["types"].attrs or found == found
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert type(found[name]) is type(value), name
                assert np.array_equal(found[name], value), name
            assert root.attrs == {}

    @all_versions("types")
    def test_links_and_paths(self, version: str) -> None:
        with opened(f"types-{version}") as root:
            assert list(root) == sorted(root) == ["hard", "relative", "soft", "types"]
            assert len(root) == 4
            assert np.array_equal(read(root, "soft"), read(root, "types/<f4"))
            assert np.array_equal(read(root, "relative/<f4"), read(root, "/types//./<f4"))
            assert np.array_equal(read(root, "hard"), read(root, "types/<f8"))
            types = root["types"]
            assert isinstance(types, Group)
            assert "/soft" in types and "soft" not in types and 3 not in types
            assert types.name == "/types" and root["types/<f4"].name == "/types/<f4"
            assert root["soft"].name == "/types/<f4"
            assert repr(types) == "<Group /types>"
            with pytest.raises(KeyError, match="no 'types/<f4/below' in group /"):
                _ = root["types/<f4/below"]

    @all_versions("chunks")
    @pytest.mark.parametrize(("chunks", "how"), made.chunked_names())
    def test_every_index_of_chunks_and_every_filter(self, version: str, chunks: str, how: str) -> None:
        with opened(f"chunks-{version}") as root:
            assert np.array_equal(read(root, f"{chunks}/{how}"), made.chunked_array())

    @all_versions("chunks")
    def test_what_was_never_written_is_the_fill_value(self, version: str) -> None:
        with opened(f"chunks-{version}") as root:
            assert read(root, "gaps").tolist() == [7, 7, 1, 7, 7, 7]
            assert read(root, "unwritten").tolist() == [0.5] * 3

    @all_versions("chunks")
    def test_an_array_made_smaller(self, version: str) -> None:
        with opened(f"chunks-{version}") as root:
            assert read(root, "shrunk").tolist() == [0, 1, 2, 3, 4]

    @all_versions("dense")
    def test_many_members_and_attributes(self, version: str) -> None:
        with opened(f"dense-{version}") as root:
            many = root["many"]
            assert isinstance(many, Group)
            assert list(many) == [f"member{index:02}" for index in range(40)]
            assert [int(read(many, name)) for name in many] == list(range(40))
            assert many.attrs == {f"attribute{index:02}": index for index in range(20)}

    def test_tables_with_pages(self) -> None:
        with opened("long-latest") as root:
            expected = np.arange(1500, dtype=np.uint8)
            assert np.array_equal(read(root, "fixed"), expected)
            assert np.array_equal(read(root, "extensible"), expected)
            sparse = read(root, "sparse")
            assert np.flatnonzero(sparse).tolist() == [5, 299_999]

    def test_a_block_of_the_user_before_the_file(self) -> None:
        with opened("block") as root:
            assert read(root, "x").tolist() == [0, 1, 2]

    def test_an_open_file_and_its_name(self) -> None:
        data = io.BytesIO((FILES / "block.h5").read_bytes())
        with open_hdf5(data, "memory") as root:
            assert read(root, "x").tolist() == [0, 1, 2]
            with pytest.raises(KeyError, match="memory: there is no 'y'"):
                _ = root["y"]
        assert not data.closed


class TestDamage:
    def test_not_an_hdf5_file(self, tmp_path: Path) -> None:
        path = tmp_path / "text.h5"
        path.write_bytes(b"hello" * 400)
        with (
            pytest.raises(FormatError, match=r"text\.h5: superblock: this is not an HDF5 file"),
            open_hdf5(path),
        ):
            pass
        with pytest.raises(FileNotFoundError), open_hdf5(tmp_path / "missing.h5"):
            pass

    def test_a_truncated_file_says_so(self) -> None:
        data = (FILES / "types-earliest.h5").read_bytes()[:-100]
        with (
            pytest.raises(FormatError, match=r"of its 14136 bytes: it is truncated"),
            open_hdf5(io.BytesIO(data)),
        ):
            pass

    @pytest.mark.parametrize("at", [13, 14])
    def test_strange_sizes_of_offsets(self, at: int) -> None:
        with (
            pytest.raises(FormatError, match="offsets of"),
            open_hdf5(changed("types-earliest", lambda data: data.__setitem__(at, 3))),
        ):
            pass

    def test_unknown_versions(self) -> None:
        with (
            pytest.raises(FormatError, match="superblock: version 9 is not supported"),
            open_hdf5(changed("types-earliest", lambda data: data.__setitem__(8, 9))),
        ):
            pass

    def test_damaged_data_are_noticed_by_their_checksum(self) -> None:
        def damage(data: bytearray) -> None:
            stored = made.chunked_array().tobytes()
            at = data.find(stored + struct.pack("<I", filters.fletcher32(stored)))
            assert at > 0
            data[at + 5] ^= 1

        with (
            open_hdf5(changed("chunks-latest", damage)) as root,
            pytest.raises(
                FormatError, match=r"dataset /single/checked chunk \(0, 0\): the checksum of a chunk is wrong"
            ),
        ):
            read(root, "single/checked")

    def test_every_byte_of_a_small_file_may_be_wrong(self) -> None:
        original = (FILES / "block.h5").read_bytes()
        for at in range(512, len(original)):
            data = bytearray(original)
            data[at] ^= 0xFF
            try:
                with open_hdf5(io.BytesIO(data)) as root:
                    read(root, "x")
            except (FormatError, KeyError):
                pass


def source_of(data: bytes) -> Source:
    return Source(io.BytesIO(data), "file")


def cursor_of(data: bytes) -> Cursor:
    return Cursor(source_of(data), data, "part")


class TestFilters:
    def test_unknown_filters_are_named(self) -> None:
        pipeline = struct.pack("<BB6xHHHH8s", 1, 1, 32000, 8, 0, 0, b"lzf")
        with pytest.raises(FormatError, match=r"filter 32000 \(lzf\) is not supported"):
            filters.read_filters(cursor_of(pipeline))
        with pytest.raises(FormatError, match=r"filter 300 \(mine\) is not supported"):
            filters.read_filters(cursor_of(struct.pack("<BBHHHH4s", 2, 1, 300, 4, 0, 0, b"mine")))

    def test_absurd_pipelines(self) -> None:
        with pytest.raises(FormatError, match="200 filters"):
            filters.read_filters(cursor_of(struct.pack("<BB6x", 1, 200)))
        with pytest.raises(FormatError, match="does not say the size"):
            filters.read_filters(cursor_of(struct.pack("<BBHHH", 2, 1, 2, 0, 0)))

    def test_a_bomb_is_not_inflated(self) -> None:
        bomb = zlib.compress(bytes(1 << 26))
        with pytest.raises(FormatError, match="does not inflate to at most 1000 bytes"):
            filters.undo([filters.Filter(1, ())], bomb, 0, 1000, cursor_of(b""))

    @pytest.mark.parametrize(
        ("number", "data", "message"),
        [
            (1, b"no zlib", "cannot be inflated"),
            (1, zlib.compress(bytes(8))[:-3], "does not inflate"),
            (1, zlib.compress(bytes(4)), "a chunk of 4 bytes, expected 8"),
            (3, b"abc", "without its checksum"),
            (3, bytes(8) + b"\1\0\0\0", "the checksum of a chunk is wrong"),
        ],
    )
    def test_damaged_chunks(self, number: int, data: bytes, message: str) -> None:
        with pytest.raises(FormatError, match=message):
            filters.undo([filters.Filter(number, ())], data, 0, 8, cursor_of(b""))

    def test_filters_that_were_left_out(self) -> None:
        assert filters.undo([filters.Filter(1, ())], b"as it is", 1, 8, cursor_of(b"")) == b"as it is"

    @pytest.mark.parametrize("size", [0, 1, 2, 7, 1000, 300_001])
    def test_fletcher32(self, size: int) -> None:
        """Against the definition: two running sums modulo 65535, word by word."""
        data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8).tobytes()
        first = second = 0
        for at in range(0, size, 2):
            first = (first + int.from_bytes((data[at : at + 2] + b"\0")[:2], "big")) % 65535
            second = (second + first) % 65535
        assert filters.fletcher32(data) == second << 16 | first

    def test_bytes_that_do_not_fill_an_element_were_not_shuffled(self) -> None:
        shuffled = bytes([1, 3, 2, 4, 9])
        assert filters.undo([filters.Filter(2, (2,))], shuffled, 0, 5, cursor_of(b"")) == bytes(
            [1, 2, 3, 4, 9]
        )


class TestWithH5py:
    """What recorded files cannot hold: refusals by name."""

    @pytest.fixture
    def h5py(self) -> Any:
        return pytest.importorskip("h5py")

    def file(self, h5py: Any, write: Callable[[Any], Any], **options: Any) -> io.BytesIO:
        data = io.BytesIO()
        with h5py.File(data, "w", **options) as file:
            write(file)
        return data

    @pytest.mark.parametrize("libver", ["earliest", "latest"])
    def test_round_trips_of_many_shapes(self, h5py: Any, libver: str) -> None:
        generator = np.random.default_rng(1)
        arrays = {str(rank): generator.random((2,) * rank) for rank in range(12)}
        arrays["empty"] = np.zeros((0, 3))
        arrays["wide"] = generator.random((1, 700)).astype(np.float16)

        def write(file: Any) -> None:
            for name, array in arrays.items():
                file[name] = array
            file.create_dataset("nothing", data=h5py.Empty("f4"))
            file.create_dataset("no chunks", shape=(0,), chunks=(5,), maxshape=(None,), dtype="f4")

        with open_hdf5(self.file(h5py, write, libver=libver)) as root:
            for name, array in arrays.items():
                assert np.array_equal(read(root, name), array)
            assert read(root, "nothing").shape == (0,)
            assert read(root, "no chunks").shape == (0,)

    @pytest.mark.parametrize("libver", ["earliest", "latest"])
    def test_huge_and_long_things(self, h5py: Any, libver: str) -> None:
        def write(file: Any) -> None:
            file.attrs["config"] = "x" * 200_000
            if libver == "latest":
                file.attrs["numbers"] = np.arange(20_000)
            for index in range(300):
                file[f"many/{index:03}/{'n' * 60}"] = index
            for index in range(30):
                file["many"].attrs[f"{index:03}{'n' * 400}"] = np.arange(index)

        with open_hdf5(self.file(h5py, write, libver=libver)) as root:
            assert root.attrs["config"] == "x" * 200_000
            assert libver == "earliest" or np.array_equal(root.attrs["numbers"], np.arange(20_000))
            many = root["many"]
            assert isinstance(many, Group)
            assert [int(read(many, f"{name}/{'n' * 60}")) for name in many] == list(range(300))
            assert [len(many.attrs[f"{index:03}{'n' * 400}"]) for index in range(30)] == list(range(30))

    @pytest.mark.parametrize(
        ("dtype", "message"),
        [
            (np.complex64, "compound datatypes are not supported"),
            (np.dtype([("a", "f4")]), "compound datatypes are not supported"),
            (np.dtype("V5"), "opaque datatypes are not supported"),
            (np.dtype(("f4", (2,))), "array datatypes are not supported"),
            (np.longdouble, r"floats of \d+ bits"),
        ],
    )
    def test_datatypes_without_a_counterpart(self, h5py: Any, dtype: Any, message: str) -> None:
        def write(file: Any) -> None:
            file.create_dataset("x", shape=(2,), dtype=dtype)
            file.attrs.create("x", 0 if np.dtype(dtype).kind in "cf" else np.zeros((), dtype), dtype=dtype)

        with open_hdf5(self.file(h5py, write)) as root:
            with pytest.raises(FormatError, match=f"dataset /x: {message}"):
                _ = root["x"]
            with pytest.raises(FormatError, match=f"attribute of / 'x': {message}"):
                _ = root.attrs

    def test_datatypes_that_h5py_makes_itself(self, h5py: Any) -> None:
        def write(file: Any) -> None:
            file.create_dataset("sequences", shape=(2,), dtype=h5py.vlen_dtype(np.int32))
            file.create_dataset("references", shape=(2,), dtype=h5py.ref_dtype)
            enumeration = h5py.enum_dtype({"RED": 0, "GREEN": 1}, basetype="i2")
            file.create_dataset("colours", data=np.array([1, 0], np.int16), dtype=enumeration)
            file["committed"] = np.dtype("f4")
            file.create_dataset("shared", shape=(2,), dtype=file["committed"])

        with open_hdf5(self.file(h5py, write)) as root:
            assert read(root, "colours").tolist() == [1, 0]
            for name, message in (
                ("sequences", "variable-length datatypes are not supported"),
                ("references", "reference datatypes are not supported"),
                ("committed", "there is no datatype or no dataspace"),
                ("shared", "shared header messages are not supported"),
            ):
                with pytest.raises(FormatError, match=message):
                    read(root, name)

    def test_bfloat16_becomes_float32(self, h5py: Any) -> None:
        values = np.array([1.5, -2.0, 3.140625, np.inf], np.float32)  # exact in bfloat16

        def write(file: Any) -> None:
            kind = h5py.h5t.IEEE_F32LE.copy()
            kind.set_fields(15, 7, 8, 0, 7)
            kind.set_size(2)
            kind.set_ebias(127)
            space = h5py.h5s.create_simple((4,))
            stored = h5py.h5d.create(file.id, b"x", kind, space)
            stored.write(h5py.h5s.ALL, h5py.h5s.ALL, values, h5py.h5t.NATIVE_FLOAT)

        with open_hdf5(self.file(h5py, write)) as root:
            assert read(root, "x").dtype == np.float32
            assert np.array_equal(read(root, "x"), values)

    def test_nothing_outside_the_file_is_read(self, h5py: Any, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(bytes(range(8)))
        with h5py.File(tmp_path / "other.h5", "w") as other:
            other["x"] = np.arange(4)
        path = tmp_path / "file.h5"
        with h5py.File(path, "w", libver="latest") as file:
            file["link"] = h5py.ExternalLink("other.h5", "/x")
            file.create_dataset("external", (8,), "u1", external=[(str(secret), 0, 8)])
            layout = h5py.VirtualLayout((4,), "i8")
            layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
            file.create_virtual_dataset("virtual", layout)
        with open_hdf5(path) as root:
            for name, message in (
                ("link", "'link' is a link out of the file: not supported"),
                ("external", "external storage"),
                ("virtual", "virtual datasets are not supported"),
            ):
                with pytest.raises(FormatError, match=message):
                    read(root, name)

    @pytest.mark.parametrize("libver", ["earliest", "latest"])
    def test_circles(self, h5py: Any, libver: str) -> None:
        def write(file: Any) -> None:
            file["soft"] = h5py.SoftLink("/soft")
            file["ping"] = h5py.SoftLink("pong")
            file["pong"] = h5py.SoftLink("ping")
            group = file.create_group("group")
            group["again"] = group
            deep = file
            for _ in range(70):
                deep = deep.create_group("d")

        with open_hdf5(self.file(h5py, write, libver=libver)) as root:
            for name in ("soft", "ping"):
                with pytest.raises(FormatError, match="soft links go round in circles"):
                    _ = root[name]
            for name in ("group/again", "/".join("d" * 70)):
                with pytest.raises(FormatError, match="in a circle, or too deep"):
                    _ = root[name]

    @pytest.mark.parametrize("libver", ["earliest", "latest"])
    def test_objects_in_the_order_of_their_making(self, h5py: Any, libver: str) -> None:
        def write(file: Any) -> None:
            group = file.create_group("g", track_order=True)
            group["z"], group["a"] = 1, 2
            group.attrs["z"], group.attrs["a"] = 3, 4

        with open_hdf5(self.file(h5py, write, libver=libver, track_order=True)) as root:
            group = root["g"]
            assert isinstance(group, Group)
            assert list(group) == ["a", "z"]
            assert group.attrs == {"z": 3, "a": 4}

    def test_a_heap_with_blocks_of_blocks(self, h5py: Any) -> None:
        names = [f"{index:04}{'n' * 240}" for index in range(2500)]

        def write(file: Any) -> None:
            file["x"] = 5
            many = file.create_group("many")
            for name in names:
                many[name] = file["x"]

        with open_hdf5(self.file(h5py, write, libver="latest")) as root:
            many = root["many"]
            assert isinstance(many, Group)
            assert list(many) == names
            assert read(many, names[-1]) == 5

    def test_chunks_in_a_row_and_compact_data(self, h5py: Any) -> None:
        values = np.arange(35, dtype=np.int32).reshape(7, 5)

        def write(file: Any) -> None:
            h5d, h5p, h5s = h5py.h5d, h5py.h5p, h5py.h5s
            space = h5s.create_simple(values.shape)
            early, compact = h5p.create(h5p.DATASET_CREATE), h5p.create(h5p.DATASET_CREATE)
            early.set_chunk((3, 2))
            early.set_alloc_time(h5d.ALLOC_TIME_EARLY)
            compact.set_layout(h5d.COMPACT)
            for name, properties in ((b"early", early), (b"compact", compact)):
                made = h5d.create(file.id, name, h5py.h5t.NATIVE_INT32, space, properties)
                made.write(h5s.ALL, h5s.ALL, values)

        with open_hdf5(self.file(h5py, write, libver="latest")) as root:
            assert np.array_equal(read(root, "early"), values)
            assert np.array_equal(read(root, "compact"), values)

    def test_an_array_larger_than_the_file_can_hold(self, h5py: Any) -> None:
        def write(file: Any) -> None:
            file.create_dataset("sparse", shape=(1 << 40,), chunks=(1 << 10,), dtype="f4")
            file.create_dataset("text", data=["long" * 1000] * 10, dtype=h5py.string_dtype())

        with open_hdf5(self.file(h5py, write)) as root:
            with pytest.raises(FormatError, match="are more than a file of"):
                read(root, "sparse")
            assert read(root, "text").tolist() == ["long" * 1000] * 10
