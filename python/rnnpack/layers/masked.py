"""Masks that travel with arrays from one layer to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.engine import nest


class MaskedOutput(np.ndarray):
    """View of a layer's output that carries the mask belonging to it.

    It behaves as any ndarray. The mask belongs to this one object: slices, copies and results of
    operations do not have it.
    """

    _keras_mask: NDArray[np.bool_] | None = None

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Results of operations are plain arrays, and scalars where they have no axes."""
        plain = np.asarray(array)
        return plain if plain.ndim else plain[()]


def carrying(array: NDArray[Any], mask: Any) -> MaskedOutput:
    """A view of the array with this mask."""
    view = array.view(MaskedOutput)
    view._keras_mask = mask
    return view


def attach(outputs: Any, masks: Any) -> Any:
    """Returns `outputs` with each mask that is not None attached to its array (as a view, no copy).

    Args:
        outputs: nest of arrays.
        masks: None, or a nest of masks and Nones in the order of the flattened outputs.
    """
    if masks is None:
        return outputs
    flat = nest.flatten(outputs)
    flat_masks = nest.flatten(masks)
    if all(mask is None for mask in flat_masks):
        return outputs
    for index, mask in enumerate(flat_masks[: len(flat)]):
        if mask is not None and isinstance(flat[index], np.ndarray):
            flat[index] = carrying(flat[index], mask)
    return nest.pack_sequence_as(outputs, flat)


def masks_of(inputs: Any) -> Any:
    """The nest of masks carried by a nest of inputs, or None when none carries one."""
    masks = nest.map_structure(lambda value: getattr(value, "_keras_mask", None), inputs)
    return None if all(mask is None for mask in nest.flatten(masks)) else masks
