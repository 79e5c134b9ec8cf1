"""Loading the CUDA plugin, its errors, cells and memory, seen through a plugin that needs no GPU."""

from __future__ import annotations

import _ctypes
import gc
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_plugin
import numpy as np
import pytest
from fake_plugin import (
    FAILED,
    FORMATS,
    INTERRUPTED,
    INVALID,
    KINDS,
    OUT_OF_MEMORY,
    STEADY,
    TIMEOUT,
    FakePlugin,
    arrays_of,
    call_of,
    cell_of,
    numbers,
    with_plugin,
)

from rnnpack import _core


def load_each(files: dict[str, str]) -> None:
    """Nothing but a plugin of this version is loaded, and only one."""
    with pytest.raises(RuntimeError, match="no CUDA plugin has been loaded"):
        _core.cuda_device_count()
    with pytest.raises(RuntimeError, match="no CUDA plugin has been loaded"):
        cell_of()
    _core.cuda_release(0, 0, 0)
    for what in ("missing", "text", "folder", "empty name", "truncated"):
        with pytest.raises(OSError):
            _core.cuda_load(files[what])
    with pytest.raises(TypeError):
        _core.cuda_load(files["plugin"] + "\0")
    with pytest.raises(RuntimeError, match="is no plugin of rnnpack"):
        _core.cuda_load(files["other library"])
    for kind in ("refuses", "other"):
        os.environ["RNNPACK_FAKE_PLUGIN"] = kind
        with pytest.raises(RuntimeError, match="belongs to another version"):
            _core.cuda_load(files["plugin"])
    del os.environ["RNNPACK_FAKE_PLUGIN"]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(_core.cuda_load, [files["plugin"]] * 32))
    os.chdir(os.path.dirname(files["plugin"]))
    _core.cuda_load(os.path.basename(files["plugin"]))
    with pytest.raises(RuntimeError, match="has already been loaded from"):
        _core.cuda_load(files["other library"])
    assert _core.cuda_device_count() == 3


def test_loading(fake_library: Path, tmp_path: Path) -> None:
    text = tmp_path / "libtext.so"
    text.write_text("no library")
    truncated = tmp_path / "libtruncated.so"
    truncated.write_bytes(fake_library.read_bytes()[:100])
    files = {
        "missing": str(tmp_path / "libmissing\udcff.so"),
        "text": str(text),
        "truncated": str(truncated),
        "folder": str(tmp_path),
        "empty name": "",
        "other library": _ctypes.__file__,
        "plugin": str(fake_library),
    }
    with fake_plugin.process() as fresh:
        fresh.submit(load_each, files).result(TIMEOUT)


@with_plugin
def test_devices(plugin: FakePlugin) -> None:
    assert _core.cuda_device_count() == 3
    assert _core.cuda_device_info(2) == ("G" * 255, (9, 2), 132, 80 << 30)


@with_plugin
def test_errors_of_the_plugin(plugin: FakePlugin) -> None:
    kinds = {OUT_OF_MEMORY: MemoryError, FAILED: RuntimeError, INVALID: ValueError, INTERRUPTED: RuntimeError}
    for ended, error in kinds.items():
        plugin.fail("count_devices", ended, "no GPU (größer)")
        with pytest.raises(error) as caught:
            _core.cuda_device_count()
        assert str(caught.value) == "no GPU (größer)"
    plugin.fail("count_devices", FAILED, b"\xff" + b"y" * 600)  # no UTF-8, and no end
    with pytest.raises(RuntimeError, match="^\ufffd" + r"y{511}$"):
        _core.cuda_device_count()
    plugin.fail("count_devices", FAILED)
    with pytest.raises(RuntimeError, match="gave no reason"):
        _core.cuda_device_count()
    for function, call in {
        "describe_device": lambda: _core.cuda_device_info(0),
        "merge": lambda: _core.cuda_merge(0, "sum", "float32", 1, 1, 2, 3, 0),
        "order": lambda: _core.cuda_order(0, 1, 2),
        "allocate": lambda: _core.cuda_allocate(0, 8, 0),
        "copy": lambda: _core.cuda_copy(0, 8, 16, 8, 0),
        "owner_of": lambda: _core.cuda_owner_of(8),
    }.items():
        plugin.fail(function, OUT_OF_MEMORY, f"{function} failed")
        with pytest.raises(MemoryError, match=f"{function} failed"):
            call()


@with_plugin
def test_weights_arrive(plugin: FakePlugin) -> None:
    for number, kind in enumerate(KINDS):
        for code, number_format in enumerate(FORMATS):
            dtype = np.float64 if number_format == "float64" else np.float32
            weights = arrays_of(kind, 3, 2, dtype)
            given = {name: np.asfortranarray(one) for name, one in weights.items()}
            cell = _core.CudaCell(
                kind,
                **given,
                activation="relu",
                recurrent_activation="tanh",
                device=2,
                number_format=number_format,
            )
            note = plugin.note("make_cell")
            assert (note["kind"], note["format"], note["device"]) == (number, code, 2)
            assert (note["main"], note["recurrent"]) == (4, 1)
            for name in ("kernel", "recurrent_kernel", "bias", "peepholes", "projection_kernel"):
                expected = weights[name].ravel().tolist() if name in weights else None
                assert note[name] == expected, name
            projected = kind == "projected_lstm"
            assert (cell.kind, cell.number_format, cell.device) == (kind, number_format, 2)
            assert cell.dtype == dtype.__name__
            assert (cell.input_size, cell.units, cell.output_size) == (3, 3 if projected else 2, 2)
            assert cell.state_count == (2 if "lstm" in kind else 1)
            assert cell.nbytes == 1000 + cell.units
    weights["bias"] = None
    _core.CudaCell(
        kind, **weights, activation="tanh", recurrent_activation="tanh", device=0, number_format="float64"
    )
    assert plugin.note("make_cell")["bias"] is None


@with_plugin
def test_weights_are_checked(plugin: FakePlugin) -> None:
    """As PackedCell's, with the same messages."""
    good = {**arrays_of("lstm", 3, 2), "activation": "tanh", "recurrent_activation": "sigmoid"}
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {"kernel": np.zeros((3, 7), np.float32)}),
        (ValueError, {"kernel": np.zeros(8, np.float32)}),
        (ValueError, {"recurrent_kernel": np.zeros((0, 0), np.float32)}),
        (ValueError, {"bias": np.zeros((2, 8), np.float32)}),
        (ValueError, {"peepholes": np.zeros((3, 2), np.float32)}),
        (ValueError, {"activation": "softmax"}),
        (ValueError, {"recurrent_activation": "none"}),
        (ValueError, {"kind": "cell"}),
        (TypeError, {"kernel": [[0.0] * 8] * 3}),
        (TypeError, {"recurrent_kernel": np.zeros((2, 8))}),
        (TypeError, {"bias": np.zeros(8, ">f4")}),
    ]
    for error, change in wrong:
        arguments = {"kind": "lstm", **good, **change}
        with pytest.raises(error) as packed:
            _core.PackedCell(**arguments)
        with pytest.raises(error) as caught:
            _core.CudaCell(**arguments, device=0, number_format="float32")
        assert str(caught.value) == str(packed.value)
    with pytest.raises(ValueError, match=r"number_format: expected one of float32, tf32, .*, got 'int8'"):
        _core.CudaCell("lstm", **good, device=0, number_format="int8")
    with pytest.raises(ValueError, match="device: expected the number of a device"):
        _core.CudaCell("lstm", **good, device=-1, number_format="float32")
    with pytest.raises(TypeError, match="kernel: expected dtype float64"):
        _core.CudaCell("lstm", **good, device=0, number_format="float64")
    assert plugin.living_cells == 0


@with_plugin
def test_cells_are_freed(plugin: FakePlugin) -> None:
    cells = [cell_of() for _ in range(3)]
    assert plugin.living_cells == 3
    del cells[0]
    assert plugin.living_cells == 2
    plugin.fail("make_cell", OUT_OF_MEMORY, "the GPU is full")
    with pytest.raises(MemoryError, match="the GPU is full"):
        cell_of()
    assert plugin.living_cells == 2
    call = call_of(cells[:1], numbers(1, 1, 3), numbers(1, 1, 2))
    cells.clear()
    assert plugin.living_cells == 1
    del call
    assert plugin.living_cells == 0
    with pytest.raises(ValueError, match="inputs: expected 3 features"):
        _core.cuda_run([cell_of()], numbers(1, 1, 4), None, None, *STEADY)
    gc.collect()
    assert plugin.living_cells == 0


@with_plugin
def test_memory(plugin: FakePlugin) -> None:
    address = _core.cuda_allocate(1, 100, 9)
    assert plugin.note("allocate") == [1, 100, 9]
    values, back = numbers(25), np.zeros(25, np.float32)
    _core.cuda_copy(1, address, values.ctypes.data, 100, 9)
    _core.cuda_copy(1, back.ctypes.data, address, 100, 9)
    np.testing.assert_array_equal(back, values)
    _core.cuda_release(1, address, 9)
    assert plugin.note("release") == [1, address, 9]
    assert _core.cuda_allocate(0, 0, 0) == 0
    _core.cuda_release(0, 0, 0)
    _core.cuda_copy(0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="from_: expected an address, got 0"):
        _core.cuda_copy(0, 8, 0, 8, 0)
    assert _core.cuda_owner_of(2) == 2
    assert _core.cuda_owner_of(values.ctypes.data) == -1
    _core.cuda_merge(1, "ave", "bfloat16", 6, 8, 16, 24, 9)
    assert plugin.note("merge") == [1, 2, 2, 6, 8, 16, 24, 9]
    _core.cuda_merge(1, "mul", "float16", 0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="mode: expected one of sum, mul, ave"):
        _core.cuda_merge(1, "concat", "float16", 1, 8, 8, 8, 0)
    with pytest.raises(ValueError, match="b: expected an address"):
        _core.cuda_merge(1, "sum", "float16", 1, 8, 0, 8, 0)
    _core.cuda_order(2, 5, 6)
    assert plugin.note("order") == [2, 5, 6]
