"""Pooling over time. As in Keras, a mask ends here."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.layers.base import Layer
from rnnpack.layers.checks import one_of, sizes
from rnnpack.layers.input_spec import InputSpec
from rnnpack.layers.reshaping import DATA_FORMATS, SameDtype
from rnnpack.layers.weight_options import as_floats
from rnnpack.layers.windows import padded, windows, windows_count


class Pooling1D(SameDtype):
    """One number for each window of timesteps and channel.

    Args:
        pool_size: timesteps in a window.
        strides: timesteps from one window to the next, default `pool_size`.
        padding: "valid" (windows within the inputs) or "same" (also over their ends).
        data_format: "channels_last" for (batch, time, channels), or "channels_first".
        **kwargs: those of `Layer`.

    Raises:
        ValueError: a value that is none of these; from a call, too few timesteps.
    """

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.pool_size = sizes("pool_size", pool_size, 1)
        self.strides = sizes("strides", pool_size if strides is None else strides, 1)
        self.padding = one_of("padding", padding, ("valid", "same"))
        self.data_format = one_of("data_format", data_format or "channels_last", DATA_FORMATS)
        self.input_spec = InputSpec(ndim=3)

    def call(self, inputs: Any) -> Any:
        """(batch, windows, channels), or with channels first."""
        if self.data_format == "channels_last":
            self._count(inputs.shape[1])
            return self._pooled(inputs)
        self._count(inputs.shape[2])
        return self._pooled(inputs.swapaxes(1, 2)).swapaxes(1, 2)

    @abstractmethod
    def _pooled(self, rows: NDArray[Any]) -> NDArray[Any]: ...

    def _windows(self, rows: NDArray[Any], outside: Any) -> NDArray[Any]:
        """The windows, with `outside` where they reach over the ends."""
        width, stride = self.pool_size[0], self.strides[0]
        return windows(padded(rows, self.padding, width, stride, value=outside), width, stride)

    def _count(self, length: int) -> int:
        count = windows_count(length, self.padding, self.pool_size[0], self.strides[0])
        if count < 1:
            raise ValueError(
                f'`inputs` of layer "{self.name}" have {length} timesteps, too few for windows of '
                f"{self.pool_size[0]}"
            )
        return count

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input shape with the number of windows in place of the timesteps."""
        axis = 1 if self.data_format == "channels_last" else 2
        length = input_shape[axis]
        count = None if length is None else self._count(length)
        return (*input_shape[:axis], count, *input_shape[axis + 1 :])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        names = ("pool_size", "strides", "padding", "data_format")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class MaxPooling1D(Pooling1D):
    """The largest number in each window."""

    def _pooled(self, rows: NDArray[Any]) -> NDArray[Any]:
        kind = (
            np.iinfo(rows.dtype).min if rows.dtype.kind in "iu" else False if rows.dtype == bool else -np.inf
        )
        return np.asarray(self._windows(rows, kind).max(axis=-1))


class AveragePooling1D(Pooling1D):
    """The mean of each window; at the ends only what lies within the inputs counts."""

    def _pooled(self, rows: NDArray[Any]) -> NDArray[Any]:
        rows = as_floats(self, rows)
        sums = self._windows(rows, 0).sum(axis=-1)
        inside = self._windows(np.ones((1, rows.shape[1], 1), rows.dtype), 0).sum(axis=-1)
        return np.asarray(sums / inside)


class GlobalPooling1D(Layer):
    """One number for each channel.

    Args:
        data_format: "channels_last" for (batch, time, channels), or "channels_first".
        keepdims: whether the time axis stays, with size 1.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: another `data_format`; from a call, no timestep.
    """

    def __init__(
        self, data_format: str | None = "channels_last", keepdims: bool = False, **kwargs: Any
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.data_format = one_of("data_format", data_format or "channels_last", DATA_FORMATS)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=3)

    @property
    def _axis(self) -> int:
        return 1 if self.data_format == "channels_last" else 2

    def _checked(self, inputs: NDArray[Any]) -> NDArray[Any]:
        if inputs.shape[self._axis] == 0:
            raise ValueError(
                f'`inputs` of layer "{self.name}" must have at least one timestep, got shape {inputs.shape}'
            )
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, channels), with `keepdims` the input shape with one timestep."""
        kept = (1,) if self.keepdims else ()
        return (*input_shape[: self._axis], *kept, *input_shape[self._axis + 1 :])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


class GlobalMaxPooling1D(GlobalPooling1D):
    """The largest number over time."""

    def call(self, inputs: Any) -> Any:
        """(batch, channels)."""
        return self._checked(inputs).max(axis=self._axis, keepdims=self.keepdims)


class GlobalAveragePooling1D(GlobalPooling1D):
    """The mean over time; with a mask (batch, time) over the timesteps where it is True.

    A row without any such timestep gives NaN, as in Keras.
    """

    def __init__(self, data_format: str | None = "channels_last", **kwargs: Any) -> None:
        """See the class."""
        super().__init__(data_format=data_format, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """(batch, channels)."""
        inputs = as_floats(self, self._checked(inputs))
        if mask is None:
            return inputs.mean(axis=self._axis, keepdims=self.keepdims)
        mask = np.asarray(mask)
        expected = (inputs.shape[0], inputs.shape[self._axis])
        if mask.shape != expected:
            raise ValueError(f"`mask` must have shape {expected} (batch, time), got {mask.shape}")
        weights = np.expand_dims(mask.astype(inputs.dtype), 3 - self._axis)
        total = (inputs * weights).sum(axis=self._axis, keepdims=self.keepdims)
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / weights.sum(axis=self._axis, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None."""
