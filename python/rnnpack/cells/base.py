"""The cell base class for users, and zero states."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack.engine import nest
from rnnpack.layers.base import Layer
from rnnpack.restoring import zero_state


def generate_zero_filled_state(batch_size: int | None, state_size: Any, dtype: Any) -> Any:
    """Return zeros of shape `(batch_size, *size)` for every size in the nest `state_size`.

    Raises:
        ValueError: `batch_size` or `dtype` is None.
    """
    if batch_size is None or dtype is None:
        raise ValueError(
            "batch_size and dtype cannot be None while constructing initial state. "
            f"Received: batch_size={batch_size}, dtype={dtype}"
        )
    return nest.map_structure(
        lambda size: zero_state((batch_size, *nest.TensorShape(size)), np.dtype(dtype)), state_size
    )


def generate_zero_filled_state_for_cell(cell: Any, inputs: Any, batch_size: int | None, dtype: Any) -> Any:
    """Return zero states for `cell`; batch size and dtype are those of `inputs` where given.

    Raises:
        ValueError: neither `inputs` nor both of `batch_size` and `dtype` are given.
    """
    if inputs is not None:
        array = np.asarray(nest.flatten(inputs)[0])
        batch_size, dtype = len(array), array.dtype
    return generate_zero_filled_state(batch_size, cell.state_size, dtype)


def output_size_of(cell: Any) -> Any:
    """Return the cell's `output_size`; where it has none, the size of its first state."""
    try:
        size = getattr(cell, "output_size", None)
    except NotImplementedError:  # the property of AbstractRNNCell, not overridden
        size = None
    if size is not None:
        return size
    return cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size


class AbstractRNNCell(Layer):
    """Base class for cells that users write.

    Subclasses define `call(inputs, states) -> (output, new_states)` and the properties `state_size` and
    `output_size`: an int, one `TensorShape`, or a list or tuple of them.
    """

    def call(self, inputs: Any, states: Any) -> Any:
        """Compute one step.

        Args:
            inputs: input at one timestep, `(batch, ...)`.
            states: tuple of the states after the step before, each `(batch, *size)`.

        Returns:
            The output and the new states.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement call().")

    @property
    def state_size(self) -> Any:
        """Sizes of the states."""
        raise NotImplementedError(f"{type(self).__name__} does not implement state_size.")

    @property
    def output_size(self) -> Any:
        """Size of the output."""
        raise NotImplementedError(f"{type(self).__name__} does not implement output_size.")

    def get_initial_state(self, inputs: Any = None, batch_size: int | None = None, dtype: Any = None) -> Any:
        """Return zero states, in the batch size and dtype of `inputs` if given.

        Raises:
            ValueError: neither `inputs` nor both of `batch_size` and `dtype` are given.
        """
        return generate_zero_filled_state_for_cell(self, inputs, batch_size, dtype)
