"""An ONNX graph that can be called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.engine.precision import NAMES
from rnnpack.explain import Explanation
from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import compiler, tensors
from rnnpack.formats.onnx.messages import GraphProto, ModelProto, ValueInfoProto
from rnnpack.progress import progress

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph.

    Attributes:
        name: as in the file.
        shape: a number, a name or None (anything) for each axis; None where the rank is not known either.
        dtype: NumPy's; None for an output whose type the file does not say.
    """

    name: str
    shape: tuple[int | str | None, ...] | None
    dtype: Any

    def __str__(self) -> str:
        """`name float32 (batch, 10, 8)`."""
        sizes = "?" if self.shape is None else ", ".join("?" if s is None else str(s) for s in self.shape)
        return f"{self.name} {self.dtype or '?'} ({sizes})"


class OnnxModel:
    """The computation of an ONNX file, without ONNX.

    Called with arrays it returns arrays, in inference mode: `model(x)`, `model(x, lengths)` in the order of
    `inputs`, or `model({"x": x, "lengths": lengths})`. Calls may come from any number of threads; models can
    be copied and pickled.

    Attributes:
        inputs: a `TensorSpec` for each input, without those that the file has a value for.
        outputs: a `TensorSpec` for each output.
        name: of the graph.
        opset: version of the standard operators.

    Args:
        model: as read by `wire.decode`.

    Raises:
        FormatError: the graph has something that is not supported, which is named.
    """

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        if graph is None:
            raise FormatError("ONNX: the file has no graph")
        self.opset = _opset(model)
        self._graph: GraphProto = graph
        self._load()

    def _load(self) -> None:
        graph = self._graph
        self.name = graph.name or "onnx"
        self.precision = "full"
        self._program = compiler.compiled(graph, self.opset)
        infos = {info.name: info for info in graph.input}
        self.inputs = tuple(_spec(infos[name], True) for name in self._program.inputs)
        self.outputs = tuple(_spec(info, False) for info in graph.output)
        if not self.outputs:
            raise FormatError("ONNX: the graph has no outputs")

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in order."""
        return [spec.name for spec in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        return [spec.name for spec in self.outputs]

    # Calling.

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Runs the graph.

        Args:
            *inputs: an array for each input in the order of `inputs`, or one dict (or list) of them.
            **named: inputs by name instead.

        Returns:
            The output, a new array; a list of them where there are several.

        Raises:
            ValueError: inputs are missing, unknown, or of a shape or dtype that does not fit; or a node
                cannot work on what it gets. The input or node is named.
        """
        with np.errstate(all="ignore"):
            results = self._program.run(self._feeds(inputs, named))
        outputs = _owned(results)
        return outputs[0] if len(outputs) == 1 else outputs

    def _feeds(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> list[Array]:
        """An array for each input, checked, read-only."""
        if len(inputs) == 1 and isinstance(inputs[0], (Mapping, list, tuple)) and not named:
            inputs, named = (
                ((), dict(inputs[0])) if isinstance(inputs[0], Mapping) else (tuple(inputs[0]), {})
            )
        specs = self.inputs
        if named:
            rest = specs[len(inputs) :]
            missing = [spec.name for spec in rest if spec.name not in named]
            unknown = sorted(set(named) - {spec.name for spec in rest})
            if missing or unknown:
                raise ValueError(f"inputs {self.input_names}: missing {missing}, unknown {unknown}")
            inputs = (*inputs, *(named[spec.name] for spec in rest))
        if len(inputs) != len(specs):
            raise ValueError(f"expected {len(specs)} inputs {self.input_names}, got {len(inputs)}")
        return [_fed(spec, value) for spec, value in zip(specs, inputs, strict=True)]

    def predict(
        self, x: Any, batch_size: int | None = 32, verbose: Any = "auto", batch_axis: int | None = None
    ) -> Any:
        """Runs the graph on many rows, `batch_size` at a time.

        Which axis counts rows, a file says by its axes' names only: the one with "batch" in its name, in all
        inputs and outputs. Without such names everything runs in one call, unless `batch_axis` is given.

        Args:
            x: as for a call: an array, or a list or dict of them.
            batch_size: rows in a batch; None means 32.
            verbose: 1 for a progress line if stderr is a terminal, 0 for none; "auto" is 1 if there are
                several batches.
            batch_axis: the axis of rows of all inputs and outputs.

        Raises:
            ValueError: as for a call; or the inputs' numbers of rows differ.
        """
        size = 32 if batch_size is None else batch_size
        feeds, axes = self._feeds((x,), {}), self._row_axes(batch_axis)
        if axes is None or not feeds:
            return self(*feeds)
        rows = {array.shape[axis] for array, axis in zip(feeds, axes[0], strict=True)}
        if len(rows) != 1 or size < 1:
            raise ValueError(
                "`x` must have one number of rows and `batch_size` be positive, "
                f"got {sorted(rows)} and {size}"
            )
        count, parts = rows.pop(), []
        shown = bool(verbose) and (verbose != "auto" or count > size)
        with progress(count, "predict", "rows", shown) as line:
            for start in range(0, max(count, 1), size):
                piece = slice(start, start + size)
                cut = [a[(slice(None),) * axis + (piece,)] for a, axis in zip(feeds, axes[0], strict=True)]
                part = self(*cut)
                parts.append(part if isinstance(part, list) else [part])
                line.advance(min(size, count - start))
        joined = [np.concatenate(p, axis) for p, axis in zip(zip(*parts, strict=True), axes[1], strict=True)]
        return joined[0] if len(joined) == 1 else joined

    def _row_axes(self, batch_axis: int | None) -> tuple[list[int], list[int]] | None:
        """The axis of rows in each input and output; None where the file does not say."""
        if batch_axis is not None:
            for spec in (*self.inputs, *self.outputs):
                if spec.shape is not None and not 0 <= batch_axis < len(spec.shape):
                    raise ValueError(f"`batch_axis` must be an axis of all, got {batch_axis} for {spec}")
            return [batch_axis] * len(self.inputs), [batch_axis] * len(self.outputs)
        found = []
        for spec in (*self.inputs, *self.outputs):
            named = [
                at for at, s in enumerate(spec.shape or ()) if isinstance(s, str) and "batch" in s.lower()
            ]
            if len(named) != 1:
                return None
            found.append(named[0])
        return found[: len(self.inputs)], found[len(self.inputs) :]

    # What is inside.

    def count_params(self) -> int:
        """How many numbers the constants of the file are."""
        return self._program.parameters

    def explain(self) -> dict[str, Explanation]:
        """How each recurrent node computes, by its name: natively, or in Python and why."""
        return {name: node.explain() for name, node in self._program.recurrent.items()}

    def set_precision(self, precision: str) -> None:
        """Sets what the weights of all recurrent nodes are rounded to, as `set_precision` of a layer does.

        Args:
            precision: "full", "bfloat16" or "int8".

        Raises:
            ValueError: an unknown name, no recurrent node, or one that does not run natively in float32.
                Nothing has changed then.
        """
        if precision not in NAMES:
            raise ValueError(f"`precision` must be one of {NAMES}, got {precision!r}")
        nodes = list(self._program.recurrent.values())
        if not nodes:
            raise ValueError("There is no recurrent node whose precision could be set")
        done = []
        try:
            for node in nodes:
                node.set_precision(precision)
                done.append(node)
        except ValueError:
            for node in done:
                node.set_precision(self.precision)
            raise
        self.precision = precision

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Prints inputs, outputs, operators, and how the recurrent nodes run.

        Args:
            print_fn: called with each line; default `print`.
        """
        for line in self._lines():
            (print if print_fn is None else print_fn)(line)

    def _lines(self) -> Iterator[str]:
        program = self._program
        yield f"{self.name}: ONNX graph, opset {self.opset}, {program.parameters:,} parameters"
        for title, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            yield f"  {title}: " + "; ".join(map(str, specs))
        counts = sorted(program.counts.items())
        yield "  operators: " + ", ".join(f"{op} {count}" for op, count in counts)
        for name, explanation in self.explain().items():
            yield f"  {name}: {explanation}"

    def __getstate__(self) -> dict[str, Any]:
        """The graph as it was read: what was made of it is made again."""
        return {"opset": self.opset, "graph": self._graph, "precision": self.precision}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compiles the graph again."""
        self.opset = state["opset"]
        self._graph = state["graph"]
        self._load()
        if state["precision"] != "full":
            self.set_precision(state["precision"])

    def __repr__(self) -> str:
        """Name, inputs and outputs."""
        return f"<OnnxModel {self.name}: {', '.join(self.input_names)} -> {', '.join(self.output_names)}>"


def _opset(model: ModelProto) -> int:
    """The version of the standard operators."""
    versions = {entry.domain: entry.version or 0 for entry in model.opset_import}
    found = [versions[domain] for domain in compiler.STANDARD if domain in versions]
    if len(found) != 1:
        raise FormatError(f"ONNX: the file should name one version of the standard operators, got {versions}")
    return found[0]


def _spec(info: ValueInfoProto, is_input: bool) -> TensorSpec:
    what = f"ONNX {'input' if is_input else 'output'} {info.name!r}"
    tensor = None if info.type is None else info.type.tensor_type
    if tensor is None:
        if is_input or info.type is not None:
            raise FormatError(f"{what} is no tensor")
        return TensorSpec(info.name, None, None)
    dtype = tensors.dtype_of(tensor.elem_type, what) if is_input or tensor.elem_type else None
    if tensor.shape is None:
        return TensorSpec(info.name, None, dtype)
    sizes = [dim.dim_param or None if dim.dim_value is None else dim.dim_value for dim in tensor.shape.dim]
    if len(sizes) > tensors.MAX_RANK:
        raise FormatError(f"{what} has {len(sizes)} axes")
    # Some exporters write 0 or -1 for a size that is not known.
    shape = tuple(None if isinstance(size, int) and size <= 0 else size for size in sizes)
    return TensorSpec(info.name, shape, dtype)


def _fed(spec: TensorSpec, value: Any) -> Array:
    """A read-only view of an input, in its dtype; ValueError where it does not fit."""
    array = np.asarray(value)
    if array.dtype != spec.dtype:
        if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
            raise ValueError(f"input {spec.name!r} must be {spec.dtype}, got {array.dtype}")
        with np.errstate(all="ignore"):
            array = array.astype(spec.dtype)
    shape = spec.shape
    if shape is not None:
        fits = len(shape) == array.ndim and all(
            not isinstance(size, int) or size == have for size, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"input {spec} got an array of shape {array.shape}")
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view


def _owned(results: list[Any]) -> list[Array]:
    """Arrays that share memory neither with inputs and constants, which are read-only, nor each other."""
    outputs: list[Array] = []
    seen: set[int] = set()
    for result in results:
        array = np.asarray(result)
        root: Any = array
        while root.base is not None and isinstance(root.base, np.ndarray):
            root = root.base
        if not array.flags.writeable or id(root) in seen:
            array = root = array.copy()
        seen.add(id(root))
        outputs.append(array)
    return outputs
