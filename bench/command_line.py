"""`rnnpack run` on a file larger than it may keep in memory: rows/s, MB/s and peak memory.

Makes a .npy of the asked size and a model, runs the command in a process of its own and prints what it took.
Memory is the largest resident set of that process, as the operating system counted it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import rnnpack
from rnnpack.datafiles import Column, create_rows

TIMESTEPS, FEATURES, UNITS = 100, 16, 64
ROW_BYTES = TIMESTEPS * FEATURES * 4
BLOCK = 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=2000, help="size of the input (2000)")
    parser.add_argument("--threads", type=int, default=0, help="threads of a call (all processors)")
    parser.add_argument("--endings", default="npy", help="of the output, several between commas (npy)")
    parser.add_argument("--folder", help="where the files are made (the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        model, rows = saved_model(Path(folder)), options.megabytes * 1_000_000 // ROW_BYTES
        source = input_file(Path(folder), rows)
        print("| output | rows | seconds | rows/s | MB/s of input | peak memory, MB |")
        print("| --- | --- | --- | --- | --- | --- |")
        for ending in options.endings.split(","):
            output = Path(folder, f"output.{ending}")
            words = ["run", str(model), str(source), "-o", str(output), "--quiet"]
            if options.threads:
                words += ["--threads", str(options.threads)]
            seconds, peak = measured(words)
            speed = f"{rows / seconds:,.0f} | {rows * ROW_BYTES / 1e6 / seconds:,.0f}"
            print(f"| .{ending} | {rows} | {seconds:.2f} | {speed} | {peak:.0f} |")


def saved_model(folder: Path) -> Path:
    """An LSTM under a GRU, with random weights."""
    rnnpack.set_seed(0)
    layers = [
        rnnpack.Input((TIMESTEPS, FEATURES)),
        rnnpack.LSTM(UNITS, return_sequences=True),
        rnnpack.GRU(UNITS // 2),
    ]
    path = folder / "model.safetensors"
    rnnpack.formats.save(rnnpack.Sequential(layers), path)
    return path


def input_file(folder: Path, rows: int) -> Path:
    """Random rows, written without ever being in memory together."""
    path = folder / "input.npy"
    block = np.random.default_rng(0).normal(size=(BLOCK, TIMESTEPS, FEATURES)).astype(np.float32)
    # This process must stay small: the system counts its memory as its child's until that has begun.
    with create_rows(path, [Column("x", block.dtype, block.shape[1:])]) as sink:
        for start in range(0, rows, BLOCK):
            sink.append({"x": block[: rows - start]})
    return path


def measured(words: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of a process."""
    began = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", "rnnpack", *words], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"rnnpack {' '.join(words)} failed with status {status}")
    kilobytes = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return time.perf_counter() - began, kilobytes * 1024 / 1e6


if __name__ == "__main__":
    main()
