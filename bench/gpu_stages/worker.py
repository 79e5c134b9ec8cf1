"""One stage in a process of its own: what a broken kernel ends is only this.

    python -m gpu_stages.worker check|floors|time --results FILE --seconds S

Prints a line for every cell. Exit codes: 0: done, or out of time; `NO_START`: nothing runs here, the last
line says why; `LOST`: the card no longer answers, a new process may go on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import machine

from gpu_stages.journal import Journal, failure

NO_START, LOST = 4, 3
DEFAULT_L2 = 50 << 20  # until the floors have been measured
CELL_S = 0.3  # of timing, for each cell
RESERVE_S = 2.0  # a cell begins only when so much time is left


def probe() -> str | None:
    """Why nothing can be computed on the GPU, or None."""
    import numpy as np

    import rnnpack

    try:
        rnnpack.SimpleRNN(1, device="cuda")(np.zeros((1, 1, 1), np.float32))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def say(text: str) -> None:
    """A line for the process that started this one."""
    print(text, flush=True)


def selected(keys: Sequence[str], journal: Journal, stage: str, only: str) -> list[str]:
    """The keys that are not done yet and contain a text."""
    return [key for key in keys if only in key and key not in journal.values[stage]]


def check(journal: Journal, until: float, only: str) -> int:
    """Computes the cases one after the other; other processes compare them with the oracle meanwhile."""
    from gpu_stages import check as checking
    from gpu_stages.check_cases import cases

    by_key = {case.key: case for case in cases(with_gpu_arrays=_has_gpu())}
    keys = selected(list(by_key), journal, "check", only)
    waiting: dict[Future[dict[str, Any]], str] = {}
    status = 0
    with ProcessPoolExecutor(max(1, len(machine.cpus()) - 1), get_context("spawn")) as pool:
        for key in keys:
            if time.monotonic() > until:
                break
            journal.begin("check", key)
            given = checking.problem(by_key[key])
            try:
                found = checking.compute(by_key[key], given)
            except Exception as error:  # whatever it is, the other cases go on
                status = _record(journal, "check", key, failure(error))
                if status:
                    break
                continue
            journal.values["running"] = None
            waiting[pool.submit(checking.compared, by_key[key], found)] = key
            _collect(journal, waiting, [future for future in waiting if future.done()])
        _collect(journal, waiting, as_completed(list(waiting)))
    return status


def _collect(journal: Journal, waiting: dict[Future[dict[str, Any]], str], ended: Any) -> None:
    """Records the comparisons that have ended."""
    for future in ended:
        key, error = waiting.pop(future), future.exception()
        _record(journal, "check", key, failure(error) if error else future.result())


def _record(journal: Journal, stage: str, key: str, record: dict[str, Any]) -> int:
    """Records a cell; `LOST` if the card no longer answers after it, else 0."""
    journal.end(stage, key, record)
    say(f"{stage} {len(journal.values[stage])} {record['status']} {key} {_figures(record)}")
    return LOST if record["status"] == "failed" and probe() else 0


def _figures(record: dict[str, Any]) -> str:
    """What of a record fits into a line."""
    if record["status"] != "ok":
        return str(record.get("note", ""))
    if "seconds" in record:
        from measure import median, ratio

        times = {name: median(seconds) * 1e6 for name, seconds in record["seconds"].items()}
        shown = ", ".join(f"{name} {microseconds:.1f}" for name, microseconds in times.items())
        gain = ratio(record["seconds"]["cudnn"], record["seconds"]["rnnpack"])
        return f"us: {shown}; {gain:.2f}x ({record['mode']})"
    return f"error {record['error']:.2g}, {record['excess']:.2g} of its bound"


def _has_gpu() -> bool:
    """Whether PyTorch is there and sees a card."""
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def floors(journal: Journal, until: float, only: str) -> int:
    """What operations cost; barriers and bytes have been measured by a program of its own."""
    import torch

    from gpu_stages import floors as measuring

    journal.set("floors", {**journal.values.get("floors", {}), "operations": measuring.operations(torch)})
    say("floors measured")
    return 0


def timing(journal: Journal, until: float, only: str) -> int:
    """Times the cells in their order."""
    from gpu_stages.cells import Cell, grid, ordered
    from gpu_stages.timing import Timer

    grid_floors = journal.values.get("floors", {}).get("grid", {})
    timer = Timer(CELL_S, grid_floors.get("l2_bytes", DEFAULT_L2))
    for key in selected([cell.key for cell in ordered(grid())], journal, "time", only):
        if time.monotonic() > until - RESERVE_S:
            break
        journal.begin("time", key)
        if status := _record(journal, "time", key, timer.time(Cell.parse(key))):
            return status
    return 0


STAGES: dict[str, Callable[[Journal, float, str], int]] = {
    "check": check,
    "floors": floors,
    "time": timing,
}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="gpu_stages.worker")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--only", default="")
    found = parser.parse_args()
    until = time.monotonic() + found.seconds
    reason = probe() if found.stage != "floors" else None
    if found.stage != "check" and not _has_gpu():
        reason = "PyTorch is not installed, or sees no GPU"
    if reason:
        say(reason)
        return NO_START
    return STAGES[found.stage](Journal.open(found.results), until, found.only)


if __name__ == "__main__":
    sys.exit(main())
