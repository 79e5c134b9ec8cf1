"""Building layers: once, whichever thread comes first, and completely or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from rnnpack.layers.weights import WeightOwner


@contextmanager
def all_or_nothing(layer: WeightOwner) -> Iterator[None]:
    """Lets one thread at a time change a layer; if the body fails, it and all below it are as before.

    Every layer has a lock of its own, so that a layer may call its sub-layers from several threads.
    """
    with vars(layer).setdefault("_lock", threading.RLock()):
        restore = layer._restorer()
        try:
            yield
        except BaseException:
            restore()
            raise


def completing(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Makes a class's `build` end with `built = True` and the constructor's `weights`, or undo itself.

    The shape is kept in `_built_for`, from which a loaded layer is built again.
    """

    @wraps(build)
    def complete(self: Any, input_shape: Any) -> None:
        if type(self).build is not complete:  # a subclass called super().build(): it is not finished yet
            build(self, input_shape)
            return
        with all_or_nothing(self):
            build(self, input_shape)
            self.built = True
            self._built_for = input_shape
            if self._initial_weights is not None:
                self.set_weights(self._initial_weights)
                self._initial_weights = None

    return complete


def build_cell(cell: Any, input_shape: Any) -> None:
    """Builds a cell, or any other layer, that is not built yet; leaves objects alone that are no layers."""
    if not isinstance(cell, WeightOwner) or cell.built:
        return
    with all_or_nothing(cell):
        if not cell.built:
            cell.build(input_shape)  # type: ignore[attr-defined]
            cell.built = True
