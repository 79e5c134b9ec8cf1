"""Compares rnnpack with PyTorch in one process, one thread, one core: the same weights, alternating calls.

    python bench/against_torch.py --json results.json

Inference, float32, whole sequences and final states returned, batch-major, called from Python through the
public API. Results are compared before anything is timed. Figures are medians; the ratio is the median of
the ratios of neighbouring runs, which a drifting machine moves less than the times themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shapes import CELLS, SHAPES, Shape

import rnnpack

Call = Callable[[], Any]


def peers(cell: str, shape: Shape) -> tuple[Call, Call]:
    """The same layer with the same weights in both libraries, as calls without arguments."""
    torch.manual_seed(0)
    inputs = torch.randn(shape.batch, shape.timesteps, shape.features)
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
    module = kinds[cell](shape.features, shape.units, batch_first=True)
    kinds_here = {"lstm": rnnpack.LSTM, "gru": rnnpack.GRU, "simple_rnn": rnnpack.SimpleRNN}
    layer = kinds_here[cell](shape.units, return_sequences=True, return_state=True)
    array = inputs.numpy()
    layer(array[:, :1])
    layer.set_weights(keras_weights(module, cell))

    def run_torch() -> Any:
        with torch.inference_mode():
            return module(inputs)

    def run_here() -> Any:
        return layer(array)

    return run_here, run_torch


def keras_weights(module: torch.nn.Module, cell: str) -> list[np.ndarray]:
    """PyTorch's weights in Keras' layout: transposed, and for GRU with the r and z blocks exchanged."""
    parts = [p.detach().numpy() for p in module.parameters()]  # w_ih, w_hh, b_ih, b_hh
    if cell == "gru":
        parts = [np.concatenate([np.split(p, 3)[i] for i in (1, 0, 2)]) for p in parts]
        return [parts[0].T, parts[1].T, np.stack(parts[2:])]
    return [parts[0].T, parts[1].T, parts[2] + parts[3]]


def seconds(call: Call, repeat: int) -> float:
    """Mean time of one call over `repeat` calls in a row."""
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - start) / repeat


def compare(cell: str, shape: Shape, rounds: int) -> dict[str, Any]:
    """Checks that both agree, then times them in turn."""
    here, there = peers(cell, shape)
    difference = float(np.max(np.abs(here()[0] - there()[0].numpy())))
    if difference > 1e-4:
        raise SystemExit(f"{cell} {shape}: results differ by {difference}")
    repeats = [max(1, int(0.02 / max(seconds(call, 1), 1e-7))) for call in (here, there)]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for call, repeat, found in zip((here, there), repeats, times, strict=True):
            found.append(seconds(call, repeat))
    ours = statistics.median(times[0])
    return {
        "cell": cell,
        "shape": list(shape),
        "rnnpack_us": ours * 1e6,
        "torch_us": statistics.median(times[1]) * 1e6,
        "ratio": statistics.median(b / a for a, b in zip(*times, strict=True)),
        "spread": [min(times[0]) / ours, max(times[0]) / ours],
        "gflops": shape.flops(cell) / ours / 1e9,
        "difference": difference,
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": model,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "path": str(rnnpack.LSTM(1).explain()),
    }


def table(results: list[dict[str, Any]]) -> str:
    """A Markdown table of the results."""
    lines = ["| cell | B,T,I,H | rnnpack us | torch us | torch / rnnpack | GFLOP/s |", "| --- " * 6 + "|"]
    for r in results:
        sizes = ",".join(map(str, r["shape"]))
        times = f"{r['rnnpack_us']:.1f} | {r['torch_us']:.1f} | {r['ratio']:.2f} | {r['gflops']:.1f}"
        lines.append(f"| {r['cell']} | {sizes} | {times} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="rnnpack against PyTorch, one thread")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--shapes", nargs="+", metavar="B,T,I,H", help="some of the shapes; default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu", type=int, default=0, help="the processor to run on (Linux)")
    parser.add_argument(
        "--json", type=Path, help="where to write the results; the table goes beside it, as .md"
    )
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.cpu})
    torch.set_num_threads(1)
    facts = machine()
    results = []
    shapes = [shape for shape in SHAPES if not options.shapes or str(shape) in options.shapes]
    for done, (cell, shape) in enumerate((c, s) for c in options.cells for s in shapes):
        print(f"\r{done + 1}/{len(options.cells) * len(shapes)} {cell} {shape}   ", end="", file=sys.stderr)
        results.append(compare(cell, shape, options.rounds))
    print(file=sys.stderr)
    ratios = [r["ratio"] for r in results]
    report = "\n\n".join(
        (
            ", ".join(f"{key}: {value}" for key, value in facts.items()),
            table(results),
            f"geometric mean {statistics.geometric_mean(ratios):.2f}, smallest {min(ratios):.2f}",
        )
    )
    print(report)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(report + "\n")


if __name__ == "__main__":
    main()
