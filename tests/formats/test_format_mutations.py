"""Damaged files of every format: `FormatError` or a valid result, and nothing else, whatever the damage."""

from __future__ import annotations

import importlib.util
import time
import tracemalloc
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnpack.formats import FormatError

FUZZERS = sorted((Path(__file__).parents[1] / "fuzz").glob("fuzz_*.py"))

# Arrays of a small file may take as much as the budget for data allows.
MOST_MEMORY = 1 << 28
MOST_SECONDS = 10.0


@cache
def fuzzer(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@cache
def seeds(path: Path) -> list[bytes]:
    found: list[bytes] = fuzzer(path).seeds()
    return found


@st.composite
def damaged(draw: Any, files: list[bytes]) -> bytes:
    """A valid file with some bytes changed, cut out, doubled or replaced by a piece of another file."""
    data = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.sampled_from([1, 1, 2, 4, 8, 64]))
        kind = draw(st.sampled_from(["flip", "number", "bytes", "cut", "drop", "repeat", "splice"]))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            number = draw(st.sampled_from([0, 1, 0x7F, 0xFF, 1 << 16, (1 << 31) - 1, (1 << 32) - 1, 1 << 62]))
            data[at : at + size] = number.to_bytes(64, "little")[:size]
        elif kind == "bytes":
            data[at : at + size] = draw(st.binary(min_size=size, max_size=size))
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + size]
        elif kind == "repeat":
            data[at:at] = data[at : at + size]
        elif kind == "splice":
            other = draw(st.sampled_from(files))
            start = draw(st.integers(0, len(other)))
            data[at : at + 64] = other[start : start + 64]
    return bytes(data)


@pytest.mark.parametrize("path", FUZZERS, ids=lambda path: path.stem)
class TestDamagedFiles:
    def test_the_files_to_start_from_are_valid(self, path: Path) -> None:
        assert seeds(path)
        for seed in seeds(path):
            fuzzer(path).one(seed)

    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_ends_with_a_result_or_a_format_error(self, path: Path, data: st.DataObject) -> None:
        damage = data.draw(damaged(seeds(path)))
        started = time.monotonic()
        with suppress(FormatError):
            fuzzer(path).one(damage)
        assert time.monotonic() - started < MOST_SECONDS

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(data=st.binary(max_size=512))
    def test_takes_no_random_bytes_for_a_file(self, path: Path, data: bytes) -> None:
        with suppress(FormatError):
            fuzzer(path).one(data)

    def test_every_truncation_ends_in_bounded_memory(self, path: Path) -> None:
        smallest = min(seeds(path), key=len)
        tracemalloc.start()
        try:
            for size in range(0, len(smallest), max(len(smallest) // 100, 1)):
                with suppress(FormatError):
                    fuzzer(path).one(smallest[:size])
            assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
        finally:
            tracemalloc.stop()
