"""What an operator gets to see of its node, and the table of operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import tensors
from rnnpack.formats.onnx.messages import AttributeProto, GraphProto, NodeProto

Function = Callable[..., Any]

# The versions of the standard operators that are known here; before 7 broadcasting had other rules.
OPSETS = range(7, 29)

# AttributeProto.AttributeType by the field that holds the value.
_KINDS = {"f": 1, "i": 2, "s": 3, "t": 4, "g": 5, "floats": 6, "ints": 7, "strings": 8}
_NAMES = {number: field for field, number in _KINDS.items()}


@dataclass(frozen=True)
class Operator:
    """An operator and how to make its function.

    Attributes:
        make: called once for each node when a graph is loaded; returns the function that is called with the
            node's input arrays (None for those left out) in every run.
        inputs: the smallest and largest number of inputs.
        outputs: the largest number of outputs; the function returns a tuple where more than one.
        since: the first opset that has it, within those known.
        foldable: whether a node of constants is computed once, when the graph is loaded.
    """

    make: Callable[[Node], Function]
    inputs: tuple[int, int]
    outputs: int
    since: int
    foldable: bool


OPERATORS: dict[str, Operator] = {}

# More inputs than anyone writes.
MANY = 1 << 30


def operator(
    name: str, inputs: int | tuple[int, int] = 1, outputs: int = 1, since: int = 7, foldable: bool = True
) -> Callable[[Callable[[Node], Function]], Callable[[Node], Function]]:
    """Adds the decorated maker to the table of operators; for the arguments see `Operator`."""
    bounds = (inputs, inputs) if isinstance(inputs, int) else inputs

    def add(make: Callable[[Node], Function]) -> Callable[[Node], Function]:
        OPERATORS[name] = Operator(make, bounds, outputs, since, foldable)
        return make

    return add


class Node:
    """A node while its function is being made.

    Args:
        proto: the node as it is in the file.
        opset: the version of the standard operators that the model uses.
        constants: for each input its array where it is a constant, else None.
        subgraph: compiles a graph that is an attribute, see `compiler`.
        used: names of values that something reads.
    """

    def __init__(
        self,
        proto: NodeProto,
        opset: int,
        constants: list[NDArray[Any] | None],
        subgraph: Callable[[GraphProto, str], Any],
        used: set[str],
    ) -> None:
        self.op = proto.op_type
        self.name = proto.name or (f"output {proto.output[0]!r}" if proto.output else "unnamed")
        self.opset = opset
        self.constants = constants
        self.inputs = [bool(name) for name in proto.input]
        self.outputs = [bool(name) for name in proto.output]
        self._subgraph = subgraph
        self._wanted = [name in used for name in proto.output]
        self._attributes: dict[str, AttributeProto] = {}
        for attribute in proto.attribute:
            if attribute.name in self._attributes:
                raise self.error(f"attribute {attribute.name!r} is there twice")
            self._attributes[attribute.name] = attribute

    def error(self, what: str) -> FormatError:
        """An exception that names the node."""
        return FormatError(f"ONNX node {self.name} ({self.op}): {what}")

    def has(self, index: int) -> bool:
        """Whether there is an input with this index."""
        return index < len(self.inputs) and self.inputs[index]

    def wants(self, index: int) -> bool:
        """Whether something reads the output with this index."""
        return index < len(self._wanted) and self._wanted[index]

    def constant(self, index: int) -> NDArray[Any] | None:
        """The array of an input that is a constant."""
        return self.constants[index] if index < len(self.constants) else None

    # Attributes. Each is taken at most once: what has not been taken is not understood.

    def _take(self, name: str, field: str) -> Any:
        attribute = self._attributes.pop(name, None)
        if attribute is None:
            return None
        kind = _NAMES.get(attribute.type or 0)
        if attribute.ref_attr_name or kind != field:
            raise self.error(f"attribute {name!r} is of type {kind or attribute.type}, expected {field}")
        return getattr(attribute, field)

    def present(self, name: str) -> bool:
        """Whether an attribute is given and not taken yet."""
        return name in self._attributes

    def integer(self, name: str, default: int | None = None) -> Any:
        """An attribute of one integer."""
        if name not in self._attributes:
            return default
        return self._take(name, "i") or 0

    def flag(self, name: str, default: bool = False) -> bool:
        """An attribute of 0 or 1."""
        value = self.integer(name, int(default))
        if value not in (0, 1):
            raise self.error(f"attribute {name!r} must be 0 or 1, got {value}")
        return bool(value)

    def number(self, name: str, default: float | None = None) -> Any:
        """An attribute of one float."""
        if name not in self._attributes:
            return default
        return self._take(name, "f") or 0.0

    def integers(self, name: str, default: list[int] | None = None) -> Any:
        """An attribute of several integers."""
        return default if name not in self._attributes else self._take(name, "ints")

    def numbers(self, name: str, default: list[float] | None = None) -> Any:
        """An attribute of several floats."""
        return default if name not in self._attributes else self._take(name, "floats")

    def text(self, name: str, default: str, allowed: tuple[str, ...] | None = None) -> str:
        """An attribute of one string, where `allowed` says so one of these."""
        value = self._take(name, "s")
        text = default if value is None else bytes(value).decode("utf-8", "replace")
        if allowed is not None and text not in allowed:
            raise self.error(f"attribute {name!r} must be one of {', '.join(allowed)}, got {text!r}")
        return text

    def texts(self, name: str) -> list[str] | None:
        """An attribute of several strings."""
        values = self._take(name, "strings")
        return None if values is None else [bytes(value).decode("utf-8", "replace") for value in values]

    def tensor(self, name: str) -> NDArray[Any] | None:
        """An attribute of one tensor."""
        value = self._take(name, "t")
        return (
            None if value is None else tensors.to_array(value, f"ONNX node {self.name} ({self.op}): {name}")
        )

    def dtype(self, name: str, default: np.dtype[Any] | None = None) -> Any:
        """An attribute that is an element type."""
        if name not in self._attributes:
            return default
        number = self.integer(name)
        return tensors.dtype_of(number, f"ONNX node {self.name} ({self.op}): {name}")

    def graph(self, name: str) -> Any:
        """An attribute that is a graph, compiled."""
        value = self._take(name, "g")
        if value is None:
            raise self.error(f"attribute {name!r} must be a graph")
        return self._subgraph(value, f"{self.name}.{name}")

    def finish(self) -> None:
        """Raises FormatError where attributes are left that the operator does not know."""
        if self._attributes:
            raise self.error(f"unknown attribute {min(self._attributes)!r} in opset {self.opset}")


def made(node: Node) -> Function:
    """The function of a node, after all checks that need no data.

    Raises:
        FormatError: the operator is unknown or too old, or inputs, outputs or attributes do not fit it.
    """
    found = OPERATORS.get(node.op)
    if found is None:
        raise node.error("the operator is not supported")
    if node.opset < found.since:
        raise node.error(f"needs opset {found.since}, the model has {node.opset}")
    least, most = found.inputs
    if not least <= len(node.inputs) <= most or not all(node.inputs[:least]):
        raise node.error(f"takes {least} to {most} inputs, got {len(node.inputs)} ({sum(node.inputs)} named)")
    if not 1 <= len(node.outputs) <= found.outputs:
        raise node.error(f"has 1 to {found.outputs} outputs, got {len(node.outputs)}")
    function = found.make(node)
    node.finish()
    return function
