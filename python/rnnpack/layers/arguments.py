"""Rules for the call arguments and results of recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import symbolic
from rnnpack.engine import nest, state
from rnnpack.layers.base import call_signature


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or isinstance(value, symbolic.SymbolicArray)


def split_list(
    inputs: Any, initial_state: Any, constants: Any, num_constants: int
) -> tuple[Any, list[Any] | None, list[Any] | None]:
    """Separates inputs, initial states and constants.

    A list of inputs means `[inputs, state_1, ..., constant_1, ...]`; nested inputs are tuples and dicts.

    Args:
        inputs: first call argument.
        initial_state: None, one array, or list or tuple of states.
        constants: None, one array, or list or tuple of constants.
        num_constants: how many constants end a list of inputs.

    Returns:
        Inputs, states and constants; the latter two are lists, or None where absent.

    Raises:
        AssertionError: states or constants are given both in a list and by keyword.
        ValueError: the list holds something else than arrays.
    """
    if isinstance(inputs, list):
        if initial_state is not None or constants is not None:
            raise AssertionError(
                "With a list of inputs [inputs, states ..., constants ...], `initial_state` and `constants` "
                "must not be passed as well"
            )
        leaves = nest.flatten(inputs)
        if not leaves or isinstance(inputs[0], list) or not all(map(_is_array, leaves)):
            raise ValueError(
                "A list passed as `inputs` means [inputs, states ..., constants ...] and must hold arrays; "
                "pass np.array(...) instead of nested lists of numbers"
            )
        end = len(inputs) - num_constants
        if num_constants and end >= 1:
            constants = inputs[end:]
        initial_state = inputs[1 : end if constants is not None else None] or None
        inputs = inputs[0]
    return (
        inputs,
        None if initial_state is None else state.as_list(initial_state),
        None if constants is None else state.as_list(constants),
    )


def check_symbolic(values: list[Any]) -> None:
    """Raises ValueError when states and constants mix symbolic arrays and plain ones."""
    symbolic_ones = [isinstance(value, symbolic.SymbolicArray) for value in nest.flatten(values)]
    if any(symbolic_ones) and not all(symbolic_ones):
        raise ValueError(
            "The initial state or constants of a recurrent layer cannot be a mix of Keras tensors and "
            "non-Keras tensors"
        )


def prepared(inputs: Any, dtype: np.dtype[Any], autocast: bool) -> Any:
    """The inputs of a recurrent layer as arrays of the layer's dtype.

    Args:
        inputs: array of real numbers, or a nest of them; integers and bools are cast.
        dtype: the layer's compute dtype.
        autocast: False leaves floats in their own dtype.

    Raises:
        ValueError: not arrays of real numbers, or no array at all.
    """
    if not nest.flatten(inputs):
        raise ValueError(f"`inputs` must hold at least one array, got {inputs!r}")
    return nest.map_structure(lambda value: _prepared_array(value, dtype, autocast), inputs)


def _prepared_array(value: Any, dtype: np.dtype[Any], autocast: bool) -> NDArray[Any]:
    if not hasattr(value, "__array__"):
        raise ValueError(
            f"`inputs` must be an array or a tuple or dict of arrays, got {type(value).__name__}"
        )
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"`inputs` must hold real numbers, got an array of dtype {array.dtype}")
    if array.dtype == dtype or (array.dtype.kind == "f" and not autocast):
        return array
    try:
        return array.astype(dtype)
    except (MemoryError, ValueError) as error:  # NumPy's message names neither argument nor shape
        raise MemoryError(f"No memory for `inputs` of shape {array.shape} as {dtype}: {error}") from None


def cell_keywords(cell: Any, training: bool, constants: Any) -> dict[str, Any]:
    """Arguments of the cell's call besides inputs and states: those it names.

    Raises:
        ValueError: there are constants and the cell does not take them.
    """
    signature = call_signature(cell.call)
    keywords: dict[str, Any] = {"training": training} if signature.names("training") else {}
    if constants:
        if not signature.names("constants"):
            raise ValueError(
                f"RNN cell {type(cell).__name__} does not support constants: its call does not name them"
            )
        keywords["constants"] = constants
    return keywords


def sizes_of(inputs: Any, time_major: bool) -> tuple[int, int]:
    """Batch size and number of timesteps of the inputs.

    Raises:
        ValueError: an input has fewer than three axes, inputs disagree, or there is no timestep.
    """
    found = set()
    for array in nest.flatten(inputs):
        if array.ndim < 3:
            raise ValueError(
                f"`inputs` of a recurrent layer must have at least 3 axes, expected min_ndim=3, found "
                f"ndim={array.ndim}. Full shape received: {array.shape}"
            )
        found.add(array.shape[:2])
    if len(found) != 1:
        raise ValueError(f"All `inputs` must have the same batch and time sizes, got {sorted(found)}")
    first, second = found.pop()
    batch, length = (second, first) if time_major else (first, second)
    if length == 0:
        shapes = [array.shape for array in nest.flatten(inputs)]
        raise ValueError(
            f"`inputs` must have at least one timestep, got shape {shapes[0] if len(shapes) == 1 else shapes}"
        )
    return batch, length


def assembled(output: Any, states: list[Any], return_state: bool) -> Any:
    """What a recurrent layer returns: a list output is spliced, a tuple output stays one item."""
    if not return_state:
        return output
    return [*(output if isinstance(output, list) else [output]), *states]
