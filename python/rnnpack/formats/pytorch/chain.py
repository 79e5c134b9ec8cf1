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

    def as_model(self) -> Any:
        """One layer as it is; several as a Model whose outputs are the last output, then all final states.

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
        output, states = inputs, []
        for layer in self.layers:
            try:
                output = layer(output)
            except ValueError as error:
                raise FormatError(
                    f"{layer.name} does not fit inputs of shape {output.shape} (`input_shape` is "
                    f"{self.input_shape}): {error}"
                ) from None
            if isinstance(output, list):
                states += nest.flatten(output[1:])
                output = output[0]
        return rnnpack.Model(inputs, [output, *states] if states else output)
