"""The report of a card in Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import report
from measure import geometric_mean, median, ratio, spread

from gpu_stages import floors
from gpu_stages.cells import FORMATS, HEADLINES, Cell, grid
from gpu_stages.costs import Card, floor
from gpu_stages.journal import DONE

LEAST = 0.95  # cells below this ratio are listed
SHOWN_SLOW, SHOWN_FAILURES = 40, 30


class Row(NamedTuple):
    """A timed cell; times in seconds, NaN where there is none."""

    cell: Cell
    record: dict[str, Any]
    ours: float
    theirs: float
    ratio: float  # cuDNN's time over rnnpack's
    floor: float


def rows(values: dict[str, Any]) -> list[Row]:
    """The timed cells, in the order of the grid."""
    card = floors.card(values.get("floors") or {})
    order = {cell: place for place, cell in enumerate(grid())}
    found = [_row(Cell.parse(key), record, card) for key, record in values["time"].items()]
    timed = [row for row in found if row.record["status"] == DONE]
    return sorted(timed, key=lambda row: order.get(row.cell, len(order)))


def _row(cell: Cell, record: dict[str, Any], card: Card | None) -> Row:
    seconds = record.get("seconds", {"rnnpack": [], "cudnn": []})
    ours, theirs = seconds["rnnpack"], seconds["cudnn"]
    least = floor(cell, card) if card else math.nan
    return Row(cell, record, median(ours), median(theirs), ratio(theirs, ours), least)


def text(values: dict[str, Any]) -> str:
    """The whole report."""
    timed = rows(values)
    parts = [
        _header(values),
        "## Speed" if timed else "",
        _explained(timed) if timed else "",
        means(timed),
        _slow(timed),
        _cells("Headline cells", [row for row in timed if row.cell in HEADLINES]),
        "## Errors",
        errors(values),
        _sanitized(values),
        _floors(values),
        _failures(values),
        _cells("All cells", timed),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(values: dict[str, Any]) -> str:
    card = values.get("card", {})
    runs = [
        f"- {run['date']}, commit {run['commit'] or 'unknown'}: `{run['command']}`" for run in values["runs"]
    ]
    facts = ", ".join(f"{name} {value}" for name, value in card.items() if name != "name")
    problem = values.get("problems") or {}
    return "\n\n".join(
        [
            f"# rnnpack and cuDNN on {card.get('name', 'an unknown card')}",
            *([f"{facts}."] if facts else []),
            "\n".join(runs),
            *(f"**The {stage} stage did not finish: {why}**" for stage, why in problem.items()),
        ]
    )


def _explained(timed: list[Row]) -> str:
    modes = Counter(row.record["mode"] for row in timed)
    peers = Counter(row.record["peer"] for row in timed)
    counted = ", ".join(f"{count} by {name}" for name, count in peers.items())
    graphs = ", ".join(f"{count} as {name}" for name, count in modes.items())
    return (
        f"{len(timed)} of {len(grid())} cells of the grid were timed ({graphs}). Ratios are the time of "
        "PyTorch's module over rnnpack's, medians of the ratios within a round; above 1 rnnpack is faster. "
        "Both ran in one process in turn, on tensors in the card's memory, under inference_mode, with equal "
        "weights; inputs rotate. `graph`: calls captured in a CUDA graph and replayed; `plain`: called from "
        "Python, because one of the two could not be captured. With lengths (half of the timesteps to all), "
        "PyTorch is given a PackedSequence made before, rnnpack the padded batch and a mask. The module is "
        f"computed {counted}. tf32: allowed on both sides. The floor is the largest of barriers and "
        "recurrent products, all operations, and bytes (`bench/gpu_stages/costs.py`)."
    )


def means(timed: list[Row]) -> str:
    """Geometric means of the ratios: of all cells, and of parts of the grid."""
    if not timed:
        return ""
    parts: list[tuple[str, list[Row]]] = [
        ("all", timed),
        ("cuDNN has no persistent path", [row for row in timed if not row.cell.cudnn_persists]),
        ("cuDNN has a persistent path", [row for row in timed if row.cell.cudnn_persists]),
    ]
    for name in ("kind", "format", "rows", "directions", "batch", "timesteps", "units"):
        for value in dict.fromkeys(getattr(cell, name) for cell in grid()):
            shown = report.CELL_TITLES.get(value, value)
            parts.append((f"{name} {shown}", [row for row in timed if getattr(row.cell, name) == value]))
    lines = [
        [
            name,
            str(len(part)),
            report.number(geometric_mean([row.ratio for row in part])),
            report.number(min(row.ratio for row in part)),
        ]
        for name, part in parts
        if part
    ]
    return report.table(["cells", "number", "geometric mean", "smallest"], lines)


def _slow(timed: list[Row]) -> str:
    slow = sorted((row for row in timed if row.ratio < LEAST), key=lambda row: row.ratio)
    if not timed:
        return ""
    if not slow:
        return f"No cell below {LEAST}."
    names = ", ".join(f"{row.cell.key} {row.ratio:.2f}" for row in slow[:SHOWN_SLOW])
    which = f"the {SHOWN_SLOW} smallest" if len(slow) > SHOWN_SLOW else "smallest first"
    return f"{len(slow)} of {len(timed)} cells below {LEAST}, {which}: {names}."


def _cells(title: str, shown: list[Row]) -> str:
    if not shown:
        return ""
    titles = ["cell", "B,T,H", "format", "rows", "directions", "mode", "rnnpack us", "peer us", "ratio"]
    titles += ["us a step", "floor us a step", "share of floor"]
    lines = [
        [
            report.CELL_TITLES[row.cell.kind],
            f"{row.cell.batch},{row.cell.timesteps},{row.cell.units}",
            row.cell.format,
            row.cell.rows,
            row.cell.directions,
            row.record["mode"],
            f"{report.number(row.ours * 1e6)} ±{spread(row.record['seconds']['rnnpack']) * 100:.1f}%",
            report.number(row.theirs * 1e6),
            report.number(row.ratio),
            report.number(row.ours / row.cell.timesteps * 1e6),
            report.number(row.floor / row.cell.timesteps * 1e6),
            report.percent(row.floor / row.ours),
        ]
        for row in shown
    ]
    return f"### {title}\n\n" + report.table(titles, lines)


def errors(values: dict[str, Any]) -> str:
    """Largest errors by format: of the checked layers, and of the timed cells."""
    checked = {key.split()[1]: [] for key in values["check"]} if values["check"] else {}
    for key, record in values["check"].items():
        checked[key.split()[1]].append(record)
    parts = []
    if checked:
        lines = [
            [
                form,
                str(len(records)),
                str(sum(r["status"] != DONE for r in records)),
                _largest(r.get("error") for r in records),
                _largest(r.get("excess") for r in records),
            ]
            for form, records in sorted(checked.items())
        ]
        titles = ["format", "layers", "not ok", "largest error", "largest error over its bound"]
        parts.append(
            "Layers against the float64 oracle: absolute errors; a bound is what rounding to the format "
            "explains at most (`bench/gpu_stages/grid_rounding.py`).\n\n" + report.table(titles, lines)
        )
    lines = []
    for form in FORMATS:
        of_form = [r for k, r in values["time"].items() if Cell.parse(k).format == form and "errors" in r]
        if of_form:
            names = ("rnnpack", "cudnn", "between")
            largest = [_largest(r["errors"][name] for r in of_form) for name in names]
            lines.append([form, str(len(of_form)), *largest, _largest(r["tolerance"] for r in of_form)])
    if lines:
        titles = ["format", "cells", "rnnpack", "PyTorch", "between the two", "largest tolerance"]
        parts.append(
            "Timed cells against float64 steps: largest relative errors in the Euclidean norm.\n\n"
            + report.table(titles, lines)
        )
    return "\n\n".join(parts) or "Nothing was checked."


def _largest(numbers: Iterable[float | None]) -> str:
    known = [number for number in numbers if number is not None]
    return f"{max(known):.2g}" if known else "-"


def _sanitized(values: dict[str, Any]) -> str:
    found = values.get("sanitize") or {}
    lines = [
        f"- {tool}: {record['status']}" + (f"\n\n```\n{record['note']}\n```" if "note" in record else "")
        for tool, record in found.items()
    ]
    return "compute-sanitizer on small layers:\n\n" + "\n".join(lines) if lines else ""


def _floors(values: dict[str, Any]) -> str:
    found = values.get("floors") or {}
    names = {
        "counter_barrier": "barrier of all multiprocessors, one counter",
        "flag_barrier": "barrier of all multiprocessors, a flag each",
        "cluster_8_barrier": "barrier of a cluster of 8",
        "cluster_16_barrier": "barrier of a cluster of 16",
        "stream_launch": "empty kernel in a stream",
        "graph_launch": "empty kernel in a graph",
    }
    rates = {"l2": "reads from L2", "memory_read": "reads from memory", "memory_copy": "copies in memory"}
    measured = found.get("grid", {})
    lines = [[title, f"{measured[n] * 1e9:.0f} ns"] for n, title in names.items() if n in measured]
    lines += [[title, f"{measured[n] / 1e9:.0f} GB/s"] for n, title in rates.items() if n in measured]
    lines += [
        [f"products in {form}", f"{rate / 1e12:.0f} TFLOP/s"]
        for form, rate in found.get("operations", {}).items()
    ]
    return "## Floors\n\n" + report.table(["what", "measured"], lines) if lines else ""


def _failures(values: dict[str, Any]) -> str:
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for stage in ("check", "time"):
        for key, record in values[stage].items():
            if record["status"] != DONE:
                note = str(record.get("note", "")).strip().replace("\n", " ")
                reasons.setdefault((stage, record["status"], note), []).append(key)
    if not reasons:
        return ""
    most = sorted(reasons.items(), key=lambda item: -len(item[1]))
    lines = [
        f"- {stage}, {status}: {note} ({keys[0]}{f' and {len(keys) - 1} more' if keys[1:] else ''})"
        for (stage, status, note), keys in most[:SHOWN_FAILURES]
    ]
    left = len(most) - len(lines)
    rest = f"\n- and {left} other reasons" if left else ""
    return "## What is not right\n\n" + "\n".join(lines) + rest
