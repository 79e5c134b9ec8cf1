"""Convolutions over time, as one matrix product each."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.layers.building import build_cell
from rnnpack.layers.checks import one_of, sizes
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.reshaping import DATA_FORMATS
from rnnpack.layers.weight_options import OptionsLayer, as_floats, known_size, needs_floats, product
from rnnpack.layers.windows import padded, windows, windows_count
from rnnpack.variable import Variable


class Convolution(OptionsLayer):
    """What the convolutions over time share: geometry, bias and activation.

    Args:
        kernel_size: number of taps, an integer or a tuple of one.
        strides: timesteps from one output to the next.
        padding: "valid" (windows within the inputs), "same" (zeros around, as many outputs as inputs divided
            by `strides`), or "causal" (zeros before: no output sees later inputs).
        data_format: "channels_last" for (batch, time, channels), or "channels_first".
        dilation_rate: timesteps from one tap to the next.
        activation: name, dict, callable or None (linear).
        use_bias: whether there is a bias.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: a value that is none of these, or strides together with dilation.
    """

    activation: Any
    bias: Variable | None
    _paddings: tuple[str, ...] = ("valid", "same", "causal")

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        needs_floats(self)
        self.kernel_size = sizes("kernel_size", kernel_size, 1)
        self.strides = sizes("strides", strides, 1)
        self.padding = one_of("padding", padding, self._paddings)
        self.data_format = one_of("data_format", data_format or "channels_last", DATA_FORMATS)
        self.dilation_rate = sizes("dilation_rate", dilation_rate, 1)
        if self.strides[0] > 1 and self.dilation_rate[0] > 1:
            raise ValueError(
                f"`strides` and `dilation_rate` must not both be over 1, got {strides} and {dilation_rate}"
            )
        self.use_bias = use_bias
        self._set_options(activation=activation)
        self.input_spec = InputSpec(min_ndim=3)

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else -2

    def _channels(self, input_shape: Any) -> int:
        """Number of input channels, which later inputs must have as well; checks the number of timesteps."""
        channels = known_size(self, input_shape, self._channel_axis)
        build_cell(self.activation, self.compute_output_shape(input_shape))
        self.input_spec = InputSpec(min_ndim=3, axes={self._channel_axis: channels})
        return channels

    @abstractmethod
    def _outputs(self, channels: int) -> int:
        """Number of output channels."""
        ...

    @abstractmethod
    def _convolved(self, taps: NDArray[Any]) -> NDArray[Any]:
        """Outputs (positions, output channels) from what is under the kernel (positions, taps, channels)."""
        ...

    def call(self, inputs: Any) -> Any:
        """The convolution, bias and activation."""
        inputs = as_floats(self, inputs)
        if self.data_format == "channels_first":
            inputs = inputs.swapaxes(-1, -2)
        outputs = self._over_time(inputs)
        if self.bias is not None:
            outputs += self.bias.operand
        if self.data_format == "channels_first":
            outputs = outputs.swapaxes(-1, -2)
        return self.activation(outputs)

    def _over_time(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs (..., time, output channels) for inputs (..., time, channels)."""
        *batch, length, channels = inputs.shape
        kernel, stride, dilation = self.kernel_size[0], self.strides[0], self.dilation_rate[0]
        count = self._count(length)
        rows = padded(inputs.reshape(-1, length, channels), self.padding, kernel, stride, dilation)
        seen = windows(rows, kernel, stride, dilation)  # a view (rows, count, channels, kernel)
        taps = seen.swapaxes(-1, -2).reshape(len(rows) * count, kernel, channels)
        outputs = self._convolved(taps)
        return outputs.reshape(*batch, count, outputs.shape[-1])

    def _count(self, length: int) -> int:
        """Number of output timesteps.

        Raises:
            ValueError: there would be none.
        """
        count = windows_count(
            length, self.padding, self.kernel_size[0], self.strides[0], self.dilation_rate[0]
        )
        if count < 1:
            raise ValueError(
                f'`inputs` of layer "{self.name}" have {length} timesteps, too few for a kernel of '
                f"{self.kernel_size[0]} with dilation {self.dilation_rate[0]}"
            )
        return count

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, new time, output channels), or with channels first."""
        *batch, length, channels = input_shape
        if self.data_format == "channels_first":
            length, channels = channels, length
        length = None if length is None else self._count(length)
        outputs = None if channels is None else self._outputs(channels)
        return (*batch, length, outputs) if self.data_format == "channels_last" else (*batch, outputs, length)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        names = ("kernel_size", "strides", "padding", "data_format", "dilation_rate", "use_bias")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def grouped(taps: NDArray[Any], kernel: NDArray[Any], groups: int) -> NDArray[Any]:
    """Sums over taps and the channels of a group.

    Args:
        taps: (positions, taps, channels).
        kernel: (taps, channels / groups, filters); a group's filters lie next to each other.
        groups: their number.

    Returns:
        (positions, filters).
    """
    positions, count, channels = taps.shape
    within, filters = kernel.shape[1:]
    if groups == 1:
        return product(taps.reshape(positions, count * channels), kernel.reshape(count * channels, filters))
    left = taps.reshape(positions, count, groups, within).transpose(2, 0, 1, 3)
    right = kernel.reshape(count, within, groups, filters // groups).transpose(2, 0, 1, 3)
    outputs = product(
        left.reshape(groups, positions, count * within),
        right.reshape(groups, count * within, filters // groups),
    )
    return outputs.swapaxes(0, 1).reshape(positions, filters)


def depthwise(taps: NDArray[Any], kernel: NDArray[Any]) -> NDArray[Any]:
    """Sums over taps, channel by channel.

    Args:
        taps: (positions, taps, channels).
        kernel: (taps, channels, multiplier).

    Returns:
        (positions, channels * multiplier), the outputs of a channel next to each other.
    """
    wide = np.promote_types(taps.dtype, np.float32)
    sums = np.einsum("nkc,kcm->ncm", taps.astype(wide, copy=False), kernel.astype(wide, copy=False))
    return np.asarray(sums.reshape(len(taps), math.prod(kernel.shape[1:])), taps.dtype)
