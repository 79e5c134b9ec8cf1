"""A layer call in native code: the plain kind without ceremony, and the part every native call shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core, backend
from rnnpack.cells.stacked import StackedRNNCells
from rnnpack.engine import nest, plan, state
from rnnpack.layers import arguments, context, device, masked
from rnnpack.layers.input_spec import leading_sizes, surely_fits

if TYPE_CHECKING:
    from rnnpack.layers.ragged import Ragged
    from rnnpack.layers.rnn import RNN

# Methods the short way leaves out: a class or an instance that has its own goes the long way.
_METHODS = frozenset({"call", "compute_mask", "get_initial_state"})
_KEYWORDS = frozenset({"mask", "training"})


def is_standard(cls: type[Any]) -> bool:
    """Whether the class computes as the layers of this package do."""
    return all(getattr(cls, name).__module__.startswith("rnnpack.layers.") for name in _METHODS)


def is_unaltered(layer: RNN) -> bool:
    """Whether the layer is built, and a call of it its cell's computation and nothing else."""
    return layer._ready and adds_nothing(layer)


def adds_nothing(layer: RNN) -> bool:
    """Whether a call of this layer, once it is built, is its cell's computation and nothing else."""
    return layer._standard and layer.activity_regularizer is None and vars(layer).keys().isdisjoint(_METHODS)


def quick(layer: RNN, inputs: NDArray[Any], initial_state: Any, keywords: dict[str, Any]) -> Any:
    """Runs a whole call for the plainest layers and arguments; None where anything is unusual.

    The binding checks the arguments; what it refuses goes the long way, which fixes it or says what is wrong.

    Args:
        layer: any recurrent layer.
        inputs: array, not of a subclass.
        initial_state: as the caller gave it.
        keywords: the other call arguments.
    """
    epoch = _core.epoch()
    mask = keywords.get("mask")
    if not (
        is_unaltered(layer)
        and keywords.keys() <= _KEYWORDS
        and (mask is None or type(mask) is np.ndarray)
        and inputs.dtype == layer._policy.compute_dtype
        and surely_fits(layer.input_spec, inputs)
    ):
        return None
    states = initial_state
    if layer.stateful:
        if initial_state is not None or layer._states is None:
            return None
        states = nest.flatten(layer._states)
    elif initial_state is not None and (
        type(layer.cell) is StackedRNNCells or not isinstance(initial_state, (list, tuple))
    ):
        return None
    cells = device.cells_of(layer)
    if cells is None:
        return None
    training = context.resolve_training(keywords.get("training"), None, backend.learning_phase())
    if training and plan.drops(layer.cell):
        return None  # a refusal would come after the masks were drawn
    try:
        output, final = run(layer, cells, inputs, states, mask, training)
    except (TypeError, ValueError):
        return None
    layer._clear_losses()
    if not is_prepared(layer):
        layer._plain_call = prepared(layer, cells, epoch)
    if mask is not None and layer.return_sequences:
        output = masked.carrying(output, mask)
    return arguments.assembled(output, layer._record(final), layer.return_state)


def is_prepared(layer: Any) -> bool:
    """Whether the layer has a prepared call that is up to date, and only did not take these arguments."""
    plain_call = layer._plain_call  # once: another thread may reset it
    return plain_call is not None and plain_call.current()


def prepared(layer: RNN, cells: list[Any], epoch: int) -> _core.PlainCall | None:
    """The layer's plain calls as one native object; None where even those need more, or run on a GPU.

    Args:
        layer: has just passed all checks of `quick`.
        cells: its packed cells.
        epoch: from before the checks; any change since makes the object answer None.
    """
    stacked = type(layer.cell) is StackedRNNCells
    sizes = leading_sizes(layer.input_spec, cells[0].input_size)
    if sizes is None or layer._has_call_losses() or device.are_on_gpu(cells):
        return None
    return _core.PlainCall(
        [(cells, stacked)],
        time_major=layer.time_major,
        go_backwards=layer.go_backwards,
        return_sequences=layer.return_sequences,
        return_state=bool(layer.return_state),
        zero_output_for_mask=layer.zero_output_for_mask and layer.return_sequences,
        stateful=bool(layer.stateful),
        drops=plan.drops(layer.cell),
        merge_mode=None,
        sizes=sizes,
        carrying=masked.carrying,
        watched=[layer.input_spec, layer.cell.cells] if stacked else [layer.input_spec],
        epoch=epoch,
    )


def run(
    layer: RNN,
    cells: list[Any],
    inputs: Any,
    states: Any,
    mask: Any,
    training: bool,
    row_splits: NDArray[np.int64] | None = None,
) -> tuple[Any, list[Any]]:
    """The native call with a layer's flags; the final states come back in the form of `cell.state_size`.

    Args:
        layer: whose call this is.
        cells: from `device.cells_of`.
        inputs: array of the layer's dtype; ragged values with `row_splits`.
        states: flat first states, or None for zeros.
        mask: bools, or None.
        training: whether dropout applies.
        row_splits: int64 `(batch + 1,)`, the rows' bounds in ragged inputs; or None.

    Raises:
        ValueError, TypeError: the arrays do not fit; or dropout applies on a GPU.
    """
    flags = (
        layer.time_major,
        layer.go_backwards,
        layer.return_sequences,
        layer.zero_output_for_mask and layer.return_sequences,
    )
    if device.are_on_gpu(cells):
        from rnnpack.cuda import host

        device.check_training(layer, training)
        output, final = host.run(cells, inputs, states, mask, *flags, row_splits)
    else:
        dropout = dropout_masks(layer, inputs, row_splits) if training else None
        output, final = _core.run(cells, inputs, states, mask, *flags, row_splits, dropout)
    return output, plan.grouped(layer.cell, final)


def dropout_masks(layer: RNN, inputs: NDArray[Any], row_splits: NDArray[np.int64] | None) -> Any:
    """New dropout masks for a native call of the layer on these inputs; None if nothing is dropped."""
    if not plan.drops(layer.cell):
        return None
    batch = inputs.shape[1 if layer.time_major else 0] if row_splits is None else len(row_splits) - 1
    return plan.dropout_masks(layer.cell, batch, inputs.dtype)


def on_rows(layer: RNN, rows: Ragged, keywords: dict[str, Any]) -> list[Any] | None:
    """Outputs and states of a native call on ragged rows; None where something is unusual.

    Args:
        layer: any recurrent layer.
        rows: the inputs, in any dtype.
        keywords: the call arguments.

    Raises:
        ValueError: the states do not fit.
    """
    dtype = layer._policy.compute_dtype
    if not (
        is_unaltered(layer)
        and keywords.keys() <= _KEYWORDS | {"initial_state"}
        and rows.values.ndim == 2
        and type(layer.input_spec) is list
        and layer.input_spec[0].problem(rows.padded_shape) is None
    ):
        return None
    values = arguments.prepared(rows.values, dtype, layer.autocast)
    cells = device.cells_of(layer)
    if cells is None or values.dtype != dtype or rows.batch == 0:
        return None
    given = keywords.get("initial_state")
    states = layer._first_states(None if given is None else state.as_list(given), rows.batch)
    flat = None if states is None else nest.flatten(states)
    training = context.resolve_training(keywords.get("training"), None, backend.learning_phase())
    output, final = run(layer, cells, values, flat, None, training, rows.row_splits)
    layer._clear_losses()
    final = layer._record(final)
    return [output, *final] if layer.return_state else [output]
