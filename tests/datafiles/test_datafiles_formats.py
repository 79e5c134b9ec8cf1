"""Rows written to a file come back, whatever the kind of the file and the size of chunks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpack.datafiles import Chunk, Column, RowSource, SinkState, create_rows, open_rows
from rnnpack.datafiles.columns import chunk_rows, columns_of
from rnnpack.datafiles.sink import PartialFile
from rnnpack.formats import FormatError

DENSE = [".npy", ".npz", ".parquet", ".csv"]
RAGGED = [".npz", ".parquet"]
few = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def needs(suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")


def part(chunk: Chunk, start: int, stop: int) -> Chunk:
    """Rows of a chunk, by the definition of the pair (values, row_lengths)."""
    out: Chunk = {}
    for name, rows in chunk.items():
        if isinstance(rows, tuple):
            pieces = np.split(rows[0], np.cumsum(rows[1])[:-1]) if len(rows[1]) else []
            picked = pieces[start:stop]
            out[name] = np.concatenate([rows[0][:0], *picked]), rows[1][start:stop]
        else:
            out[name] = rows[start:stop]
    return out


def write(path: Path, chunk: Chunk, size: int) -> None:
    """The chunk as a file, `size` rows at a time."""
    with create_rows(path, columns_of(chunk)) as sink:
        for start in range(0, chunk_rows(chunk), size):
            sink.append(part(chunk, start, start + size))


def same(got: Chunk, wanted: Chunk) -> None:
    assert list(got) == list(wanted)
    for name, rows in wanted.items():
        pairs = zip(got[name], rows, strict=True) if isinstance(rows, tuple) else [(got[name], rows)]
        for one, other in pairs:
            assert isinstance(one, np.ndarray)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def everything(source: RowSource, size: int, start: int = 0) -> Chunk:
    chunks = list(source.chunks(size, start))
    assert all(chunk_rows(chunk) == size for chunk in chunks[:-1])
    out: Chunk = {}
    for name, rows in chunks[0].items():
        parts: Any = [chunk[name] for chunk in chunks]
        if isinstance(rows, tuple):
            out[name] = tuple(np.concatenate(list(both)) for both in zip(*parts, strict=True))  # type: ignore
        else:
            out[name] = np.concatenate(parts)
    return out


dtypes = st.sampled_from(["float32", "float64", "float16", "int8", "int64", "uint8", "uint16", "bool"])
shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@st.composite
def tables(draw: st.DrawFn, ragged: bool) -> Chunk:
    rows = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from(["x", "y", "ß z", "a,b", "values"]), min_size=1, unique=True))
    chunk: Chunk = {}
    for name in names:
        dtype, shape = np.dtype(draw(dtypes)), draw(shapes)
        if ragged and draw(st.booleans()):
            lengths = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 4)))
            chunk[name] = draw(hnp.arrays(dtype, (int(lengths.sum()), *shape))), lengths
        else:
            chunk[name] = draw(hnp.arrays(dtype, (rows, *shape)))
    return chunk


@pytest.mark.parametrize("suffix", RAGGED)
@few
@given(chunk=tables(ragged=True), written=st.integers(1, 5), read=st.integers(1, 5), data=st.data())
def test_columns_of_all_kinds_come_back(
    suffix: str, tmp_path: Path, chunk: Chunk, written: int, read: int, data: st.DataObject
) -> None:
    needs(suffix)
    path = tmp_path / f"rows{suffix}"
    write(path, chunk, written)
    rows = chunk_rows(chunk)
    with open_rows(path) as source:
        assert source.rows == rows
        assert source.columns == columns_of(chunk)
        same(everything(source, read), chunk)
        start = data.draw(st.integers(0, rows - 1))
        same(everything(source, read, start), part(chunk, start, rows))
        stop = data.draw(st.integers(start + 1, rows))
        name = data.draw(st.sampled_from(list(chunk)))
        same(source.read(start, stop, [name]), part({name: chunk[name]}, start, stop))


@few
@given(rows=hnp.arrays(dtypes, hnp.array_shapes(max_dims=4, max_side=6)), size=st.integers(1, 5))
def test_npy_holds_what_numpy_holds(tmp_path: Path, rows: np.ndarray, size: int) -> None:
    path = tmp_path / "rows.npy"
    write(path, {"anything": rows}, size)
    np.testing.assert_array_equal(np.load(path), rows)
    for other in (rows, np.asfortranarray(rows), rows.astype(rows.dtype.newbyteorder(">"))):
        np.save(path, other)
        with open_rows(path) as source:
            same(everything(source, size), {"values": rows})
            assert source.columns == [Column("values", rows.dtype, rows.shape[1:])]


@few
@given(chunk=tables(ragged=False), written=st.integers(1, 5), read=st.integers(1, 5))
def test_csv_gives_the_same_numbers_back(tmp_path: Path, chunk: Chunk, written: int, read: int) -> None:
    path = tmp_path / "rows.csv"
    chunk = {name: rows.astype("int32") if rows.dtype == "int64" else rows for name, rows in chunk.items()}
    write(path, chunk, written)
    with open_rows(path) as source:
        assert source.rows is None
        got = everything(source, read)
        np.testing.assert_equal(source.read(0, 1), part(got, 0, 1))
    for name, rows in chunk.items():
        with np.errstate(over="ignore", invalid="ignore"):
            np.testing.assert_array_equal(got[name].astype(rows.dtype), rows)
        assert got[name].dtype == np.float64


@pytest.mark.parametrize("compressed", [False, True])
def test_archives_of_numpy(tmp_path: Path, compressed: bool) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 50)
    chunk: Chunk = {"a": rng.normal(size=(50, 3)), "b": (rng.normal(size=(lengths.sum(), 2)), lengths)}
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "x.npz", a=chunk["a"], b=chunk["b"][0], b_row_lengths=lengths)
    with open_rows(tmp_path / "x.npz") as source:
        assert source.columns == columns_of(chunk)
        same(everything(source, 7, 20), part(chunk, 20, 50))
        same(source.read(3, 50), part(chunk, 3, 50))


def test_numpy_reads_our_archives(tmp_path: Path) -> None:
    lengths = np.array([1, 2])
    write(tmp_path / "x.npz", {"a": np.eye(2), "b": (np.arange(3.0), lengths)}, 1)
    with np.load(tmp_path / "x.npz") as archive:
        assert sorted(archive) == ["a", "b", "b_row_lengths"]
        np.testing.assert_array_equal(archive["a"], np.eye(2))
        np.testing.assert_array_equal(archive["b"], np.arange(3.0))
        np.testing.assert_array_equal(archive["b_row_lengths"], lengths)


def test_parquet_lists_and_row_groups(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    lists = [[[float(10 * i + j), 0.5] for j in range(i % 4)] for i in range(100)]
    table = pa.table(
        {
            "id": [f"row {i}" for i in range(100)],
            "n": np.arange(100),
            "x": pa.array(lists, pa.list_(pa.list_(pa.float32(), 2))),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=13)
    lengths = np.arange(100) % 4
    values = np.array([step for row in lists for step in row], "float32")
    chunk: Chunk = {"n": np.arange(100), "x": (values, lengths)}
    with open_rows(tmp_path / "x.parquet") as source:
        assert source.columns == columns_of(chunk)  # text is left out
        for start in (0, 12, 13, 50, 99):
            same(everything(source, 9, start), part(chunk, start, 100))
    with open_rows(tmp_path / "x.parquet") as source:
        assert list(source.chunks(10, 100)) == []


def test_parquet_is_not_kept_in_memory(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    values = np.random.default_rng(0).normal(size=(80_000, 25)).astype("f4")
    write(tmp_path / "x.parquet", {"x": values}, 10_000)
    before = pa.total_allocated_bytes()
    with open_rows(tmp_path / "x.parquet") as source:
        most = max(pa.total_allocated_bytes() for _ in source.chunks(1000))
    assert most - before < values.nbytes / 2


def test_row_groups_end_in_time(tmp_path: Path, monkeypatch: Any) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    rows: Chunk = {"x": np.arange(20.0), "y": (np.arange(20), np.ones(20, np.int64))}
    for name, limit, groups in (("_GROUP_ROWS", 8, 3), ("_GROUP_BYTES", 8 * 24, 3), ("_GROUP_ROWS", 40, 1)):
        with monkeypatch.context() as patch:
            patch.setattr(f"rnnpack.datafiles.parquet.{name}", limit)
            write(tmp_path / "x.parquet", rows, 2)
        assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == groups
        with open_rows(tmp_path / "x.parquet") as source:
            same(everything(source, 7), rows)


@pytest.mark.parametrize("suffix", DENSE)
@pytest.mark.parametrize("cut", [0, 5000])
def test_an_interrupted_file_is_gone_on_with(suffix: str, cut: int, tmp_path: Path) -> None:
    needs(suffix)
    rows: Chunk = {"x": np.random.default_rng(1).normal(size=(20, 2, 3)).astype("float32")}
    write(tmp_path / f"whole{suffix}", rows, 4)
    path = tmp_path / f"rows{suffix}"
    sink = create_rows(path, columns_of(rows))
    for start in range(0, 8, 4):
        sink.append(part(rows, start, start + 4))
    state = sink.commit()
    assert state.rows == 8
    sink.append(part(rows, 8, 12))  # lost, as after a crash
    with sink.partial.open("ab") as file:
        file.write(b"x" * cut)
    with pytest.raises(KeyError), sink:
        raise KeyError
    assert not path.exists()
    with create_rows(path, sink.columns, state) as sink:
        assert sink.rows == 8
        for start in range(8, 20, 4):
            sink.append(part(rows, start, start + 4))
    assert path.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, f"whole{suffix}"])


@pytest.mark.parametrize("suffix", DENSE)
def test_an_append_that_fails_leaves_no_trace(suffix: str, tmp_path: Path, monkeypatch: Any) -> None:
    needs(suffix)
    rows: Chunk = {"x": np.arange(12.0).reshape(6, 2)}
    write(tmp_path / f"whole{suffix}", rows, 2)
    sink = create_rows(tmp_path / f"rows{suffix}", columns_of(rows))
    sink.append(part(rows, 0, 2))
    sound = PartialFile.write

    def half(self: PartialFile, data: Any) -> None:
        sound(self, memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PartialFile, "write", half)
        sink.append(part(rows, 2, 4))
    sink.append(part(rows, 2, 4))
    sink.append(part(rows, 4, 6))
    sink.finish()
    assert (tmp_path / f"rows{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_a_partial_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    (tmp_path / "x.npy.partial").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"shorter than the 4 bytes"):
        create_rows(path, [Column("x", np.dtype("f4"), ())], SinkState(1, 4))
    assert (tmp_path / "x.npy.partial").exists()


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    columns = [Column("x", np.dtype("f4"), ())]
    with create_rows(tmp_path / "x.npy", columns) as sink:
        sink.append({"x": np.ones(3, "f4")})
        with pytest.raises(ValueError, match="another process is writing it"):
            create_rows(tmp_path / "x.npy", columns)
    assert np.load(tmp_path / "x.npy").sum() == 3


def test_a_sink_can_be_given_up(tmp_path: Path) -> None:
    sink = create_rows(tmp_path / "x.csv", [Column("x", np.dtype("f4"), ())])
    sink.append({"x": np.zeros(3, "f4")})
    sink.discard()
    assert os.listdir(tmp_path) == []


def test_a_failure_at_the_end_leaves_the_partial_file(tmp_path: Path, monkeypatch: Any) -> None:
    sink = create_rows(tmp_path / "x.npz", [Column("x", np.dtype("f4"), ())])
    sink.append({"x": np.zeros(3, "f4")})
    monkeypatch.setattr("zipfile.ZipFile.open", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sink.finish()
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["x.npz.partial"]
    sink.finish()
    assert os.listdir(tmp_path) == ["x.npz"]


F4 = np.dtype("f4")


@pytest.mark.parametrize(
    ("suffix", "columns", "message"),
    [
        (".npy", [Column("a", F4, ()), Column("b", F4, ())], "one column"),
        (".npy", [Column("a", F4, (), True)], "one column"),
        (".csv", [Column("a", F4, (), True)], "different lengths"),
        (".parquet", [Column("a", F4, (0,))], "empty rows"),
    ],
)
def test_what_a_format_cannot_hold(suffix: str, columns: list[Column], message: str, tmp_path: Path) -> None:
    needs(suffix)
    with pytest.raises(ValueError, match=message):
        create_rows(tmp_path / f"x{suffix}", columns)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "chunk",
    [
        {},
        {"x": np.zeros((2, 3), "f4")},
        {"x": np.zeros((2, 2), "f8"), "y": (np.zeros(2), np.array([1, 1]))},
        {"x": np.zeros((3, 2), "f4"), "y": (np.zeros(2), np.array([1, 1]))},
        {"x": np.zeros((2, 2), "f4"), "y": (np.zeros(2), np.array([1, 2]))},
        {"x": np.zeros((2, 2), "f4"), "y": (np.zeros(2), np.array([3, -1]))},
        {"x": np.zeros((2, 2), "f4"), "y": (np.zeros(2), np.array([1.0, 1.0]))},
        {"x": np.zeros((2, 2), "f4"), "y": (np.zeros(2), np.array([2**62] * 4 + [2]))},
    ],
)
def test_chunks_that_do_not_fit(chunk: Chunk, tmp_path: Path) -> None:
    sink = create_rows(tmp_path / "x.npz", [Column("x", F4, (2,)), Column("y", np.dtype("f8"), (), True)])
    with pytest.raises(ValueError, match=r"columns|lengths"):
        sink.append(chunk)
    assert sink.rows == 0
    sink.discard()


def test_reading_beyond_the_end_or_unknown_columns(tmp_path: Path) -> None:
    for suffix in (".npy", ".csv"):
        write(tmp_path / f"x{suffix}", {"values": np.arange(5.0)}, 9)
        with open_rows(tmp_path / f"x{suffix}") as source:
            with pytest.raises(ValueError, match="rows"):
                source.read(4, 6)
            with pytest.raises(ValueError, match="rows"):
                source.read(7, 9)
            with pytest.raises(ValueError, match="not among"):
                source.read(2, 2)
            with pytest.raises(ValueError, match="no column 'y', it has values"):
                source.read(0, 1, ["y"])


def test_other_endings_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"ends in \.npy, \.npz, \.parquet, \.csv"):
        open_rows("x.txt")
    for suffix in DENSE:
        needs(suffix)
        with pytest.raises(FileNotFoundError):
            open_rows(tmp_path / f"x{suffix}")


def test_without_pyarrow_the_message_says_what_to_install(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install rnnpack\[parquet\]"):
        open_rows(tmp_path / "x.parquet")
