"""Conv1D, DepthwiseConv1D and SeparableConv1D."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from rnnpack.layers.checks import size
from rnnpack.layers.convolution import Convolution, depthwise, grouped
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.weight_options import product


class Conv1D(Convolution):
    """Convolution over time.

    Weights: `kernel` (kernel_size, channels / groups, filters), `bias` (filters,).

    Args:
        filters: number of output channels.
        kernel_size: number of taps.
        strides: timesteps from one output to the next.
        padding: "valid", "same" or "causal".
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: timesteps from one tap to the next.
        groups: into how many parts the channels fall that do not see each other.
        activation: name, dict, callable or None (linear).
        use_bias: whether there is a bias.
        kernel_initializer: of `kernel`.
        bias_initializer: of `bias`.
        kernel_regularizer: of `kernel`.
        bias_regularizer: of `bias`.
        activity_regularizer: of the outputs.
        kernel_constraint: of `kernel`.
        bias_constraint: of `bias`.
        **kwargs: those of `Layer`.

    Call: inputs (batch, ..., time, channels) give (batch, ..., new time, filters). A mask ends here.

    Raises:
        ValueError: a value that is none of these, or `filters` or channels that `groups` does not divide.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs
        )
        self.filters = size("filters", filters)
        self.groups = size("groups", groups or 1)
        if self.filters % self.groups:
            raise ValueError(f"`groups` must divide `filters`, got {groups} and {filters}")
        self._set_options(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f'`groups` of layer "{self.name}" must divide the number of input channels, '
                f"got {self.groups} and {channels}"
            )
        self.kernel = self._add("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.bias = self._add("bias", (self.filters,)) if self.use_bias else None

    def _outputs(self, channels: int) -> int:
        return self.filters

    def _convolved(self, taps: NDArray[Any]) -> NDArray[Any]:
        return grouped(taps, self.kernel.operand, self.groups)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}


class DepthwiseConv1D(Convolution):
    """Convolution of every channel by itself.

    Weights: `depthwise_kernel` (kernel_size, channels, depth_multiplier), `bias` (channels *
    depth_multiplier,).

    Args:
        kernel_size: number of taps.
        strides: timesteps from one output to the next.
        padding: "valid" or "same".
        depth_multiplier: number of output channels for each input channel.
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: timesteps from one tap to the next.
        activation: name, dict, callable or None (linear).
        use_bias: whether there is a bias.
        depthwise_initializer: of `depthwise_kernel`.
        bias_initializer: of `bias`.
        depthwise_regularizer: of `depthwise_kernel`.
        bias_regularizer: of `bias`.
        activity_regularizer: of the outputs.
        depthwise_constraint: of `depthwise_kernel`.
        bias_constraint: of `bias`.
        **kwargs: those of `Layer`.

    Call: inputs (batch, time, channels) give (batch, new time, channels * depth_multiplier). A mask ends
    here.

    Raises:
        ValueError: a value that is none of these.
    """

    _paddings = ("valid", "same")

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        _take_groups(self, kwargs)
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs
        )
        self.depth_multiplier = size("depth_multiplier", depth_multiplier)
        self._set_options(
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
        )
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        channels = self._channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = self._add("depthwise_kernel", shape, prefix="depthwise")
        self.bias = self._add("bias", (self._outputs(channels),)) if self.use_bias else None

    def _outputs(self, channels: int) -> int:
        return channels * self.depth_multiplier

    def _convolved(self, taps: NDArray[Any]) -> NDArray[Any]:
        return depthwise(taps, self.depthwise_kernel.operand)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "groups": 1, "depth_multiplier": self.depth_multiplier}


class SeparableConv1D(Convolution):
    """Convolution of every channel by itself, then of all channels timestep by timestep.

    Weights: `depthwise_kernel` (kernel_size, channels, depth_multiplier), `pointwise_kernel` (1, channels *
    depth_multiplier, filters), `bias` (filters,).

    Args:
        filters: number of output channels.
        kernel_size: number of taps.
        strides: timesteps from one output to the next.
        padding: "valid", "same" or "causal".
        data_format: "channels_last" (default) or "channels_first".
        dilation_rate: timesteps from one tap to the next.
        depth_multiplier: number of channels in between for each input channel.
        activation: name, dict, callable or None (linear).
        use_bias: whether there is a bias.
        depthwise_initializer: of `depthwise_kernel`.
        pointwise_initializer: of `pointwise_kernel`.
        bias_initializer: of `bias`.
        depthwise_regularizer: of `depthwise_kernel`.
        pointwise_regularizer: of `pointwise_kernel`.
        bias_regularizer: of `bias`.
        activity_regularizer: of the outputs.
        depthwise_constraint: of `depthwise_kernel`.
        pointwise_constraint: of `pointwise_kernel`.
        bias_constraint: of `bias`.
        **kwargs: those of `Layer`.

    Call: inputs (batch, time, channels) give (batch, new time, filters). A mask ends here.

    Raises:
        ValueError: a value that is none of these.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        _take_groups(self, kwargs)
        unused = {name: kwargs.pop(name, default) for name, default in _UNUSED.items()}
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs
        )
        self._set_options(**unused)
        self.filters = size("filters", filters)
        self.depth_multiplier = size("depth_multiplier", depth_multiplier)
        self._set_options(
            depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
        )
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        channels = self._channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = self._add("depthwise_kernel", shape, prefix="depthwise")
        shape = (1, channels * self.depth_multiplier, self.filters)
        self.pointwise_kernel = self._add("pointwise_kernel", shape, prefix="pointwise")
        self.bias = self._add("bias", (self.filters,)) if self.use_bias else None

    def _outputs(self, channels: int) -> int:
        return self.filters

    def _convolved(self, taps: NDArray[Any]) -> NDArray[Any]:
        return product(depthwise(taps, self.depthwise_kernel.operand), self.pointwise_kernel.operand[0])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        own = {"filters": self.filters, "groups": 1, "depth_multiplier": self.depth_multiplier}
        return {**super().get_config(), **own}


# Arguments of a kernel that SeparableConv1D has not, but whose configs of Keras 2 have.
_UNUSED = {"kernel_initializer": "glorot_uniform", "kernel_regularizer": None, "kernel_constraint": None}


def _take_groups(layer: Convolution, kwargs: dict[str, Any]) -> None:
    """Takes out an argument that only configs of Keras 2 have, and that has one value there."""
    groups = kwargs.pop("groups", 1)
    if groups != 1:
        raise ValueError(
            f"`groups` of {type(layer).__name__} must be 1, as every channel is a group, got {groups!r}"
        )
