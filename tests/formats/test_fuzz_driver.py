"""The driver of the fuzzers, where atheris is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[1] / "fuzz" / "run.py"


def test_a_fuzzer_runs_for_as_long_as_it_is_told(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [
        sys.executable,
        str(DRIVER),
        "--seconds",
        "1",
        "--only",
        "fuzz_archive",
        "--findings",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fuzz_archive: ")
    assert done.stdout.endswith(" executions, nothing found\n")
    assert not list(tmp_path.iterdir())
