"""Recorded states of several layers, which advance together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def states_restorer(layers: Iterable[Any]) -> Callable[[], None]:
    """Remembers the recorded states of the stateful ones among the layers; the result puts them back."""
    saved = [(layer, layer._states) for layer in layers if layer.stateful and hasattr(layer, "_states")]

    def restore() -> None:
        for layer, states in saved:
            layer._states = states

    return restore


@contextmanager
def states_kept_on_error(layers: Iterable[Any]) -> Iterator[None]:
    """Puts recorded states back if the body fails."""
    restore = states_restorer(layers)
    try:
        yield
    except BaseException:
        restore()
        raise
