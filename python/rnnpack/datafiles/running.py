"""Models of every kind behind one face: what they take and give, row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.datafiles.columns import Rows, row_count
from rnnpack.datafiles.fitting import ModelInput
from rnnpack.engine import nest
from rnnpack.layers import Layer
from rnnpack.models import Model
from rnnpack.symbolic import Input

if TYPE_CHECKING:
    from rnnpack.formats.onnx import OnnxModel


class Runner(ABC):
    """A model whose rows do not depend on each other.

    Attributes:
        inputs: what it takes.
        output_names: of what it gives.
    """

    inputs: list[ModelInput]
    output_names: list[str]

    @abstractmethod
    def once(self, arrays: list[NDArray[Any]]) -> Any:
        """One call, rows on the first axes; the outputs as the model returns them."""

    @abstractmethod
    def run(self, arrays: list[Rows], batch_size: int) -> list[Rows]:
        """The outputs for all rows.

        Args:
            arrays: the inputs, in their shapes and dtypes.
            batch_size: rows of a call.

        Raises:
            ValueError: the model cannot work on them.
        """


def runner_of(model: Any) -> Runner:
    """The face of a model, a layer, or an ONNX graph.

    Raises:
        ValueError: it does not say what it takes, or its rows depend on each other or are not on the first
            axis.
    """
    return LayersRunner(as_model(model)) if isinstance(model, Layer) else GraphRunner(model)


class LayersRunner(Runner):
    """A model of layers."""

    def __init__(self, model: Model) -> None:
        """See `runner_of`."""
        layers: list[Any] = model._flatten_layers()
        for layer in layers:
            if layer.stateful:
                raise ValueError(
                    f"Layer {layer.name} is stateful, so that rows would depend on those before: rebuild it "
                    "with stateful=False"
                )
        inputs = set(range(len(model.inputs)))
        for step in model._built_graph().steps:
            if getattr(step.layer, "time_major", False) and inputs & {ref.slot for ref in step.refs}:
                raise ValueError(
                    f"Layer {step.layer.name} has time_major=True, but the first axis is that of rows: "
                    "rebuild it with time_major=False"
                )
        self._model = model
        self.inputs = [
            ModelInput(symbol.name, symbol.dtype, tuple(symbol.shape[1:])) for symbol in model.inputs
        ]
        self.output_names = model.output_names

    def once(self, arrays: list[NDArray[Any]]) -> Any:
        """See the base class."""
        return self._model(nest.pack_sequence_as(self._model.input, arrays), training=False)

    def run(self, arrays: list[Rows], batch_size: int) -> list[Rows]:
        """See the base class."""
        inputs = nest.pack_sequence_as(self._model.input, [_as_rows(array) for array in arrays])
        results = self._model.predict(inputs, batch_size=batch_size, verbose=0)
        return [_from_rows(output) for output in _leaves(self._model.output, results)]


class GraphRunner(Runner):
    """An ONNX graph: rows are on axes with "batch" in their names, else on the first ones if that works."""

    def __init__(self, model: OnnxModel) -> None:
        """See `runner_of`."""
        named = model._row_axes(None)
        self._guessed = named is None
        axes = named or ([0] * len(model.inputs), [0] * len(model.outputs))
        self._model, (self._input_axes, self._output_axes) = model, axes
        self.inputs = []
        # Rows of a call, where the file fixes them.
        self._fixed: int | None = None
        for spec, axis in zip(model.inputs, self._input_axes, strict=True):
            if not spec.shape:
                raise ValueError(f"input {spec} of the model does not say its axes")
            sizes = [size if isinstance(size, int) else None for size in spec.shape]
            rows = sizes.pop(axis)
            self._fixed = rows if self._fixed is None else self._fixed
            self.inputs.append(ModelInput(spec.name, np.dtype(spec.dtype), tuple(sizes)))
        self.output_names = model.output_names

    def once(self, arrays: list[NDArray[Any]]) -> Any:
        """See the base class."""
        moved = [np.moveaxis(array, 0, axis) for array, axis in zip(arrays, self._input_axes, strict=True)]
        return self._model(*moved)

    def run(self, arrays: list[Rows], batch_size: int) -> list[Rows]:
        """See the base class."""
        rows, size = row_count(arrays[0]), self._fixed or batch_size
        dense = [_dense(array) for array in arrays]
        if self._guessed and rows:
            self._check_guess([array[:1] for array in dense])
        parts: list[list[NDArray[Any]]] = []
        for start in range(0, max(rows, 1), size):
            parts.append(self._together([array[start : start + size] for array in dense]))
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _check_guess(self, row: list[NDArray[Any]]) -> None:
        """Copies of a row must give copies of an output; steps of a sequence do not.

        Raises:
            ValueError: the first axis is not that of rows.
        """
        outputs = self._together([np.repeat(array, self._fixed or 2, axis=0) for array in row])
        for name, output in zip(self.output_names, outputs, strict=True):
            # Copies at different places of a matrix product may round differently.
            if not np.allclose(output, output[:1], rtol=1e-4, atol=1e-6, equal_nan=True):
                raise ValueError(
                    f"output {name!r} of the model differs among copies of one row, so the first axis is not "
                    'that of rows: name it "batch" in the model file (dynamic_axes of torch.onnx.export)'
                )

    def _together(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """One call; the outputs with rows first."""
        results = self.once(arrays)
        outputs = results if isinstance(results, list) else [results]
        return [self._rows_first(output, place, len(arrays[0])) for place, output in enumerate(outputs)]

    def _rows_first(self, output: NDArray[Any], place: int, rows: int) -> NDArray[Any]:
        axis = self._output_axes[place]
        if output.ndim <= axis or output.shape[axis] != rows:
            raise ValueError(
                f"output {self.output_names[place]!r} of the model has shape {output.shape}, expected {rows} "
                f"rows on axis {axis}"
            )
        return np.moveaxis(output, axis, 0)


def as_model(model: Layer) -> Model:
    """A model as it is; a layer as a model of this layer alone.

    Raises:
        ValueError: the layer does not say what it takes.
    """
    if isinstance(model, Model):
        return model
    specs = nest.flatten(model.input_spec)
    shape = _shape_of(specs[0]) if len(specs) == 1 else None
    if shape is None:
        raise ValueError(f"Layer {model.name} does not say the shape of its inputs")
    inputs = Input(shape, dtype=model.compute_dtype)
    return Model(inputs, model(inputs), name=model.name)


def _shape_of(spec: Any) -> tuple[int | None, ...] | None:
    """The shape of a row that an InputSpec asks for."""
    if spec is None or spec.ndim is None:
        return None
    shape = spec.shape or (None,) * spec.ndim
    return tuple(
        spec.axes.get(axis, spec.axes.get(axis - spec.ndim, size)) for axis, size in enumerate(shape)
    )[1:]


def _dense(rows: Rows) -> NDArray[Any]:
    if isinstance(rows, tuple):
        raise ValueError("an ONNX graph takes rows of one length only: pad them, or give a model of layers")
    return rows


def _as_rows(rows: Rows) -> Any:
    """An input as `Model.predict` takes it: an array, or a list of rows."""
    return np.split(rows[0], np.cumsum(rows[1])[:-1]) if isinstance(rows, tuple) else rows


def _from_rows(output: Any) -> Rows:
    """An output of `Model.predict` as a column."""
    if not isinstance(output, list):
        return np.asarray(output)
    return np.concatenate(output), np.array([len(row) for row in output], np.int64)


def _leaves(structure: Any, results: Any) -> Iterator[Any]:
    """The results in the places of the structure's leaves; lists of rows are not taken apart."""
    if not nest.is_nested(structure):
        yield results
        return
    for part, result in zip(nest.children(structure), nest.children(results), strict=True):
        yield from _leaves(part, result)
