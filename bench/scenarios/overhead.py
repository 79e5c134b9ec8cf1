"""What a call costs beyond its arithmetic: one step of 8 units, without states, with states, as a stream."""

from __future__ import annotations

from typing import Any

import report
from measure import Group, Request, ratio
from options import Options
from shapes import Shape

SHAPE = Shape(1, 1, 8, 8)
LABELS = {
    ("rnnpack", "sequence"): "rnnpack",
    ("rnnpack", "states"): "rnnpack, states in and out",
    ("rnnpack", "stream"): "rnnpack, stream with `out=`",
    ("torch", "sequence"): "PyTorch",
    ("torch", "states"): "PyTorch, states in and out",
    ("torch", "stream"): "PyTorch, cell",
    ("onnxruntime", "sequence"): "ONNX Runtime",
    ("onnxruntime", "states"): "ONNX Runtime, states in and out",
    ("onnxruntime", "stream"): "ONNX Runtime, bound arrays",
}


def groups(options: Options) -> list[Group]:
    """One group for each cell."""
    requests = tuple(
        Request(label, name, task, options.threads)
        for (name, task), label in LABELS.items()
        if name == "rnnpack" or name in options.peers
    )
    return [Group(cell, SHAPE, requests) for cell in options.cells]


def text(results: dict[str, Any]) -> str:
    """The report in Markdown: a row for each way to call."""
    by_cell = {
        group["cell"]: {entry["label"]: entry for entry in group["entries"]} for group in results["groups"]
    }
    titles = ["one step of 8 units"]
    for cell in by_cell:
        titles += [report.CELL_TITLES[cell], "/ rnnpack"]
    lines = []
    for label in next(iter(by_cell.values())):
        line = [label]
        for entries in by_cell.values():
            ours = entries[LABELS["rnnpack", "sequence"]]["seconds"]
            line.append(report.microseconds(entries[label], with_spread=True))
            line.append(report.number(ratio(entries[label]["seconds"], ours)))
        lines.append(line)
    parts = [
        report.header("What a call costs", results),
        f"Microseconds per call at {SHAPE} (B,T,I,H), {results['dtype']}, and the ratio to rnnpack's call "
        "without states. A stream keeps the states between calls and writes into an array of the caller.",
        report.table(titles, lines),
        report.notes(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
