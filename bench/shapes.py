"""The layers and shapes that are measured, and what they cost in operations and bytes."""

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

    @classmethod
    def parse(cls, text: str) -> Shape:
        """A shape from `B,T,I,H`; raises ValueError when it is not four positive integers."""
        sizes = [int(size) for size in text.split(",")]
        if len(sizes) != 4 or min(sizes) < 1:
            raise ValueError(f"a shape is four positive integers B,T,I,H, not {text!r}")
        return cls(*sizes)

    def __str__(self) -> str:
        """The four sizes, as tables show them."""
        return ",".join(map(str, self))

    def input_flops(self, cell: str) -> int:
        """Operations of the input projection of all steps; a multiply-add counts two."""
        return 2 * self.batch * self.timesteps * self.features * GATES[cell] * self.units

    def recurrent_flops(self, cell: str) -> int:
        """Operations of the recurrent products of all steps; a multiply-add counts two."""
        return 2 * self.batch * self.timesteps * self.units * GATES[cell] * self.units

    def flops(self, cell: str) -> int:
        """Operations of both matrix products of all steps."""
        return self.input_flops(cell) + self.recurrent_flops(cell)

    def input_bytes(self, cell: str, itemsize: int) -> int:
        """Size of the input weights."""
        return itemsize * self.features * GATES[cell] * self.units

    def recurrent_bytes(self, cell: str, itemsize: int) -> int:
        """Size of the recurrent weights."""
        return itemsize * self.units * GATES[cell] * self.units


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
