"""State of the layer call that is running in this thread, and automatic layer names."""

from __future__ import annotations

import re
import threading
from collections import Counter
from types import TracebackType
from typing import Any


class _CallState(threading.local):
    """What an enclosing layer call decided: its training mode, and how deeply calls are nested."""

    training: bool | None = None
    depth: int = 0


_state = _CallState()


def training() -> bool | None:
    """Training mode of the enclosing layer call in this thread; None outside of any."""
    return _state.training


def depth() -> int:
    """How many layer calls enclose the running code in this thread."""
    return _state.depth


class call_scope:
    """Marks the body as running inside a layer call with the given training mode."""

    __slots__ = ("_saved", "_training")

    def __init__(self, training: bool) -> None:
        """Takes the mode that inner layers see."""
        self._training = training
        self._saved: bool | None = None

    def __enter__(self) -> None:
        """Enters one level."""
        self._saved = _state.training
        _state.training = self._training
        _state.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restores the enclosing call's mode, whatever happened inside."""
        _state.training = self._saved
        _state.depth -= 1


_names: Counter[str] = Counter()
_names_lock = threading.Lock()


def snake_case(name: str) -> str:
    """`SimpleRNN` to `simple_rnn`; a leading underscore becomes `private_`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[^_])(?=[A-Z][a-z0-9])", "_", name).lower()
    return f"private{words}" if words.startswith("_") else words


def unique_name(prefix: str, first: int = 0) -> str:
    """`prefix` the first time, then `prefix_1`, `prefix_2`, ... for the life of the process.

    With `first=1` it begins at `prefix_1`.
    """
    with _names_lock:
        number = _names[prefix] + first
        _names[prefix] += 1
    return f"{prefix}_{number}" if number else prefix


def reset_names() -> None:
    """Starts automatic names anew."""
    with _names_lock:
        _names.clear()


def resolve_training(explicit: Any, default: Any, learning_phase: Any) -> bool:
    """The mode of a call: explicit argument, enclosing call, global phase, signature default, else False."""
    for candidate in (explicit, _state.training, learning_phase, default):
        if candidate is not None:
            return bool(candidate)
    return False
