"""Both directions of a Bidirectional in one native call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.engine import nest, plan
from rnnpack.layers import native_call

if TYPE_CHECKING:
    from rnnpack.layers.bidirectional import Bidirectional

# Flags that the native call has once for both directions.
_SHARED = ("time_major", "return_sequences", "zero_output_for_mask")


def cells_of(
    layer: Bidirectional, shape: tuple[int, ...]
) -> tuple[list[_core.PackedCell], list[_core.PackedCell]] | None:
    """Packed cells of both directions; None if one of them, or the pair, must go the long way.

    Args:
        layer: the wrapper.
        shape: of the inputs, dense.
    """
    from rnnpack.layers.rnn import RNN

    pair = layer.forward_layer, layer.backward_layer
    if not all(isinstance(one, RNN) and native_call.is_unaltered(one) for one in pair):
        return None
    forward, backward = pair
    if forward is backward or forward._policy.compute_dtype != backward._policy.compute_dtype:
        return None
    if any(getattr(forward, name) != getattr(backward, name) for name in _SHARED):
        return None
    if bool(forward.go_backwards) == bool(backward.go_backwards):  # changed since they became a pair
        return None
    if forward.zero_output_for_mask and not forward.return_sequences:
        return None
    for one in pair:
        spec = nest.flatten(one.input_spec)
        if len(shape) != 3 or len(spec) != 1 or spec[0] is None or spec[0].problem(shape) is not None:
            return None
    cells = [plan.native_cells(one.cell, one._policy.compute_dtype, one._precision) for one in pair]
    return None if cells[0] is None or cells[1] is None else (cells[0], cells[1])


def run(
    layer: Bidirectional,
    cells: tuple[list[_core.PackedCell], list[_core.PackedCell]],
    inputs: NDArray[Any],
    halves: list[Any],
    mask: Any,
    training: bool,
    row_splits: NDArray[np.int64] | None = None,
) -> tuple[list[Any], list[Any]]:
    """The native call: outputs (one if merged by concatenation, else two) and all final states.

    Args:
        layer: whose call this is.
        cells: from `cells_of`.
        inputs: array of the cells' dtype; ragged values with `row_splits`.
        halves: first states of each direction as the caller gave them, or None.
        mask: bools, or None.
        training: whether dropout applies.
        row_splits: int64 `(batch + 1,)`, the rows' bounds in ragged inputs; or None.

    Raises:
        ValueError: states or mask do not fit.
    """
    pair = layer.forward_layer, layer.backward_layer
    forward = pair[0]
    batch = inputs.shape[1 if forward.time_major else 0] if row_splits is None else len(row_splits) - 1
    states = [one._first_states(half, batch) for one, half in zip(pair, halves, strict=True)]
    flat = [None if one is None else nest.flatten(one) for one in states]
    dropout = [native_call.dropout_masks(one, inputs, row_splits) if training else None for one in pair]
    outputs, *final = _core.run_bidirectional(
        cells[0],
        cells[1],
        inputs,
        flat[0],
        flat[1],
        mask,
        forward.time_major,
        forward.go_backwards,
        forward.return_sequences,
        forward.zero_output_for_mask,
        layer.merge_mode == "concat",
        row_splits,
        dropout[0],
        dropout[1],
    )
    recorded = [one._record(plan.grouped(one.cell, ends)) for one, ends in zip(pair, final, strict=True)]
    return outputs, [*recorded[0], *recorded[1]]
