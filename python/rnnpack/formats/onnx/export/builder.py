"""What layers' exporters write with: nodes, constants, names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import tensors
from rnnpack.formats.onnx.messages import AttributeProto, NodeProto, TensorProto


@dataclass(frozen=True)
class Value:
    """A value of the graph: its name, its sizes (None where unknown) and its dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        inputs: its flat inputs, cast to the layer's dtype where the layer computes in floats.
        keywords: its other arguments, with Values where arrays were; without those that are None.
        graph: the exporter of whole graphs, for layers that hold layers.
    """

    inputs: list[Value]
    keywords: dict[str, Any]
    graph: Any

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]


# Writes a layer's nodes, returns the names of its flat outputs.
Exporter = Callable[["Builder", Any, Call], "list[str]"]


@dataclass(frozen=True)
class Entry:
    """An exporter: `floats` and `keywords` as for `exports`."""

    write: Exporter
    floats: bool
    keywords: bool


EXPORTERS: dict[type[Any], Entry] = {}


def exports(*kinds: type[Any], floats: bool = True, keywords: bool = False) -> Callable[[Exporter], Exporter]:
    """Enters the decorated exporter for layers.

    Args:
        *kinds: exactly these classes.
        floats: whether inputs are cast to the layer's dtype first.
        keywords: whether the exporter looks at call arguments other than the inputs.
    """

    def add(function: Exporter) -> Exporter:
        EXPORTERS.update(dict.fromkeys(kinds, Entry(function, floats, keywords)))
        return function

    return add


class Builder:
    """Collects the nodes and constants of a graph."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.layer = ""
        self._count = 0

    def error(self, what: str) -> FormatError:
        """An exception that names the layer being written."""
        return FormatError(f"Layer {self.layer!r} cannot be written to ONNX: {what}")

    def _new(self, hint: str) -> str:
        self._count += 1
        return f"{self.layer}/{hint}_{self._count}"

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output.

        Args:
            op: the operator.
            *inputs: names; "" for one left out.
            **attributes: by name; None for one left out.

        Returns:
            The output's name.
        """
        return self.several(op, 1, *inputs, **attributes)[0]

    def several(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node of several outputs; their names."""
        name = self._new(op)
        names = [name] if outputs == 1 else [f"{name}:{index}" for index in range(outputs)]
        given = [_attribute(key, value) for key, value in attributes.items() if value is not None]
        self.nodes.append(NodeProto(list(inputs), names, name, op, given))
        return names

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        """A constant; its name."""
        array: NDArray[Any] = np.asarray(values, dtype)
        name = self._new("constant")
        self.constants.append(tensors.to_tensor(array, name))
        return name

    def cast(self, value: Value, dtype: Any) -> Value:
        """The value in another dtype."""
        wanted = np.dtype(dtype)
        if value.dtype == wanted:
            return value
        name = self.add("Cast", value.name, to=tensors.type_number(wanted))
        return Value(name, value.shape, wanted)

    def prune(self, outputs: list[str]) -> None:
        """Drops nodes, constants and last outputs of nodes that these values do not need."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed.isdisjoint(node.output):
                continue
            while node.output[-1] not in needed:
                node.output.pop()
            node.output = [name if name in needed else "" for name in node.output]
            needed.update(node.input)
            kept.append(node)
        self.nodes = kept[::-1]
        self.constants = [tensor for tensor in self.constants if tensor.name in needed]

    # Operators whose arguments changed from attributes to inputs.

    def squeeze(self, name: str, axis: int) -> str:
        """Without an axis of size 1."""
        return self.add("Squeeze", name, self.constant([axis]))

    def unsqueeze(self, name: str, axis: int) -> str:
        """With an axis of size 1."""
        return self.add("Unsqueeze", name, self.constant([axis]))

    def reshape(self, name: str, *sizes: int) -> str:
        """In another shape; 0 keeps a size, -1 is what remains."""
        return self.add("Reshape", name, self.constant(sizes))

    def cut(self, name: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """A slice along one axis."""
        bounds = [self.constant([number]) for number in (start, end, axis, step)]
        return self.add("Slice", name, *bounds)

    def reversed(self, name: str, axis: int) -> str:
        """In the opposite order along one axis."""
        return self.cut(name, axis, -1, np.iinfo(np.int64).min, -1)

    def transposed(self, name: str, *order: int) -> str:
        """With the axes in another order."""
        return self.add("Transpose", name, perm=list(order))


def _attribute(name: str, value: Any) -> AttributeProto:
    """An attribute whose type is that of the value."""
    if isinstance(value, str):
        return AttributeProto(name, s=value.encode(), type=3)
    if isinstance(value, float):
        return AttributeProto(name, f=value, type=1)
    if isinstance(value, int):
        return AttributeProto(name, i=value, type=2)
    if isinstance(value[0], str):
        return AttributeProto(name, strings=[text.encode() for text in value], type=8)
    if isinstance(value[0], float):
        return AttributeProto(name, floats=list(value), type=6)
    return AttributeProto(name, ints=[int(number) for number in value], type=7)
