"""The least that a cell can cost on a card: bytes, operations and meetings of its multiprocessors.

A step cannot begin before the step before it has ended everywhere, so it takes at least one barrier and the
recurrent products; and a call takes at least the time of all its operations, and of its bytes. The larger one
is the floor. Bytes count once what must be read and written once: weights, inputs, outputs. Weights that
the multiprocessors cannot hold in registers and shared memory are read again in every step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from shapes import GATES

from gpu_stages.cells import Cell

ITEMSIZE = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}

# What a multiprocessor can hold: registers and shared memory.
HELD_BYTES = (256 + 227) << 10
CLUSTER_BLOCKS = 16  # the largest cluster


@dataclass(frozen=True)
class Card:
    """What was measured on a card; seconds, bytes a second, operations a second.

    Attributes:
        multiprocessors: how many.
        l2_bytes: size of the L2 cache.
        grid_barrier: one barrier of all multiprocessors.
        cluster_barrier: one barrier of a cluster; None where there are no clusters.
        stream_launch: an empty kernel in a stream, one after the other.
        graph_launch: an empty kernel in a graph.
        l2: bytes a second from L2.
        memory: bytes a second from and to the card's memory.
        operations: by format; a multiply-add counts two.
    """

    multiprocessors: int
    l2_bytes: int
    grid_barrier: float
    cluster_barrier: float | None
    stream_launch: float
    graph_launch: float
    l2: float
    memory: float
    operations: dict[str, float]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Card:
        """From plain values."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Cost:
    """What one call of a cell needs.

    Attributes:
        steps: that follow one after the other.
        weights: bytes of the recurrent weights.
        traffic: bytes of everything that is read or written once.
        recurrent: operations of the recurrent products of one step.
        operations: all operations of the call.
    """

    steps: int
    weights: int
    traffic: int
    recurrent: float
    operations: float


def kept_steps(cell: Cell) -> float:
    """Mean number of unmasked steps of a row; lengths are uniform from half of the timesteps to all."""
    return cell.timesteps * 0.75 if cell.rows == "lengths" else cell.timesteps


def cost(cell: Cell) -> Cost:
    """What one call needs."""
    size, directions = ITEMSIZE[cell.format], 2 if cell.directions == "both" else 1
    matrix = cell.units * GATES[cell.kind] * cell.units * directions  # numbers in one of the two matrices
    rows = cell.batch * kept_steps(cell)
    values = rows * cell.units * (1 + directions)
    return Cost(
        steps=cell.timesteps,
        weights=matrix * size,
        traffic=round((2 * matrix + values) * size),
        recurrent=2.0 * matrix * rows / cell.timesteps,
        operations=4.0 * matrix * rows,
    )


def floor(cell: Cell, card: Card) -> float:
    """The least seconds of one call in a graph."""
    needs, rate = cost(cell), card.operations[cell.format]
    directions = 2 if cell.directions == "both" else 1
    in_cluster = needs.weights / directions <= CLUSTER_BLOCKS * HELD_BYTES
    has_cluster = in_cluster and card.cluster_barrier is not None
    barrier = card.cluster_barrier if has_cluster and card.cluster_barrier else card.grid_barrier
    again = 0.0
    if needs.weights > card.multiprocessors * HELD_BYTES:
        again = needs.weights / (card.l2 if needs.weights <= card.l2_bytes else card.memory)
    chain = needs.steps * max(needs.recurrent / rate, again) + (needs.steps - 1) * barrier
    return max(card.graph_launch, chain, needs.operations / rate, needs.traffic / card.memory)
