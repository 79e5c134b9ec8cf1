"""Windows that slide over the time axis of (rows, time, channels)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def windows_count(length: int, padding: str, width: int, stride: int, dilation: int = 1) -> int:
    """Number of windows over `length` timesteps; less than 1 if they are too few for one."""
    span = (width - 1) * dilation + 1
    positions = length - span + 1 if padding == "valid" else length
    return -(-positions // stride)


def amounts(length: int, padding: str, width: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """How many timesteps must be put before and after the inputs."""
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return (width - 1) * dilation, 0
    count = windows_count(length, padding, width, stride, dilation)
    total = max((count - 1) * stride + (width - 1) * dilation + 1 - length, 0)
    return total // 2, total - total // 2


def padded(
    rows: NDArray[Any], padding: str, width: int, stride: int, dilation: int = 1, value: Any = 0
) -> NDArray[Any]:
    """The rows with timesteps of `value` around them."""
    before, after = amounts(rows.shape[1], padding, width, stride, dilation)
    if before == after == 0:
        return rows
    return np.pad(rows, ((0, 0), (before, after), (0, 0)), constant_values=value)


def windows(rows: NDArray[Any], width: int, stride: int, dilation: int = 1) -> NDArray[Any]:
    """A read-only view (rows, windows, channels, width) of rows long enough for one window."""
    view = sliding_window_view(rows, (width - 1) * dilation + 1, axis=1)
    return view[:, ::stride, :, ::dilation]
