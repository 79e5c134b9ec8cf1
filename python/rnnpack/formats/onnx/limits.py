"""Bounds on what one node may allocate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A few numbers in a file must not fill the memory: 2 GiB in float32.
MAX_ELEMENTS = 1 << 29
# What is never looked at.
SMALL = 1 << 20

# What holds now: less while a file is being loaded.
_limit = ContextVar("_limit", default=MAX_ELEMENTS)


class SizeError(ValueError):
    """A node would make an array that is too large."""


@contextmanager
def at_most(elements: int) -> Iterator[None]:
    """Lowers the bound for a while."""
    token = _limit.set(elements)
    try:
        yield
    finally:
        _limit.reset(token)


def check_size(shape: Iterable[int], *operands: NDArray[Any]) -> tuple[int, ...]:
    """The shape, if an array of it may be made: it is small enough, or no larger than one of the operands.

    Raises:
        SizeError: it is neither.
        ValueError: a size is negative, or there are too many.
    """
    sizes = tuple(int(size) for size in shape)
    if sizes and min(sizes) < 0:
        raise ValueError(f"the shape {sizes} has a negative size")
    if len(sizes) > 32:
        raise ValueError(f"the shape {sizes} has more than 32 axes")
    count, limit = math.prod(sizes), _limit.get()
    if count > limit and count > max((operand.size for operand in operands), default=0):
        raise SizeError(
            f"the shape {sizes} has {count} elements, at most {limit} are made at a time; "
            "run fewer rows in a call"
        )
    return sizes


def check_broadcast(*operands: NDArray[Any]) -> None:
    """Raises ValueError where operands broadcast only to a shape that is too large, or not at all."""
    if not surely_small(*operands):
        check_size(np.broadcast_shapes(*(operand.shape for operand in operands)), *operands)


def surely_small(*operands: NDArray[Any]) -> bool:
    """Whether what combines the operands' elements is small in any case; quicker than looking at shapes."""
    return math.prod(operand.size for operand in operands) <= SMALL
