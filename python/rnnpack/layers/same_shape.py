"""The layers whose outputs have the shape of their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack.layers.base import Layer
from rnnpack.layers.weight_options import OptionsLayer
from rnnpack.regularizers import L1L2


class SameShape(OptionsLayer):
    """A layer that works element by element: the shape stays, and the mask is passed on."""

    def __init__(self, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input shape."""
        return input_shape


class Identity(Layer):
    """Returns the inputs; as in Keras, a mask ends here.

    Args:
        **kwargs: those of `Layer`.
    """

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input shape."""
        return input_shape


class Rescaling(Layer):
    """`inputs * scale + offset`, in the layer's dtype; as in Keras, a mask ends here.

    Args:
        scale: number, or array that broadcasts to the inputs.
        offset: number or array, likewise.
        **kwargs: those of `Layer`.
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    def call(self, inputs: Any) -> Any:
        """Computes in the compute dtype."""
        dtype = self.dtype_policy.compute_dtype
        return inputs.astype(dtype) * np.asarray(self.scale, dtype) + np.asarray(self.offset, dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


class ActivityRegularization(SameShape):
    """Returns the inputs, and adds a penalty on them to `losses`.

    Args:
        l1: factor of the sum of absolute values.
        l2: factor of the sum of squares.
        **kwargs: those of `Layer`.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.activity_regularizer = L1L2(l1, l2)
        self.l1 = l1
        self.l2 = l2

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "l1": self.l1, "l2": self.l2}
