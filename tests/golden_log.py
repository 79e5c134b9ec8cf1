"""Counts golden comparisons and remembers the largest error, for the line at the end of a test run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class _Record:
    arrays: int = 0
    error: float = 0.0
    error_case: str = "-"
    share: float = 0.0
    share_case: str = "-"


@dataclass
class _Log:
    cases: set[str] = field(default_factory=set)
    runs: int = 0
    by_dtype: dict[str, _Record] = field(default_factory=dict)


_log = _Log()


def case_done(name: str) -> None:
    """One golden case has passed (perhaps again, on another instruction set)."""
    _log.cases.add(name)
    _log.runs += 1


def compared(name: str, actual: NDArray[Any], expected: NDArray[Any], share: float) -> None:
    """Arrays of a case were compared; ``share`` is the error relative to its tolerance."""
    record = _log.by_dtype.setdefault(expected.dtype.name, _Record())
    record.arrays += 1
    finite = np.isfinite(expected)
    scale = max(1.0, float(np.abs(expected[finite]).max(initial=0.0)))
    gap = np.abs(actual[finite].astype(np.float64) - expected[finite])
    error = float(gap.max(initial=0.0)) / scale
    if error > record.error:
        record.error, record.error_case = error, name
    if share > record.share:
        record.share, record.share_case = share, name


def summary() -> Iterator[str]:
    """Lines to print."""
    if not _log.runs:
        return
    yield f"goldens: {len(_log.cases)} cases passed in {_log.runs} runs"
    for dtype, record in sorted(_log.by_dtype.items()):
        yield (
            f"goldens {dtype}: {record.arrays} arrays, largest error {record.error:.2e} of max(1, |values|) "
            f"({record.error_case}), largest share of a tolerance {record.share:.3f} ({record.share_case})"
        )
