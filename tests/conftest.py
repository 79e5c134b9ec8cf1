"""Fixtures and settings shared by all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import golden_log
import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure(config: pytest.Config) -> None:
    """With RNNPACK_TEST_DEVICE=cuda, layers that can compute on a GPU."""
    if os.environ.get("RNNPACK_TEST_DEVICE") == "cuda":
        sys.path.insert(0, str(Path(__file__).parent / "cuda"))
        config.pluginmanager.import_plugin("layers_on_cuda")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that asks for ``isa`` once per instruction set of this machine."""
    if "isa" in metafunc.fixturenames:
        from rnnpack import _core  # here, so that tests of the oracle alone need no built package

        metafunc.parametrize("isa", _core.available_isas(), indirect=True)


@pytest.fixture
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force one instruction set; the value is its name."""
    name = str(request.param)
    monkeypatch.setenv("RNNPACK_ISA", name)
    return name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many golden cases were compared and how close they came."""
    for line in golden_log.summary():
        terminalreporter.write_line(line)
