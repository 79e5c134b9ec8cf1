"""Batches whose sequences have different lengths: is the time proportional to the steps that count?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import report
from measure import Group, Request, ratio
from options import Options
from shapes import Shape

SHAPE = Shape(32, 100, 256, 256)
REQUESTS = (
    Request("rnnpack, no mask", "rnnpack"),
    Request("rnnpack, padded at the end", "rnnpack", "mask", mask="right"),
    Request("rnnpack, padded at the start", "rnnpack", "mask", mask="left"),
    Request("rnnpack, holes", "rnnpack", "mask", mask="holes"),
    Request("rnnpack, ragged", "rnnpack", "ragged", mask="right"),
    Request("PyTorch, all steps", "torch"),
    Request("PyTorch, packed", "torch", "packed", mask="right"),
    Request("PyTorch, packed and padded again", "torch", "padded", mask="right"),
)
PEER = "PyTorch, packed"
FULL = {"rnnpack": "rnnpack, no mask", "torch": "PyTorch, all steps"}


def groups(options: Options) -> list[Group]:
    """One group, of LSTM."""
    requests = tuple(
        replace(request, threads=options.threads, precision=options.precision)
        for request in REQUESTS
        if request.contestant in ("rnnpack", *options.peers)
    )
    return [Group("lstm", SHAPE, requests)]


def text(results: dict[str, Any]) -> str:
    """The report in Markdown: a row for each kind of batch."""
    entries = {entry["label"]: entry for entry in results["groups"][0]["entries"]}
    packed = entries[PEER]["seconds"] if PEER in entries else []
    titles = ["batch", "steps that count", "us", "of the same library's full batch", f"{PEER} / it"]
    lines = [
        [
            label,
            report.percent(entry["kept"]),
            report.microseconds(entry, with_spread=True),
            report.percent(ratio(entry["seconds"], entries[FULL[entry["contestant"]]]["seconds"])),
            report.number(ratio(packed, entry["seconds"])),
        ]
        for label, entry in entries.items()
    ]
    parts = [
        report.header("Masks and lengths", results),
        f"LSTM at {SHAPE} (B,T,I,H), {report.numbers(results)}; lengths uniformly random, 50 steps on "
        "average. A library that spends no time on masked steps takes the same share of its full batch's "
        "time as the share of steps that count.",
        report.table(titles, lines),
        report.precision_notes(results),
        report.notes(results),
        report.paths(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
