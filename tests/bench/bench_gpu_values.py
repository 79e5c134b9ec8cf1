"""What the tests of `bench/gpu.py` share."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "bench"))

from gpu_stages.cells import Cell  # noqa: E402

MEASURED = {
    "grid": {
        "multiprocessors": 100,
        "l2_bytes": 50 << 20,
        "counter_barrier": 2e-6,
        "flag_barrier": 1e-6,
        "cluster_8_barrier": 2e-7,
        "cluster_16_barrier": 3e-7,
        "stream_launch": 3e-6,
        "graph_launch": 1.5e-6,
        "l2": 5e12,
        "memory_read": 3e12,
        "memory_copy": 2e12,
    },
    "operations": {"float32": 5e13, "tf32": 4e14, "bfloat16": 8e14, "float16": 8e14},
}


def replaced(cell: Cell, **fields: object) -> Cell:
    """The cell with other values."""
    return cell._replace(**fields)
