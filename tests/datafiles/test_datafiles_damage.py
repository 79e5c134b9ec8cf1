"""Truncated, corrupted and hostile files give one FormatError, never anything else."""

from __future__ import annotations

import functools
import io
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnpack.datafiles import create_rows, npy_format, npz, open_rows
from rnnpack.datafiles.columns import Chunk, columns_of
from rnnpack.formats import FormatError

few = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def header(text: str) -> bytes:
    """A .npy file whose header is this text, without data."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


def consume(path: Path) -> None:
    with open_rows(path) as source:
        for _ in source.chunks(3):
            pass


def refused(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        consume(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an array"),
        (b"\x93NUMPY\x04\x00", "not an array"),
        (b"\x93NUMPY\x01\x00", "header of 0 bytes"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of 4294967295 bytes"),
        (header("("), "damaged"),
        (header("(" * 9000), "damaged"),
        (header("[]"), "damaged"),
        (header("{}"), "damaged"),
        (header("__import__('os')"), "damaged"),
        (header(good.replace("(3,)", "()")), "axis of rows"),
        (header(good.replace("(3,)", "(-3,)")), "axis of rows"),
        (header(good.replace("(3,)", "(True,)")), "axis of rows"),
        (header(good.replace("(3,)", "[3]")), "axis of rows"),
        (header(good.replace("(3,)", "(0, 4611686018427387904)")), "axis of rows"),
        (header(good.replace("(3,)", "(1099511627776, 1099511627776)")), "axis of rows"),
        (header(good.replace("False", "0")), "axis of rows"),
        (header(good.replace("}", "'more': 1}")), "axis of rows"),
        (header(good.replace("'<f4'", "'|O'")), "bools, integers or floats"),
        (header(good.replace("'<f4'", "[('a', '<f4')]")), "bools, integers or floats"),
        (header(good.replace("'<f4'", "'<c8'")), "bools, integers or floats"),
        (header(good.replace("(3,)", "(281474976710655,)")), "0 bytes of data, expected 1125899906842620"),
        (header(good), "0 bytes of data, expected 12"),
        (npy(np.arange(3)) + b"x", "25 bytes of data, expected 24"),
        (npy(np.array("text")), "bools, integers or floats"),
        (npy(np.float64(1)), "axis of rows"),
    ],
)
def test_damaged_npy(data: bytes, message: str, tmp_path: Path) -> None:
    refused(tmp_path / "x.npy", data, message)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    refused(tmp_path / "x.npy", (tmp_path / "x.npy").read_bytes(), "bools, integers or floats")


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(10))
    with open_rows(tmp_path / "x.npy") as source:
        os.truncate(tmp_path / "x.npy", 140)
        with pytest.raises(FormatError, match="ends after 140 bytes, expected 208"):
            list(source.chunks(10))


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


three, two = npy(np.arange(3.0)), npy(np.arange(2.0))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "no arrays"),
        ({"x.txt": three}, "'x.txt'"),
        ({"x.npy": b"?"}, "array 'x': not an array"),
        ({"x.npy": three[:-1]}, "array 'x' has 23 bytes of data, expected 24"),
        ({"x.npy": three, "y.npy": two}, "one number of rows"),
        ({"x.npy": header(good.replace("(3,)", "(0, 536870912)"))}, "array 'x': a row has 536870912 numbers"),
        ({"x.npy": three, "x_row_lengths.npy": npy(np.ones(2))}, "must be integers with one axis"),
        ({"x.npy": three, "x_row_lengths.npy": npy(np.array([2, 2]))}, "has 3 rows, expected 4"),
        ({"x.npy": three, "x_row_lengths.npy": npy(np.array([1, 1]))}, "adds up to 2, expected 3"),
        ({"x.npy": three, "x_row_lengths.npy": npy(np.array([4, -1]))}, "lengths must be at least 0"),
        ({"x.npy": three, "x_row_lengths.npy": npy(np.array([2**62] * 4, "u8"))}, "lengths must be at least"),
    ],
)
def test_damaged_npz(members: dict[str, bytes], message: str, compression: int, tmp_path: Path) -> None:
    refused(tmp_path / "x.npz", archive(members, compression), message)


def test_compressed_arrays_in_fortran_order(tmp_path: Path) -> None:
    data = npy(np.asfortranarray(np.ones((3, 4))))
    refused(tmp_path / "x.npz", archive({"x.npy": data}, zipfile.ZIP_DEFLATED), "Fortran order")
    (tmp_path / "x.npz").write_bytes(archive({"x.npy": data}))
    consume(tmp_path / "x.npz")


def test_members_of_one_name(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            file.writestr("x.npy", three)
            file.writestr("x.npy", three)
    refused(tmp_path / "x.npz", out.getvalue(), "the same name")


def test_a_stored_size_that_is_a_lie(tmp_path: Path) -> None:
    lie = header(good.replace("(3,)", "(1000000000000,)"))
    data = bytearray(archive({"x.npy": lie}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (2**32 - 1).to_bytes(
        4, "little"
    )  # the size is in the extra field
    extra = b"\x01\x00\x08\x00" + (len(lie) + 4 * 10**12).to_bytes(8, "little")
    data[directory + 30 : directory + 32] = len(extra).to_bytes(2, "little")
    end = directory + 46 + len("x.npy")
    data[end:end] = extra
    at = data.index(b"PK\x05\x06")
    data[at + 12 : at + 16] = (at - directory).to_bytes(4, "little")
    refused(tmp_path / "x.npz", bytes(data), "array 'x' has 4000000000000 bytes, there are")


def test_compressed_data_that_are_damaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = bytearray(archive({"x.npy": npy(rng.normal(size=(3000, 10)).round(1))}, zipfile.ZIP_DEFLATED))
    data[20_000] ^= 255
    refused(tmp_path / "x.npz", bytes(data), "array 'x'")


def test_two_headers_that_differ(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "x.npz").write_bytes(archive({"x.npy": three}))
    with open_rows(tmp_path / "x.npz") as source:
        other = npy_format.Header(np.dtype("f8"), (2,), False)
        monkeypatch.setattr(npz.npy_format, "read_header", lambda *_: other)
        with pytest.raises(FormatError, match="two headers that differ"):
            list(source.chunks(1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"a,a\n1,2\n", "different column names, got 'a'"),
        (b"a,\n1,2\n", "different column names, got ''"),
        (b"x[0],x[2]\n1,2\n", "one field for every index"),
        (b'x[0],"x[0,1]"\n1,2\n', "one field for every index"),
        (b"a,b\n1,2,3\n", "row 0: expected 2 fields, got 3"),
        (b"a,b\n1,2\n3,\n", "row 1, field 2: expected a number, got ''"),
        (b"a,b\n1,2\n3,4\n5,6\n7,no\n", "row 3, field 2: expected a number, got 'no'"),
        (b'a,b\n1,"2\n', "line 2"),
        (b"a,b\n1,\xff\n", "UTF-8"),
    ],
)
def test_damaged_csv(text: bytes, message: str, tmp_path: Path) -> None:
    refused(tmp_path / "x.csv", text, message)


def test_lines_without_end(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("rnnpack.datafiles.csv._LONGEST_LINE", 100)
    refused(tmp_path / "x.csv", b"a\n" + b"1" * 200, "100 characters or more")


def test_csv_without_names_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf1, 2.5\r\n\r\n3,nan\r\n")
    with open_rows(tmp_path / "x.csv") as source:
        (chunk,) = source.chunks(9)
    np.testing.assert_equal(chunk, {"0": np.array([1.0, 3.0]), "1": np.array([2.5, np.nan])})


def test_damaged_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    refused(tmp_path / "x.parquet", b"", "not a sound .parquet file")
    refused(tmp_path / "x.parquet", b"PAR1" * 50, "not a sound .parquet file")
    for column, message in [
        (pa.array(["text"]), "no column of numbers"),
        (pa.array([1, None]), "column 'x' has 1 nulls"),
        (pa.array([[1], None]), "column 'x' has 1 nulls"),
        (pa.array([[1, None]]), "column 'x' has nulls"),
        (pa.array([[1, None]], pa.list_(pa.int64(), 2)), "column 'x' has nulls"),
        (pa.array([[[1, 2], None]], pa.list_(pa.list_(pa.int64(), 2))), "column 'x' has nulls"),
    ]:
        pq.write_table(pa.table({"x": column}), tmp_path / "x.parquet")
        refused(tmp_path / "x.parquet", (tmp_path / "x.parquet").read_bytes(), message)


@functools.cache
def sound(suffix: str, stored: bool) -> bytes:
    """A small file without damage."""
    with tempfile.TemporaryDirectory() as folder:
        return written(suffix, Path(folder), stored)


def written(suffix: str, folder: Path, stored: bool) -> bytes:
    lengths = np.array([2, 1, 3, 1, 1])
    chunk: Chunk = {"x": np.arange(10.0).reshape(5, 2), "y": (np.arange(8), lengths)}
    if suffix in (".npy", ".csv"):
        del chunk["y"]
    with create_rows(folder / f"sound{suffix}", columns_of(chunk)) as sink:
        sink.append(chunk)
    data = (folder / f"sound{suffix}").read_bytes()
    if suffix != ".npz":
        return data
    with np.load(folder / "sound.npz") as arrays:
        np.savez_compressed(folder / "packed.npz", **arrays)
    return data if stored else (folder / "packed.npz").read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
@few
@given(data=st.data())
def test_any_damage_is_a_format_error_or_none(suffix: str, data: st.DataObject, tmp_path: Path) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    content = bytearray(sound(suffix, data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    (tmp_path / f"x{suffix}").write_bytes(content)
    try:
        consume(tmp_path / f"x{suffix}")
    except FormatError as error:
        assert len(str(error).splitlines()) == 1
