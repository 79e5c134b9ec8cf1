"""Fixtures of the CUDA tests: the plugin, emulated on the CPU unless RNNPACK_TEST_GPU=1 asks for a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator

import plugin_build
import pytest


def _on_a_gpu() -> bool:
    return os.environ.get("RNNPACK_TEST_GPU") == "1"


@pytest.fixture(scope="session")
def cuda_plugin() -> Iterator[None]:
    """Let ``rnnpack.cuda`` find the emulated plugin; with RNNPACK_TEST_GPU=1 it finds the real one."""
    if _on_a_gpu():
        yield
        return
    try:
        library = plugin_build.emulated_plugin()
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
