"""safetensors files: the format's rules, and both directions beside the reference library."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnpack.formats import FormatError, safetensors
from rnnpack.formats.safetensors import read_header, read_safetensors, write_safetensors

DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
ARRAYS = hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
TENSORS = {f"layer/{dtype}": (np.arange(6).reshape(2, 3) % 2).astype(dtype) for dtype in DTYPES}
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda name: name != "__metadata__"
)


def write_raw(path: Path, table: Any, data: bytes = b"") -> Path:
    """A file with this table of contents."""
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def same(found: Any, expected: Any) -> bool:
    """Dtype, shape and bits."""
    expected = np.asarray(expected)
    return (
        found.dtype == expected.dtype.newbyteorder("=")
        and found.shape == expected.shape
        and found.tobytes() == expected.astype(found.dtype).tobytes()
    )


class TestRoundTrip:
    @settings(max_examples=50)
    @given(
        tensors=st.dictionaries(NAMES, ARRAYS, max_size=4), metadata=st.dictionaries(NAMES, NAMES, max_size=3)
    )
    def test_keeps_names_order_dtypes_shapes_and_bits(
        self, tmp_path_factory: Any, tensors: Any, metadata: Any
    ) -> None:
        path = tmp_path_factory.mktemp("files") / "a.safetensors"
        write_safetensors(path, tensors, metadata)
        found, texts = read_safetensors(path)
        assert list(found) == list(tensors)
        assert texts == metadata
        assert all(same(found[name], array) for name, array in tensors.items())

    def test_other_layouts_in_memory(self, tmp_path: Path) -> None:
        array = np.arange(12.0).reshape(3, 4)
        tensors = {"fortran": np.asfortranarray(array), "big": array.astype(">f4"), "view": array[::2, ::-1]}
        write_safetensors(tmp_path / "a", tensors)
        found, _ = read_safetensors(tmp_path / "a")
        assert all(np.array_equal(found[name], value) for name, value in tensors.items())

    def test_arrays_are_read_only_and_outlive_a_replaced_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        write_safetensors(path, {"x": np.arange(5)})
        found = read_safetensors(path)[0]["x"]
        write_safetensors(path, {"x": np.zeros(5)})
        assert not found.flags.writeable
        assert found.tolist() == [0, 1, 2, 3, 4]

    def test_bfloat16_is_read_as_float32(self, tmp_path: Path) -> None:
        values = np.array([1.5, -0.0, 3.140625, np.inf, 2.0**-130], np.float32)  # exact in bfloat16
        data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        path = write_raw(tmp_path / "a", {"x": entry("BF16", [5], 0, 10)}, data)
        found = read_safetensors(path)[0]["x"]
        assert same(found, values)
        assert not found.flags.writeable


class TestBesideTheLibrary:
    @pytest.fixture
    def library(self) -> Any:
        return pytest.importorskip("safetensors.numpy")

    def test_it_reads_what_we_write(self, library: Any, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        write_safetensors(path, TENSORS | {"empty": np.zeros((0, 2))}, {"format": "rnnpack", "ä": "ü"})
        found = library.load_file(path)
        assert found.keys() == {*TENSORS, "empty"}
        assert all(same(found[name], array) for name, array in TENSORS.items())
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            assert file.metadata() == {"format": "rnnpack", "ä": "ü"}

    def test_we_read_what_it_writes(self, library: Any, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        library.save_file(TENSORS, path, {"format": "pt"})
        found, metadata = read_safetensors(path)
        assert metadata == {"format": "pt"}
        assert found.keys() == TENSORS.keys()
        assert all(same(found[name], array) for name, array in TENSORS.items())

    def test_bfloat16_of_pytorch(self, library: Any, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        import safetensors.torch

        value = torch.linspace(-3, 3, 7, dtype=torch.bfloat16)
        safetensors.torch.save_file({"x": value}, tmp_path / "a")
        assert np.array_equal(read_safetensors(tmp_path / "a")[0]["x"], value.float().numpy())


class TestRefusals:
    @pytest.mark.parametrize(
        ("table", "data", "message"),
        [
            (b"{", b"", "not valid JSON"),
            (b"[]", b"", "not a JSON object"),
            (b'{"a":' * 200, b"", "nested more than"),
            ({"__metadata__": {"a": 1}}, b"", "not a map of strings"),
            ({"__metadata__": []}, b"", "not a map of strings"),
            ({"x": 1}, b"", "expected dtype, shape and data_offsets"),
            (
                {"x": {**entry("F32", [], 0, 4), "more": 1}},
                bytes(4),
                "expected dtype, shape and data_offsets",
            ),
            ({"x": entry("F8_E4M3", [4], 0, 4)}, bytes(4), "tensor 'x': dtype F8_E4M3 is not supported"),
            ({"x": entry([], [1], 0, 4)}, bytes(4), "is not supported"),  # type: ignore[arg-type]
            ({"x": entry("F32", [1], 4, 0)}, bytes(4), "two rising numbers"),
            ({"x": entry("F32", [1], -4, 0)}, bytes(4), "two rising numbers"),
            ({"x": entry("F32", [1], 0.0, 4)}, bytes(4), "two rising numbers"),  # type: ignore[arg-type]
            ({"x": entry("F32", [-1], 0, 4)}, bytes(4), "is not the shape of an array"),
            ({"x": entry("F32", [1.0], 0, 4)}, bytes(4), "is not the shape"),  # type: ignore[list-item]
            ({"x": entry("F32", [True], 0, 4)}, bytes(4), "is not the shape of an array"),
            ({"x": entry("F32", [1] * 33, 0, 4)}, bytes(4), "is not the shape of an array"),
            ({"x": entry("F32", [0, 1 << 60], 0, 0)}, b"", "is not the shape of an array"),
            ({"x": entry("F32", [1 << 40], 0, 4)}, bytes(4), "but there are 4"),
            ({"x": entry("F32", [2], 0, 12)}, bytes(12), "has 8 bytes, not 12"),
            ({"x": entry("F32", [1], 4, 8)}, bytes(8), "begins at 4, the one before ends at 0"),
            ({"x": entry("U8", [4], 0, 4), "y": entry("U8", [4], 2, 6)}, bytes(6), "begins at 2"),
            ({"x": entry("U8", [4], 0, 4), "y": entry("U8", [4], 0, 4)}, bytes(4), "begins at 0"),
            ({"x": entry("F32", [1], 0, 4)}, bytes(5), "tensors have 4 bytes, the file has 5"),
            ({"x": entry("F32", [2], 0, 8)}, bytes(5), "tensors have 8 bytes, the file has 5"),
        ],
    )
    def test_files_that_break_the_rules(self, tmp_path: Path, table: Any, data: bytes, message: str) -> None:
        path = write_raw(tmp_path / "bad", table, data)
        for read in (read_header, read_safetensors):
            with pytest.raises(FormatError, match=message) as caught:
                read(path)
            assert str(caught.value).startswith(str(path))
            assert "\n" not in str(caught.value)

    def test_a_name_may_occur_once(self, tmp_path: Path) -> None:
        one = '"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
        path = write_raw(tmp_path / "bad", f"{{{one},{one}}}".encode(), bytes(1))
        with pytest.raises(FormatError, match="'x' occurs twice"):
            read_safetensors(path)

    @pytest.mark.parametrize("data", [b"", b"1234567", b"\xff" * 8, (100).to_bytes(8, "little") + b"{}"])
    def test_sizes_of_headers(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(FormatError, match="not safetensors"):
            read_safetensors(tmp_path / "bad")

    def test_missing_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_safetensors(tmp_path / "missing")


class TestWriting:
    @pytest.mark.parametrize(
        ("tensors", "metadata", "message"),
        [
            ({"x": np.array([1j])}, None, "tensor 'x': dtype complex128 cannot be stored"),
            ({"x": np.array(["a"])}, None, "dtype <U1 cannot be stored"),
            ({"__metadata__": np.zeros(1)}, None, "the name is reserved"),
            ({"\ud800": np.zeros(1)}, None, "names and metadata must be Unicode"),
            ({}, {"a": 1}, "metadata must be strings"),
            ({}, {"a": "x" * (1 << 24)}, "the header would have"),
        ],
    )
    def test_what_cannot_be_stored_leaves_the_old_file(
        self, tmp_path: Path, tensors: Any, metadata: Any, message: str
    ) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"old")
        with pytest.raises(FormatError, match=message):
            write_safetensors(path, tensors, metadata)
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a"]

    def test_a_failed_write_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"old")

        def fail(*names: Any) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space left"):
            write_safetensors(path, {"x": np.zeros(3)})
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a"]

    def test_data_are_aligned(self, tmp_path: Path) -> None:
        """As the format's own library does it: arrays can be used where the file is mapped."""
        for name in ("a", "ab", "abc"):
            write_safetensors(tmp_path / "a", {name: np.zeros(2)})
            assert safetensors.read_header(tmp_path / "a").tensors[name].begin % 8 == 0
