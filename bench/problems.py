"""Weights, inputs, states and masks for all contestants, made from fixed seeds, in Keras' layout."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapes import CELLS, GATES, Shape

Array = NDArray[np.floating]
MASKS = ("right", "left", "holes")
STATES = {"lstm": 2, "gru": 1, "simple_rnn": 1}

# Batches repeat this many different sequences: every row of a result is compared with the oracle, which
# need not run for every row. An odd number, so that rows mixed up by a tile of 2, 4 or 8 rows show.
DISTINCT_ROWS = 5


@dataclass(frozen=True, eq=False)
class Problem:
    """One layer with its arguments.

    Attributes:
        cell: one of `CELLS`.
        kernel: input weights `(I, gates * H)`.
        recurrent: recurrent weights `(H, gates * H)`.
        bias: `(gates * H,)`; for GRU `(2, 3 * H)`.
        inputs: `(B, T, I)`.
        states: initial states `(count, B, H)`.
        mask: `(B, T)`, True where a step counts, or None.
        distinct: the rows repeat after so many.
    """

    cell: str
    kernel: Array
    recurrent: Array
    bias: Array
    inputs: Array
    states: Array
    mask: NDArray[np.bool_] | None
    distinct: int

    def save(self, path: Path) -> None:
        """Writes the arrays for a contestant."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays: dict[str, Any] = {name: a for name, a in values.items() if isinstance(a, np.ndarray)}
        np.savez(path, **arrays)


@lru_cache(maxsize=4)
def make(cell: str, shape: Shape, dtype: str, mask: str | None = None) -> Problem:
    """The problem of a cell and shape; `mask` is None or one of `MASKS`."""
    rng = np.random.default_rng([CELLS.index(cell), *shape])
    columns = GATES[cell] * shape.units

    def glorot(rows: int) -> Array:
        limit = np.sqrt(6 / (rows + shape.units))
        return rng.uniform(-limit, limit, (rows, columns)).astype(dtype)

    bias_shape = (2, columns) if cell == "gru" else (columns,)
    distinct = min(shape.batch, DISTINCT_ROWS) if mask is None else shape.batch
    rows = np.arange(shape.batch) % distinct
    inputs = rng.normal(size=(distinct, shape.timesteps, shape.features)).astype(dtype)
    states = rng.uniform(-0.5, 0.5, (STATES[cell], distinct, shape.units)).astype(dtype)
    return Problem(
        cell=cell,
        kernel=glorot(shape.features),
        recurrent=glorot(shape.units),
        bias=rng.uniform(-0.1, 0.1, bias_shape).astype(dtype),
        inputs=inputs[rows],
        states=states[:, rows],
        mask=None if mask is None else make_mask(mask, shape.batch, shape.timesteps),
        distinct=distinct,
    )


def make_mask(kind: str, batch: int, timesteps: int) -> NDArray[np.bool_]:
    """A mask whose rows keep 1 to `timesteps - 1` steps, uniformly drawn, so half of them on average.

    Args:
        kind: "right": the rest is padding at the end; "left": at the start; "holes": stretches of kept and
            masked steps in turn, of 1 to 20 steps each.
        batch: number of rows.
        timesteps: number of steps, at least 2.
    """
    rng = np.random.default_rng([batch, timesteps])
    lengths = rng.integers(1, timesteps, size=batch)
    steps = np.arange(timesteps)
    if kind == "right":
        return steps < lengths[:, None]
    if kind == "left":
        return steps >= timesteps - lengths[:, None]
    mask = np.zeros((batch, timesteps), bool)
    for row in mask:
        at, keep = 0, bool(rng.integers(2))
        while at < timesteps:
            run = int(rng.integers(1, 21))
            row[at : at + run] = keep
            at, keep = at + run, not keep
        row[rng.integers(timesteps)] = True
    return mask
