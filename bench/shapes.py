"""The layers and shapes that are measured."""

from __future__ import annotations

from typing import NamedTuple

CELLS = ("lstm", "gru", "simple_rnn")
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}


class Shape(NamedTuple):
    """Batch rows, timesteps, input features, units."""

    batch: int
    timesteps: int
    features: int
    units: int

    def __str__(self) -> str:
        """The four sizes, as tables show them."""
        return ",".join(map(str, self))

    def flops(self, cell: str) -> int:
        """Floating-point operations of the two matrix products of every step; a multiply-add counts two."""
        columns = GATES[cell] * self.units
        return 2 * self.batch * self.timesteps * (self.features + self.units) * columns


SHAPES = tuple(
    Shape(*sizes)
    for sizes in (
        (1, 1, 8, 8),
        (1, 1, 64, 64),
        (1, 1, 256, 256),
        (1, 1, 512, 512),
        (1, 100, 64, 64),
        (1, 100, 256, 256),
        (1, 100, 512, 512),
        (1, 100, 1024, 1024),
        (1, 1000, 32, 32),
        (1, 1000, 128, 128),
        (16, 100, 128, 128),
        (16, 100, 256, 256),
        (32, 100, 512, 512),
        (64, 50, 1024, 1024),
        (256, 50, 128, 128),
        (256, 50, 512, 512),
    )
)
