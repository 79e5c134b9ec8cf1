"""What the tables of all scenarios share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import machine
from measure import median, spread

TITLES = {
    "rnnpack": "rnnpack",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "tensorflow": "TensorFlow",
    "xla": "TensorFlow XLA",
}
LEAST_COMPUTING = 0.95
PRECISION_NOTES = {
    "bfloat16": "PyTorch is given its inputs as bfloat16 tensors, made before the clock starts, and gives "
    "bfloat16 back; OpenVINO and rnnpack take and give float32 and round within the call. OpenVINO computes "
    "so by default; its compiled model says so. Results are checked with the errors that unit roundoff 2^-8 "
    "explains (`bench/rounding.py`).",
    "int8": "Weights of 8 bits, made before the clock starts; inputs and outputs are float32. PyTorch: "
    "`torch.ao.quantization.quantize_dynamic`; ONNX Runtime: `quantize_dynamic` with a scale for each "
    "column. Results are checked with the errors that steps of 8 bits explain (`bench/rounding.py`).",
}
CELL_TITLES = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}


def number(value: float) -> str:
    """Three significant digits or more, without an exponent; a dash for NaN."""
    if math.isnan(value):
        return "-"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def percent(value: float) -> str:
    """A share in percent; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.0%}"


def microseconds(entry: dict[str, Any] | None, with_spread: bool = False) -> str:
    """Median time of an entry, or what became of it."""
    if entry is None:
        return "-"
    if entry["status"] != "ok":
        return str(entry["status"])
    shown = number(median(entry["seconds"]) * 1e6)
    return f"{shown} ±{spread(entry['seconds']) * 100:.1f}%" if with_spread else shown


def numbers(results: dict[str, Any]) -> str:
    """What was computed in: the dtype in full precision, else the precision."""
    precision = results.get("precision", "full")  # older results have none
    return str(results["dtype"] if precision == "full" else precision)


def precision_notes(results: dict[str, Any]) -> str:
    """What a precision means for the peers and for the oracle; nothing in full precision."""
    return PRECISION_NOTES.get(numbers(results), "")


def paths(results: dict[str, Any]) -> str:
    """How libraries say that they compute in a reduced precision; nothing in full precision."""
    if numbers(results) == results["dtype"]:
        return ""
    told: dict[str, dict[str, None]] = {}
    for group in results["groups"]:
        for entry in group["entries"]:
            if entry["status"] == "ok" and entry["path"]:
                told.setdefault(entry["label"], {})[entry["path"]] = None
    return "\n".join(f"- {label}: {', '.join(found)}" for label, found in told.items())


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(titles), " | ".join("---" for _ in titles), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def header(title: str, results: dict[str, Any]) -> str:
    """Title, machine, versions and command."""
    facts = results["machine"]
    cache_sizes = ", ".join(f"{name} {size >> 10} KiB" for name, size in facts["caches"].items())
    versions: dict[str, str] = {}
    for told in results["contestants"].values():
        versions |= told
    lines = [
        f"# {title}",
        f"{facts['date']}, {facts['processor']} ({facts['architecture']}), {facts['cores']} cores, "
        f"{cache_sizes}, {facts['kernel']}, load {facts['load']:.2f} before the run, "
        f"commit {facts['commit'] or 'unknown'}.",
        ", ".join(f"{name}: {version}" for name, version in versions.items()) + ".",
        f"`{results['command']}`",
    ]
    problems = [machine.warning(facts), disturbance(results)]
    return "\n\n".join([*lines, *(f"**Warning: {problem}.**" for problem in problems if problem)])


def disturbance(results: dict[str, Any]) -> str | None:
    """How much others disturbed the run, or None when they did not.

    One thread on its own processor computes all the time; what is missing was taken by others.
    """
    shares = [
        entry["computing"]
        for group in results["groups"]
        for entry in group["entries"]
        if entry["status"] == "ok" and entry["threads"] == 1
    ]
    waited = [share for share in shares if share < LEAST_COMPUTING]
    if not waited:
        return None
    return (
        f"in {len(waited)} of {len(shares)} measurements with one thread other processes took more than "
        f"{1 - LEAST_COMPUTING:.0%} of the processor's time, at most {1 - min(waited):.0%}"
    )


def notes(results: dict[str, Any]) -> str:
    """Why entries have no times, one line for each reason."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for group in results["groups"]:
        for entry in group["entries"]:
            if entry["status"] != "ok":
                key = (entry["label"], entry["status"], entry["note"])
                sizes = ",".join(map(str, group["shape"]))
                reasons.setdefault(key, []).append(f"{CELL_TITLES[group['cell']]} {sizes}")
    lines = []
    for (label, status, note), where in reasons.items():
        places = where[0] if len(where) == 1 else f"{where[0]} and {len(where) - 1} more"
        lines.append(f"- {label}, {status}: {note} ({places})")
    return "\n".join(lines)
