"""Every cell and shape, whole sequences and final states, against every peer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import limits
import report
from limits import Limits
from measure import Group, Request, geometric_mean, median, ratio
from options import Options
from shapes import Shape

OWN_FULL = "rnnpack float32"  # the label of an extra entry in reduced precisions


def groups(options: Options) -> list[Group]:
    """One group for each cell and shape; in a reduced precision with rnnpack's own float32 at the end."""
    names = ("rnnpack", *options.peers)
    requests = [Request(name, name, threads=options.threads, precision=options.precision) for name in names]
    if options.precision != "full":
        requests.append(Request(OWN_FULL, "rnnpack", threads=options.threads))
    return [Group(cell, shape, tuple(requests)) for cell in options.cells for shape in options.shapes]


class Row(NamedTuple):
    """What the table and the pictures show of a group; times in seconds, NaN where there is none."""

    cell: str
    shape: Shape
    entries: dict[str, dict[str, Any]]
    ratios: dict[str, float]  # time of each peer over rnnpack's
    own_ratio: float  # time of rnnpack in full precision over its time here; NaN where that is the same
    best: str | None  # the peer with the smallest ratio
    limit: float

    @property
    def ours(self) -> float:
        """The time of rnnpack."""
        return median(self.entries["rnnpack"]["seconds"])

    @property
    def best_ratio(self) -> float:
        """Time of the best peer over rnnpack's."""
        return self.ratios[self.best] if self.best else math.nan


def rows(results: dict[str, Any]) -> list[Row]:
    """The groups of the results, worked out."""
    found = results["limits"]
    return [
        _row(group, Limits.from_dict(found) if found else None, results["dtype"])
        for group in results["groups"]
    ]


def _row(group: dict[str, Any], most: Limits | None, dtype: str) -> Row:
    cell, shape = group["cell"], Shape(*group["shape"])
    entries = {entry["label"]: entry for entry in group["entries"]}
    ours = entries["rnnpack"]["seconds"]
    ratios = {name: ratio(e["seconds"], ours) for name, e in entries.items() if e["contestant"] != "rnnpack"}
    own_ratio = ratio(entries[OWN_FULL]["seconds"], ours) if OWN_FULL in entries else math.nan
    timed = [name for name, value in ratios.items() if not math.isnan(value)]
    limit = limits.seconds(most, cell, shape, dtype) if most else math.nan
    best = min(timed, key=ratios.__getitem__, default=None)
    return Row(cell, shape, entries, ratios, own_ratio, best, limit)


def peers(found: list[Row]) -> list[str]:
    """The peers that have at least one time."""
    return [name for name in found[0].ratios if any(not math.isnan(row.ratios[name]) for row in found)]


def text(results: dict[str, Any]) -> str:
    """The report in Markdown."""
    found = rows(results)
    shown = peers(found)
    titles = ["cell", "B,T,I,H", "rnnpack", *(report.TITLES[name] for name in shown)]
    titles += ["best peer", "best peer / rnnpack"]
    full = report.numbers(results) == results["dtype"]
    titles += ["share of limit"] if full else ["rnnpack float32", "rnnpack float32 / rnnpack"]
    lines = [
        [
            report.CELL_TITLES[row.cell],
            str(row.shape),
            report.microseconds(row.entries["rnnpack"], with_spread=True),
            *(report.microseconds(row.entries[name]) for name in shown),
            report.TITLES[row.best] if row.best else "-",
            report.number(row.best_ratio),
            *(
                [report.percent(row.limit / row.ours)]
                if full
                else [report.microseconds(row.entries[OWN_FULL]), report.number(row.own_ratio)]
            ),
        ]
        for row in found
    ]
    used = "1 thread" if results["threads"] == 1 else f"{results['threads']} threads"
    parts = [
        report.header("rnnpack and its peers", results),
        f"Microseconds per call, {report.numbers(results)}, {used}: inference, whole sequences and final "
        "states, batch-major, called from Python; GRU with reset_after. Medians of alternating rounds, "
        "± half the distance between the quartiles; ratios are medians of the ratios within a round, above 1 "
        "where rnnpack is faster. "
        + (
            "The limit is the least time of arithmetic and of reading the weights on one core "
            "(`bench/limits.py`)."
            if full
            else "The best peer is the best in the same precision; rnnpack float32 ran in the same rounds."
        ),
        report.precision_notes(results),
        report.table(titles, lines),
        summary(found, shown),
        _limits_text(results),
        report.notes(results),
        report.paths(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(found: list[Row], shown: list[str]) -> str:
    """Geometric means and the smallest ratio."""
    lines = [
        [report.TITLES[name], report.number(geometric_mean([row.ratios[name] for row in found]))]
        for name in shown
    ]
    lines.append(
        ["**best of each cell**", f"**{report.number(geometric_mean([r.best_ratio for r in found]))}**"]
    )
    own = geometric_mean([row.own_ratio for row in found])
    if not math.isnan(own):
        lines.append([OWN_FULL, report.number(own)])
    parts = [report.table(["peer", "geometric mean of peer / rnnpack"], lines)]
    compared = [row for row in found if row.best]
    if compared:
        worst = min(compared, key=lambda row: row.best_ratio)
        parts.append(
            f"Smallest ratio: {worst.best_ratio:.2f} ({report.CELL_TITLES[worst.cell]} {worst.shape}, "
            f"{report.TITLES[worst.best or '']}); "
            f"{sum(row.best_ratio < 1 for row in compared)} of {len(compared)} below 1."
        )
    return "\n\n".join(parts)


def _limits_text(results: dict[str, Any]) -> str:
    if not results["limits"]:
        return ""
    most = Limits.from_dict(results["limits"])
    reads = ", ".join(f"{level.gigabytes_per_second:.0f} from {level.name}" for level in most.levels)
    return f"One core: {most.gflops[results['dtype']]:.0f} GFLOP/s of multiply-adds; reads in GB/s: {reads}."
