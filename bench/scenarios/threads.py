"""One and two threads, on an idle machine and beside a process that keeps the second processor busy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import report
from measure import Group, Request, geometric_mean, ratio
from options import Options

CONTESTANTS = ("rnnpack", "torch", "onnxruntime")


def groups(options: Options) -> list[Group]:
    """Two groups for each cell and shape: alone, and beside a busy process."""
    names = [name for name in CONTESTANTS if name in ("rnnpack", *options.peers)]
    requests = tuple(
        Request(f"{name} {threads}", name, threads=threads, precision=options.precision)
        for name in names
        for threads in (1, 2)
    )
    return [
        Group(cell, shape, requests, beside)
        for cell in options.cells
        for shape in options.shapes
        for beside in (False, True)
    ]


def factors(alone: dict[str, Any], beside: dict[str, Any], name: str) -> tuple[float, float]:
    """Speed-up by a second thread on an idle machine, and slow-down by it beside a busy process.

    Both compare with one thread in the same rounds: times of one thread over two, and of two over one.
    """
    idle, disturbed = (
        {entry["threads"]: entry["seconds"] for entry in group["entries"] if entry["contestant"] == name}
        for group in (alone, beside)
    )
    return ratio(idle[1], idle[2]), ratio(disturbed[2], disturbed[1])


def text(results: dict[str, Any]) -> str:
    """The report in Markdown."""
    found = [pair for pair in pairwise(results["groups"]) if pair[1]["beside"]]
    names = list(dict.fromkeys(entry["contestant"] for entry in found[0][0]["entries"]))
    titles = ["cell", "B,T,I,H"]
    for name in names:
        titles += [f"{report.TITLES[name]} 1", "2", "speed-up", "slow-down"]
    lines = []
    collected: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for alone, beside in found:
        entries = {entry["label"]: entry for entry in alone["entries"]}
        line = [report.CELL_TITLES[alone["cell"]], ",".join(map(str, alone["shape"]))]
        for name in names:
            pair = factors(alone, beside, name)
            collected[name].append(pair)
            times = [report.microseconds(entries[f"{name} {threads}"]) for threads in (1, 2)]
            line += [*times, *map(report.number, pair)]
        lines.append(line)
    means = [
        [
            report.TITLES[name],
            report.number(geometric_mean([up for up, _ in pairs])),
            report.number(min(up for up, _ in pairs)),
            report.number(geometric_mean([down for _, down in pairs])),
            report.number(max(down for _, down in pairs)),
        ]
        for name, pairs in collected.items()
    ]
    parts = [
        report.header("Two threads", results),
        f"Microseconds per call on an idle machine, {report.numbers(results)}, with one and two threads; the "
        "speed-up by the second thread; and the slow-down by it when another process keeps its processor "
        "busy: the time of two threads over that of one thread beside the same process. Thread pools wait as "
        "their libraries choose (no OMP_WAIT_POLICY, no KMP_BLOCKTIME); a visit ends when they sleep.",
        report.table(["", "speed-up, mean", "smallest", "slow-down, mean", "largest"], means),
        report.table(titles, lines),
        report.precision_notes(results),
        report.notes(results),
        report.paths(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
