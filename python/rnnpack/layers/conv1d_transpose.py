"""Conv1DTranspose: every timestep adds a kernel to the outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.layers.checks import sizes
from rnnpack.layers.conv1d import Conv1D
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.weight_options import product


class Conv1DTranspose(Conv1D):
    """Transposed convolution over time: the gradient of `Conv1D`, which makes sequences longer.

    Weights: `kernel` (kernel_size, filters, channels), `bias` (filters,).

    Args:
        filters: number of output channels.
        kernel_size: number of taps.
        strides: output timesteps from one input to the next.
        padding: "valid" or "same" (`strides` outputs for each input).
        output_padding: None, or how many timesteps there are at the end beyond the shortest output.
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: timesteps from one tap to the next.
        **kwargs: `activation`, `use_bias` and the options of `kernel` and `bias`, as in `Conv1D`, and those
            of `Layer`.

    Call: inputs (batch, time, channels) give (batch, new time, filters). A mask ends here.

    Raises:
        ValueError: a value that is none of these, or `output_padding` that is not less than `strides`; from
            a call, a length that `output_padding` makes impossible.
    """

    _paddings = ("valid", "same")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, **kwargs)
        if self.groups != 1:
            raise ValueError(f"`groups` of Conv1DTranspose must be 1, got {self.groups}")
        self.output_padding: tuple[int, ...] | None = None
        if output_padding is not None:
            self.output_padding = sizes("output_padding", output_padding, 1, least=0)
            if self.output_padding[0] >= self.strides[0]:
                raise ValueError(f"`output_padding` must be less than `strides`, got {output_padding}")
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        channels = self._channels(input_shape)
        self.kernel = self._add("kernel", (*self.kernel_size, self.filters, channels))
        self.bias = self._add("bias", (self.filters,)) if self.use_bias else None

    def _over_time(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Adds up what each tap gives, at its place."""
        batch, steps, channels = inputs.shape
        width, stride, dilation = self.kernel_size[0], self.strides[0], self.dilation_rate[0]
        length, before = self._count(steps), self._before(steps)
        kernel = self.kernel.operand.reshape(width * self.filters, channels)
        parts = product(inputs.reshape(batch * steps, channels), kernel.T)
        parts = parts.reshape(batch, steps, width, self.filters)
        whole = np.zeros((batch, max(self._span(steps), before + length), self.filters), parts.dtype)
        for tap in range(width):
            first = tap * dilation
            whole[:, first : first + (steps - 1) * stride + 1 : stride] += parts[:, :, tap]
        return np.ascontiguousarray(whole[:, before : before + length])

    def _span(self, steps: int) -> int:
        """Number of timesteps that the kernels reach."""
        return (steps - 1) * self.strides[0] + (self.kernel_size[0] - 1) * self.dilation_rate[0] + 1

    def _before(self, steps: int) -> int:
        """How many of these are cut off at the start."""
        return 0 if self.padding == "valid" else max(self._span(steps) - self._count(steps), 0) // 2

    def _count(self, length: int) -> int:
        """Number of output timesteps.

        Raises:
            ValueError: a convolution of so many would not give `length`.
        """
        stride, width = self.strides[0], (self.kernel_size[0] - 1) * self.dilation_rate[0] + 1
        if self.output_padding is not None:
            cut = 2 * (width // 2) if self.padding == "same" else 0
            count = (length - 1) * stride + width - cut + self.output_padding[0]
        else:
            count = length * stride + (max(width - stride, 0) if self.padding == "valid" else 0)
        if length < 1 or -(-(count - (width - 1 if self.padding == "valid" else 0)) // stride) != length:
            raise ValueError(
                f'`inputs` of layer "{self.name}" with {length} timesteps cannot become {count}; '
                f"`output_padding` is {self.output_padding}"
            )
        return count

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "output_padding": self.output_padding}
