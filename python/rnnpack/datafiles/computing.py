"""A model run on chunks of columns: columns in, columns out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnpack.datafiles.columns import Chunk, Column, Rows, checked_chunk, columns_of
from rnnpack.datafiles.fitting import fitted
from rnnpack.datafiles.running import runner_of


class Computation:
    """Runs a model on chunks of columns.

    Which columns go where: an only input takes the column of its name, or the only column, or all columns
    together where each holds one number a row. Several inputs take the columns of their names, or, where the
    names differ but there are as many columns as inputs, columns in their order. A row whose numbers have
    another shape but fit (24 numbers for 24 timesteps of one feature) gets the input's shape.

    Rows of different lengths get what each would get alone, see `Model.predict`. Instances can be pickled.

    Args:
        model: a model or a layer, built, not stateful, or an ONNX graph.
        batch_size: rows that run together.
        columns: names of the columns to use, for the inputs in their order; None: all.
        output_columns: names for the outputs; None: the model's own.

    Attributes:
        inputs: what the model takes.
        batch_size: rows that run together.

    Raises:
        ValueError: the model is stateful, has its rows on another axis than the first or does not know its
            inputs, or `batch_size` is not positive.
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
        self._runner = runner_of(model)
        self.batch_size = batch_size
        self.inputs = self._runner.inputs
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
        checked_chunk(chunk, columns_of(chunk))
        groups = self._groups(columns_of(chunk))
        arrays = [
            fitted(_together([chunk[name] for name in group]), group, one)
            for group, one in zip(groups, self.inputs, strict=True)
        ]
        outputs = self._runner.run(arrays, self.batch_size)
        names = self.output_columns or self._runner.output_names
        if len(names) != len(outputs):
            raise ValueError(
                f"the model has {len(outputs)} outputs, got {len(names)} names: {', '.join(names)}"
            )
        return dict(zip(names, outputs, strict=True))

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


def _together(parts: list[Rows]) -> Rows:
    """A column, or several columns of single numbers as one."""
    return (
        parts[0] if len(parts) == 1 else np.stack([part for part in parts if not isinstance(part, tuple)], 1)
    )
