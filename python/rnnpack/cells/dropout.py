"""Dropout inside recurrent cells: one mask for all timesteps of a layer call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import random

_Array = NDArray[Any]


def keep_mask(generator: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: Any) -> _Array:
    """Return factors for inverted dropout: 0 with probability `rate`, else `1 / (1 - rate)`."""
    kept = generator.random(shape, np.float32) >= rate
    return np.asarray(kept * np.dtype(dtype).type(1 / (1 - rate)))


class MaskCache(threading.local):
    """Masks of the layer call that runs in this thread; copies and pickles start empty."""

    def __init__(self) -> None:
        self._masks: dict[Any, list[_Array]] = {}

    def get(self, key: Any, shape: tuple[int, ...], count: int, make: Callable[[], _Array]) -> list[_Array]:
        """Return the `count` masks of `shape` stored under `key`; make them if there are none."""
        masks = self._masks.get(key)
        if masks is None or len(masks) != count or masks[0].shape != shape:
            masks = self._masks[key] = [make() for _ in range(count)]
        return masks

    def clear(self, key: Any = None) -> None:
        """Forget the masks stored under `key`, all of them by default."""
        if key is None:
            self._masks.clear()
        else:
            self._masks.pop(key, None)

    def __reduce__(self) -> tuple[type[MaskCache], tuple[()]]:
        """Pickle and copy as an empty cache."""
        return MaskCache, ()


class DropoutRNNCellMixin:
    """Dropout masks for a cell class, to be inherited before `Layer`.

    The class that mixes it in sets `dropout` and `recurrent_dropout`, rates in [0, 1). The masks are made
    once and kept until the layer resets them, which it does at the start of every call.
    """

    dropout: float
    recurrent_dropout: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._dropout_masks = MaskCache()
        super().__init__(*args, **kwargs)

    def reset_dropout_mask(self) -> None:
        """Forget the masks for the inputs."""
        self._dropout_masks.clear("inputs")

    def reset_recurrent_dropout_mask(self) -> None:
        """Forget the masks for the states."""
        self._dropout_masks.clear("states")

    def get_dropout_mask_for_cell(self, inputs: Any, training: Any, count: int = 1) -> Any:
        """Return what to multiply the inputs of a step with.

        Args:
            inputs: array; the masks get its shape and dtype.
            training: when false the masks are all ones.
            count: number of independent masks.

        Returns:
            None if `dropout` is 0, one mask if `count` is 1, else a list.
        """
        return self._get("inputs", self.dropout, inputs, training, count)

    def get_recurrent_dropout_mask_for_cell(self, inputs: Any, training: Any, count: int = 1) -> Any:
        """Return what to multiply the states with; like `get_dropout_mask_for_cell`."""
        return self._get("states", self.recurrent_dropout, inputs, training, count)

    def _get(self, key: str, rate: float, inputs: Any, training: Any, count: int) -> Any:
        if rate == 0:
            return None
        array = np.asarray(inputs)
        masks = self._masks(key, rate, array, count) if training else [np.ones_like(array)] * count
        return masks[0] if count == 1 else masks

    def _masks(self, key: str, rate: float, array: _Array, count: int) -> list[_Array]:
        """Return the `count` masks of this layer call for arrays like `array`."""
        return self._dropout_masks.get(
            key, array.shape, count, lambda: keep_mask(random.generator(), array.shape, rate, array.dtype)
        )
