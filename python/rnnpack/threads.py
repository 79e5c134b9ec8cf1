"""How many threads one call may use."""

from __future__ import annotations

import math
import operator
import os
from pathlib import Path
from typing import Any

from rnnpack import _core

_VARIABLE = "RNNPACK_NUM_THREADS"
_MOST = 1024


def set_num_threads(threads: int) -> None:
    """Lets each call use up to this many threads; results are the same to the last bit with any number.

    A call uses fewer where more would not make it faster, and one for as long as another process keeps the
    helpers from their cores. Calls from several Python threads at once run side by side, one thread each but
    for the first.

    Args:
        threads: the calling thread included, 1 to 1024; 1 never starts a thread.

    Raises:
        ValueError: another number, or none.
    """
    _core.set_thread_limit(_checked(threads, "threads"))


def get_num_threads() -> int:
    """The number of threads a call may use.

    At import it is `RNNPACK_NUM_THREADS` where that is set, else what the process may use: the processors of
    its affinity mask, or less under a cgroup's CPU quota.
    """
    return _core.thread_limit()


def available_threads(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Processors that this process may use, at least 1.

    Args:
        cgroup_root: where the cgroup file system is mounted (versions 1 and 2).
    """
    # Not on macOS, which has no affinity masks.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(cgroup_root)
    return max(1, processors if quota is None else min(processors, math.ceil(quota)))


def _cgroup_quota(root: Path) -> float | None:
    """Processors' worth of time that the container's cgroup allows, None without a limit."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        limit, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(limit) <= 0 else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _checked(value: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= _MOST:
        raise ValueError(f"{name}: expected a number of threads from 1 to {_MOST}, got {value!r}")
    return number


def _initial() -> int:
    asked = os.environ.get(_VARIABLE)
    if not asked:
        return min(available_threads(), _MOST)
    digits = asked.strip().isdecimal() and len(asked) < 9
    return _checked(int(asked) if digits else asked[:80], f"environment variable {_VARIABLE}")


_core.set_thread_limit(_initial())
