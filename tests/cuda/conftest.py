"""Fixtures of the CUDA tests: the plugin, emulated on the CPU unless RNNPACK_TEST_GPU=1 asks for a GPU.

With RNNPACK_EMULATOR_CHECK=1 each access of a kernel to memory is checked, for its bounds and for races.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import plugin_build
import pytest
from cuda_functions import Cuda


def _on_a_gpu() -> bool:
    return os.environ.get("RNNPACK_TEST_GPU") == "1"


@pytest.fixture(scope="session")
def cuda_plugin() -> Iterator[None]:
    """Let ``rnnpack.cuda`` find the emulated plugin; with RNNPACK_TEST_GPU=1 it finds the real one."""
    if _on_a_gpu():
        yield
        return
    try:
        library = plugin_build.emulated_plugin(checked=os.environ.get("RNNPACK_EMULATOR_CHECK") == "1")
    except plugin_build.CannotBuild as why:
        pytest.skip(str(why))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNPACK_CUDA_PLUGIN", str(library))
        yield


@pytest.fixture
def needs_gpu() -> None:
    """Skip the test unless it runs on a real GPU."""
    import rnnpack.cuda

    why_not = rnnpack.cuda.why_not()
    if not _on_a_gpu():
        pytest.skip(f"needs a GPU, and RNNPACK_TEST_GPU=1 to use it: {why_not or 'CUDA is emulated'}")
    if why_not is not None:
        pytest.skip(f"needs a GPU: {why_not}")


def _self_test(checked: bool) -> ctypes.CDLL:
    kernels = [plugin_build.EMULATOR / "self_test.cu"]
    try:
        path = plugin_build.emulated_library("emulator_self_test", kernels, checked)
    except plugin_build.CannotBuild as why:
        pytest.skip(str(why))
    library = ctypes.CDLL(str(path))
    library.from_half.restype = library.from_bfloat16.restype = ctypes.c_float
    library.half_of.restype = library.bfloat16_of.restype = ctypes.c_uint16
    return library


@pytest.fixture(scope="session")
def plain_self_test() -> ctypes.CDLL:
    return _self_test(checked=False)


@pytest.fixture(scope="session")
def checked_self_test() -> ctypes.CDLL:
    return _self_test(checked=True)


@pytest.fixture
def emulator_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORDER", "CHECK", "DEVICES"):
        monkeypatch.delenv(f"RNNPACK_EMULATOR_{name}", raising=False)


@pytest.fixture
def cuda(plain_self_test: ctypes.CDLL, emulator_defaults: None) -> Cuda:
    """The emulator with its own test kernels, in its default settings."""
    return Cuda(plain_self_test)


@pytest.fixture
def checked_cuda(checked_self_test: ctypes.CDLL, emulator_defaults: None) -> Cuda:
    """The same, where each access of a kernel to memory is checked."""
    return Cuda(checked_self_test)
