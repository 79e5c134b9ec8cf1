"""What is timed on a GPU, and in which order: a run that is cut off has seen something of everything."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from shapes import CELLS

BATCHES = (1, 8, 16, 64, 256)
UNITS = (64, 128, 192, 256, 384, 512, 768, 1024, 2048)
TIMESTEPS = (1, 100, 1000)
FORMATS = ("float32", "tf32", "bfloat16", "float16")
ROWS, DIRECTIONS = ("whole", "lengths"), ("one", "both")

CUDNN_PERSISTS_TO = 192  # units of GRUs, and of any cell in float32 and bfloat16
TOGETHER = 3  # cells in a row that share their weights, which take long to make and to load


class Cell(NamedTuple):
    """One cell of the grid; its inputs are as wide as its units.

    Attributes:
        kind: one of `shapes.CELLS`.
        batch: rows.
        timesteps: of the longest row.
        units: H, and the features of the inputs.
        format: one of `FORMATS`; what is multiplied. In the 16-bit ones arrays are stored so, too.
        rows: "whole", or "lengths" for rows of different lengths.
        directions: "one" or "both".
    """

    kind: str
    batch: int
    timesteps: int
    units: int
    format: str
    rows: str
    directions: str

    @property
    def key(self) -> str:
        """Its name in the results."""
        return ",".join(map(str, self))

    @classmethod
    def parse(cls, key: str) -> Cell:
        """The cell of a key."""
        kind, batch, timesteps, units, *rest = key.split(",")
        return cls(kind, int(batch), int(timesteps), int(units), *rest)

    @property
    def weights(self) -> tuple[str, int, str, str]:
        """Cells that agree in these have the same weights."""
        return self.kind, self.units, self.format, self.directions

    @property
    def cudnn_persists(self) -> bool:
        """Whether cuDNN has a kernel that keeps the weights on the chip from step to step."""
        small = self.units <= CUDNN_PERSISTS_TO
        plain = self.rows == "whole" and self.directions == "one"
        return plain and (small or (self.kind != "gru" and self.format == "float16"))


HEADLINES = tuple(
    Cell(*values)
    for values in (
        ("lstm", 16, 1000, 768, "float16", "whole", "one"),
        ("gru", 16, 1000, 768, "float16", "whole", "one"),
        ("lstm", 16, 1000, 768, "bfloat16", "whole", "one"),
        ("lstm", 16, 1000, 768, "float32", "whole", "one"),
        ("lstm", 16, 1000, 768, "float16", "lengths", "one"),
        ("lstm", 16, 1000, 768, "float16", "whole", "both"),
        ("lstm", 1, 1000, 128, "float32", "whole", "one"),
        ("lstm", 64, 100, 512, "tf32", "whole", "one"),
        ("simple_rnn", 64, 100, 512, "float32", "whole", "one"),
        ("gru", 256, 100, 1024, "bfloat16", "whole", "one"),
        ("lstm", 1, 1, 2048, "float16", "whole", "one"),
        ("gru", 1, 1, 64, "float32", "whole", "one"),
    )
)


def grid() -> list[Cell]:
    """All cells. Rows of one step have one length, so they are whole only."""
    sizes = product(CELLS, BATCHES, TIMESTEPS, UNITS, FORMATS, ROWS, DIRECTIONS)
    return [Cell(*values) for values in sizes if values[2] > 1 or values[5] == "whole"]


def ordered(cells: Sequence[Cell], seed: int = 0) -> list[Cell]:
    """The headline cells among these, then the others shuffled, in small groups of the same weights.

    The groups come in rounds: in the first one every set of weights has its turn once, and so on.
    """
    chosen = set(cells)
    first = [cell for cell in HEADLINES if cell in chosen]
    shuffled = sorted(chosen - set(first))
    generator = random.Random(seed)
    generator.shuffle(shuffled)
    sharing: dict[tuple[str, int, str, str], list[Cell]] = {}
    for cell in shuffled:
        sharing.setdefault(cell.weights, []).append(cell)
    rounds: list[list[list[Cell]]] = []
    for group in sharing.values():
        for number, start in enumerate(range(0, len(group), TOGETHER)):
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(group[start : start + TOGETHER])
    for groups in rounds:
        generator.shuffle(groups)
    return first + [cell for groups in rounds for group in groups for cell in group]
