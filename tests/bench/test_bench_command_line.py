"""The measurement of the command line runs, and takes what it prints from a run that happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "bench" / "command_line.py"


def test_a_line_for_every_kind_of_output(tmp_path: Path) -> None:
    words = ["--megabytes", "2", "--threads", "1", "--endings", "npy,npz", "--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    assert lines[0] == ["output", "rows", "seconds", "rows/s", "MB/s of input", "peak memory, MB"]
    assert [line[:2] for line in lines[2:]] == [[".npy", "312"], [".npz", "312"]]
    for line in lines[2:]:
        assert 20 < float(line[5]) < 200
    assert os.listdir(tmp_path) == []


def test_a_run_that_fails_is_not_measured(tmp_path: Path) -> None:
    words = [sys.executable, str(SCRIPT), "--megabytes", "1", "--endings", "txt", "--folder", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1 and "failed with status" in done.stderr
