"""A layer call in native code: the plain kind without ceremony, and the part every native call shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core, backend
from rnnpack.cells.stacked import StackedRNNCells
from rnnpack.engine import nest, plan
from rnnpack.layers import arguments, context, masked
from rnnpack.layers.input_spec import surely_fits

if TYPE_CHECKING:
    from rnnpack.layers.rnn import RNN

# Methods the short way leaves out: a class or an instance that has its own goes the long way.
_METHODS = frozenset({"call", "compute_mask", "get_initial_state"})
_KEYWORDS = frozenset({"mask", "training"})


def is_standard(cls: type[Any]) -> bool:
    """Whether the class computes as the layers of this package do."""
    return all(getattr(cls, name).__module__.startswith("rnnpack.layers.") for name in _METHODS)


def quick(layer: RNN, inputs: NDArray[Any], initial_state: Any, keywords: dict[str, Any]) -> Any:
    """Runs a whole call for the plainest layers and arguments; None where anything is unusual.

    The binding checks the arguments; what it refuses goes the long way, which fixes it or says what is wrong.

    Args:
        layer: any recurrent layer.
        inputs: array, not of a subclass.
        initial_state: as the caller gave it.
        keywords: the other call arguments.
    """
    mask = keywords.get("mask")
    if not (
        layer._ready
        and layer._standard
        and layer.activity_regularizer is None
        and keywords.keys() <= _KEYWORDS
        and vars(layer).keys().isdisjoint(_METHODS)
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
    training = context.resolve_training(keywords.get("training"), None, backend.learning_phase())
    cells = plan.native_cells(layer.cell, layer._policy.compute_dtype, training)
    if cells is None:
        return None
    try:
        output, final = run(layer, cells, inputs, states, mask)
    except (TypeError, ValueError):
        return None
    layer._clear_losses()
    if mask is not None and layer.return_sequences:
        output = masked.carrying(output, mask)
    return arguments.assembled(output, layer._record(final), layer.return_state)


def run(layer: RNN, cells: Any, inputs: Any, states: Any, mask: Any) -> tuple[Any, list[Any]]:
    """The native call with a layer's flags; the final states come back in the form of `cell.state_size`.

    Args:
        layer: whose call this is.
        cells: from `plan.native_cells`.
        inputs: array of the cells' dtype.
        states: flat first states, or None for zeros.
        mask: bools, or None.

    Raises:
        ValueError, TypeError: the arrays do not fit.
    """
    output, final = _core.run(
        cells,
        inputs,
        states,
        mask,
        layer.time_major,
        layer.go_backwards,
        layer.return_sequences,
        layer.zero_output_for_mask and layer.return_sequences,
    )
    return output, plan.grouped(layer.cell, final)
