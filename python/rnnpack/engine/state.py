"""Recurrent states: what a cell declares, and checking and creating the arrays that belong to it.

A cell declares `state_size`: an int or one shape for one state, a list or tuple for several, nested at will.
Everywhere in the engine the states of a cell are a list with one entry (array or nest of arrays) for each
top-level entry of `state_size`; every array has shape `(batch, *size)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cells.base import generate_zero_filled_state
from rnnpack.engine import nest

Array = NDArray[Any]


def top_level(state_size: Any) -> list[Any]:
    """The entries of `state_size`: its items if it is a list or tuple, else itself."""
    return list(state_size) if isinstance(state_size, (list, tuple)) else [state_size]


def dims_of(size: Any) -> tuple[int | None, ...]:
    """One size (an int or a shape) as the dimensions after the batch."""
    if nest.is_shape(size):
        return tuple(size.as_list())
    return (int(size),)


def shapes_of(state_size: Any) -> list[tuple[int | None, ...]]:
    """Dimensions after the batch of every state array, flattened."""
    return [dims_of(size) for size in nest.flatten(state_size)]


def none_like(state_size: Any) -> list[Any]:
    """The states of a layer that has recorded none: None in place of every array."""
    return [nest.map_structure(lambda _: None, entry) for entry in top_level(state_size)]


def zeros(state_size: Any, batch: int, dtype: Any) -> list[Any]:
    """Zero states."""
    return as_list(generate_zero_filled_state(batch, state_size, dtype))


def as_list(states: Any) -> list[Any]:
    """States as a caller or a cell gives them: one array becomes a list of one."""
    return list(states) if isinstance(states, (list, tuple)) else [states]


def fresh(cell: Any, batch: int, dtype: np.dtype[Any]) -> list[Any]:
    """First states: what the cell's `get_initial_state` returns, zeros if it has none; new arrays.

    Raises:
        ValueError: the cell returned states that do not fit its `state_size`.
    """
    maker = getattr(cell, "get_initial_state", None)
    if maker is None:
        return zeros(cell.state_size, batch, dtype)
    states = maker(inputs=None, batch_size=batch, dtype=dtype)
    return made(states, f"{type(cell).__name__}.get_initial_state()", cell.state_size, batch, dtype)


def made(states: Any, maker: str, state_size: Any, batch: int, dtype: np.dtype[Any]) -> list[Any]:
    """Copies of the states that a `get_initial_state` returned: floats in `dtype`, other dtypes as chosen.

    Raises:
        ValueError: they do not fit `state_size`; the message names the `maker`.
    """

    def adopted(value: Any) -> Array:
        array = np.array(value)
        return array.astype(dtype, copy=False) if array.dtype.kind == "f" else array

    arrays: list[Any] = nest.map_structure(adopted, as_list(states))
    wanted = [(batch, *dims) for dims in shapes_of(state_size)]
    found = [array.shape for array in nest.flatten(arrays)]
    if not fits(found, wanted):
        raise ValueError(
            f"{maker} returned states of shapes {found}, but `state_size` {state_size} and batch size "
            f"{batch} ask for {wanted}"
        )
    return arrays


def fits(found: Sequence[tuple[Any, ...]], wanted: Sequence[tuple[Any, ...]]) -> bool:
    """Whether the shapes agree in number and size; None fits any size."""
    return len(found) == len(wanted) and all(
        len(have) == len(want)
        and all(h == w or h is None or w is None for h, w in zip(have, want, strict=True))
        for have, want in zip(found, wanted, strict=True)
    )


def cast(value: Any, dtype: np.dtype[Any], what: str) -> Array:
    """`value` as an array of `dtype`; a new array only where needed.

    Raises:
        ValueError: not a rectangular array, or a dtype that NumPy does not cast to `dtype` as "same_kind"
            (complex, object, string ...).
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be an array: {error}") from None
    if array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(f"{what} must have a dtype that can be cast to {dtype}, got {array.dtype}")
    return array.astype(dtype, copy=False)


def check(entries: list[Any], state_size: Any, batch: int | None) -> None:
    """Raises ValueError unless these arrays (or symbolic arrays) fit `state_size` in number and shape."""
    expected = len(top_level(state_size))
    if len(entries) != expected:
        raise ValueError(
            f"Layer has {expected} states but was passed {len(entries)} initial states: `initial_state` must "
            f"have {expected} entries, however `cell.state_size` is {state_size}"
        )
    try:
        nest.assert_same_structure(top_level(state_size), entries, check_types=False)
    except (TypeError, ValueError):
        raise ValueError(
            f"`initial_state` must nest as `cell.state_size` does, however `cell.state_size` is {state_size} "
            f"and the shapes given are {nest.map_structure(np.shape, entries)}"
        ) from None
    found = [tuple(array.shape) for array in nest.flatten(entries)]
    wanted = [(batch, *dims) for dims in shapes_of(state_size)]
    if not fits(found, wanted):
        raise ValueError(
            "An `initial_state` was passed that is not compatible with `cell.state_size` and the batch size: "
            f"got shapes {found}, expected {wanted}; however `cell.state_size` is {state_size}"
        )


def explicit(given: Any, state_size: Any, batch: int | None, dtype: np.dtype[Any]) -> list[Any]:
    """Checks and casts states that a caller gives.

    Args:
        given: array, or list or tuple with an entry for each top-level entry of `state_size`.
        state_size: of the cell.
        batch: batch size of the inputs; None for any.
        dtype: what the layer computes in.

    Raises:
        ValueError: wrong number, shape or dtype.
    """
    for leaf in nest.flatten(given):
        if not hasattr(leaf, "__array__"):
            raise ValueError(f"`initial_state` must hold arrays, got a {type(leaf).__name__}: pass arrays")
    entries: list[Any] = nest.map_structure(
        lambda value: cast(value, dtype, "`initial_state`"), as_list(given)
    )
    check(entries, state_size, batch)
    return entries


def replacement(values: Any, states: list[Any]) -> list[Any]:
    """Copies of the values given to `reset_states`, in the structure and dtypes of the recorded states.

    Raises:
        ValueError: wrong number, shape or dtype.
    """
    recorded = nest.flatten(states)
    given = nest.flatten(values)
    if len(given) != len(recorded):
        raise ValueError(f"Layer expects {len(recorded)} states, but it received {len(given)} state values")
    copies = []
    for index, (old, value) in enumerate(zip(recorded, given, strict=True)):
        new = np.array(cast(value, old.dtype, f"State {index}"))
        if new.shape != old.shape:
            raise ValueError(
                f"State {index} is incompatible with layer: expected shape={old.shape}, found "
                f"shape={new.shape}"
            )
        copies.append(new)
    packed: list[Any] = nest.pack_sequence_as(states, copies)
    return packed


def all_zero(states: list[Any]) -> bool:
    """Whether every number in every state is zero."""
    return not any(np.count_nonzero(array) for array in nest.flatten(states))
