"""What weights, and the rows they are multiplied with, are rounded to."""

from __future__ import annotations

from dataclasses import dataclass

NAMES = ("full", "bfloat16", "int8")
CUDA_NAMES = ("full", "tf32", "bfloat16", "float16")


@dataclass(frozen=True)
class Precision:
    """The precision of a layer's products.

    Attributes:
        name: "full" (the layer's own dtype), or what numbers are rounded to: one of NAMES on the CPU, of
            CUDA_NAMES on a GPU.
        ranges: for int8, the largest magnitudes (of inputs, of states) that each cell of the layer has been
            seen with; empty where every row and step gets a scale of its own.
    """

    name: str = "full"
    ranges: tuple[tuple[float, float], ...] = ()

    @property
    def reduced(self) -> bool:
        """Whether numbers are rounded to fewer bits than the layer's dtype has."""
        return self.name != "full"

    def ranges_of(self, position: int) -> tuple[float, float]:
        """Those of the cell at this position of a stack; zero where unknown."""
        return self.ranges[position] if self.ranges else (0.0, 0.0)


FULL = Precision()
