"""Measures the entries of one group in turn, and what follows from their times.

A round visits every entry once; a visit is so many calls in a row that it takes about `VISIT_S`. A ratio is
the median over the rounds of one entry's time divided by the other's time in the same round, which a drifting
machine moves less than the times themselves.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import oracle
import problems
from contestants.process import Arena, ContestantError, Process
from shapes import Shape

VISIT_S = 0.015
LEAST_ROUNDS, MOST_ROUNDS = 9, 21
GROUP_S = 6.0  # as many rounds as fit into this time
CACHED_CALL_S = 0.05  # a shorter call is first made untimed: the entry before it emptied the caches


@dataclass(frozen=True)
class Request:
    """One entry of a group: who does what, with how many threads, under which mask, in which precision."""

    label: str
    contestant: str
    task: str = "sequence"
    threads: int = 1
    mask: str | None = None
    precision: str = "full"


@dataclass(frozen=True)
class Group:
    """Entries that are measured in turn on one cell and shape; `beside`: while another process is busy."""

    cell: str
    shape: Shape
    requests: tuple[Request, ...]
    beside: bool = False

    def __str__(self) -> str:
        """For the progress display."""
        return f"{self.cell} {self.shape}{' beside a busy process' if self.beside else ''}"


@dataclass
class Entry:
    """A request while it is measured; `status` is ok, wrong, unavailable or failed.

    `kept` is the share of the steps that are not masked, `path` how the contestant says that it computes,
    `excess` what `oracle.excess` found, `computed` the processor time of all threads in the `elapsed` seconds
    of the visits.
    """

    request: Request
    process: Process
    status: str = "ok"
    note: str = ""
    kept: float = 1.0
    path: str = ""
    excess: float | None = None
    calls: int = 1
    warmups: int = 0
    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    computed: float = 0.0

    def time(self) -> float:
        """One visit."""
        answer = self.process.ask("time", case=self.request.label, calls=self.calls, warmups=self.warmups)
        if self.request.threads > 1:
            self.process.rest()
        self.elapsed += answer["elapsed"]
        self.computed += answer["computed"]
        return float(answer["seconds"])

    def fail(self, error: ContestantError) -> None:
        """Takes the entry out of the race."""
        self.status, self.note, self.seconds = "failed", str(error), []

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            **vars(self.request),
            "status": self.status,
            "note": self.note,
            "kept": self.kept,
            "path": self.path,
            "excess": None if self.excess is None else float(f"{self.excess:.3g}"),
            "calls": self.calls,
            "computing": round(self.computed / self.elapsed, 3) if self.elapsed else None,
            "seconds": [float(f"{s:.5g}") for s in self.seconds],
        }


def prepare(entry: Entry, group: Group, arena: Arena, dtype: str) -> None:
    """Builds the entry's case and compares its result with the oracle."""
    request = entry.request
    problem = problems.make(group.cell, group.shape, dtype, request.mask)
    given, found = arena.folder / "problem.npz", arena.folder / "results.npz"
    problem.save(given)
    entry.kept = 1.0 if problem.mask is None else float(problem.mask.mean())
    try:
        answer = entry.process.ask(
            "prepare",
            case=request.label,
            task=request.task,
            cell=group.cell,
            file=str(given),
            precision=request.precision,
        )
    except ContestantError as error:
        entry.fail(error)
        entry.status = "unavailable"
        return
    entry.path = answer["path"]
    try:
        entry.process.ask("check", case=request.label, file=str(found))
    except ContestantError as error:
        entry.fail(error)
        return
    with np.load(found) as stored:
        results = [stored[name] for name in stored.files]
    entry.excess = oracle.excess(problem, request.task, results, request.precision)
    if not entry.excess <= 1:
        entry.status, entry.note = "wrong", f"errors {entry.excess:.3g} times what rounding explains"


def calibrate(entry: Entry) -> float:
    """Sets how often a visit calls; returns the seconds of one visit."""
    seconds = entry.time()
    if seconds < VISIT_S:
        entry.warmups = 1
        seconds = min(entry.time(), entry.time())
    entry.calls = max(1, round(VISIT_S / seconds))
    entry.warmups = 1 if seconds < CACHED_CALL_S else 0
    return seconds * (entry.calls + entry.warmups)


def rounds_for(seconds: float) -> int:
    """How many rounds of so many seconds: as many as fit into `GROUP_S`, within limits."""
    return min(MOST_ROUNDS, max(LEAST_ROUNDS, int(GROUP_S / max(seconds, 1e-9))))


def alternate(entries: Sequence[Entry], rounds: int) -> None:
    """Visits the entries in turn; one that fails loses its times and the others go on."""
    for _ in range(rounds):
        for entry in entries:
            if entry.status != "ok":
                continue
            try:
                entry.seconds.append(entry.time())
            except ContestantError as error:
                entry.fail(error)


@contextmanager
def busy_process(cpu: int) -> Iterator[None]:
    """Another process that computes all the time on one processor."""
    code = (
        "import os, sys\n"
        "parent = os.getppid()\n"
        "if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, {int(sys.argv[1])})\n"
        "while os.getppid() == parent:\n"  # it must not outlive a benchmark that was killed
        "    for _ in range(1_000_000): pass\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(cpu)])
    try:
        time.sleep(0.2)
        yield
    finally:
        child.kill()
        child.wait()


def run(group: Group, arena: Arena, dtype: str, rounds: int | None = None) -> dict[str, Any]:
    """Checks and measures a group.

    Args:
        group: what to measure.
        arena: the contestants.
        dtype: "float32" or "float64".
        rounds: how many; None: see `rounds_for`.

    Returns:
        Cell, shape, and for each entry its request, status and the seconds per call of every round.
    """
    entries = [Entry(r, arena.process(r.contestant, r.threads)) for r in group.requests]
    for entry in entries:
        prepare(entry, group, arena, dtype)
    with busy_process(arena.cpus[-1]) if group.beside else nullcontext():
        round_seconds = 0.0
        for entry in entries:
            if entry.status == "ok":
                try:
                    round_seconds += calibrate(entry)
                except ContestantError as error:
                    entry.fail(error)
        alternate(entries, rounds or rounds_for(round_seconds))
    for entry in entries:
        entry.process.forget()
    return {
        "cell": group.cell,
        "shape": list(group.shape),
        "beside": group.beside,
        "entries": [entry.to_dict() for entry in entries],
    }


def median(seconds: Sequence[float]) -> float:
    """Median, NaN of nothing."""
    return statistics.median(seconds) if seconds else math.nan


def spread(seconds: Sequence[float]) -> float:
    """Half the distance between the quartiles over the median: half of the rounds are about so close."""
    if not seconds:
        return math.nan
    low, high = np.percentile(seconds, (25, 75))
    return float((high - low) / 2 / median(seconds))


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Median over the rounds of their time over ours, NaN when one of them has no times."""
    if not theirs or not ours:
        return math.nan
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of the values that are numbers; NaN of nothing."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.geometric_mean(numbers) if numbers else math.nan


def estimate(group: Group, rounds: int | None) -> float:
    """Roughly how many seconds a group takes: for progress bars, not for tables."""
    call = group.shape.flops(group.cell) / 60e9 * (2 if group.beside else 1)
    visit = max(VISIT_S, call) + 0.01
    visits = (rounds or rounds_for(len(group.requests) * visit)) + 2
    return len(group.requests) * (visits * visit + 0.3)
