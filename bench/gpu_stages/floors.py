"""Measures what a barrier, a launch, a byte and an operation cost on the card."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from measure import median

from gpu_stages.cells import FORMATS
from gpu_stages.costs import Card

SOURCE = Path(__file__).with_name("floors.cu")
PRODUCT = 8192  # rows and columns of the matrices of the products that are timed
REPEATS = 5


def compiled(folder: Path, architecture: str) -> Path:
    """Builds the program of `floors.cu` for an architecture such as "90a"; raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "floors"
    target = f"arch=compute_{architecture},code=sm_{architecture}"
    command = ["nvcc", "-std=c++20", "-O3", "-gencode", target, "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def measure(folder: Path, architecture: str, seconds: float) -> dict[str, Any]:
    """Barriers, launches and bytes, in seconds and in bytes a second.

    Raises:
        subprocess.SubprocessError: the program could not be built or run, or took longer than `seconds`.
    """
    program = compiled(folder, architecture)
    answer = subprocess.run([str(program)], check=True, capture_output=True, text=True, timeout=seconds)
    return dict(json.loads(answer.stdout))


def set_tf32(torch: Any, allowed: bool) -> None:
    """Whether PyTorch may use TF32 for float32 products, its own and cuDNN's."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def operations(torch: Any) -> dict[str, float]:
    """Operations a second of a large matrix product on random numbers, by format."""
    found = {}
    for name in FORMATS:
        set_tf32(torch, name == "tf32")
        dtype = torch.float32 if name == "tf32" else getattr(torch, name)
        a, b = (torch.randn(PRODUCT, PRODUCT, device="cuda", dtype=dtype) for _ in range(2))
        times = []
        for repeat in range(-2, REPEATS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            a @ b
            end.record()
            end.synchronize()
            if repeat >= 0:
                times.append(begin.elapsed_time(end) * 1e-3)
        found[name] = 2 * PRODUCT**3 / median(times)
    return found


def card(found: dict[str, Any]) -> Card | None:
    """What the floors of the cells are worked out from; None if a part was not measured."""
    if not found.get("operations") or "grid" not in found:
        return None
    grid, clusters = found["grid"], [v for k, v in found["grid"].items() if k.startswith("cluster")]
    return Card(
        multiprocessors=grid["multiprocessors"],
        l2_bytes=grid["l2_bytes"],
        grid_barrier=min(grid["counter_barrier"], grid["flag_barrier"]),
        cluster_barrier=min(clusters, default=None),
        stream_launch=grid["stream_launch"],
        graph_launch=grid["graph_launch"],
        l2=grid["l2"],
        memory=max(grid["memory_read"], grid["memory_copy"]),
        operations=found["operations"],
    )
