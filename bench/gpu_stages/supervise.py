"""Runs the worker of a stage, and a new one where a cell has ended it, which is then recorded."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gpu_stages.journal import Journal
from gpu_stages.worker import LOST, NO_START

SILENCE_S = 75.0  # a cell that takes longer hangs; the first one waits for libraries to load
LOOK_S = 0.2
GRACE_S = 15.0  # that a worker may take to end after its time
MOST_STARTS = 12
NOTE_CHARACTERS = 400

Say = Callable[[str], None]


def command(stage: str, results: Path, seconds: float, only: str) -> list[str]:
    """The worker's command line."""
    arguments = [stage, "--results", str(results), "--seconds", f"{seconds:.1f}", "--only", only]
    return [sys.executable, "-m", "gpu_stages.worker", *arguments]


def supervise(
    stage: str,
    results: Path,
    seconds: float,
    environment: Mapping[str, str],
    say: Say,
    only: str = "",
    worker: Callable[[str, Path, float, str], Sequence[str]] = command,
    silence: float = SILENCE_S,
) -> str | None:
    """Runs a stage for so many seconds.

    Args:
        stage: one of `worker.STAGES`.
        results: the journal's file.
        seconds: until the stage ends.
        environment: of the worker.
        say: gets the worker's lines.
        only: cells whose key contains this.
        worker: makes the command line.
        silence: seconds without a line after which a cell hangs.

    Returns:
        Why the stage could not begin or go on, or None.
    """
    until = time.monotonic() + seconds
    log = results.with_suffix(".log")
    for _ in range(MOST_STARTS):
        left = until - time.monotonic()
        if left <= 0:
            return None
        code, last, why = _run(worker(stage, results, left, only), environment, log, until, silence, say)
        if code == 0 or why == "time":
            Journal.open(results).set("running", None)
            if log.stat().st_size == 0:
                log.unlink()
            return None
        if code == NO_START:
            return last
        status = "hung" if why == "silence" else "crashed"
        note = f"no sign of life for {silence:.0f} s" if why == "silence" else _end(code, log)
        key = Journal.open(results).blame(status, note)
        if key is None and code != LOST:
            return f"the {stage} worker ended outside of a cell: {note}"
        say(f"{stage}: a new worker after {key or 'the card was lost'}: {note.splitlines()[-1]}")
    return f"the {stage} stage gave up after {MOST_STARTS} workers"


def _end(code: int, log: Path) -> str:
    """How a process ended, with the end of what it wrote to its standard error."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"{how}: {log.read_text(encoding='utf-8', errors='replace')[-NOTE_CHARACTERS:].strip()}"


def _run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    until: float,
    silence: float,
    say: Say,
) -> tuple[int, str, str]:
    """Runs one worker; returns its exit code, its last line and why it was ended: "", "silence" or "time"."""
    last = why = ""
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            list(arguments),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=dict(environment),
            preexec_fn=os.setpgrp,  # so that its own helpers end with it
        )
        try:
            for line in _lines(process, until, silence):
                if line in ("silence", "time"):
                    why = line
                    break
                last = line.rstrip("\n")
                say(last)
            if not why:
                process.wait()
        finally:  # also where this one is interrupted
            _kill(process)
            code = process.wait()
    return code, last, why


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _lines(process: subprocess.Popen[str], until: float, silence: float) -> Iterator[str]:
    """The process' lines, each with its line end; "silence" or "time" when one of them passes without."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    heard = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=LOOK_S)
        except queue.Empty:
            now = time.monotonic()
            if process.poll() is not None:  # its helpers may hold its output open
                return
            if now > until + GRACE_S or now - heard > silence:
                yield "time" if now > until + GRACE_S else "silence"
                return
            continue
        if line is None:
            return
        heard = time.monotonic()
        yield line
