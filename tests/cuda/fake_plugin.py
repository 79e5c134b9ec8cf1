"""A plugin without a GPU, ``fake_plugin.cpp``, and the process in which tests use it.

A process loads one plugin and keeps it, so the tests' own process is left alone: it may need the real one.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rnnpack import _core

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "csrc"
TIMEOUT = 120  # seconds of a test
OK, OUT_OF_MEMORY, FAILED, INTERRUPTED, INVALID = range(5)
KINDS = ("simple_rnn", "lstm", "gru", "gru_reset_before", "peephole_lstm", "projected_lstm")
GATES = {"simple_rnn": 1, "gru": 3, "gru_reset_before": 3}
FORMATS = ("float32", "tf32", "bfloat16", "float16", "float64")
STEADY = (False, False, True, False)  # time_major, go_backwards, return_sequences, zero_output_for_mask


def why_not_built() -> str | None:
    """What it takes to build the plugin and is not there."""
    if not SOURCES.is_dir():
        return f"there are no sources in {SOURCES}"
    compiler = os.environ.get("CXX", "c++")
    if os.name != "posix" or shutil.which(compiler) is None:
        return f"there is no C++ compiler {compiler!r} to build a plugin with"
    return None


def build(folder: Path) -> Path:
    """Compile the plugin into a folder."""
    library = folder / "libfake_plugin.so"
    command = [os.environ.get("CXX", "c++"), "-std=c++20", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC"]
    subprocess.run([*command, "-I", SOURCES, HERE / "fake_plugin.cpp", "-o", library], check=True)
    return library


class FakePlugin:
    """The plugin, loaded into the core of this process."""

    def __init__(self, path: Path) -> None:
        _core.cuda_load(str(path))
        self._library = ctypes.CDLL(str(path))
        self._library.fake_note.restype = ctypes.c_char_p

    @property
    def living_cells(self) -> int:
        """Cells that were made and not freed."""
        return int(self._library.fake_living_cells())

    def note(self, function: str) -> Any:
        """What the last call of a function was given."""
        return json.loads(self._library.fake_note(function.encode()))

    def fail(self, function: str, ended: int, text: str | bytes = "") -> None:
        """Let the next call of a function end like this; OK: let it work again."""
        self._library.fake_failure(
            function.encode(), ended, text if isinstance(text, bytes) else text.encode()
        )

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Let calls take until they are interrupted."""
        self._library.fake_slow(1)
        try:
            yield
        finally:
            self._library.fake_slow(0)


@contextmanager
def process() -> Iterator[ProcessPoolExecutor]:
    """Another process, in which no plugin is loaded yet."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as one:
        yield one


@pytest.fixture(scope="module")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's file."""
    why_not = why_not_built()
    if why_not is not None:
        pytest.skip(why_not)
    return build(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def fake_process() -> Iterator[ProcessPoolExecutor]:
    """The process of a module's tests."""
    with process() as one:
        yield one


Check = Callable[[FakePlugin], None]
_checks: dict[tuple[str, str], Check] = {}


def with_plugin(check: Check) -> Callable[[ProcessPoolExecutor, Path], None]:
    """A test that runs in the process where the plugin is loaded."""
    key = check.__module__, check.__name__
    _checks[key] = check

    def test(fake_process: ProcessPoolExecutor, fake_library: Path) -> None:
        fake_process.submit(_run, *key, fake_library).result(TIMEOUT)

    test.__doc__ = check.__doc__
    return test


def _run(module: str, name: str, path: Path) -> None:
    importlib.import_module(module)
    try:
        _checks[module, name](FakePlugin(path))
    except pytest.fail.Exception as failed:  # which cannot travel between processes
        raise AssertionError(str(failed)) from None


def arrays_of(kind: str, features: int, units: int, dtype: Any = np.float32) -> dict[str, Any]:
    """Weights by name; the projected kind has one unit more than outputs."""
    rng = np.random.default_rng(0)
    inner = units + 1 if kind == "projected_lstm" else units
    columns = GATES.get(kind, 4) * inner
    shapes: dict[str, tuple[int, ...]] = {
        "kernel": (features, columns),
        "recurrent_kernel": (units, columns),
        "bias": (2, columns) if kind == "gru" else (columns,),
    }
    if kind == "peephole_lstm":
        shapes["peepholes"] = (3, units)
    if kind == "projected_lstm":
        shapes["projection_kernel"] = (inner, units)
    return {name: rng.integers(-9, 9, shape).astype(dtype) for name, shape in shapes.items()}


def cell_of(
    kind: str = "lstm", features: int = 3, units: int = 2, number_format: str = "float32", device: int = 0
) -> _core.CudaCell:
    dtype = np.float64 if number_format == "float64" else np.float32
    names = {"activation": "tanh", "recurrent_activation": "sigmoid", "number_format": number_format}
    return _core.CudaCell(kind, **arrays_of(kind, features, units, dtype), device=device, **names)


def computed(inputs: NDArray[Any], units: int, mask: NDArray[Any] | None = None) -> NDArray[Any]:
    """The plugin's outputs, of all steps."""
    outputs = inputs.sum(axis=-1, keepdims=True) + np.arange(units)
    return outputs if mask is None else np.where(mask[..., None], outputs, -1)


def numbers(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Whole numbers, whose sums are exact."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def call_of(
    cells: Any, inputs: NDArray[Any], outputs: NDArray[Any], states: Any = (None, None), **changes: Any
) -> _core.CudaCall:
    """One direction, batch-major; "device memory" is that of arrays."""
    item = inputs.itemsize
    strides = [stride // item for stride in inputs.strides]
    direction = (
        cells,
        (inputs.ctypes.data, strides[1], strides[0], strides[2]),
        *([one.ctypes.data for one in some] if some is not None else None for some in states),
        (outputs.ctypes.data, outputs.strides[1] // item, outputs.strides[0] // item),
        False,
        False,
    )
    shape: dict[str, Any] = {
        "batch": inputs.shape[0],
        "timesteps": inputs.shape[1],
        "element": inputs.dtype.name,
        "mask": None,
        "return_sequences": True,
        "zero_output_for_mask": False,
        "directions": [direction],
    }
    return _core.CudaCall(**{**shape, **changes})
