"""Cells around cells: residual connections, dropout regardless of the training mode, device placement."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import random
from rnnpack.cells.base import AbstractRNNCell
from rnnpack.cells.dropout import DropoutRNNCellMixin, keep_mask
from rnnpack.cells.functions import function_from_config, function_to_config
from rnnpack.cells.lstm import LSTMCell
from rnnpack.engine import nest
from rnnpack.engine.loop import Step, step_function
from rnnpack.layers.base import Layer, call_signature
from rnnpack.layers.building import build_cell
from rnnpack.layers.serialization import deserialize, serialize


class CellWrapper(AbstractRNNCell):
    """A cell with the states, sizes and weights of another one, but zero first states.

    Args:
        cell: the wrapped cell.
        **kwargs: of `Layer`; the default dtype is that of the cell.
    """

    def __init__(self, cell: Any, **kwargs: Any) -> None:
        if kwargs.get("dtype") is None and isinstance(cell, Layer):
            kwargs["dtype"] = cell.dtype_policy
        super().__init__(**kwargs)
        self.cell = cell

    @property
    def wrapped_cell(self) -> Any:
        """The wrapped cell."""
        return self.cell

    @property
    def state_size(self) -> Any:
        """Of the wrapped cell."""
        return self.cell.state_size

    @property
    def output_size(self) -> Any:
        """Of the wrapped cell."""
        return self.cell.output_size

    def build(self, input_shape: Any) -> None:
        """Build the wrapped cell if it is a layer."""
        build_cell(self.cell, input_shape)

    def call(self, inputs: Any, states: Any, training: Any = None, **kwargs: Any) -> tuple[Any, Any]:
        """Compute one step of the wrapped cell; arguments and result as its own."""
        step = self.bind_step(self._policy.compute_dtype, {**kwargs, "training": training})
        return step(inputs, states)

    def bind_step(self, dtype: np.dtype[Any], keywords: dict[str, Any]) -> Step:
        """Prepare the wrapped cell's step for a call: see `rnnpack.engine.loop.step_function`."""
        if not call_signature(self.cell.call).names("training"):
            keywords = {name: value for name, value in keywords.items() if name != "training"}
        return step_function(self.cell, dtype, keywords)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments as plain values."""
        return {**super().get_config(), "cell": serialize(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Return a wrapper around a new cell; ValueError for an unknown class of cell."""
        config = dict(config)
        return cls(deserialize(config.pop("cell"), custom_objects), **config)


class ResidualWrapper(CellWrapper):
    """Adds the inputs to the outputs.

    Args:
        cell: the wrapped cell.
        residual_fn: `(inputs, outputs) -> outputs`; default the sum of arrays of equal shapes, in equal
            structures.
        **kwargs: of `Layer`.
    """

    def __init__(
        self, cell: Any, residual_fn: Callable[[Any, Any], Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(cell, **kwargs)
        self._residual_fn = residual_fn

    def bind_step(self, dtype: np.dtype[Any], keywords: dict[str, Any]) -> Step:
        """Prepare the step.

        The step raises ValueError or TypeError if inputs and outputs differ in structure or shape.
        """
        wrapped = super().bind_step(dtype, keywords)
        combine = self._residual_fn or partial(nest.map_structure, self._add)

        def step(inputs: Any, states: Any) -> tuple[Any, Any]:
            outputs, new_states = wrapped(inputs, states)
            return combine(inputs, outputs), new_states

        return step

    def _add(self, inputs: Any, outputs: Any) -> Any:
        if inputs.shape != outputs.shape:
            raise ValueError(
                f"{self.name} needs outputs of the inputs' shape; got {inputs.shape} and {outputs.shape}."
            )
        return inputs + outputs

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments; ValueError for a lambda with outer variables."""
        return {**super().get_config(), **function_to_config("residual_fn", self._residual_fn)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Return a wrapper around a new cell; ValueError for an unknown class of cell or function."""
        config = dict(config)
        function = function_from_config("residual_fn", config, custom_objects)
        return super().from_config({**config, "residual_fn": function}, custom_objects)


class DropoutWrapper(DropoutRNNCellMixin, CellWrapper):
    """Drops parts of inputs, outputs and states, in training and inference alike.

    Masks are drawn anew at every step. With `variational_recurrent` one mask serves all samples and all steps
    of a layer call (Gal and Ghahramani 2016).

    Args:
        cell: the wrapped cell; not an LSTMCell, whose c must not be dropped.
        input_keep_prob: part of the inputs kept, in [0, 1].
        output_keep_prob: part of the outputs kept, in [0, 1].
        state_keep_prob: part of the new states kept, in [0, 1].
        variational_recurrent: see above; then `dtype` is needed.
        input_size: needed if inputs are dropped with `variational_recurrent`; kept for the config.
        dtype: of the layer.
        seed: makes the masks of this object repeatable.
        dropout_state_filter_visitor: takes the states, or a part of them, and returns whether to drop there:
            a bool, or a structure of bools for the next level. Default: everywhere.
        **kwargs: of `Layer`.

    Raises:
        ValueError: an LSTMCell, a probability outside [0, 1], or a missing `dtype` or `input_size`.
        TypeError: the filter is not callable.
    """

    dropout = recurrent_dropout = 0.0

    def __init__(
        self,
        cell: Any,
        input_keep_prob: float = 1.0,
        output_keep_prob: float = 1.0,
        state_keep_prob: float = 1.0,
        variational_recurrent: bool = False,
        input_size: Any = None,
        dtype: Any = None,
        seed: int | None = None,
        dropout_state_filter_visitor: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, LSTMCell):
            raise ValueError(
                "LSTMCell does not work with DropoutWrapper; use LSTMCell(dropout=x, recurrent_dropout=y)."
            )
        if dropout_state_filter_visitor is not None and not callable(dropout_state_filter_visitor):
            raise TypeError(
                f"dropout_state_filter_visitor must be callable; got {dropout_state_filter_visitor!r}."
            )
        if variational_recurrent and dtype is None:
            raise ValueError("With variational_recurrent=True, dtype must be given.")
        if variational_recurrent and input_keep_prob < 1 and input_size is None:
            raise ValueError(
                "With variational_recurrent=True and input_keep_prob < 1, input_size must be given."
            )
        super().__init__(cell, dtype=dtype, **kwargs)
        self._input_keep_prob = _probability("input_keep_prob", input_keep_prob)
        self._output_keep_prob = _probability("output_keep_prob", output_keep_prob)
        self._state_keep_prob = _probability("state_keep_prob", state_keep_prob)
        self._variational_recurrent = variational_recurrent
        self._input_size = input_size
        self._seed = seed
        self._state_filter = dropout_state_filter_visitor
        self._generator = None if seed is None else np.random.default_rng(seed)

    def reset_dropout_mask(self) -> None:
        """Forget the masks of a variational call."""
        self._dropout_masks.clear()

    def bind_step(self, dtype: np.dtype[Any], keywords: dict[str, Any]) -> Step:
        """Prepare the step; arguments and result as those of the wrapped cell."""
        wrapped = super().bind_step(dtype, keywords)

        def step(inputs: Any, states: Any) -> tuple[Any, Any]:
            inputs = self._drop("input", inputs, self._input_keep_prob)
            outputs, new_states = wrapped(inputs, states)
            if self._state_keep_prob < 1:
                new_states = self._drop_states(new_states, "state")
            return self._drop("output", outputs, self._output_keep_prob), new_states

        return step

    def _drop(self, key: str, values: Any, keep: float) -> Any:
        """Drop parts of every array in a nest."""
        if keep == 1:
            return values
        dropped = [self._dropped(f"{key} {i}", value, keep) for i, value in enumerate(nest.flatten(values))]
        return nest.pack_sequence_as(values, dropped)

    def _drop_states(self, states: Any, key: str) -> Any:
        """Drop parts of those arrays that the filter does not spare."""
        choice = True if self._state_filter is None else self._state_filter(states)
        if choice is False:
            return states
        if not nest.is_nested(states):
            return self._dropped(key, states, self._state_keep_prob)
        parts = list(nest.children(states))
        choices = list(nest.children(choice)) if nest.is_nested(choice) else [True] * len(parts)
        dropped = [
            self._drop_states(part, f"{key} {i}") if chosen else part
            for i, (part, chosen) in enumerate(zip(parts, choices, strict=True))
        ]
        return nest.with_children(states, dropped)

    def _dropped(self, key: str, value: Any, keep: float) -> NDArray[Any]:
        array = np.asarray(value)
        if keep == 0:
            return np.zeros_like(array)
        generator = random.generator() if self._generator is None else self._generator
        if not self._variational_recurrent:
            return np.asarray(array * keep_mask(generator, array.shape, 1 - keep, array.dtype))
        shape = (1, *array.shape[1:])
        make = lambda: keep_mask(generator, shape, 1 - keep, array.dtype)  # noqa: E731
        return np.asarray(array * self._dropout_masks.get(key, shape, 1, make)[0])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments; ValueError for a lambda with outer variables."""
        return {
            **super().get_config(),
            "input_keep_prob": self._input_keep_prob,
            "output_keep_prob": self._output_keep_prob,
            "state_keep_prob": self._state_keep_prob,
            "variational_recurrent": self._variational_recurrent,
            "input_size": self._input_size,
            "seed": self._seed,
            **function_to_config("dropout_fn", self._state_filter),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Return a wrapper around a new cell; ValueError for an unknown class of cell or function."""
        config = dict(config)
        function = function_from_config("dropout_fn", config, custom_objects)
        return super().from_config({**config, "dropout_state_filter_visitor": function}, custom_objects)


class DeviceWrapper(CellWrapper):
    """Keeps the name of a device with a cell; it has no effect on numbers or placement.

    Args:
        cell: the wrapped cell.
        device: stored in the config.
        **kwargs: of `Layer`.
    """

    def __init__(self, cell: Any, device: Any, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self._device = device

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments as plain values."""
        return {**super().get_config(), "device": self._device}


def _probability(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"Parameter {name} must be between 0 and 1; got {value}.")
    return float(value)
