"""The time loop in Python, for every cell the native kernels do not know.

For row b and processed step k with mask bit m: the states become the cell's new states if m, else they
stay; the output is the cell's output if m, else zeros (`zero_output_for_mask`) or the previous output,
which is zero before the first unmasked step. Masking selects, it never multiplies: NaN in masked inputs
does not spread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cells.dropout import DropoutRNNCellMixin
from rnnpack.engine import nest
from rnnpack.layers.base import Layer

Array = NDArray[Any]
Step = Callable[[Any, Any], tuple[Any, Any]]


def step_function(cell: Any, dtype: np.dtype[Any], keywords: dict[str, Any]) -> Step:
    """What to call at every step: `(inputs at t, tuple of states) -> (output, new states)`.

    Built layers are run through `call` directly where `Layer.__call__` would add nothing: the enclosing
    layer call has already resolved the training mode and cast the inputs to `dtype`. Cells made of other
    cells offer `bind_step(dtype, keywords)`, which prepares their members once for all steps.
    """
    plain = _is_plain(cell, dtype)
    if plain and _offers_bind_step(cell):
        return cell.bind_step(dtype, keywords)  # type: ignore[no-any-return]
    call = cell.call if not callable(cell) or plain else cell
    if keywords:
        call = partial(call, **keywords)
    if getattr(cell, "_is_tf_rnn_cell", None) is None:
        return call  # type: ignore[no-any-return]
    # Such cells take the bare array when there is exactly one state.
    return lambda inputs, states: call(inputs, states[0] if len(states) == 1 else states)


def _is_plain(cell: Any, dtype: np.dtype[Any]) -> bool:
    return (
        isinstance(cell, Layer)
        and type(cell).__call__ is Layer.__call__
        and cell.built
        and cell.activity_regularizer is None
        and cell.input_spec is None
        and not cell.supports_masking
        and (not cell.autocast or cell.dtype_policy.compute_dtype == dtype)
    )


def _offers_bind_step(cell: Any) -> bool:
    """Whether `bind_step` does what `call` does: a subclass or object may have replaced `call` alone."""
    if "call" in vars(cell):
        return False
    for kind in type(cell).__mro__:
        if "bind_step" in vars(kind):
            return True
        if "call" in vars(kind):
            return False
    return False


def reset_dropout_masks(cell: Any) -> None:
    """Makes the cell, and every cell inside it, draw new dropout masks."""
    for one in cell._flatten_layers() if isinstance(cell, Layer) else [cell]:
        if isinstance(one, DropoutRNNCellMixin):
            one.reset_dropout_mask()
            one.reset_recurrent_dropout_mask()


def time_first(array: Array, time_major: bool, go_backwards: bool) -> Array:
    """View with time as first axis, in processing order."""
    view = array if time_major else array.swapaxes(0, 1)
    return view[::-1] if go_backwards else view


def read_only(array: Array) -> Array:
    """View that refuses to be written: a cell must not change its caller's arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


def run(
    step: Step,
    inputs: Any,
    states: list[Any],
    mask: NDArray[np.bool_] | None,
    *,
    time_major: bool,
    go_backwards: bool,
    return_sequences: bool,
    zero_output_for_mask: bool,
) -> tuple[Any, list[Any]]:
    """Runs a cell over a sequence, calling it exactly once for each timestep.

    Args:
        step: from `step_function`.
        inputs: nest of arrays `(batch, time, ...)`, or `(time, batch, ...)` if `time_major`.
        states: first states, top-level list of nests; not modified.
        mask: bools with the inputs' two first axes, or None.
        time_major: layout of inputs, mask and sequence outputs.
        go_backwards: process the last timestep first; outputs are in processing order.
        return_sequences: return all outputs instead of the last one.
        zero_output_for_mask: see the module; used with `return_sequences` only.

    Returns:
        The output nest and the final states; all arrays are new.

    Raises:
        ValueError: the cell returned outputs or states of another number or shape than before.
    """
    # One copy where needed: every step is contiguous, so a cell's bits do not depend on the caller's strides.
    views = [
        read_only(np.ascontiguousarray(time_first(array, time_major, go_backwards)))
        for array in nest.flatten(inputs)
    ]
    steps: Iterable[Any] = views[0]
    if nest.is_nested(inputs):
        steps = (nest.pack_sequence_as(inputs, row) for row in zip(*views, strict=True))
    length, batch = views[0].shape[:2]
    kept = None if mask is None else _Mask(time_first(mask, time_major, go_backwards))
    zero_fill = zero_output_for_mask and return_sequences

    carried = _States(states)
    outputs: _Outputs | None = None
    for index, inputs_at_t in enumerate(steps):
        selects = kept is not None and not kept.all_rows[index]
        if selects:
            # Copies, because a cell may reuse its arrays or write into the states it is given.
            old_states = [array.copy() for array in carried.flat]
            old_output = [array.copy() for array in outputs.last] if outputs is not None else None
        output, returned = step(inputs_at_t, carried.packed)
        if outputs is None:
            outputs = _Outputs(output, batch, length if return_sequences else 0, time_major)
            carried.expect(returned)
        new_output = outputs.checked(output)
        new_states = carried.checked(returned)
        if kept is not None and selects:
            stale = outputs.zeros if zero_fill or old_output is None else old_output
            new_output = kept.select(index, new_output, stale)
            new_states = kept.select(index, new_states, old_states)
        outputs.put(index, new_output)
        carried.put(new_states)
    assert outputs is not None, "the caller refuses empty sequences"
    return outputs.result(), carried.result()


def _checked(values: list[Any], shapes: list[tuple[int, ...]], what: str) -> list[Array]:
    """The values as arrays (changed in place); ValueError if number or shapes are not the expected ones."""
    if len(values) != len(shapes):
        raise ValueError(f"The cell returned {len(values)} {what} where {len(shapes)} were expected")
    for index, value in enumerate(values):
        if type(value) is not np.ndarray:
            values[index] = value = np.asarray(value)
        if value.shape != shapes[index]:
            raise ValueError(f"The cell returned {what} of shape {value.shape}, expected {shapes[index]}")
    return values


class _Mask:
    """A mask `(time, batch)` in processing order."""

    def __init__(self, kept: NDArray[np.bool_]) -> None:
        self.kept = kept
        self._by_rank: dict[int, NDArray[np.bool_]] = {}
        self.all_rows: NDArray[np.bool_] = np.all(kept, axis=1)
        self.any_row: NDArray[np.bool_] = np.any(kept, axis=1)

    def select(self, index: int, new: list[Array], old: list[Array]) -> list[Array]:
        """Rows of `new` that step `index` keeps, else of `old`."""
        if not self.any_row[index]:
            return old
        return [
            np.where(self._column(index, fresh.ndim), fresh, stale)
            for fresh, stale in zip(new, old, strict=True)
        ]

    def _column(self, index: int, rank: int) -> NDArray[np.bool_]:
        """Bits of one step, `(batch, 1, ...)`, for arrays of this rank."""
        shaped = self._by_rank.get(rank)
        if shaped is None:
            shaped = self._by_rank[rank] = self.kept.reshape(*self.kept.shape, *(1,) * (rank - 1))
        column: NDArray[np.bool_] = shaped[index]
        return column


class _States:
    """The states between two steps, as the cell wants them and as a flat list."""

    def __init__(self, states: list[Any]) -> None:
        self.structure = tuple(states)
        # Copies, so that a cell that writes into its states never reaches the caller's arrays.
        self.flat: list[Array] = [np.array(array) for array in nest.flatten(self.structure)]
        self.shapes = [array.shape for array in self.flat]
        self.is_flat = not any(map(nest.is_nested, self.structure))
        self.packed: tuple[Any, ...] = nest.pack_sequence_as(self.structure, self.flat)

    def expect(self, returned: Any) -> None:
        """Notes from the first step whether the returned states are one level deep, the quick case."""
        if nest.is_nested(returned):
            self.is_flat = (
                self.is_flat
                and isinstance(returned, (list, tuple))
                and not any(map(nest.is_nested, returned))
            )

    def checked(self, returned: Any) -> list[Array]:
        """The returned states as a flat list of arrays; ValueError if they differ in number or shape."""
        if not isinstance(returned, (list, tuple, dict)):
            flat = [returned]
        elif self.is_flat:
            flat = list(returned)
        else:
            flat = nest.flatten(returned)
        return _checked(flat, self.shapes, "states")

    def put(self, flat: list[Array]) -> None:
        """Takes over the states of a finished step."""
        self.flat = flat
        self.packed = tuple(flat) if self.is_flat else nest.pack_sequence_as(self.structure, flat)

    def result(self) -> list[Any]:
        """Copies: a cell may return one array as output and as state."""
        return list(nest.pack_sequence_as(self.structure, [np.array(array) for array in self.flat]))


class _Outputs:
    """Collects outputs: all of them in preallocated arrays, or only the last."""

    def __init__(self, first: Any, batch: int, length: int, time_major: bool) -> None:
        self.structure = first
        arrays = [np.asarray(value) for value in nest.flatten(first)]
        self.nested = nest.is_nested(first)
        self.shapes = [array.shape for array in arrays]
        self.dtypes = [array.dtype for array in arrays]
        for shape in self.shapes:
            if shape[:1] != (batch,):
                raise ValueError(
                    f"The cell returned an output of shape {shape}; its first axis must be the batch, {batch}"
                )
        self.zeros = [np.zeros_like(array) for array in arrays]
        self.last = self.zeros
        self.sequences: list[Array] = []
        if length:
            self.sequences = [
                np.empty(
                    (length, batch, *a.shape[1:]) if time_major else (batch, length, *a.shape[1:]), a.dtype
                )
                for a in arrays
            ]
        self.slots = [time_first(sequence, time_major, False) for sequence in self.sequences]

    def checked(self, output: Any) -> list[Array]:
        """The output as a flat list of arrays, in the dtypes of the first one; ValueError if they differ."""
        arrays = _checked(nest.flatten(output) if self.nested else [output], self.shapes, "outputs")
        for index, (array, dtype) in enumerate(zip(arrays, self.dtypes, strict=True)):
            if array.dtype is not dtype and array.dtype != dtype:
                if not np.can_cast(array.dtype, dtype, "same_kind"):
                    raise ValueError(f"The cell returned outputs of dtype {array.dtype} after {dtype}")
                arrays[index] = array.astype(dtype)
        return arrays

    def put(self, index: int, flat: list[Array]) -> None:
        """Stores the output of step `index`."""
        for slot, array in zip(self.slots, flat, strict=False):
            slot[index] = array
        self.last = flat

    def result(self) -> Any:
        """The sequences, or copies of the last outputs, in the cell's structure."""
        return nest.pack_sequence_as(
            self.structure, self.sequences or [np.array(array) for array in self.last]
        )
