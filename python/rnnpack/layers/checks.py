"""Checks of constructor arguments: sizes, numbers, choices."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np


def size(name: str, value: Any, least: int | None = 1) -> int:
    """The argument as an int.

    Raises:
        ValueError: it is not an integer, or less than `least`.
    """
    try:
        result: int | None = operator.index(value)
    except TypeError:
        # Files of old programs hold sizes such as 32.0.
        result = int(value) if isinstance(value, float) and value.is_integer() else None
    if result is None or (least is not None and result < least):
        wanted = "" if least is None else f" of at least {least}"
        raise ValueError(f"`{name}` must be an integer{wanted}, got {value!r}")
    return result


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


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """The argument, if it is a number (or an array of one without axes) between `least` and `most`.

    Raises:
        ValueError: it is not, or NaN.
    """
    scalar = isinstance(value, (int, float, np.number)) or (isinstance(value, np.ndarray) and not value.ndim)
    if not scalar or not least <= value <= most:
        wanted = "a number"
        if most < math.inf:
            wanted += f" in [{least:g}, {most:g}]"
        elif least > -math.inf:
            wanted += f" of at least {least:g}"
        raise ValueError(f"`{name}` must be {wanted}, got {value!r}")
    return value if isinstance(value, (int, float)) else float(value)


def sequence(name: str, value: Any) -> tuple[Any, ...]:
    """The argument as a tuple.

    Raises:
        ValueError: it is neither a tuple nor a list.
    """
    if not isinstance(value, (tuple, list)):
        raise ValueError(f"`{name}` must be a tuple or a list, got {value!r}")
    return tuple(value)
