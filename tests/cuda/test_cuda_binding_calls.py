"""Calls of the CUDA plugin: what arrives there and comes back, seen through a plugin that needs no GPU."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fake_plugin import (
    FAILED,
    OK,
    STEADY,
    FakePlugin,
    arrays_of,
    call_of,
    cell_of,
    computed,
    numbers,
    with_plugin,
)

from rnnpack import _core


@with_plugin
def test_arrays_arrive(plugin: FakePlugin) -> None:
    for dtype, number_format in ((np.float32, "tf32"), (np.float64, "float64")):
        cells = [cell_of("lstm", 3, 4, number_format), cell_of("gru", 4, 2, number_format)]
        whole = numbers(4, 10, 3, dtype=dtype)
        for inputs in (whole, whole[::-1, ::2], np.broadcast_to(whole[:1], whole.shape), whole.T.copy().T):
            batch, steps = inputs.shape[:2]
            mask = np.arange(batch * steps).reshape(steps, batch).T % 3 > 0
            outputs, states = _core.cuda_run(cells, inputs, None, mask, *STEADY)
            assert outputs.dtype == dtype
            np.testing.assert_array_equal(outputs, computed(inputs, 2, mask))
            assert [one.shape for one in states] == [(batch, 4), (batch, 4), (batch, 2)]
            for one in states:
                np.testing.assert_array_equal(one, np.ones_like(one))
            note = plugin.note("run_on_host_arrays")
            assert note["elements"] == (1 if dtype is np.float64 else 0)
            assert note["mask_strides"] == [batch, 1]
            assert note["directions"][0]["units"] == [4, 2]
            assert note["directions"][0]["inputs"][3] == 1


@with_plugin
def test_states_flags_and_layouts(plugin: FakePlugin) -> None:
    cells = [cell_of("peephole_lstm", 3, 2)]
    inputs = numbers(5, 4, 3)
    first = [numbers(4, 2), np.asfortranarray(numbers(4, 2) * 2)]
    for flags in np.ndindex(2, 2, 2):
        go_backwards, return_sequences, zero = map(bool, flags)
        outputs, states = _core.cuda_run(
            cells, inputs, first, None, True, go_backwards, return_sequences, zero
        )
        expected = computed(inputs, 2)
        np.testing.assert_array_equal(outputs, expected if return_sequences else expected[-1])
        for before, after in zip(first, states, strict=True):
            np.testing.assert_array_equal(after, before + 1)
        note = plugin.note("run_on_host_arrays")
        assert (note["batch"], note["timesteps"]) == (4, 5)
        assert (note["return_sequences"], note["zero_output_for_mask"]) == (return_sequences, zero)
        assert (note["masked"], note["row_splits"]) == (False, None)
        assert note["directions"][0]["go_backwards"] == go_backwards
        assert not note["directions"][0]["turn_outputs"]


@with_plugin
def test_ragged_rows_arrive(plugin: FakePlugin) -> None:
    splits = np.array([0, 2, 2, 7])
    inputs = numbers(14, 3)[::2]
    outputs, _ = _core.cuda_run([cell_of()], inputs, None, None, *STEADY, splits)
    np.testing.assert_array_equal(outputs, computed(inputs, 2))
    note = plugin.note("run_on_host_arrays")
    assert (note["batch"], note["timesteps"], note["row_splits"]) == (3, 5, [0, 2, 2, 7])
    direction = note["directions"][0]
    assert direction["inputs"][1:] == [6, 0, 1]
    assert direction["outputs"][1:] == [2, 0]
    with pytest.raises(ValueError, match="row_splits: expected the last one to be 7"):
        _core.cuda_run([cell_of()], inputs, None, None, *STEADY, splits - splits.clip(6) + 6)


@with_plugin
def test_both_directions_arrive(plugin: FakePlugin) -> None:
    stacks = [cell_of("lstm", 3, 4)], [cell_of("gru", 3, 2), cell_of("simple_rnn", 2, 5)]
    inputs = numbers(2, 6, 3)
    for concatenate in (True, False):
        for backwards in (False, True):
            flags = (False, backwards, True, False)
            outputs, ahead, back = _core.cuda_run_bidirectional(
                *stacks, inputs, None, [numbers(2, 2), numbers(2, 5)], None, *flags, concatenate
            )
            assert len(outputs) == (1 if concatenate else 2)
            expected = [computed(inputs, 4), computed(inputs, 5)]
            np.testing.assert_array_equal(np.concatenate(outputs, -1), np.concatenate(expected, -1))
            assert [one.shape for one in ahead] == [(2, 4)] * 2
            np.testing.assert_array_equal(back[1], numbers(2, 5) + 1)
            directions = plugin.note("run_on_host_arrays")["directions"]
            assert [one["go_backwards"] for one in directions] == [backwards, not backwards]
            assert [one["turn_outputs"] for one in directions] == [False, True]
            assert [one["units"] for one in directions] == [[4], [2, 5]]


@with_plugin
def test_calls_are_checked(plugin: FakePlugin) -> None:
    inputs = numbers(2, 4, 3)
    run = _core.cuda_run
    packed = _core.PackedCell(
        "lstm", **arrays_of("lstm", 3, 2), activation="tanh", recurrent_activation="tanh"
    )
    with pytest.raises(TypeError, match="cells: expected CudaCell, got"):
        run([packed], inputs, None, None, *STEADY)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="cells: expected PackedCell, got"):
        _core.run([cell_of()], inputs, None, None, *STEADY)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="expected at least one CudaCell"):
        run([], inputs, None, None, *STEADY)
    with pytest.raises(ValueError, match="expected cell 1 to read 2 features, it reads 3"):
        run([cell_of(), cell_of()], inputs, None, None, *STEADY)
    with pytest.raises(ValueError, match="expected all on one device, got cuda:0 and cuda:1"):
        run([cell_of(), cell_of("gru", 2, device=1)], inputs, None, None, *STEADY)
    with pytest.raises(ValueError, match="one number format, got float32 and tf32"):
        run([cell_of(), cell_of("gru", 2, number_format="tf32")], inputs, None, None, *STEADY)
    with pytest.raises(TypeError, match="expected CudaCell of dtype float64"):
        run([cell_of(number_format="float64"), cell_of("gru", 2)], inputs.astype(float), None, None, *STEADY)
    with pytest.raises(TypeError, match="inputs: expected dtype float32, got float64"):
        run([cell_of()], inputs.astype(float), None, None, *STEADY)
    with pytest.raises(ValueError, match="states: expected 2 arrays, got 1"):
        run([cell_of()], inputs, [numbers(2, 2)], None, *STEADY)
    with pytest.raises(ValueError, match="at least one timestep"):
        run([cell_of()], inputs[:, :0], None, None, *STEADY)
    with pytest.raises(ValueError, match="expected all on one device"):
        _core.cuda_run_bidirectional(
            [cell_of()], [cell_of(device=1)], inputs, None, None, None, *STEADY, True
        )
    plugin.fail("run_on_host_arrays", FAILED, "the GPU fell off the bus")
    with pytest.raises(RuntimeError, match=r"^the GPU fell off the bus$"):
        run([cell_of()], inputs, None, None, *STEADY)


@with_plugin
def test_empty_batches_stay_on_the_host(plugin: FakePlugin) -> None:
    plugin.fail("run_on_host_arrays", FAILED, "must not be called")
    plugin.fail("run", FAILED, "must not be called")
    cell = cell_of()
    outputs, states = _core.cuda_run([cell], numbers(0, 4, 3), None, None, *STEADY)
    assert outputs.shape == (0, 4, 2)
    assert [one.shape for one in states] == [(0, 2)] * 2
    call = call_of([cell], numbers(0, 4, 3), numbers(0, 4, 2))
    assert call.workspace_bytes == 0
    call.run(0, 0)
    for function in ("run_on_host_arrays", "run"):
        plugin.fail(function, OK)
    with pytest.raises(ValueError, match="timestep"):
        call_of([cell], numbers(2, 0, 3), numbers(2, 0, 2))


@with_plugin
def test_calls_on_device_memory_arrive(plugin: FakePlugin) -> None:
    cells = [cell_of("lstm", 3, 4), cell_of("gru", 4, 2)]
    inputs = numbers(2, 5, 6)[::-1, :, ::2]
    mask = np.arange(10).reshape(2, 5) % 4 > 0
    outputs = np.zeros((2, 5, 2), np.float32)
    first = [numbers(2, 4), numbers(2, 4) + 7, numbers(2, 2)]
    last = [np.zeros_like(one) for one in first]
    given_mask = (mask.ctypes.data, *mask.strides[::-1])
    call = call_of(cells, inputs, outputs, (first, last), mask=given_mask, zero_output_for_mask=True)
    assert call.workspace_bytes == 256
    with pytest.raises(ValueError, match="workspace: expected the address of 256 bytes, got 0"):
        call.run(0, 0)
    with pytest.raises(ValueError, match="aligned to 256"):
        call.run(8, 0)
    del cells
    gc.collect()
    call.run(512, 77)
    np.testing.assert_array_equal(outputs, computed(inputs, 2, mask))
    for before, after in zip(first, last, strict=True):
        np.testing.assert_array_equal(after, before + 1)
    note = plugin.note("run")
    assert (note["workspace"], note["stream"]) == (512, 77)
    assert note["zero_output_for_mask"]
    assert note["mask_strides"] == [1, 5]
    direction = note["directions"][0]
    assert direction["inputs"] == [inputs.ctypes.data, 6, -30, 2]
    assert direction["initial_states"] == [one.ctypes.data for one in first]
    call = call_of([cell_of()], inputs, outputs)
    call.run(256, 0)
    direction = plugin.note("run")["directions"][0]
    assert direction["initial_states"] is None
    assert direction["final_states"] is None
    plugin.fail("run", FAILED, "no such stream")
    with pytest.raises(RuntimeError, match=r"^no such stream$"):
        call.run(256, 5)


@with_plugin
def test_calls_on_device_memory_are_checked(plugin: FakePlugin) -> None:
    cell, inputs, outputs = cell_of(), numbers(2, 4, 3), numbers(2, 4, 2)
    plane, rows = (512, 3, 12, 1), (512, 2, 8)

    def refused(error: type[Exception], match: str, directions: Any, **changes: Any) -> None:
        with pytest.raises(error, match=match):
            call_of([cell], inputs, outputs, directions=directions, **changes)

    one = ([cell], plane, None, None, rows, False, False)
    refused(ValueError, "directions: expected one or two, got 0", [])
    refused(ValueError, "directions: expected one or two, got 3", [one] * 3)
    refused(ValueError, "element: expected one of", [one], element="int8")
    refused(TypeError, "expected CudaCell of dtype float64", [one], element="float64")
    wide = cell_of(number_format="float64")
    refused(TypeError, "expected CudaCell of dtype float32", [([wide], *one[1:])], element="bfloat16")
    other = ([cell_of(device=1)], *one[1:])
    refused(ValueError, "expected all on one device", [one, other])
    refused(ValueError, "inputs: expected an address", [([cell], (0, 3, 12, 1), *one[2:])])
    refused(ValueError, "outputs: expected an address", [(*one[:4], (0, 2, 8), False, False)])
    refused(ValueError, "mask: expected an address", [one], mask=(0, 1, 1))
    refused(ValueError, "mask: expected None with row_splits", [one], mask=(8, 1, 1), row_splits=8)
    refused(ValueError, "batch strides of zero", [one], row_splits=8)
    refused(ValueError, "initial states: expected 2 addresses, got 1", [(*one[:2], [8], *one[3:])])
    refused(ValueError, "final states: expected 2 addresses, got 3", [(*one[:3], [8] * 3, *one[4:])])
    refused(ValueError, "final states: expected addresses, got 0", [(*one[:3], [8, 0], *one[4:])])
    refused(ValueError, "too large to address", [one], batch=2**40, timesteps=2**40)
    refused(TypeError, "incompatible", [one[:6]])
    refused(TypeError, "incompatible", [one], batch=-1)
    call_of([cell], inputs, outputs, directions=[(*one[:2], [0, 8], *one[3:])])


@with_plugin
def test_interruption(plugin: FakePlugin) -> None:
    call = call_of([cell_of()], numbers(1, 1, 3), numbers(1, 1, 2))
    runs: list[Callable[[], Any]] = [
        lambda: _core.cuda_run([cell_of()], numbers(1, 1, 3), None, None, *STEADY),
        lambda: call.run(256, 0),
    ]
    for run in runs:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        with plugin.slow(), pytest.raises(KeyboardInterrupt):
            timer.start()
            run()
        timer.join()
        run()


@with_plugin
def test_threads_share_cells(plugin: FakePlugin) -> None:
    cells = [cell_of()]
    inputs = numbers(3, 5, 3)

    def use(index: int) -> None:
        mine = inputs + np.float32(index)
        outputs, _ = _core.cuda_run(cells, mine, None, None, *STEADY)
        np.testing.assert_array_equal(outputs, computed(mine, 2))
        cell_of()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(400)))
    assert plugin.living_cells == 1
