"""From a graph to a list of function calls on numbered values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import limits, operators, recurrent, tensors
from rnnpack.formats.onnx.messages import GraphProto, NodeProto
from rnnpack.formats.onnx.node import OPERATORS, OPSETS, Node, made
from rnnpack.formats.onnx.recurrent import Recurrent

assert operators and recurrent  # importing them has filled the table of operators

Array = NDArray[Any]

# How many elements may be computed when a graph is loaded, and how many more for each that is in the file;
# nodes of constants beyond run in every call.
_FOLDED, _FOLDED_FACTOR = 1 << 22, 4

STANDARD = ("", "ai.onnx")


class Step:
    """A call: the function, where its arguments are, where its results go, what is not needed afterwards."""

    __slots__ = ("dead", "function", "inputs", "label", "outputs")

    def __init__(self, function: Any, inputs: tuple[int, ...], outputs: tuple[int, ...], label: str) -> None:
        self.function, self.inputs, self.outputs, self.label = function, inputs, outputs, label
        self.dead: tuple[int, ...] = ()


class Program:
    """A compiled graph.

    Attributes:
        inputs: names of the values that `run` takes, in order.
        outputs: names of those it returns.
        captures: names that a subgraph reads from the graphs around it, with the value's number in here.
        recurrent: the recurrent nodes by name, those of subgraphs too.
        counts: how often each operator occurs.
        parameters: how many elements the constants that came with the file have.
    """

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.captures: dict[str, int] = {}
        self.recurrent: dict[str, Recurrent] = {}
        self.counts: dict[str, int] = {}
        self.parameters = 0
        # Number 0 is what an input that is left out reads: None; number 1 takes unnamed outputs.
        self.values: list[Any] = [None, None]
        self.steps: list[Step] = []
        self.fed: tuple[int, ...] = ()
        self.returned: tuple[int, ...] = ()
        self.captured: tuple[tuple[int, int], ...] = ()

    def run(self, feeds: Sequence[Any], outer: Sequence[Any] = ()) -> list[Any]:
        """Runs the graph.

        Args:
            feeds: a value for each input.
            outer: what the node around it hands to its subgraphs.

        Raises:
            ValueError: a node cannot work on its inputs; it is named.
        """
        values = self.values.copy()
        for slot, value in zip(self.fed, feeds, strict=True):
            values[slot] = value
        for slot, index in self.captured:
            values[slot] = outer[index]
        step = None
        try:
            for step in self.steps:
                result = step.function(*[values[slot] for slot in step.inputs])
                if type(result) is tuple:
                    for slot, value in zip(step.outputs, result, strict=False):
                        values[slot] = value
                else:
                    values[step.outputs[0]] = result
                for slot in step.dead:
                    values[slot] = None
        except NodeError:
            raise  # of a subgraph: the inner node is the one to name
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            assert step is not None
            raise NodeError(f"ONNX {step.label}: {error}") from error
        return [values[slot] for slot in self.returned]


class NodeError(ValueError):
    """A node cannot work on what it got."""


class _Budget:
    """How much may still be computed while a file is loaded."""

    def __init__(self) -> None:
        self.left = _FOLDED


def compiled(graph: GraphProto, opset: int) -> Program:
    """Compiles a graph and the graphs inside it.

    Args:
        graph: as read from a file.
        opset: version of the standard operators.

    Raises:
        FormatError: it has a node that is not supported or does not fit, which is named.
    """
    if opset not in OPSETS:
        raise FormatError(
            f"ONNX opset {opset} is not supported: expected {OPSETS.start} to {OPSETS.stop - 1}; "
            "onnx.version_converter converts between versions"
        )
    return _Compiler(opset, _Budget(), None, {}).compile(graph)


class _Compiler:
    """Compiles one graph.

    Args:
        opset: version of the standard operators.
        budget: of the whole file.
        outer: the compiler of the graph around a subgraph.
        shared: names that the subgraphs of one node capture, with their places in `outer` of `run`.
    """

    def __init__(self, opset: int, budget: _Budget, outer: _Compiler | None, shared: dict[str, int]) -> None:
        self.opset, self.budget, self.outer, self.shared = opset, budget, outer, shared
        self.program = Program()
        self.slots: dict[str, int] = {}
        self.used: set[str] = set()
        self.constants: dict[int, Array] = {}

    def compile(self, graph: GraphProto) -> Program:
        program = self.program
        self.used = {info.name for info in graph.output} | _read_names(graph)
        if graph.sparse_initializer:
            raise FormatError("ONNX: sparse initializers are not supported")
        for tensor in graph.initializer:
            array = tensors.to_array(tensor)
            program.parameters += array.size
            self.budget.left += _FOLDED_FACTOR * array.size
            self._constant(self._define(tensor.name, f"initializer {tensor.name!r}"), array)
        names = [info.name for info in graph.input if info.name not in self.slots]
        program.inputs = names
        program.fed = tuple(self._define(name, f"input {name!r}") for name in names)
        for proto in graph.node:
            self._add(proto)
        program.outputs = [info.name for info in graph.output]
        program.returned = tuple(self._slot(name, "the graph's outputs") for name in program.outputs)
        program.captured = tuple((slot, self.shared[name]) for name, slot in program.captures.items())
        self._free()
        return program

    def _define(self, name: str, what: str) -> int:
        """A new value."""
        if not name:
            return 1
        if name in self.slots:
            raise FormatError(f"ONNX: {what} defines {name!r} a second time")
        self.slots[name] = len(self.program.values)
        self.program.values.append(None)
        return self.slots[name]

    def _constant(self, slot: int, array: Array) -> None:
        array = np.asarray(array)
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        self.constants[slot] = self.program.values[slot] = array

    def _slot(self, name: str, reader: str) -> int:
        """The number of a value that exists already, here or in a graph around this one."""
        if not name:
            return 0
        if name in self.slots:
            return self.slots[name]
        if self.outer is None:
            raise FormatError(f"ONNX: {reader} needs {name!r}, which nothing before computes")
        around = self.outer._slot(name, reader)
        slot = self._define(name, reader)
        if around in self.outer.constants:
            self._constant(slot, self.outer.constants[around])
        else:
            self.shared.setdefault(name, len(self.shared))
            self.program.captures[name] = slot
        return slot

    def _add(self, proto: NodeProto) -> None:
        """Compiles a node; computes it where all its inputs are constants."""
        label = f"node {proto.name or ' '.join(proto.output[:1])} ({proto.op_type})"
        if proto.domain not in STANDARD:
            raise FormatError(f"ONNX {label}: operators of domain {proto.domain!r} are not supported")
        inputs = tuple(self._slot(name, label) for name in proto.input)
        known = [self.constants.get(slot) for slot in inputs]
        captured: dict[str, int] = {}

        def subgraph(graph: GraphProto, name: str) -> Program:
            inner = _Compiler(self.opset, self.budget, self, captured).compile(graph)
            for at, one in inner.recurrent.items():
                self.program.recurrent[f"{name}/{at}"] = one
            for op, count in inner.counts.items():
                self.program.counts[op] = self.program.counts.get(op, 0) + count
            self.program.parameters += inner.parameters
            return inner

        node = Node(proto, self.opset, known, subgraph, self.used)
        function = made(node)
        if isinstance(function, Recurrent):
            self.program.recurrent[node.name] = function
        self.program.counts[proto.op_type] = self.program.counts.get(proto.op_type, 0) + 1
        if getattr(function, "scoped", False):
            function = _with_outer(function, len(inputs))
            inputs += tuple(self._slot(name, label) for name in captured)
        outputs = tuple(self._define(name, label) for name in proto.output)
        step = Step(function, inputs, outputs, label)
        foldable = OPERATORS[proto.op_type].foldable
        constant = all(slot == 0 or slot in self.constants for slot in inputs)
        needed = not self.used.isdisjoint(proto.output)
        if needed and not (foldable and constant and self._folded(step)):
            self.program.steps.append(step)

    def _folded(self, step: Step) -> bool:
        """Computes a step of constants now, if not too much has been computed already."""
        arguments = [self.program.values[slot] for slot in step.inputs]
        if sum(array.size for array in arguments if array is not None) > self.budget.left:
            return False
        with np.errstate(all="ignore"), limits.at_most(self.budget.left):
            try:
                result = step.function(*arguments)
            except limits.SizeError:
                return False
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise FormatError(f"ONNX {step.label}: {error}") from error
        for slot, array in zip(step.outputs, result if type(result) is tuple else (result,), strict=False):
            if not any(np.may_share_memory(array, one) for one in arguments if one is not None):
                self.budget.left -= np.size(array)  # views take no memory
            if slot > 1:
                self._constant(slot, array)
        return True

    def _free(self) -> None:
        """Notes after which step each value is not needed any more."""
        kept = {0, *self.constants, *self.program.returned}
        for step in reversed(self.program.steps):
            dead = set(step.inputs) | set(step.outputs)
            step.dead = tuple(sorted(dead - kept))
            kept |= dead


def _read_names(graph: GraphProto) -> set[str]:
    """Names of all values that nodes read, those of subgraphs and what subgraphs return included."""
    found: set[str] = set()
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            if attribute.g is not None:
                found |= _read_names(attribute.g) | {info.name for info in attribute.g.output}
    return found


def _with_outer(function: Any, count: int) -> Any:
    """A function that gets the values its subgraphs capture as a list."""
    return lambda *values: function(*values[:count], list(values[count:]))
