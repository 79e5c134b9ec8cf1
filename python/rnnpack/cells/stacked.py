"""Several cells that work as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnpack.cells.base import generate_zero_filled_state_for_cell, output_size_of
from rnnpack.engine import nest
from rnnpack.engine.loop import Step, step_function
from rnnpack.layers.base import Layer, call_signature
from rnnpack.layers.building import build_cell
from rnnpack.layers.serialization import deserialize, serialize


class StackedRNNCells(Layer):
    """A stack of cells: the output of each is the input of the next.

    The state is a tuple with the states of each cell, first cell first.

    Args:
        cells: list or tuple of cells; a cell may appear twice and then shares its weights.
        **kwargs: of `Layer`.

    Raises:
        ValueError: no cells, a cell without `call` or `state_size`, or `reverse_state_order=True`.
    """

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        if not cells:
            raise ValueError(f"StackedRNNCells needs at least one cell; got {cells!r}.")
        for cell in cells:
            for name in ("call", "state_size"):
                if name not in dir(cell):
                    raise ValueError(
                        f"All cells must have `{name}`. Received a cell without `{name}`: {cell!r}"
                    )
        if kwargs.pop("reverse_state_order", False):
            raise ValueError(
                "reverse_state_order=True is not supported: it lists the states last cell first but Keras "
                "reads them first cell first, so its results depend on the sizes. Reverse them yourself."
            )
        self.cells = list(cells)
        # Each cell casts its own inputs, to its own precision.
        super().__init__(**{"autocast": False, **kwargs})

    @property
    def state_size(self) -> tuple[Any, ...]:
        """The state sizes of the cells."""
        return tuple(cell.state_size for cell in self.cells)

    @property
    def output_size(self) -> Any:
        """The output size of the last cell."""
        return output_size_of(self.cells[-1])

    def get_initial_state(
        self, inputs: Any = None, batch_size: int | None = None, dtype: Any = None
    ) -> tuple[Any, ...]:
        """Return the first states of each cell, zeros for cells without `get_initial_state`.

        Raises:
            ValueError: neither `inputs` nor both of `batch_size` and `dtype` are given.
        """
        states = []
        for cell in self.cells:
            if hasattr(cell, "get_initial_state"):
                state = cell.get_initial_state(inputs=inputs, batch_size=batch_size, dtype=dtype)
            else:
                state = generate_zero_filled_state_for_cell(cell, inputs, batch_size, dtype)
            states.append(state)
        return tuple(states)

    def build(self, input_shape: Any) -> None:
        """Build the cells that are layers, each for the output of the one before."""
        batch = nest.flatten(input_shape)[0]
        for cell in self.cells:
            build_cell(cell, input_shape)
            input_shape = nest.map_structure(
                lambda size: (batch, *nest.TensorShape(size)), output_size_of(cell)
            )

    def call(
        self, inputs: Any, states: Any, constants: Any = None, training: Any = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Compute one step of every cell.

        Args:
            inputs: of the first cell.
            states: nest with as many arrays as `state_size`.
            constants: passed to the cells whose `call` names them.
            training: passed to the cells whose `call` names it.
            **kwargs: passed to all cells.

        Returns:
            The output of the last cell, and the new states in the form of `state_size`.

        Raises:
            ValueError: the number of states, given or returned by a cell, is not the declared one.
        """
        keywords = {**kwargs, "training": training, "constants": constants}
        sizes = self.state_size
        given = nest.pack_sequence_as(sizes, nest.flatten(states))
        output, new_states = self.bind_step(self._policy.compute_dtype, keywords)(inputs, given)
        return output, tuple(map(nest.pack_sequence_as, sizes, map(nest.flatten, new_states)))

    def bind_step(self, dtype: np.dtype[Any], keywords: dict[str, Any]) -> Step:
        """Prepare the steps of all cells for a call: see `rnnpack.engine.loop.step_function`."""
        steps = [self._member_step(cell, dtype, dict(keywords)) for cell in self.cells]

        def step(inputs: Any, states: Any) -> tuple[Any, tuple[Any, ...]]:
            new_states = []
            for member, state in zip(steps, states, strict=True):
                inputs, new_state = member(inputs, state)
                new_states.append(new_state)
            return inputs, tuple(new_states)

        return step

    @staticmethod
    def _member_step(cell: Any, dtype: np.dtype[Any], keywords: dict[str, Any]) -> Step:
        signature = call_signature(cell.call)
        for name in ("training", "constants"):
            if name in keywords and not signature.names(name):
                del keywords[name]
        step = step_function(cell, dtype, keywords)
        casts = isinstance(cell, Layer) and cell.autocast

        def member(inputs: Any, state: Any) -> Any:
            # The cell before may compute in another precision.
            if casts and getattr(inputs, "dtype", dtype) != dtype and inputs.dtype.kind == "f":
                inputs = inputs.astype(dtype)
            return step(inputs, state if isinstance(state, (tuple, list, dict)) else (state,))

        return member

    def get_config(self) -> dict[str, Any]:
        """Return the configs of the cells.

        Raises:
            ValueError: a cell has no `get_config`.
            NotImplementedError: a cell's `get_config` does not know its arguments.
        """
        return {**super().get_config(), "cells": [serialize(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Return a stack of new cells; ValueError for an unknown class of cell."""
        cells = [deserialize(cell, custom_objects) for cell in config["cells"]]
        return cls(cells, **{key: value for key, value in config.items() if key != "cells"})
