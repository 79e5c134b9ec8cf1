"""A model that stays loaded in each worker of a Ray dataset."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import ray

import rnnpack
from rnnpack.datafiles.columns import Rows
from rnnpack.datafiles.computing import Computation
from rnnpack.datafiles.loading import loaded


class Predictor:
    """Computes batches of a Ray dataset with one model: `dataset.map_batches(Predictor, ...)`.

    Ray makes one for each actor; it loads the model once and uses as many threads as the actor has CPUs.

        dataset.map_batches(
            Predictor,
            fn_constructor_kwargs={"model": "model.safetensors", "keep": ["id"]},
            batch_format="numpy",
            concurrency=4,
            num_cpus=2,
        )

    Ray Data may hand rows on in another order: keep a column with a row's number, or ask Ray for
    `ExecutionOptions.preserve_order`.

    Args:
        model: a file that every worker can read, or a model.
        batch_size: rows computed together, at least 1.
        columns: names of the columns for the model's inputs, in their order; default as `Computation` finds
            them.
        keep: columns that are passed on beside the outputs, such as a row's number.
        precision: "full", "bfloat16" or "int8"; default what the model has.
        threads: default the CPUs that Ray has assigned to the actor, at least 1.

    Raises:
        FormatError: the file is no model.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Any,
        batch_size: int = 32,
        columns: Sequence[str] | None = None,
        keep: Iterable[str] = (),
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        """See the class."""
        if isinstance(keep, str):
            raise ValueError(f"`keep` must be a list of columns, got {keep!r}")
        rnnpack.set_num_threads(assigned_cpus() if threads is None else threads)
        if isinstance(model, (str, os.PathLike)):
            model = loaded(model)
        if precision is not None:
            model.set_precision(precision)
        self._computation = Computation(model, batch_size=batch_size, columns=columns)
        self._keep = tuple(keep)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The outputs of a batch by name, and the columns to keep.

        Args:
            batch: the model's inputs and the columns to keep, each with one entry a row. A column of rows of
                different lengths is an array of arrays, as Ray gives it.

        Raises:
            ValueError: a column is missing, has the wrong shape, or has the name of an output.
        """
        missing = [name for name in self._keep if name not in batch]
        if missing:
            raise ValueError(f"`keep` names {missing}, but the batch has {sorted(batch)}")
        inputs = {name: _rows(name, values) for name, values in batch.items() if name not in self._keep}
        outputs = self._computation.compute(inputs)
        twice = sorted(set(self._keep) & outputs.keys())
        if twice:
            raise ValueError(f"`keep` names {twice}, as the model's outputs are called: rename the columns")
        kept = {name: batch[name] for name in self._keep}
        return {**kept, **{name: _column(rows) for name, rows in outputs.items()}}


def assigned_cpus() -> int:
    """Whole CPUs that Ray has assigned to this worker, at least 1; 1 outside of Ray."""
    if not ray.is_initialized():
        return 1
    cpus: float = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    return max(1, math.floor(cpus))


def _rows(name: str, values: Any) -> Rows:
    """A column of Ray as a column of rows."""
    array = np.asarray(values)
    if array.dtype.kind != "O":
        return array
    rows = [np.asarray(row) for row in array]
    kinds = {(row.dtype.kind, row.ndim, row.shape[1:]) for row in rows}
    if len(kinds) != 1 or rows[0].ndim == 0 or rows[0].dtype.kind not in "biuf":
        raise ValueError(f"column {name!r}: rows must be arrays of numbers that differ in their lengths only")
    return np.concatenate(rows), np.array([len(row) for row in rows], np.int64)


def _column(rows: Rows) -> Any:
    """A column of rows as Ray takes it."""
    if not isinstance(rows, tuple):
        return rows
    column = np.empty(len(rows[1]), object)
    column[:] = np.split(rows[0], np.cumsum(rows[1])[:-1])
    return column
