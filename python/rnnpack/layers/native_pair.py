"""Both directions of a Bidirectional in one native call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.cells.stacked import StackedRNNCells
from rnnpack.engine import nest, plan
from rnnpack.layers import device, masked, native_call
from rnnpack.layers.input_spec import leading_sizes

if TYPE_CHECKING:
    from rnnpack.layers.bidirectional import Bidirectional

# Flags that the native call has once for both directions.
_SHARED = ("time_major", "return_sequences", "zero_output_for_mask")
# Ways to merge that need outputs of one size.
BY_ELEMENT = ("sum", "mul", "ave")


def cells_of(layer: Bidirectional, shape: tuple[int, ...]) -> tuple[list[Any], list[Any]] | None:
    """Packed cells of both directions; None if one of them, or the pair, must go the long way.

    Args:
        layer: the wrapper.
        shape: of the inputs, dense.
    """
    pair = layer.forward_layer, layer.backward_layer
    if reason_against(layer) is not None or not all(one._ready for one in pair) or not _share_device(*pair):
        return None
    for one in pair:
        spec = nest.flatten(one.input_spec)
        if len(shape) != 3 or len(spec) != 1 or spec[0] is None or spec[0].problem(shape) is not None:
            return None
    cells = [device.cells_of(one) for one in pair]
    return None if cells[0] is None or cells[1] is None else (cells[0], cells[1])


def adds_nothing(layer: Bidirectional) -> bool:
    """Whether a call of the wrapper, once it is built, is what its two layers compute and nothing else."""
    from rnnpack.layers.bidirectional import Bidirectional

    return (
        type(layer) is Bidirectional
        and layer.activity_regularizer is None
        and vars(layer).keys().isdisjoint({"call", "compute_mask"})
    )


def reason_against(layer: Bidirectional) -> str | None:
    """Why the directions, once they are built, cannot be computed in one native call; None if they can."""
    from rnnpack.layers.rnn import RNN

    pair = layer.forward_layer, layer.backward_layer
    if not all(isinstance(one, RNN) and native_call.adds_nothing(one) for one in pair):
        return "a direction is no RNN of this package, has methods of its own or an activity regularizer"
    forward, backward = pair
    if forward is backward:
        return "both directions are one layer"
    if forward._policy.compute_dtype != backward._policy.compute_dtype:
        return "the directions compute in different dtypes"
    if any(getattr(forward, name) != getattr(backward, name) for name in _SHARED):
        return f"the directions differ in one of {_SHARED}"
    if bool(forward.go_backwards) == bool(backward.go_backwards):  # changed since they became a pair
        return "the directions have the same go_backwards"
    if forward.zero_output_for_mask and not forward.return_sequences:
        return "zero_output_for_mask was set without return_sequences"
    return None


def _share_device(forward: Any, backward: Any) -> bool:
    return forward._device == backward._device  # type: ignore[no-any-return]


def prepared(layer: Bidirectional, shape: tuple[int, ...], epoch: int) -> _core.PlainCall | None:
    """The wrapper's plain calls as one native object; None where even those need more.

    Args:
        layer: has just run a native call.
        shape: of that call's inputs.
        epoch: from before the checks; any change since makes the object answer None.
    """
    cells = cells_of(layer, shape)
    if cells is None:
        return None
    pair = layer.forward_layer, layer.backward_layer
    forward, backward = pair
    specs = [one.input_spec for one in (*pair, layer) if one.input_spec is not None]
    sizes, *others = [leading_sizes(spec, cells[0][0].input_size) for spec in specs]
    if (
        sizes is None
        or any(other not in ((None, None), sizes) for other in others)
        or (layer.return_sequences, backward.stateful) != (forward.return_sequences, forward.stateful)
        or (layer.merge_mode in BY_ELEMENT and cells[0][-1].output_size != cells[1][-1].output_size)
        or layer._has_call_losses()
        or device.are_on_gpu(cells[0])
    ):
        return None
    return _core.PlainCall(
        [(one, type(half.cell) is StackedRNNCells) for one, half in zip(cells, pair, strict=True)],
        time_major=forward.time_major,
        go_backwards=forward.go_backwards,
        return_sequences=forward.return_sequences,
        return_state=bool(layer.return_state),
        zero_output_for_mask=forward.zero_output_for_mask,
        stateful=bool(forward.stateful),
        drops=any(plan.drops(one.cell) for one in pair),
        merge_mode=layer.merge_mode,
        sizes=sizes,
        carrying=masked.carrying,
        watched=[*specs, *(one.cell.cells for one in pair if type(one.cell) is StackedRNNCells)],
        epoch=epoch,
    )


def run(
    layer: Bidirectional,
    cells: tuple[list[Any], list[Any]],
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
        inputs: array of the layers' dtype; ragged values with `row_splits`.
        halves: first states of each direction as the caller gave them, or None.
        mask: bools, or None.
        training: whether dropout applies.
        row_splits: int64 `(batch + 1,)`, the rows' bounds in ragged inputs; or None.

    Raises:
        ValueError: states or mask do not fit; or dropout applies on a GPU.
    """
    pair = layer.forward_layer, layer.backward_layer
    forward = pair[0]
    batch = inputs.shape[1 if forward.time_major else 0] if row_splits is None else len(row_splits) - 1
    states = [one._first_states(half, batch) for one, half in zip(pair, halves, strict=True)]
    flat = [None if one is None else nest.flatten(one) for one in states]
    given = cells[0], cells[1], inputs, flat[0], flat[1], mask
    flags = (
        forward.time_major,
        forward.go_backwards,
        forward.return_sequences,
        forward.zero_output_for_mask,
        layer.merge_mode == "concat",
    )
    if device.are_on_gpu(cells[0]):
        from rnnpack.cuda import host

        for one in pair:
            device.check_training(one, training)
        outputs, *final = host.run_bidirectional(*given, *flags, row_splits)
    else:
        dropout = [native_call.dropout_masks(one, inputs, row_splits) if training else None for one in pair]
        outputs, *final = _core.run_bidirectional(*given, *flags, row_splits, *dropout)
    recorded = [one._record(plan.grouped(one.cell, ends)) for one, ends in zip(pair, final, strict=True)]
    return outputs, [*recorded[0], *recorded[1]]
