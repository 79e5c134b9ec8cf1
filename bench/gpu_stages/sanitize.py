"""Runs a few small layers under each tool of compute-sanitizer; as a module, computes them.

No PyTorch in it: the tools slow every kernel down, and its start would take longest.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

TOOLS = ("memcheck", "racecheck", "synccheck")
FOUND = 9  # exit code when a tool has found something
NOTE_CHARACTERS = 2000


def run(seconds: float, environment: Mapping[str, str], say: Callable[[str], None]) -> dict[str, Any]:
    """A record for each tool: "ok", "wrong" with the end of its report, or "failed" where it cannot run."""
    until = time.monotonic() + seconds
    records: dict[str, Any] = {}
    for tool in TOOLS:
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", str(FOUND)]
        command += [sys.executable, "-m", "gpu_stages.sanitize"]
        records[tool] = _run(command, max(1.0, until - time.monotonic()), environment)
        say(f"{tool}: {records[tool]['status']}")
    return records


def _run(command: list[str], seconds: float, environment: Mapping[str, str]) -> dict[str, Any]:
    begin = time.monotonic()
    try:
        found = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            env=dict(environment),
        )
    except FileNotFoundError as error:
        return {"status": "failed", "note": str(error)}
    except subprocess.TimeoutExpired:
        return {"status": "failed", "note": f"not done after {seconds:.0f} s"}
    if found.returncode == 0:
        return {"status": "ok", "seconds": round(time.monotonic() - begin, 1)}
    status = "wrong" if found.returncode == FOUND else "failed"
    return {"status": status, "note": found.stdout[-NOTE_CHARACTERS:]}


def main() -> None:
    """Computes one small layer of each kind and format, and a pair with a mask of each kind."""
    from gpu_stages.check import compute, problem
    from gpu_stages.check_cases import FORMATS, KINDS, Case

    cases = [Case(kind, form, (3, 4, 17, 33)) for kind in KINDS for form in FORMATS]
    cases += [Case(kind, "float32", (3, 4, 5, 40), mask="holes", merge="concat", depth=2) for kind in KINDS]
    for case in cases:
        compute(case, problem(case))


if __name__ == "__main__":
    main()
