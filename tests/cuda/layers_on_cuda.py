"""A pytest plugin that runs any test with the layers that can on a GPU instead of the CPU.

    RNNPACK_TEST_DEVICE=cuda python -m pytest tests/contract tests/goldens

Layers on the device "cpu" whose cells have native kernels compute on a GPU; others, custom cells first of
all, stay where they are, and so do layers with dropout. The GPU is emulated, unless RNNPACK_TEST_GPU=1
asks for a real one. Tests that are about the CPU's own engine are skipped with a reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import plugin_build
import pytest

from rnnpack.engine import plan
from rnnpack.layers import device, native_pair

# Parts of the tests' names, and why they say nothing about a GPU.
ABOUT_THE_CPU = {
    "test_explain.py::test_an_unknown_instruction_set_is_an_error": "RNNPACK_ISA is about the CPU",
    "test_an_unknown_instruction_set_leaves_the_layer_unbuilt": "RNNPACK_ISA is about the CPU",
    "test_prepared_": "prepared calls are the CPU's",
    "test_native_pair": "what is prepared, and how often, is the CPU's",
    "test_device_argument": "expects layers on the CPU, and machines without a plugin",
    "test_same_bits": "on a GPU a row's bits depend on its batch",
    "keeps_the_bits_of_a_row": "on a GPU a row's bits depend on its batch",
    "test_a_row_alone_gives_the_same_bits": "on a GPU a row's bits depend on its batch",
}

_on_the_cpu = device.cells_of
_calls = 0


def _suits(layer: Any) -> bool:
    dtype = layer._policy.compute_dtype
    return (
        layer._precision.name != "int8"
        and plan.reason_against(layer.cell, dtype) is None
        and not plan.drops(layer.cell)
    )


def _cells_of(layer: Any) -> Any:
    global _calls
    if layer._device != "cpu" or not _suits(layer):
        return _on_the_cpu(layer)
    _calls += 1
    return device.cuda_cells(layer, 0)


def _share_device(forward: Any, backward: Any) -> bool:
    return bool(forward._device == backward._device) and _suits(forward) == _suits(backward)


@pytest.fixture(scope="session", autouse=True)
def _layers_on_cuda() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("RNNPACK_TEST_GPU") != "1":
            patch.setenv("RNNPACK_CUDA_PLUGIN", str(plugin_build.emulated_plugin()))
        patch.setattr(device, "cells_of", _cells_of)
        patch.setattr(native_pair, "_share_device", _share_device)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is about the CPU."""
    for item in items:
        for name, reason in ABOUT_THE_CPU.items():
            if name in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much ran on the GPU."""
    terminalreporter.write_line(f"{_calls} calls of layers went to cuda")
