"""Streams: a recurrent layer that takes one timestep a call and keeps its states in between."""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.cells.built_in import BuiltInCell
from rnnpack.cells.stacked import StackedRNNCells
from rnnpack.engine import loop, nest, plan, state
from rnnpack.layers import arguments, device
from rnnpack.layers.building import build_cell
from rnnpack.layers.input_spec import check_inputs

if TYPE_CHECKING:
    from rnnpack.layers.rnn import RNN


class Stream:
    """Step-by-step calls of a recurrent layer; made by `layer.stream(batch_size)`.

    `stream(inputs)` takes one timestep `(batch, features)` of every row and returns the cell's outputs
    `(batch, units)`, the same numbers as a call on the whole sequences. States start as those of a call do
    and belong to the stream: the layer's own recorded states, other streams and calls are independent of
    them. A change of the layer's weights counts from the next step on. A stream is for one thread at a time;
    another one that comes meanwhile gets a RuntimeError.

    Args:
        layer: recurrent layer that processes time forwards; built by the first step if it is not yet.
        batch_size: number of rows, at least 1.

    Raises:
        ValueError: `batch_size` is not a positive integer, the layer goes backwards, its class computes in
            its own way, or its device is a GPU.
    """

    def __init__(self, layer: RNN, batch_size: int) -> None:
        try:
            size = operator.index(batch_size)
        except TypeError:
            size = 0
        if size < 1 or isinstance(batch_size, bool):
            raise ValueError(f"`batch_size` must be a positive integer, got {batch_size!r}")
        device.check_stream(layer)
        if layer.go_backwards:
            raise ValueError("A layer with go_backwards=True needs the end of the sequence: it cannot stream")
        if not layer._standard or not vars(layer).keys().isdisjoint({"call", "get_initial_state"}):
            raise ValueError(
                f"{type(layer).__name__} has a `call` or `get_initial_state` of its own, and a stream takes "
                "the cell's steps only: write the change into the cell, or use a layer of this package"
            )
        self.layer = layer
        self.batch_size = size
        self._native: _core.Stream | None = None
        self._cells: list[_core.PackedCell] | None = None  # of _native
        self._states: list[Any] | None = None  # where _native does not hold them
        self._lock = threading.Lock()
        if layer.built:
            self._prepare()

    def __call__(self, inputs: Any, out: NDArray[Any] | None = None) -> Any:
        """Takes one timestep.

        Args:
            inputs: array `(batch, features)` of real numbers; a nest of arrays for cells with several inputs.
            out: array `(batch, units)` of the layer's dtype with contiguous rows, for the outputs; then
                nothing is allocated. Must not share memory with the inputs.

        Returns:
            The outputs: `out`, or a new array.

        Raises:
            ValueError: inputs or `out` do not fit; the states have not changed then.
            RuntimeError: another thread is using the stream.
        """
        if self._native is not None:
            outputs = self._native(inputs, out)
            if outputs is not None:
                return outputs
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("stream: another thread is using it; streams are for one thread at a time")
        try:
            inputs = arguments.prepared(inputs, self.layer._policy.compute_dtype, True)
            self._check(inputs)
            self._prepare()
            while self._native is not None:
                outputs = self._native(np.array(inputs, order="C"), out)
                if outputs is not None:
                    return outputs
                self._prepare()  # something has changed just now
            return self._python_step(inputs, out)
        finally:
            self._lock.release()

    def reset(self, rows: Any = None) -> None:
        """Starts rows anew.

        Args:
            rows: row number, array or list of row numbers, or bools `(batch,)`; None for all.

        Raises:
            IndexError: a row that does not exist, or bools of another number; nothing has changed then.
        """
        chosen = np.arange(self.batch_size)
        if rows is not None:
            wanted = np.asarray(rows)
            if wanted.ndim > 1 or (wanted.size > 0 and wanted.dtype.kind not in "iub"):
                raise IndexError(f"`rows` must be row numbers or bools (batch,), got {rows!r}")
            chosen = chosen[wanted if wanted.size > 0 else []].reshape(-1)
        if self._native is not None:
            self._native.zero_rows(chosen.tolist())
        elif self._states is not None:
            fresh = state.fresh(self.layer.cell, self.batch_size, self.layer._policy.compute_dtype)
            # New arrays: those handed out before stay as they are.
            kept = nest.map_structure(np.array, self._states)
            for old, new in zip(nest.flatten(kept), nest.flatten(fresh), strict=True):
                old[chosen] = new[chosen]
            self._states = kept

    @property
    def states(self) -> list[Any]:
        """Copies of the states, one entry for each entry of `cell.state_size`; may be set, to restore them.

        Raises:
            ValueError: the layer is not built yet; or values being set do not fit, and nothing has changed.
        """
        self._require_built()
        if self._native is not None:
            return plan.grouped(self.layer.cell, self._native.states())
        return nest.map_structure(np.array, self._states)  # type: ignore[no-any-return]

    @states.setter
    def states(self, values: Any) -> None:
        self._require_built()
        layer = self.layer
        given = state.explicit(values, layer.cell.state_size, self.batch_size, layer._policy.compute_dtype)
        if self._native is not None:
            self._native.set_states(nest.flatten(given))
        else:
            self._states = nest.map_structure(np.array, given)

    def _require_built(self) -> None:
        if self._native is None and self._states is None:
            raise ValueError(
                "The layer is not built: take a step, or call layer.build(), before using states"
            )

    def _check(self, inputs: Any) -> None:
        """Builds the layer on its first inputs; checks them as a call would."""
        layer = self.layer
        # Built-in cells take one axis of features; others may take more.
        built_in = all(isinstance(cell, BuiltInCell) for cell in plan.members_of(layer.cell))
        for array in nest.flatten(inputs):
            fits = array.ndim == 2 if built_in else array.ndim >= 2
            if not fits or len(array) != self.batch_size:
                raise ValueError(f"`inputs` must have shape ({self.batch_size}, features), got {array.shape}")
        axis = 0 if layer.time_major else 1
        step = nest.map_structure(lambda array: np.expand_dims(array, axis), inputs)
        if not layer.built:
            build_cell(layer, nest.map_structure(lambda array: array.shape, step))
        if not layer.stateful:  # its spec holds the batch size of its own states
            check_inputs(layer.input_spec, step, layer.name)

    def _prepare(self) -> None:
        """Brings the native stream up to date with the layer, or makes either kind of states."""
        layer, dtype = self.layer, self.layer._policy.compute_dtype
        device.check_stream(layer)  # which may have changed since the stream began
        epoch = _core.epoch()
        cells = plan.native_cells(layer.cell, dtype, layer._precision)
        same = self._cells is not None and cells is not None and len(cells) == len(self._cells)
        watched = [layer.cell.cells] if type(layer.cell) is StackedRNNCells else []
        if same and all(new is old for new, old in zip(cells or (), self._cells or (), strict=True)):
            assert self._native is not None
            self._native.renew(watched, epoch)
            return
        if cells is None and self._states is not None:
            return
        before = nest.flatten(self.states) if self._native or self._states else None
        if cells is None:
            fresh = state.fresh(layer.cell, self.batch_size, dtype)
            self._states = fresh if before is None else nest.pack_sequence_as(fresh, before)
            self._native = self._cells = None
            return
        native = _core.Stream(cells, self.batch_size, watched, epoch)
        if before is not None:
            native.set_states(before)
        self._native, self._cells, self._states = native, cells, None

    def _python_step(self, inputs: Any, out: NDArray[Any] | None) -> Any:
        layer, dtype = self.layer, self.layer._policy.compute_dtype
        outputs, states = loop.run(
            loop.step_function(layer.cell, dtype, arguments.cell_keywords(layer.cell, False, None)),
            nest.map_structure(lambda array: array[:, None], inputs),
            self._states or [],
            None,
            time_major=False,
            go_backwards=False,
            return_sequences=False,
            zero_output_for_mask=False,
        )
        if out is not None:
            if not _fits(out, outputs):
                raise ValueError(
                    "`out` must be a writeable array of the outputs' shape and dtype: outputs are "
                    f"{_described(outputs)}, got {_described(out)}"
                )
            np.copyto(out, outputs)
            outputs = out
        self._states = states
        return outputs


def _fits(out: Any, outputs: Any) -> bool:
    """Whether the caller's array can hold these outputs."""
    return (
        isinstance(out, np.ndarray)
        and isinstance(outputs, np.ndarray)
        and out.shape == outputs.shape
        and out.dtype == outputs.dtype
        and bool(out.flags.writeable)
    )


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    return f"{value.dtype} of shape {value.shape}" + ("" if value.flags.writeable else ", read-only")
