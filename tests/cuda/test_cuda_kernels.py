"""The plugin's kernels on the emulator, by way of the C interface alone; each access to memory is checked."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref, c_size_t, c_ulonglong, c_void_p
from typing import Any

import numpy as np
import plugin_build
import plugin_calls
import pytest
import reference
import tolerance
from cuda_functions import NON_BLOCKING, Cuda
from numpy.typing import NDArray

# Of the operands of products: what a value rounded to the format may be off, relative to itself.
ROUNDOFF = {"float64": 2**-53, "float32": 2**-24, "tf32": 2**-11, "float16": 2**-11, "bfloat16": 2**-8}


@pytest.fixture(scope="module")
def plugin() -> plugin_calls.Plugin:
    try:
        return plugin_calls.Plugin(plugin_build.emulated_plugin(checked=True))
    except plugin_build.CannotBuild as why:
        pytest.skip(str(why))


@pytest.fixture(autouse=True, params=["forward", "backward", "7"])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in three orders of threads and blocks, looking for stray writes after each kernel."""
    monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", request.param)
    monkeypatch.setenv("RNNPACK_EMULATOR_CHECK", "1")


def _weights(kind: str, features: int, units: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    gates = {"simple_rnn": 1, "gru": 3, "gru_reset_before": 3}.get(kind, 4)
    outputs = units - 2 if kind == "projected_lstm" else units
    shapes: dict[str, tuple[int, ...]] = {
        "kernel": (features, gates * units),
        "recurrent_kernel": (outputs, gates * units),
        "bias": (2, gates * units) if kind == "gru" else (gates * units,),
    }
    if kind == "peephole_lstm":
        shapes["peepholes"] = (3, units)
    if kind == "projected_lstm":
        shapes["projection_kernel"] = (units, outputs)
    scale = 1 / np.sqrt(units)
    return {name: rng.normal(scale=scale, size=shape).astype(np.float32) for name, shape in shapes.items()}


def _reference_cell(kind: str, weights: dict[str, NDArray[Any]]) -> reference.Cell:
    arrays = {name: array.astype(np.float64) for name, array in weights.items() if name != "peepholes"}
    names = ("input_peephole", "forget_peephole", "output_peephole")
    arrays |= dict(zip(names, weights.get("peepholes", ()), strict=False))
    return reference.CELLS[kind](**arrays)


def _lifter(number_format: str, chain: int) -> Callable[[Any], tolerance.Bounded]:
    """Rows that are rounded to the format before products.

    Both factors are off by u, so a product by 2 u and a little; in reduced formats that little also covers
    sums in float32, as ``chain * 2**-24`` is far below u.
    """
    u = ROUNDOFF[number_format]
    chain = chain if number_format in ("float32", "float64") else 3

    def lift(row: Any) -> tolerance.Bounded:
        exact = np.asarray(row, np.float64)
        return tolerance.Bounded(exact, np.zeros_like(exact), u, chain)

    return lift


def _compare(
    plugin: plugin_calls.Plugin,
    kind: str,
    number_format: str,
    shape: tuple[int, int, int, int],
    masked: bool = False,
    device: int = 0,
    **flags: bool,
) -> None:
    batch, steps, features, units = shape
    rng = np.random.default_rng(5)
    weights = _weights(kind, features, units, rng)
    cell = _reference_cell(kind, weights)
    dtype = np.float64 if number_format == "float64" else np.float32
    inputs = rng.normal(size=(batch, steps, features)).astype(dtype)
    states = [rng.normal(size=(batch, size)).astype(dtype) for size in cell.state_sizes]
    mask = rng.random((batch, steps)) < 0.6 if masked else None

    made = plugin.make_cell(plugin_calls.Cell(kind, **{"bias": None, **weights}), number_format, device)
    try:
        outputs, final = plugin.run([made], inputs, cell.output_size, states, mask, **flags)
    finally:
        plugin.functions.free_cell(made)

    layer = reference.Layer((cell,), **{"return_sequences": True, **flags})
    lift = _lifter(number_format, tolerance.chain_length(layer, features))
    expected = reference.run(layer, inputs, mask, states, lift)
    for actual, bounded in zip([outputs, *final], [expected.output, *expected.states], strict=True):
        assert tolerance.excess(actual, bounded.value, bounded.error) <= 1


@pytest.mark.parametrize("number_format", plugin_calls.FORMATS)
def test_one_lstm_step(plugin: plugin_calls.Plugin, number_format: str) -> None:
    _compare(plugin, "lstm", number_format, (3, 1, 5, 7))


@pytest.mark.parametrize("number_format", plugin_calls.FORMATS)
@pytest.mark.parametrize("kind", plugin_calls.KINDS)
def test_sequences(plugin: plugin_calls.Plugin, kind: str, number_format: str) -> None:
    _compare(plugin, kind, number_format, (17, 3, 37, 19))


@pytest.mark.parametrize("kind", plugin_calls.KINDS)
def test_masks(plugin: plugin_calls.Plugin, kind: str) -> None:
    _compare(plugin, kind, "float32", (5, 4, 3, 6), masked=True, go_backwards=True)
    _compare(plugin, kind, "float32", (5, 4, 3, 6), masked=True, zero_output_for_mask=True)
    _compare(plugin, kind, "float32", (5, 4, 3, 6), masked=True, return_sequences=False)


@pytest.mark.parametrize("number_format", plugin_calls.FORMATS)
def test_many_rows(plugin: plugin_calls.Plugin, number_format: str) -> None:
    _compare(plugin, "lstm", number_format, (130, 1, 9, 33))


def test_the_second_device(plugin: plugin_calls.Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator refuses memory and streams of a device that is not the current one."""
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "2")
    for device in (1, 0, 1):
        _compare(plugin, "lstm", "float32", (3, 2, 5, 7), masked=True, device=device)


def test_threads(plugin: plugin_calls.Plugin) -> None:
    """Calls of many threads share the emulated GPU, and the plugin's pinned buffers."""
    kinds = plugin_calls.KINDS[:4]
    with ThreadPoolExecutor(len(kinds)) as workers:
        for _ in workers.map(
            lambda kind: _compare(plugin, kind, "float32", (3, 5, 4, 6), masked=True), kinds
        ):
            pass


def test_a_captured_call_runs_as_often_as_its_graph(plugin: plugin_calls.Plugin) -> None:
    cuda = Cuda(plugin.library)
    rng = np.random.default_rng(6)
    inputs = rng.normal(size=(3, 4, 5)).astype(np.float32)
    made = plugin.make_cell(plugin_calls.Cell("gru", **_weights("gru", 5, 6, rng)))
    expected, _ = plugin.run([made], inputs, 6, [np.zeros((3, 6))])

    call = plugin_calls.one_direction([made], inputs, 6)
    on_device, outputs = cuda.put(np.zeros_like(inputs)), cuda.make("cudaMalloc", c_size_t(expected.nbytes))
    call.directions[0].inputs, call.directions[0].outputs = on_device, outputs
    workspace = cuda.make("cudaMalloc", c_size_t(plugin.functions.workspace_bytes(byref(call))))
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    graph = c_void_p()
    cuda("cudaStreamBeginCapture", stream, 0)
    plugin.check("run", byref(call), workspace, stream, byref(plugin_calls.UNINTERRUPTED))
    cuda("cudaStreamEndCapture", stream, byref(graph))
    ready = cuda.make("cudaGraphInstantiate", graph, c_ulonglong(0))

    for values in (np.zeros_like(inputs), inputs):  # the graph reads what is there when it runs
        cuda("cudaMemcpy", on_device, c_void_p(values.ctypes.data), c_size_t(values.nbytes), 1)
        cuda("cudaGraphLaunch", ready, stream)
        cuda("cudaStreamSynchronize", stream)
    np.testing.assert_array_equal(cuda.get(outputs, expected.shape), expected)
    for handle in (on_device, outputs, workspace):
        cuda("cudaFree", handle)
    plugin.functions.free_cell(made)


def test_interrupted_and_failed_calls(plugin: plugin_calls.Plugin) -> None:
    inputs = np.zeros((1, 4, 5), np.float32)
    rng = np.random.default_rng(7)
    made = plugin.make_cell(plugin_calls.Cell("lstm", **_weights("lstm", 5, 6, rng)))
    call = plugin_calls.one_direction([made], inputs, 6)
    outputs = np.zeros((1, 4, 6), np.float32)
    call.directions[0].inputs, call.directions[0].outputs = inputs.ctypes.data, outputs.ctypes.data
    stop = plugin_calls.Interruption(ctypes.CFUNCTYPE(ctypes.c_bool, c_void_p)(lambda _context: False), None)
    with pytest.raises(RuntimeError, match="interrupted"):
        plugin.check("run_on_host_arrays", byref(call), byref(stop))
    call.batch = 1 << 28
    with pytest.raises(RuntimeError, match="out_of_memory"):
        plugin.check("run_on_host_arrays", byref(call), byref(plugin_calls.UNINTERRUPTED))
    plugin.functions.free_cell(made)
    assert Cuda(plugin.library).cudaDeviceSynchronize() == 0
