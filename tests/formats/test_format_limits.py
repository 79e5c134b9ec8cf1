"""Limits that all formats share."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rnnpack
from rnnpack.formats import FormatError, limits


class TestJson:
    def test_plain_values(self) -> None:
        value = {"a": [1, 2.5, None, True, ']]]\\"[[['], "b": {"ä": {}}}
        assert limits.parse_json(json.dumps(value).encode(), "file") == value
        assert limits.parse_json(json.dumps(value), "file") == value
        assert limits.parse_json(bytearray(b" 3 "), "file") == 3

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "file: not valid JSON"),
            (b'{"a": 1', "file: not valid JSON"),
            (b"\xff\xfe", "file: not valid JSON"),
            ('"\ud800"', "file: not valid JSON"),
            (b"9" * 5000, "file: not valid JSON"),
            (b'{"a": {"b": 1, "b": 2}}', "file: the key 'b' occurs twice"),
            (b"[" * 101 + b"]" * 101, "file: JSON is nested more than 100 deep"),
            (b'{"a":' * 5000, "file: JSON is nested more than 100 deep"),
            (b"[" + b" " * 50, "file: 51 bytes of JSON, expected at most 50"),
        ],
    )
    def test_what_is_refused(self, data: Any, message: str) -> None:
        most = 50 if b"  " in (data if isinstance(data, bytes) else b"") else limits.MOST_JSON
        with pytest.raises(FormatError, match=message):
            limits.parse_json(data, "file", most)

    def test_depth_is_that_of_brackets_outside_of_texts(self) -> None:
        assert limits.parse_json(b'"' + b"[" * 500 + b'"', "file") == "[" * 500
        assert limits.parse_json(b"[" * 100 + b"]" * 100, "file")


class TestSizes:
    def test_bytes_of_an_array(self) -> None:
        assert limits.checked_size((2, 3), 4, 24, "file") == 24
        assert limits.checked_size([], 8, 8, "file") == 8
        assert limits.checked_size((0, 5), 8, 0, "file") == 0

    @pytest.mark.parametrize("shape", [(-1,), (1.0,), (True,), (1,) * 33, (1 << 49,), (0, 1 << 49), ("1",)])
    def test_shapes_of_no_array(self, shape: Any) -> None:
        with pytest.raises(FormatError, match="is not the shape of an array"):
            limits.checked_size(shape, 4, 1 << 60, "file")

    def test_more_than_there_is(self) -> None:
        with pytest.raises(FormatError, match=r"an array of shape \(7,\) has 28 bytes, but there are 24"):
            limits.checked_size((7,), 4, 24, "file")


class TestReplacing:
    def test_the_file_appears_when_it_is_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with limits.replacing(path) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"
        assert os.listdir(tmp_path) == ["file"]

    def test_nothing_is_left_of_a_failure(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), limits.replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise KeyboardInterrupt
        assert os.listdir(tmp_path) == []


def archive_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def changed(data: bytes, change: Callable[[bytearray], None]) -> bytes:
    copy = bytearray(data)
    change(copy)
    return bytes(copy)


def put(at: int, form: str, *values: int) -> Callable[[bytearray], None]:
    """Overwrites numbers behind the entry of the directory (negative: of the end record)."""

    def change(data: bytearray) -> None:
        start = data.rfind(b"PK\1\2") if at >= 0 else data.rfind(b"PK\5\6")
        struct.pack_into(form, data, start + abs(at), *values)

    return change


class TestArchives:
    def test_members(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        path.write_bytes(archive_of({"a": b"text", "b/c": bytes(1000)}))
        with limits.open_archive(path) as archive:
            assert archive.read("a", 4) == b"text"
            assert archive.names() == ["a", "b/c"]
            assert archive.size("b/c") == 1000
            assert archive.read("b/c", 1000) == bytes(1000)
            with pytest.raises(FormatError, match=r"a\.zip: there is no 'c' in the archive"):
                archive.read("c", 10)
            with pytest.raises(FormatError, match=r"member 'b/c' has 1000 bytes, expected at most 999"):
                archive.read("b/c", 999)

    def read_all(self, data: bytes) -> None:
        with limits.open_archive(io.BytesIO(data), "file") as archive:
            for name in archive.names():
                archive.read(name, 1 << 40)

    def test_a_bomb(self) -> None:
        bomb = archive_of({"a": bytes(100 << 20)})
        assert len(bomb) < 200_000
        with pytest.raises(FormatError, match="expected at most"):
            self.read_all(bomb)

    def test_members_that_are_larger_than_they_say(self) -> None:
        data = archive_of({"a": bytes(5000)})
        with pytest.raises(FormatError, match="member 'a'"):
            self.read_all(changed(data, put(24, "<I", 100)))
        with pytest.raises(FormatError, match="member 'a'"):
            self.read_all(changed(data, put(24, "<I", 6000)))

    def test_many_members_with_the_same_data(self) -> None:
        """All entries of the directory point at one member: what they come to is bounded all the same."""
        entry_size = 46 + 3
        data = archive_of({f"{index:03}": bytes(4 << 20) for index in range(20)})

        def overlap(copy: bytearray) -> None:
            start = copy.find(b"PK\1\2")
            for index in range(20):
                struct.pack_into("<I", copy, start + index * entry_size + 42, 0)

        with pytest.raises(FormatError, match="file: member '"):
            self.read_all(changed(data, overlap))
        with pytest.raises(FormatError, match="expected at most"):
            self.read_all(data)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (put(8, "<H", 1), "member 'a' is encrypted"),
            (put(10, "<H", 12), "member 'a' is compressed by method 12, expected deflate"),
            (put(16, "<I", 1), r"member 'a' is damaged \(Bad CRC-32"),
            (put(42, "<I", 5), r"member 'a' is damaged \(Bad magic"),
            (put(-12, "<I", 1 << 25), "a directory of 33554432 bytes, expected at most"),
            (put(-16, "<I", 1 << 20), r"member 'a' is damaged \(negative seek"),
        ],
    )
    def test_damaged_archives(self, change: Callable[[bytearray], None], message: str) -> None:
        with pytest.raises(FormatError, match=f"file: {message}"):
            self.read_all(changed(archive_of({"a": bytes(range(200))}), change))

    def test_the_same_name_twice(self) -> None:
        data = archive_of({"a": b"1", "b": b"2"})
        start = data.find(b"PK\1\2")
        with pytest.raises(FormatError, match="two members of the archive have the same name"):
            self.read_all(data[:start] + data[start:].replace(b"b", b"a"))

    @pytest.mark.parametrize("data", [b"", b"PK", b"PK\3\4" + bytes(100)])
    def test_no_archives(self, data: bytes) -> None:
        with pytest.raises(FormatError, match="file: not a zip file, or damaged"):
            self.read_all(data)


class TestRestoring:
    def test_weights_start_as_zeros_within_a_budget(self) -> None:
        with limits.restored_model("file", 1000):
            layer = rnnpack.LSTM(2)
            layer.build((None, None, 3))
            assert not any(weight.any() for weight in layer.get_weights())
        layer = rnnpack.LSTM(2)
        layer.build((None, None, 3))
        assert layer.get_weights()[0].any()

    def test_too_many_weights(self) -> None:
        with (
            pytest.raises(FormatError, match=r"file: .*kernel of shape \(3, 400000000\) would take"),
            limits.restored_model("file", 1000),
        ):
            rnnpack.LSTM(100_000_000).build((None, None, 3))

    def test_models_that_stand_for_very_many_calls(self) -> None:
        """Each model calls the one below twice: thirty of them would make a thousand million calls."""
        model: Any = rnnpack.LSTM(2, return_sequences=True)
        with (
            pytest.raises(FormatError, match="more than 5000 calls"),
            limits.restored_model("file", 1 << 20),
        ):
            for _ in range(30):
                inputs = rnnpack.Input((3, 2))
                model = rnnpack.Model(inputs, model(model(inputs)))

    def test_layers_that_are_tried_on_very_large_arrays(self) -> None:
        with (
            pytest.raises(FormatError, match=r"file: .*an array of shape \(2, 10000000000\)"),
            limits.restored_model("file", 1 << 20),
        ):
            rnnpack.Layer()(rnnpack.Input((10**10,)))

    def test_any_exception_becomes_a_format_error(self) -> None:
        with pytest.raises(FormatError, match=r"^file: two lines$"), limits.restored_model("file", 0):
            raise TypeError("two\n  lines")
        with pytest.raises(FormatError, match=r"^file: RuntimeError$"), limits.restored_model("file", 0):
            raise RuntimeError
        with pytest.raises(FormatError, match=r"^mine$"), limits.restored_model("file", 0):
            raise FormatError("mine")
        with pytest.raises(KeyboardInterrupt), limits.restored_model("file", 0):
            raise KeyboardInterrupt
