"""A model run on chunks of columns: columns in, columns out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.datafiles.columns import Chunk, Column, Rows, checked_chunk, columns_of, concatenated
from rnnpack.datafiles.fitting import fitted, inputs_of
from rnnpack.engine import nest
from rnnpack.models import Model
from rnnpack.symbolic import Input


class Computation:
    """Runs a model on chunks of columns.

    Which columns go where: an only input takes the column of its name, or the only column, or all columns
    together where each holds one number a row. Several inputs take the columns of their names, or, where the
    names differ but there are as many columns as inputs, columns in their order. A row whose numbers have
    another shape but fit (24 numbers for 24 timesteps of one feature) gets the input's shape.

    Rows of different lengths run together with those of the same length: nothing is padded, so each row gets
    what it would get alone. Instances can be pickled, and are not changed by computing.

    Args:
        model: a model or a layer, built, not stateful.
        batch_size: rows that run together.
        columns: names of the columns to use, for the inputs in their order; None: all.
        output_columns: names for the outputs; None: the model's own.

    Attributes:
        inputs: what the model takes.
        batch_size: rows that run together.

    Raises:
        ValueError: the model is stateful or takes nested inputs, or `batch_size` is not positive.
    """

    def __init__(
        self,
        model: Any,
        batch_size: int = 32,
        columns: Sequence[str] | None = None,
        output_columns: Sequence[str] | None = None,
    ) -> None:
        """See the class."""
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be positive, got {batch_size}")
        for layer in model._flatten_layers():
            if layer.stateful:
                raise ValueError(
                    f"Layer {layer.name} is stateful, so that rows would depend on those before: rebuild it "
                    "with stateful=False"
                )
            if layer is model and getattr(layer, "time_major", False):
                raise ValueError(
                    f"Layer {layer.name} has time_major=True: its first axis is not that of rows"
                )
        self.model = model
        self.batch_size = batch_size
        self.inputs = inputs_of(model)
        self.columns = None if columns is None else list(columns)
        self.output_columns = None if output_columns is None else list(output_columns)
        for names in (self.columns, self.output_columns):
            if names is not None and (not names or len(set(names)) != len(names)):
                raise ValueError(f"expected different names of columns, got {names}")

    def used(self, columns: Sequence[Column]) -> list[str]:
        """Names of those of a file's columns that `compute` needs.

        Raises:
            ValueError: they do not fit the model's inputs.
        """
        names = [column.name for column in columns]
        if self.columns is not None:
            missing = [name for name in self.columns if name not in names]
            if missing:
                raise ValueError(f"there is no column {missing[0]!r}: the data have {', '.join(names)}")
            names = self.columns
        by_name = {column.name: column for column in columns}
        return [name for group in self._groups([by_name[name] for name in names]) for name in group]

    def compute(self, columns: Chunk) -> Chunk:
        """The model's outputs for a chunk.

        Args:
            columns: at least the columns that `used` names.

        Returns:
            A column for each output, with the same rows.

        Raises:
            ValueError: the columns do not fit the model.
        """
        used = self.used(columns_of(columns))
        chunk = {name: columns[name] for name in used}
        rows = checked_chunk(chunk, columns_of(chunk))
        groups = self._groups(columns_of(chunk))
        arrays = [
            fitted(_together([chunk[name] for name in group]), group, one)
            for group, one in zip(groups, self.inputs, strict=True)
        ]
        if any(isinstance(array, tuple) for array in arrays):
            return self._compute_ragged(arrays, rows)
        batches = [
            self._outputs(
                [array[at : at + self.batch_size] for array in arrays if not isinstance(array, tuple)]
            )
            for at in range(0, max(rows, 1), self.batch_size)
        ]
        return concatenated(batches)

    def _groups(self, columns: list[Column]) -> list[list[str]]:
        """For each input, the names of the columns it is made of."""
        names = [column.name for column in columns]
        wanted = [one.name for one in self.inputs]
        if self.columns is None and set(wanted) <= set(names):
            return [[name] for name in wanted]
        if len(names) == len(wanted):
            return [[name] for name in names]
        if len(wanted) == 1 and all(column.shape == () and not column.ragged for column in columns):
            return [names]
        raise ValueError(
            f"the columns {', '.join(map(str, columns))} do not fit the model's inputs "
            f"{', '.join(map(str, self.inputs))}: name the columns to use"
        )

    def _outputs(self, arrays: list[NDArray[Any]]) -> Chunk:
        """One batch through the model."""
        inputs = arrays[0]
        if isinstance(self.model, Model):
            inputs = nest.pack_sequence_as(self.model.input, arrays)
        results = self.model(inputs, training=False)
        flat = [np.asarray(result) for result in nest.flatten(results)]
        names = self.output_columns or output_names(self.model, len(flat))
        if len(names) != len(flat):
            raise ValueError(f"the model has {len(flat)} outputs, got {len(names)} names: {', '.join(names)}")
        rows = len(arrays[0])
        for name, array in zip(names, flat, strict=True):
            if array.ndim == 0 or len(array) != rows:
                raise ValueError(f"output {name!r} has shape {array.shape}, expected {rows} rows")
        return dict(zip(names, flat, strict=True))

    def _compute_ragged(self, arrays: list[Rows], rows: int) -> Chunk:
        """Rows of the same lengths run together, and come back to their places."""
        lengths = np.array([array[1] for array in arrays if isinstance(array, tuple)]).reshape(-1, rows)
        if lengths.size and lengths.min() == 0:
            raise ValueError(
                f"row {int(np.argmax((lengths == 0).any(axis=0)))} of the chunk has no timesteps"
            )
        order = np.lexsort(lengths)
        batches = list(_batches(order, lengths, self.batch_size))
        outputs = [self._outputs([_picked(array, batch) for array in arrays]) for batch in batches]
        place = np.empty(rows, np.int64)
        place[order] = np.arange(rows)
        sequences = self._sequence_outputs(arrays)
        return {
            name: _placed([one[name] for one in outputs], place, sequence)
            for (name, sequence) in zip(outputs[0], sequences, strict=True)
        }

    def _sequence_outputs(self, arrays: list[Rows]) -> list[bool]:
        """For each output, whether it has as many timesteps as a row has."""
        symbols = self.model.outputs if isinstance(self.model, Model) else self._traced(arrays)
        return [len(symbol.shape) > 1 and symbol.shape[1] is None for symbol in symbols]

    def _traced(self, arrays: list[Rows]) -> list[Any]:
        """Symbolic outputs of a layer."""
        first = next(array[0] for array in arrays if isinstance(array, tuple))
        return nest.flatten(self.model(Input((None, *first.shape[1:]))))


def output_names(model: Any, count: int) -> list[str]:
    """Names for a model's outputs: its own, or "output" and "output_0", "output_1", ..."""
    if isinstance(model, Model):
        return model.output_names
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _together(parts: list[Rows]) -> Rows:
    """A column, or several columns of single numbers as one."""
    return (
        parts[0] if len(parts) == 1 else np.stack([part for part in parts if not isinstance(part, tuple)], 1)
    )


def _batches(order: NDArray[Any], lengths: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """Rows in this order, cut where lengths change and into batches."""
    sorted_lengths = lengths[:, order]
    changes = np.flatnonzero((sorted_lengths[:, 1:] != sorted_lengths[:, :-1]).any(axis=0)) + 1
    for group in np.split(order, changes):
        for at in range(0, len(group), size):
            yield group[at : at + size]


def _picked(rows: Rows, picked: NDArray[Any]) -> NDArray[Any]:
    """Some rows, which have one length."""
    if not isinstance(rows, tuple):
        return rows.take(picked, 0)
    values, lengths = rows
    ends = np.cumsum(lengths)
    steps: NDArray[np.int64] = (ends - lengths)[picked, None] + np.arange(
        lengths[picked[0]] if len(picked) else 0
    )
    return values.take(steps, 0)


def _placed(parts: list[Rows], place: NDArray[Any], sequence: bool) -> Rows:
    """The batches' rows in the order of the chunk; sequences as rows of different lengths."""
    arrays = [part for part in parts if not isinstance(part, tuple)]
    if not sequence:
        return np.concatenate(arrays).take(place, 0)
    lengths = np.concatenate([np.full(len(array), array.shape[1]) for array in arrays])
    values = np.concatenate([array.reshape(-1, *array.shape[2:]) for array in arrays])
    begins = np.cumsum(lengths) - lengths
    lengths, begins = lengths[place], begins[place]
    steps = np.repeat(begins - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(values))
    return values.take(steps, 0), lengths
