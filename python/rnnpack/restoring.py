"""What loading a model may cost: configurations in files are not to be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

# Models that contain each other twice, ten deep, stand for thousands of calls.
_MOST_CALLS = 5_000


@dataclass
class _Budget:
    weight_bytes: int
    calls: int = _MOST_CALLS


_current: ContextVar[_Budget | None] = ContextVar("rnnpack_restoring", default=None)


@contextmanager
def restoring(weight_bytes: int) -> Iterator[None]:
    """Layers made in the block are about to get their weights from somewhere.

    Initializers do not run, new weights are zeros, and there can only be so many of them; models can only
    make so many symbolic calls.

    Args:
        weight_bytes: what all weights together can take.
    """
    token = _current.set(_Budget(weight_bytes))
    try:
        yield
    finally:
        _current.reset(token)


def initial_value(
    initializer: Callable[..., Any], dims: tuple[int, ...], dtype: np.dtype[Any], name: str
) -> Any:
    """The first value of a weight.

    Raises:
        ValueError: layers are being restored and weights would take more than they may.
    """
    budget = _current.get()
    if budget is None:
        return initializer(dims, dtype=dtype)
    size = math.prod(dims) * dtype.itemsize
    if size > budget.weight_bytes or min(dims, default=0) < 0:
        raise ValueError(f"{name} of shape {dims} would take {size} bytes, more than there are weights for")
    budget.weight_bytes -= size
    return np.zeros(dims, dtype)


def count_call() -> None:
    """Counts a symbolic call.

    Raises:
        ValueError: layers are being restored and have made too many.
    """
    budget = _current.get()
    if budget is not None:
        budget.calls -= 1
        if budget.calls < 0:
            raise ValueError(f"The model makes more than {_MOST_CALLS} calls of layers")
