"""Calls of recurrent layers on arrays that live on a GPU, in place and on the caller's stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rnnpack import backend
from rnnpack.cuda import launch, library
from rnnpack.cuda.arrays import View, library_of, view_of
from rnnpack.cuda.launch import Rows
from rnnpack.layers import arguments, context, device, native_call, native_pair, ragged
from rnnpack.layers.building import all_or_nothing, build_cell
from rnnpack.layers.input_spec import check_inputs
from rnnpack.layers.recorded import states_kept_on_error

_KEYWORDS = frozenset({"mask", "training"})


def call(layer: Any, inputs: Any, initial_state: Any, constants: Any, keywords: dict[str, Any]) -> Any:
    """A whole call of a recurrent layer or a Bidirectional whose inputs live on a GPU.

    Args:
        layer: the layer.
        inputs: array on a GPU; a list of it and first states; or a pair of it and the rows' lengths.
        initial_state: as the caller gave it.
        constants: the same.
        keywords: the other call arguments.

    Returns:
        As for NumPy arrays, in arrays of the caller's library.

    Raises:
        ValueError: an argument does not fit, or the layer cannot run on a GPU; nothing has changed then.
        TypeError: an unknown keyword.
        RuntimeError: the GPU cannot be used, or it failed.
        MemoryError: it has not enough memory.
    """
    for name in keywords:
        if name not in _KEYWORDS:
            raise TypeError(f"{type(layer).__name__}.call() got an unexpected keyword argument {name!r}")
    _check_layer(layer, constants)
    library.require(0)  # before an array is looked into
    with states_kept_on_error(launch.directions_of(layer)):
        if type(inputs) is tuple:
            values, rows = _ragged(inputs)
            given = {"initial_state": initial_state, **keywords}
            return ragged.call(layer, rows, partial(_on_rows, layer, values), given)
        inputs, initial_state = _split(inputs, initial_state)
        view = view_of(inputs, "inputs")
        results = _run(layer, inputs, _dense(layer, view), initial_state, keywords)
    return results if len(results) > 1 else results[0]


def _check_layer(layer: Any, constants: Any) -> None:
    """Raises ValueError unless a call is what the layer's cells compute and nothing else."""
    is_pair = len(launch.directions_of(layer)) == 2
    reason = None
    if constants is not None:
        reason = "no cell that runs on a GPU takes `constants`"
    elif not (native_pair if is_pair else native_call).adds_nothing(layer):
        reason = "it has an activity regularizer, or methods that are not this package's"
    elif is_pair:
        reason = native_pair.reason_against(layer)
    if reason is not None:
        raise ValueError(
            f"device: layer {layer.name} cannot run on cuda: {reason}; pass NumPy arrays with device='cpu'"
        )


def _split(inputs: Any, initial_state: Any) -> tuple[Any, Any]:
    """Inputs and first states of a call whose inputs may be a list of both."""
    if not isinstance(inputs, list):
        return inputs, initial_state
    if len(getattr(inputs[0], "shape", ())) == 2:
        raise ValueError(
            "`inputs` as a list of rows must be NumPy arrays: on a GPU, join the rows and pass a pair "
            "(values, row_lengths) with values (sum of lengths, features)"
        )
    if initial_state is not None:
        raise AssertionError(
            "With a list of inputs [inputs, states ...], `initial_state` must not be passed as well"
        )
    return inputs[0], inputs[1:] or None


def _ragged(inputs: tuple[Any, ...]) -> tuple[Any, ragged.Ragged]:
    """The values and the rows of a pair (values, row_lengths)."""
    if len(inputs) != 2 or np.ndim(inputs[1]) != 1:
        raise ValueError(
            "`inputs` on a GPU must be one array (batch, time, features), or a pair (values, row_lengths) of "
            "values (sum of lengths, features) and lengths (batch,)"
        )
    values, lengths = inputs
    if device.lives_on_gpu(lengths):
        raise ValueError(
            "`inputs` as (values, row_lengths) needs lengths on the host, as a NumPy array or a list: the "
            "call is laid out by them"
        )
    view: Any = view_of(values, "inputs")
    if view.ndim != 2:
        raise ValueError(
            f"`inputs` as (values, row_lengths) needs values with 2 axes, got shape {view.shape}"
        )
    return values, ragged.from_pair(view, np.asarray(lengths))


def _dense(layer: Any, view: View) -> Rows:
    """The inputs as rows of the same length."""
    time_major = launch.directions_of(layer)[0].time_major
    batch, timesteps = arguments.sizes_of(view, time_major)
    if view.ndim != 3:
        raise ValueError(f"`inputs` on a GPU must have 3 axes, found ndim={view.ndim}, shape {view.shape}")
    first, second, feature = view.strides
    strides = (first, second, feature) if time_major else (second, first, feature)
    return Rows(view, view.shape, batch, timesteps, strides, None)


def _on_rows(layer: Any, values: Any, rows: ragged.Ragged, keywords: dict[str, Any]) -> list[Any]:
    """Outputs and states of a call on ragged rows."""
    view: Any = rows.values
    shape = rows.padded_shape
    strides = (view.strides[0], 0, view.strides[1])
    arranged = Rows(view, shape, rows.batch, shape[1], strides, rows.row_splits)
    return _run(layer, values, arranged, keywords.get("initial_state"), keywords)


def _run(layer: Any, like: Any, rows: Rows, initial_state: Any, keywords: dict[str, Any]) -> list[Any]:
    """Checks what is left, builds a new layer, and runs: outputs, and states if they are returned."""
    directions = launch.directions_of(layer)
    training = context.resolve_training(keywords.get("training"), None, backend.learning_phase())
    for one in directions:
        device.check_training(one, training)
        _check_device(one, rows.view.device)
        _check_element(one, rows.view.element)
    halves = _halves(initial_state, len(directions))
    compute = partial(launch.run, layer, library_of(like), rows, halves, keywords.get("mask"), like)
    if layer._ready:
        _check_specs(layer, rows)
        results = compute()
    else:
        with all_or_nothing(layer):
            _check_specs(layer, rows)
            build_cell(layer, rows.shape)
            _check_specs(layer, rows)
            results = compute()
            for one in {id(one): one for one in (*directions, layer)}.values():
                one._ready = True  # last, as from now on other threads call without the lock
    layer._clear_losses()
    return results


def _check_specs(layer: Any, rows: Rows) -> None:
    shape = _Shape(rows.shape)
    for one in {id(one): one for one in (layer, *launch.directions_of(layer))}.values():
        check_inputs(one.input_spec, shape, one.name)


@dataclass(frozen=True)
class _Shape:
    """What `check_inputs` asks of an array; dtypes are checked apart, as NumPy lacks some."""

    shape: tuple[int, ...]


def _check_device(layer: Any, number: int) -> None:
    """Raises ValueError where the layer is on one GPU and its inputs on another."""
    word = layer._device
    if ":" in word and device.number_of(word) != number:
        raise ValueError(f"device: layer {layer.name} is on {word}, but `inputs` are on cuda:{number}")


def _check_element(layer: Any, element: str) -> None:
    """Raises ValueError unless the layer takes arrays of this dtype."""
    own, precision = layer._policy.compute_dtype.name, layer._precision.name
    if precision == "int8":
        raise ValueError(
            f"device: layer {layer.name} cannot run on cuda: its precision is int8, which GPUs do not have "
            'here; set_precision("full") or "bfloat16" does'
        )
    taken = [own, precision] if precision in ("bfloat16", "float16") else [own]
    if element not in taken:
        raise ValueError(
            f"`inputs` of layer {layer.name} must be {' or '.join(taken)} on a GPU (dtype {own}, precision "
            f"{precision}), got {element}: convert them, or set the precision"
        )


def _halves(initial_state: Any, count: int) -> list[Any]:
    """The first states of each direction, None where they are not given."""
    if initial_state is None or count == 1:
        return [initial_state] * count
    states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
    if len(states) % 2:
        raise ValueError(
            "`initial_state` of Bidirectional must hold forward states and as many backward states, "
            f"got {len(states)} entries"
        )
    return [states[: len(states) // 2], states[len(states) // 2 :]]
