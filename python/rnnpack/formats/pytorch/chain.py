"""Layers one after the other as one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rnnpack
from rnnpack.engine import nest
from rnnpack.formats.errors import FormatError


@dataclass(frozen=True)
class Chain:
    """Built layers with their weights, each of which takes the output of the one before.

    Attributes:
        layers: at least one.
        input_shape: of the first layer's inputs, batch included; None where any shape will do.
        dtype: of the first layer's inputs; None where any dtype will do.
    """

    layers: list[Any]
    input_shape: tuple[int | None, ...] | None = None
    dtype: str | None = None

    def as_model(self, initial_state: bool = False) -> Any:
        """One layer as it is; several as a Model whose outputs are the last output, then all final states.

        Args:
            initial_state: whether the Model has initial states as inputs, after the layers' inputs.

        Raises:
            FormatError: it is not known what inputs the first layer takes, or the layers do not fit together.
        """
        if len(self.layers) == 1:
            return self.layers[0]
        if self.input_shape is None:
            raise FormatError(
                f"`input_shape` is needed: {type(self.layers[0]).__name__}, the first layer, takes any"
            )
        inputs: Any = rnnpack.Input(batch_shape=self.input_shape, dtype=self.dtype)
        output, first_states, states = inputs, [], []
        for layer in self.layers:
            try:
                given = _state_inputs(layer, output.shape) if initial_state else []
                first_states += given
                output = layer(output, **_in_form_of(layer, given))
            except ValueError as error:
                raise FormatError(
                    f"{layer.name} does not fit inputs of shape {output.shape} (`input_shape` is "
                    f"{self.input_shape}): {error}"
                ) from None
            if isinstance(output, list):
                states += nest.flatten(output[1:])
                output = output[0]
        return rnnpack.Model(
            [inputs, *first_states] if first_states else inputs, [output, *states] if states else output
        )


def _state_inputs(layer: Any, input_shape: tuple[int | None, ...]) -> list[Any]:
    """An Input for each initial state of a layer; none for layers without states."""
    if not getattr(layer, "return_state", False):
        return []
    _, *shapes = layer.compute_output_shape(input_shape)
    return [rnnpack.Input(batch_shape=shape, dtype=layer.dtype) for shape in shapes]


def _in_form_of(layer: Any, states: list[Any]) -> dict[str, Any]:
    """Flat states as the layer's argument: stacked cells take a list for each."""
    if not states:
        return {}
    stacked = hasattr(getattr(layer, "cell", None), "cells")
    return {"initial_state": nest.pack_sequence_as(layer.cell.state_size, states) if stacked else states}
