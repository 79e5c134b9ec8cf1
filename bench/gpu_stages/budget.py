"""How long a run may take, and what of it each stage may have."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

# The share of what is left that a stage may take while others wait.
SHARES = {"build": 0.6, "check": 0.3, "sanitize": 0.3, "floors": 0.2, "time": 1.0}
FOR_REPORT_S = 8.0


class Budget:
    """Seconds that run out.

    Args:
        seconds: for everything.
        clock: tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.ends = clock() + seconds - FOR_REPORT_S

    @property
    def left(self) -> float:
        """Seconds that are left before the report must be written."""
        return max(0.0, self.ends - self._clock())

    def of(self, stage: str, later: Sequence[str]) -> float:
        """Seconds that a stage may take; all that are left when no other stage waits."""
        return self.left * (SHARES[stage] if later else 1.0)
