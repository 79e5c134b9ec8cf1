"""Layers that move numbers without changing them. As in Keras, a mask ends here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnpack import symbolic
from rnnpack.layers.base import Layer
from rnnpack.layers.checks import one_of, sequence, size, sizes
from rnnpack.layers.input_spec import InputSpec

DATA_FORMATS = ("channels_last", "channels_first")


class SameDtype(Layer):
    """A layer whose outputs have the dtype of its inputs, integers included."""

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Symbolic arrays of the inputs' dtype, floats in the compute dtype."""
        output = super()._symbolic_outputs(inputs, args, kwargs)
        if inputs.dtype.kind == "f":
            return output
        return symbolic.SymbolicArray(output.shape, inputs.dtype, output.name)


class Flatten(SameDtype):
    """All axes but the batch as one.

    Args:
        data_format: "channels_last" (default) or "channels_first", which puts axis 1 last before.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: another `data_format`.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.data_format = one_of("data_format", data_format or "channels_last", DATA_FORMATS)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        """The inputs as (batch, size)."""
        if self.data_format == "channels_first" and inputs.ndim > 1:
            inputs = np.moveaxis(inputs, 1, -1)
        return inputs.reshape(len(inputs), math.prod(inputs.shape[1:]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, size)."""
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else math.prod(rest))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(SameDtype):
    """Other axes for the same numbers.

    Args:
        target_shape: sizes without the batch; one may be -1, which stands for what is left.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: two sizes are -1; from a call, the numbers do not fill `target_shape`.
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.target_shape = tuple(
            size("target_shape", one, -1) for one in sequence("target_shape", target_shape)
        )
        if self.target_shape.count(-1) > 1:
            raise ValueError(f"`target_shape` must have at most one -1, got {self.target_shape}")

    def call(self, inputs: Any) -> Any:
        """The inputs as (batch, *target_shape)."""
        return inputs.reshape(self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, *target_shape), with -1 worked out where the input sizes are known."""
        batch, *rest = input_shape
        if None in rest:
            return (batch, *(None if one == -1 else one for one in self.target_shape))
        total, known = math.prod(rest), math.prod(one for one in self.target_shape if one != -1)
        open_size = -1 in self.target_shape
        if (known == 0 or total % known) if open_size else total != known:
            raise ValueError(f"`target_shape` {self.target_shape} does not fit inputs of shape {input_shape}")
        return (batch, *(total // known if one == -1 else one for one in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(SameDtype):
    """The axes in another order.

    Args:
        dims: the order, numbers from 1 on; the batch is not among them.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `dims` is not an order of 1, 2, ...
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.dims = tuple(size("dims", dim) for dim in sequence("dims", dims))
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"`dims` must hold each of 1, 2, ... once, got {dims!r}")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        """The inputs transposed."""
        return np.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The sizes in the new order."""
        return (input_shape[0], *(input_shape[dim] for dim in self.dims))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(SameDtype):
    """The inputs (batch, features) as each of `n` timesteps.

    Args:
        n: number of timesteps.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `n` is not a positive integer.
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.n = size("n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        """The inputs as (batch, n, features)."""
        return np.repeat(inputs[:, np.newaxis], self.n, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, n, features)."""
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "n": self.n}


class _OverTime(SameDtype):
    """A layer that changes the number of timesteps of (batch, time, features)."""

    def __init__(self, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.input_spec = InputSpec(ndim=3)

    def _length(self, length: int) -> int:
        return length

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, new time, features)."""
        batch, length, features = input_shape
        return (batch, None if length is None else self._length(length), features)


class ZeroPadding1D(_OverTime):
    """Timesteps of zeros around the inputs (batch, time, features).

    Args:
        padding: how many before and after: one number, or a pair.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `padding` is not one or two integers from 0 on.
    """

    def __init__(self, padding: Any = 1, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.padding = sizes("padding", padding, 2, least=0)

    def call(self, inputs: Any) -> Any:
        """The padded inputs."""
        return np.pad(inputs, ((0, 0), self.padding, (0, 0)))

    def _length(self, length: int) -> int:
        return length + sum(self.padding)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "padding": self.padding}


class Cropping1D(_OverTime):
    """The inputs (batch, time, features) without some timesteps at both ends.

    Args:
        cropping: how many at the start and at the end: one number, or a pair.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `cropping` is not one or two integers from 0 on; from a call, nothing would be left.
    """

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.cropping = sizes("cropping", cropping, 2, least=0)

    def call(self, inputs: Any) -> Any:
        """The timesteps in between."""
        self._length(inputs.shape[1])
        return inputs[:, self.cropping[0] : inputs.shape[1] - self.cropping[1]]

    def _length(self, length: int) -> int:
        left = length - sum(self.cropping)
        if left < 1:
            raise ValueError(f"`cropping` {self.cropping} leaves nothing of inputs with {length} timesteps")
        return left

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "cropping": self.cropping}


class UpSampling1D(_OverTime):
    """Every timestep of (batch, time, features) several times.

    Args:
        size: how often.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: `size` is not a positive integer.
    """

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.size = sizes("size", size, 1)[0]

    def call(self, inputs: Any) -> Any:
        """The repeated timesteps."""
        return np.repeat(inputs, self.size, axis=1)

    def _length(self, length: int) -> int:
        return length * self.size

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "size": self.size}
