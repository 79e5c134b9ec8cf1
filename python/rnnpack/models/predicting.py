"""Running a model on many rows, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.engine import nest
from rnnpack.layers import context, masked
from rnnpack.layers.building import all_or_nothing
from rnnpack.layers.recorded import states_kept_on_error
from rnnpack.models import conforming, padding
from rnnpack.models.graph import Graph
from rnnpack.models.model import Model
from rnnpack.models.padding import Plan, Track
from rnnpack.models.rows import Rows, assigned, checked_count, shape_for
from rnnpack.models.sequential import Sequential
from rnnpack.progress import progress

# Runs the rows of these numbers: flat outputs, each an array of the rows or a list with one array a row.
_Run = Callable[[NDArray[np.intp]], list[Any]]
# As many rows at a time are searched for padding.
_SEARCHED = 1024


def predict(model: Any, x: Any, batch_size: int | None, verbose: Any) -> Any:
    """What `Model.predict` does; arguments as there."""
    size = 32 if batch_size is None else batch_size
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f'`verbose` must be "auto", 0, 1 or 2, got {verbose!r}')
    shape = None
    if isinstance(model, Sequential) and (model._graph is None or model._inferred):
        shape = shape_for(x)
        shape = None if model._unfamiliar(shape) is None else shape
    with nullcontext() if shape is None else all_or_nothing(model):
        if shape is not None:
            model._make_familiar(shape)
        layers: list[Any] = model._flatten_layers()
        stateful = any(layer.stateful for layer in layers)
        graph: Graph = model._built_graph()
        leaves = assigned(x, graph.inputs)
        count = checked_count(leaves, size)
        if stateful and count > size and count % size:
            raise ValueError(f"A stateful model needs full batches: {count} rows, batch_size={size}")
        ragged = any(isinstance(leaf, Rows) for leaf in leaves)
        batches, run = (_by_rows if ragged else _by_arrays)(model, graph, leaves, size, stateful)
        shown = bool(verbose) and (verbose != "auto" or len(batches) > 1)
        parts: list[list[Any]] = []
        with states_kept_on_error(layers), progress(count, "predict", "rows", shown) as line:
            for batch in batches:
                parts.append(run(batch))
                line.advance(len(batch))
    return _in_order(graph, batches, parts, count, ragged)


def _in_order(
    graph: Graph, batches: list[NDArray[np.intp]], parts: list[list[Any]], count: int, ragged: bool
) -> Any:
    """The outputs of all batches in the caller's order of rows."""
    results: list[Any] = []
    for place, symbol in enumerate(nest.flatten(graph.outputs)):
        pieces = [part[place] for part in parts]
        if ragged and None in symbol.shape[1:]:
            rows: list[Any] = [None] * count
            for batch, piece in zip(batches, pieces, strict=True):
                for number, row in zip(batch, piece, strict=True):
                    rows[number] = np.array(row)  # a copy: the padded batch is let go
            results.append(rows)
            continue
        arrays = [np.stack(piece) if isinstance(piece, list) else np.asarray(piece) for piece in pieces]
        whole = np.empty((count, *arrays[0].shape[1:]), arrays[0].dtype)
        for batch, array in zip(batches, arrays, strict=True):
            whole[batch] = array
        results.append(whole)
    return nest.pack_sequence_as(graph.outputs, results)


def _chunks(order: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    return [order[start : start + size] for start in range(0, max(len(order), 1), size)]


def _is_followed(model: Any) -> bool:
    """Whether the model computes what its graph says and nothing else."""
    return type(model).call is Model.call and type(model).__call__ in (Model.__call__, Sequential.__call__)


def _flat_call(model: Any, graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    return nest.flatten(model(nest.pack_sequence_as(graph.inputs, arrays), training=False))


def _planned(graph: Graph, plan: Plan, arrays: list[Any], masks: dict[int, NDArray[np.bool_]]) -> list[Any]:
    packed = nest.pack_sequence_as(graph.inputs, arrays)
    with context.call_scope(False):
        return nest.flatten(plan.run(packed, masks))


# Rows of different lengths.


def _by_rows(
    model: Any, graph: Graph, leaves: list[Any], size: int, stateful: bool
) -> tuple[list[NDArray[np.intp]], _Run]:
    """Batches of rows of about the same length where padding cannot show, else of the same length."""
    lengths = [leaf.lengths for leaf in leaves if isinstance(leaf, Rows)]
    groups: dict[bytes, int] = {}
    tracks: list[Track | None] = [
        Track(groups.setdefault(leaf.lengths.tobytes(), len(groups)), leaf.rank, True, True, True)
        if isinstance(leaf, Rows)
        else None
        for leaf in leaves
    ]
    even = all(leaf.even for leaf in leaves if isinstance(leaf, Rows))
    plan = padding.plan_for(graph, tracks, injected=True) if even and _is_followed(model) else None
    count = len(lengths[0])

    def run(batch: NDArray[np.intp]) -> list[Any]:
        alike = all(leaf.alike(batch) for leaf in leaves if isinstance(leaf, Rows))
        arrays = [leaf.padded(batch) if isinstance(leaf, Rows) else leaf[batch] for leaf in leaves]
        if alike or plan is None:
            return _flat_call(model, graph, arrays)
        masks = {
            track.group: np.arange(leaf.lengths[batch].max()) < leaf.lengths[batch, None]
            for leaf, track in zip(leaves, tracks, strict=True)
            if track
        }
        expected = nest.flatten(graph.inputs)
        arrays = [conforming.cast(array, symbol) for array, symbol in zip(arrays, expected, strict=True)]
        for place, track in enumerate(tracks):
            if track:
                arrays[place] = masked.carrying(arrays[place], masks[track.group])
        outputs = _planned(graph, plan, arrays, masks)
        ends = {track.group: leaf.lengths[batch] for leaf, track in zip(leaves, tracks, strict=True) if track}
        return [
            [row[:end] for row, end in zip(np.asarray(output), ends[track.group], strict=True)]
            if track
            else output
            for output, track in zip(outputs, plan.outputs, strict=True)
        ]

    if stateful:
        batches = _chunks(np.arange(count), size)
        if plan is None and not all(
            leaf.alike(b) for b in batches for leaf in leaves if isinstance(leaf, Rows)
        ):
            raise ValueError(
                "`x` holds rows of different lengths in one batch of a stateful model whose layers cannot "
                "tell padding apart: give rows of one length"
            )
    elif plan is not None:
        for leaf in leaves:
            if isinstance(leaf, Rows):
                leaf.refuse_empty()
        batches = _chunks(np.lexsort(lengths[::-1]), size)
    else:
        batches = [part for same in _same_shapes(leaves, count) for part in _chunks(same, size)]
    return batches, run


def _same_shapes(leaves: list[Any], count: int) -> Iterator[NDArray[np.intp]]:
    """The numbers of the rows that have the same shapes, group by group."""
    found: dict[Any, list[int]] = {}
    for number in range(count):
        key = tuple(leaf.rows[number].shape for leaf in leaves if isinstance(leaf, Rows))
        found.setdefault(key, []).append(number)
    return (np.array(numbers) for numbers in found.values())


# Arrays.


def _by_arrays(
    model: Any, graph: Graph, leaves: list[Any], size: int, stateful: bool
) -> tuple[list[NDArray[np.intp]], _Run]:
    """Batches in order; where cutting trailing padding cannot show, by length and without most of it."""
    cut = None if stateful or not _is_followed(model) else _cut(graph, leaves)
    if cut is None:
        return _chunks(np.arange(len(leaves[0])), size), lambda batch: _flat_call(
            model, graph, [leaf[batch[0] : batch[-1] + 1] if len(batch) else leaf[:0] for leaf in leaves]
        )
    plan, tracks, ends = cut
    expected = nest.flatten(graph.inputs)

    def run(batch: NDArray[np.intp]) -> list[Any]:
        # One step of padding is kept: all that follow it look the same.
        kept = {group: min(int(end[batch].max()) + 1, group) for group, end in ends.items()}
        arrays = [
            conforming.cast(leaf[batch, : kept[track.group]] if track else leaf[batch], symbol)
            for leaf, track, symbol in zip(leaves, tracks, expected, strict=True)
        ]
        return [
            _lengthened(np.asarray(output), track.group) if track else output
            for output, track in zip(_planned(graph, plan, arrays, {}), plan.outputs, strict=True)
        ]

    return _chunks(np.lexsort([ends[group] for group in sorted(ends, reverse=True)]), size), run


def _lengthened(array: NDArray[Any], length: int) -> NDArray[Any]:
    """The array with its last timestep repeated."""
    missing = length - array.shape[1]
    return np.concatenate([array, np.repeat(array[:, -1:], missing, axis=1)], axis=1) if missing else array


def _cut(graph: Graph, leaves: list[Any]) -> Any:
    """What cutting padding needs; None if it cannot be done, or would save nothing.

    Returns:
        The plan, the inputs' tracks, whose groups are the lengths of time axes, and by group the rows' ends.
    """
    ends: dict[int, NDArray[np.intp]] = {}
    makers: list[bool] = []
    for slot, (leaf, symbol) in enumerate(zip(leaves, nest.flatten(graph.inputs), strict=True)):
        found = padding.mask_makers(graph, slot) if leaf.ndim >= 2 and all(leaf.shape[:2]) else []
        makers.append(bool(found))
        if found:
            last = _ends(leaf, symbol, found)
            length = leaf.shape[1]
            ends[length] = np.maximum(last, ends[length]) if length in ends else last
    if not any((end + 1 < length).any() for length, end in ends.items()):
        return None
    for with_others in (True, False):
        tracks = [
            Track(leaf.shape[1], symbol.ndim, False, makes, makes)
            if makes or (with_others and leaf.ndim >= 3 and leaf.shape[1] in ends)
            else None
            for leaf, symbol, makes in zip(leaves, nest.flatten(graph.inputs), makers, strict=True)
        ]
        plan = padding.plan_for(graph, tracks, injected=False)
        if plan is not None and all(track is None or track.constant for track in plan.outputs):
            return plan, tracks, ends
    return None


def _ends(leaf: NDArray[Any], symbol: Any, makers: list[Any]) -> NDArray[np.intp]:
    """For each row how many timesteps there are up to the last that some layer does not mask."""
    parts = []
    for start in range(0, len(leaf), _SEARCHED):
        rows = conforming.cast(leaf[start : start + _SEARCHED], symbol)
        kept = np.logical_or.reduce([maker.compute_mask(rows) for maker in makers])
        last = kept.shape[1] - np.argmax(kept[:, ::-1], axis=1)
        parts.append(np.where(kept.any(axis=1), last, 0))
    return np.concatenate(parts)
