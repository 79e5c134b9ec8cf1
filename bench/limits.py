"""What one core of this machine can do at best, and the least time that a call could take on it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shapes import Shape

SOURCE = Path(__file__).with_name("limits.cpp")
COMPILE = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast")
MEMORY_OVER_CACHE = 4  # a buffer that much larger than the last cache is read from memory


@dataclass(frozen=True)
class Level:
    """A cache or the memory: its size in bytes (None: unlimited) and how fast one core reads from it."""

    name: str
    size: int | None
    gigabytes_per_second: float


@dataclass(frozen=True)
class Limits:
    """Multiply-add rate in GFLOP/s by dtype, and the levels of memory from the nearest to the farthest."""

    gflops: dict[str, float]
    levels: tuple[Level, ...]

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Limits:
        """What `to_dict` wrote."""
        return cls(found["gflops"], tuple(Level(**level) for level in found["levels"]))

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def better_of(self, other: Limits) -> Limits:
        """The faster figure of two measurements of one machine: a disturbance only ever slows it down."""
        rates = {dtype: max(rate, other.gflops[dtype]) for dtype, rate in self.gflops.items()}
        pairs = zip(self.levels, other.levels, strict=True)
        return Limits(rates, tuple(max(pair, key=lambda level: level.gigabytes_per_second) for pair in pairs))

    def level_of(self, size: int) -> Level:
        """The nearest level that holds `size` bytes."""
        return next(level for level in self.levels if level.size is None or size <= level.size)

    def read_seconds(self, size: int, held: int | None = None) -> float:
        """Time to read `size` bytes, part of `held` bytes (default: all of them) that are read every time."""
        return size / (self.level_of(size if held is None else held).gigabytes_per_second * 1e9)


def measure(caches: dict[str, int], cpu: int, folder: Path) -> Limits:
    """Compiles and runs limits.cpp on one core.

    Args:
        caches: size in bytes of the data caches, from the nearest to the farthest.
        cpu: the core to run on.
        folder: for the program.

    Raises:
        OSError, subprocess.CalledProcessError: there is no C++ compiler, or it fails.
    """
    program = folder / "limits"
    compiler = os.environ.get("CXX", "c++")
    subprocess.run([compiler, *COMPILE, "-o", program, SOURCE], check=True, capture_output=True, text=True)
    # Half of a cache is surely held by it; the last one may be shared, so a quarter.
    fractions = [2] * (len(caches) - 1) + [4]
    sizes = [size // fraction for size, fraction in zip(caches.values(), fractions, strict=True)]
    sizes.append(MEMORY_OVER_CACHE * max(caches.values()))

    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cpu})

    command = [str(program), *map(str, sizes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=pin)
    found = json.loads(done.stdout)
    named = [*caches.items(), ("memory", None)]
    levels = [Level(name, size, rate) for (name, size), rate in zip(named, found.pop("read"), strict=True)]
    return Limits(gflops={dtype: found[dtype] for dtype in ("float32", "float64")}, levels=tuple(levels))


def seconds(limits: Limits, cell: str, shape: Shape, dtype: str) -> float:
    """The least time of one call on one core.

    The projection of the inputs and the recurrent products cannot overlap on one core, so their times add.

    * The projection does its operations at the multiply-add rate at best, and reads the input weights once
      from the cache that holds them; whichever takes longer counts.
    * Every step of the recurrence needs the step before it, so all recurrent weights pass through the core
      once a step: it takes the operations at the multiply-add rate, or the bytes of these weights over the
      bandwidth of the cache that holds them, whichever is longer. With one row a weight is used for one
      multiply-add only and the bandwidth decides; with 16 rows or more the multiply-adds do.
    * A call of one step uses input weights and recurrent weights once each, so between two calls the cache
      must hold both.

    Activations, reading inputs, writing outputs and the call itself are taken to be free.
    """
    itemsize = 8 if dtype == "float64" else 4
    rate = limits.gflops[dtype] * 1e9
    input_bytes = shape.input_bytes(cell, itemsize)
    recurrent_bytes = shape.recurrent_bytes(cell, itemsize)
    both = input_bytes + recurrent_bytes if shape.timesteps == 1 else None
    projection = max(shape.input_flops(cell) / rate, limits.read_seconds(input_bytes, both))
    step = max(
        shape.recurrent_flops(cell) / shape.timesteps / rate,
        limits.read_seconds(recurrent_bytes, both),
    )
    return projection + shape.timesteps * step
