"""One call on the GPU: its arrays, the kernels, and what becomes of outputs and states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.cuda import memory
from rnnpack.cuda.arrays import Library, View, library_of, to_numpy, view_of
from rnnpack.engine import masking, nest, plan, state
from rnnpack.layers import device, native_pair


@dataclass(frozen=True)
class Rows:
    """The inputs of a call.

    Attributes:
        view: the array.
        shape: of the inputs, padded to the longest row where they are ragged.
        batch: number of rows.
        timesteps: of the longest row.
        strides: of time, batch and features.
        row_splits: int64 `(batch + 1,)`, the bounds of ragged rows; or None.
    """

    view: View
    shape: tuple[int, ...]
    batch: int
    timesteps: int
    strides: tuple[int, int, int]
    row_splits: NDArray[np.int64] | None


@dataclass(frozen=True)
class Place:
    """Where a call makes its arrays: with which library, on which GPU and stream, in which dtype.

    `others` are the streams that other arrays of the call belong to.
    """

    library: Library
    device: int
    stream: int
    element: str
    others: set[int] = field(default_factory=set)

    def empty(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        """A new array without values."""
        return self.library.empty(shape, dtype or self.element, self.device, self.stream)

    def uploaded(self, values: NDArray[Any], dtype: str | None = None) -> Any:
        """A new array with values from the host; waits until they are there."""
        made = self.empty(values.shape, dtype)
        memory.upload(self.device, self.library.address(made), values, dtype or self.element, self.stream)
        return made

    def addresses(self, arrays: list[Any] | None) -> list[int] | None:
        """Those of all arrays."""
        return None if arrays is None else [view_of(one, "states").address for one in arrays]

    def takes(self, array: Any, view: View) -> bool:
        """Whether the kernels can read the array as it is; they will, after what writes its values."""
        if library_of(array) is not self.library or view.device != self.device:
            return False
        if view.stream is not None and view.stream != self.stream:
            _core.cuda_order(self.device, view.stream, self.stream)
            self.others.add(view.stream)
        return True

    def done(self) -> None:
        """Lets the other streams write or release their arrays only after what was put on the call's."""
        for stream in self.others:
            _core.cuda_order(self.device, self.stream, stream)


def directions_of(layer: Any) -> Sequence[Any]:
    """The recurrent layers that a call runs: both of a Bidirectional, or the layer itself."""
    return getattr(layer, "_directions", None) or (layer,)


def run(layer: Any, library: Library, rows: Rows, first: list[Any], mask: Any, like: Any) -> list[Any]:
    """Runs a built layer.

    Args:
        layer: recurrent layer or Bidirectional, which adds nothing to what its cells compute.
        library: of the inputs.
        rows: the inputs, which fit the layer.
        first: first states of each direction, as the caller gave them, or None.
        mask: as the caller gave it.
        like: an array of the caller's.

    Returns:
        A list of one or two outputs; with `return_state` all final states after it.

    Raises:
        ValueError: mask or states do not fit.
        RuntimeError, MemoryError: the GPU failed, or has not enough memory.
    """
    ways = directions_of(layer)
    cells = [device.cuda_cells(one, rows.view.device) for one in ways]
    _check_features(rows, cells)
    place = Place(library, rows.view.device, library.stream(rows.view), rows.view.element)
    keep = _mask(place, rows, mask, ways[0].time_major)
    initial = [
        _first_states(place, one, given, _state_shapes(stack, rows.batch))
        for one, given, stack in zip(ways, first, cells, strict=True)
    ]
    wanted = layer.return_state or any(one.stateful for one in ways)
    finals = [
        [place.empty(shape) for shape in _state_shapes(stack, rows.batch)] if wanted else None
        for stack in cells
    ]
    outputs = _Outputs(place, rows, layer, [stack[-1].output_size for stack in cells])
    if rows.batch > 0:
        directions = [
            (
                cells[index],
                (rows.view.address, *rows.strides),
                place.addresses(initial[index]),
                place.addresses(finals[index]),
                outputs.targets[index],
                bool(one.go_backwards),
                index == 1,
            )
            for index, one in enumerate(ways)
        ]
        try:
            _launch(place, rows, keep, ways[0], directions)
        finally:
            place.done()
    outputs.merge()
    results = [library.returned(one, like) for one in outputs.arrays]
    states = _recorded(place, ways, finals, bool(layer.return_state), like)
    return [*results, *states]


def _launch(place: Place, rows: Rows, keep: _Mask | None, flags: Any, directions: list[Any]) -> None:
    """Puts the kernels on the stream."""
    splits = None if rows.row_splits is None else place.uploaded(rows.row_splits, "int64")
    one = _core.CudaCall(
        batch=rows.batch,
        timesteps=rows.timesteps,
        element=place.element,
        row_splits=0 if splits is None else place.library.address(splits),
        mask=None if keep is None else keep.layout,
        return_sequences=bool(flags.return_sequences),
        zero_output_for_mask=bool(flags.zero_output_for_mask and flags.return_sequences),
        directions=directions,
    )
    # Both go back to the library when this returns, which hands them out again in the order of the stream.
    workspace = place.empty((max(one.workspace_bytes, 1),), "uint8")
    one.run(place.library.address(workspace), place.stream)


def _check_features(rows: Rows, cells: list[list[_core.CudaCell]]) -> None:
    """Raises ValueError where a spec that was changed let inputs through which the cells cannot read."""
    for stack in cells:
        if stack[0].input_size != rows.shape[2]:
            raise ValueError(
                f"`inputs` must have {stack[0].input_size} features, got shape {rows.view.shape}"
            )


class _Outputs:
    """The outputs of one or two directions.

    Attributes:
        arrays: one, or one for each direction.
        targets: for each direction the address, time stride and batch stride of what it writes.
    """

    def __init__(self, place: Place, rows: Rows, layer: Any, widths: list[int]) -> None:
        self._place = place
        self._mode = layer.merge_mode if len(widths) == 2 else None
        if self._mode in native_pair.BY_ELEMENT and widths[0] != widths[1]:
            raise ValueError(
                f"merge_mode={self._mode!r} needs equal outputs of both directions, got {widths} features"
            )
        flags = directions_of(layer)[0]
        joined = self._mode == "concat"
        layouts = [_output_layout(rows, flags, width) for width in ([sum(widths)] if joined else widths)]
        self.arrays = [place.empty(shape) for shape, _ in layouts]
        self._count = math.prod(layouts[0][0])
        starts = [place.library.address(array) for array in self.arrays]
        if joined:  # side by side in every row
            starts.append(starts[0] + widths[0] * memory.ITEM_SIZES[place.element])
            layouts *= 2
        self.targets = [(start, *strides) for start, (_, strides) in zip(starts, layouts, strict=True)]

    def merge(self) -> None:
        """Puts what follows the kernels on the stream."""
        if self._mode not in native_pair.BY_ELEMENT:
            return
        place, (first, second) = self._place, (target[0] for target in self.targets)
        if self._count:
            _core.cuda_merge(
                place.device, self._mode, place.element, self._count, first, second, first, place.stream
            )
        del self.arrays[1]


def _output_layout(rows: Rows, flags: Any, width: int) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Shape of outputs with so many features, and their strides of time and batch."""
    if not flags.return_sequences:
        return (rows.batch, width), (0, width)
    if rows.row_splits is not None:
        return (len(rows.view), width), (width, 0)
    first, second = rows.shape[:2]
    strides = (second * width, width) if flags.time_major else (width, second * width)
    return (first, second, width), strides


@dataclass(frozen=True)
class _Mask:
    """Bools on the GPU: the array that holds them, and their address and strides of time and batch."""

    array: Any
    layout: tuple[int, int, int]


def _mask(place: Place, rows: Rows, mask: Any, time_major: bool) -> _Mask | None:
    """The mask that counts, on the GPU.

    Raises:
        ValueError: another shape or dtype, or on a GPU and not like the inputs.
    """
    leaf = masking.first_mask(mask)
    if leaf is None:
        return None
    if not device.lives_on_gpu(leaf):
        bits = masking.as_mask(leaf, rows.shape[0], rows.shape[1], time_major)
        assert bits is not None
        leaf = place.uploaded(bits, "bool")
    view = view_of(leaf, "mask")
    if view.element != "bool":
        raise ValueError(f"`mask` on a GPU must hold bools, got {view.element}: pass mask != 0")
    shape = view.shape[:2] if view.shape[2:] == (1,) else view.shape
    if shape != rows.shape[:2]:
        layout = "(time, batch)" if time_major else "(batch, time)"
        raise ValueError(f"`mask` must have shape {layout} = {rows.shape[:2]}, got {view.shape}")
    if not place.takes(leaf, view):
        raise ValueError(_other_place("mask", view, place))
    first, second = view.strides[:2]
    return _Mask((leaf, view), (view.address, first, second) if time_major else (view.address, second, first))


def _state_shapes(cells: list[_core.CudaCell], batch: int) -> list[tuple[int, int]]:
    """Shapes of the flat states of a stack: h, and c where there is one, of each cell."""
    shapes = []
    for one in cells:
        shapes += [(batch, one.output_size), (batch, one.units)][: one.state_count]
    return shapes


def _first_states(place: Place, layer: Any, given: Any, shapes: list[tuple[int, int]]) -> list[Any] | None:
    """The states a direction starts from, flat and on the GPU; None for zeros.

    Raises:
        ValueError: they do not fit.
    """
    states = None if given is None else _explicit(place, layer, given, shapes)
    recorded = layer._states if layer.stateful else None
    # Given states count only while all recorded ones are zero; who gives some waits for the answer.
    if recorded is not None and (states is None or not state.all_zero(device.on_host(recorded))):
        state.check(recorded, layer.cell.state_size, shapes[0][0])
        states = nest.flatten(recorded)
        if not any(map(device.lives_on_gpu, states)) and state.all_zero(states):
            return None
        states = [_brought(place, one) for one in states]
    if states is not None and [tuple(one.shape) for one in states] != shapes:
        raise ValueError(f"states must have the shapes {shapes}, got {[tuple(one.shape) for one in states]}")
    return states


def _explicit(place: Place, layer: Any, given: Any, shapes: list[tuple[int, int]]) -> list[Any]:
    """States that the caller gives: arrays on the GPU as they are, those of NumPy uploaded."""
    entries = state.as_list(given)
    for leaf in nest.flatten(entries):
        if not (device.lives_on_gpu(leaf) or hasattr(leaf, "__array__")):
            raise ValueError(f"`initial_state` must hold arrays, got a {type(leaf).__name__}: pass arrays")
    state.check(entries, layer.cell.state_size, shapes[0][0])
    states = []
    for leaf in nest.flatten(entries):
        if not device.lives_on_gpu(leaf):
            states.append(_brought(place, state.cast(leaf, layer._policy.compute_dtype, "`initial_state`")))
            continue
        view = view_of(leaf, "initial_state")
        if not place.takes(leaf, view):
            raise ValueError(_other_place("initial_state", view, place))
        if view.element != place.element or not view.is_contiguous:
            raise ValueError(
                f"`initial_state` on a GPU must be contiguous and of the inputs' dtype {place.element}, got "
                f"{view.element} of shape {view.shape} with strides {view.strides}"
            )
        states.append(leaf)
    return states


def _brought(place: Place, array: Any) -> Any:
    """A recorded state, or one of NumPy, as an array that the kernels can read as it is."""
    if device.lives_on_gpu(array):
        view = view_of(array, "states")
        if view.element == place.element and view.is_contiguous and place.takes(array, view):
            return array
        array = to_numpy(array)
    return place.uploaded(array)


def _other_place(name: str, view: View, place: Place) -> str:
    return (
        f"`{name}` must be an array of the same library and on the same GPU as the inputs, which are on "
        f"cuda:{place.device}, or a NumPy array; got one on cuda:{view.device}"
    )


def _recorded(
    place: Place, layers: Sequence[Any], finals: list[list[Any] | None], returned: bool, like: Any
) -> list[Any]:
    """Records the final states of stateful layers; returns what the caller may have of them."""
    results: list[Any] = []
    records = []
    for layer, final in zip(layers, finals, strict=True):
        states = plan.grouped(layer.cell, final or [])
        if layer.stateful:
            records.append((layer, states))
        if returned:
            mine = nest.map_structure(place.library.copy, states) if layer.stateful else states
            results += nest.map_structure(lambda one: place.library.returned(one, like), mine)
    for layer, states in records:  # last, as nothing fails any more
        layer._states = states
    return results
