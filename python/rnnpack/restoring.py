"""What loading a model may cost: configurations in files are not to be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Models that contain each other twice, ten deep, stand for thousands of calls.
_MOST_CALLS = 5_000

# Of the arrays that layers without `compute_output_shape` are called on to see what they return.
_MOST_TRIAL_BYTES = 1 << 26

# Of the first states of all stateful layers: a file of a few bytes may declare any size of batch.
_MOST_STATE_BYTES = 1 << 28


@dataclass
class _Budget:
    weight_bytes: int
    calls: int = _MOST_CALLS
    state_bytes: int = _MOST_STATE_BYTES


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


def is_restoring() -> bool:
    """Whether layers are being made from what a file holds."""
    return _current.get() is not None


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


def trial_array(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros to try a layer with.

    Raises:
        ValueError: layers are being restored, and a trial would take too much memory.
    """
    size = math.prod(shape) * dtype.itemsize
    if _current.get() is not None and size > _MOST_TRIAL_BYTES:
        raise ValueError(f"A layer cannot be tried with {size} bytes, an array of shape {tuple(shape)}")
    return np.zeros(shape, dtype)


def zero_state(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A first state of a recurrent layer.

    Raises:
        ValueError: layers are being restored, and their states would take too much memory.
    """
    budget = _current.get()
    if budget is not None:
        budget.state_bytes -= math.prod(shape) * dtype.itemsize
        if budget.state_bytes < 0:
            raise ValueError(
                f"States of stateful layers, here of shape {tuple(shape)}, would take more than "
                f"{_MOST_STATE_BYTES} bytes"
            )
    return np.zeros(shape, dtype)


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
