"""Masking: marks timesteps by a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack import symbolic
from rnnpack.layers import masked
from rnnpack.layers.base import Layer


class Masking(Layer):
    """Masks the timesteps in which every feature equals `mask_value`, and sets them to zero.

    The mask, bools of the inputs' shape without the last axis, travels with the output to the next layer.

    Args:
        mask_value: the value to look for.
        **kwargs: those of `Layer`.
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """False where every feature equals `mask_value`."""
        if isinstance(inputs, symbolic.SymbolicArray):
            return symbolic.SymbolicArray(inputs.shape[:-1], np.bool_)
        return np.any(np.asarray(inputs) != self.mask_value, axis=-1)

    def call(self, inputs: Any) -> Any:
        """The inputs with masked timesteps set to zero, and their mask."""
        mask = self.compute_mask(inputs)
        return masked.carrying(np.where(mask[..., np.newaxis], inputs, inputs.dtype.type(0)), mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "mask_value": self.mask_value}
