"""Checks of constructor arguments that are sizes."""

from __future__ import annotations

import operator
from typing import Any


def size(name: str, value: Any, least: int = 1) -> int:
    """The argument as an int.

    Raises:
        ValueError: it is not an integer, or less than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        # Files of old programs hold sizes such as 32.0.
        whole = isinstance(value, float) and value.is_integer()
        number = int(value) if whole else least - 1
    if number < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}, got {value!r}")
    return number


def sizes(name: str, value: Any, count: int, least: int = 1) -> tuple[int, ...]:
    """The argument, one integer or a sequence of `count` of them, as a tuple.

    Raises:
        ValueError: it is neither, or one of them is less than `least`.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
    if len(values) != count:
        raise ValueError(f"`{name}` must be an integer or {count} of them, got {value!r}")
    return tuple(size(name, one, least) for one in values)


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """The argument in lower case.

    Raises:
        ValueError: it is none of the choices.
    """
    text = value.lower() if isinstance(value, str) else value
    if text not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return str(text)
