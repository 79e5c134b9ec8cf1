"""How often a cell is called: enough for a spread, and not longer than its share of the time."""

from __future__ import annotations

import math

VISIT_S = 0.004  # one contestant's turn in a round, at least
LEAST_ROUNDS, MOST_ROUNDS = 3, 15
MOST_SETS = 16
CACHES = 2.0  # sets of inputs together are so many times the L2 cache
GRAPH_S = 0.02  # the calls of one graph take no longer, unless there are two


def sets(bytes_each: int, l2_bytes: int) -> int:
    """How many sets of inputs rotate, so that none is still in the cache when it is read again."""
    return min(MOST_SETS, math.ceil(CACHES * l2_bytes / bytes_each))


def sets_for_time(count: int, seconds_each: float) -> int:
    """How many of these sets go into one graph, when a call takes so long."""
    return min(count, max(2, round(GRAPH_S / max(seconds_each, 1e-9))))


def repeats(seconds: float) -> int:
    """Runs in one visit, when one takes so long."""
    return max(1, math.ceil(VISIT_S / max(seconds, 1e-9)))


def rounds(seconds_each: float, seconds: float) -> int:
    """Rounds that fit into the time, within limits."""
    return min(MOST_ROUNDS, max(LEAST_ROUNDS, int(seconds / max(seconds_each, 1e-9))))
