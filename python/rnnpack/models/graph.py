"""A recorded graph of layer calls, in a form that runs: steps that read and write numbered slots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from rnnpack.engine import nest
from rnnpack.layers.input_spec import InputSpec
from rnnpack.symbolic import Node, SymbolicArray

if TYPE_CHECKING:
    from rnnpack.layers.base import Layer


@dataclass(frozen=True)
class Ref:
    """Where a step finds an argument: the array in a slot, or the mask that it carries."""

    slot: int
    mask: bool = False


@dataclass(frozen=True, eq=False)
class Step:
    """One layer call.

    Attributes:
        layer: what is called.
        inputs, args, kwargs: its arguments, with a Ref where a symbolic array was.
        slots: where its flat outputs go.
        call: number of this call among the layer's calls in the graph, as they were made.
        outputs: the flat symbolic outputs.
    """

    layer: Layer
    inputs: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    slots: tuple[int, ...]
    call: int
    outputs: tuple[SymbolicArray, ...]

    @property
    def refs(self) -> list[Ref]:
        """All slots that the step reads."""
        arguments = nest.flatten((self.inputs, self.args, self.kwargs))
        return [leaf for leaf in arguments if isinstance(leaf, Ref)]


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls between inputs and outputs.

    Attributes:
        inputs, outputs: nests of symbolic arrays; the flat inputs are in the first slots.
        results: the outputs' Refs, in their structure.
        steps: in the order in which they run.
        spec: what the flat inputs must look like; made once, as prepared calls of layers end where an
            InputSpec is made.
        members: inputs (symbolic arrays) and layers in Keras's order: by the length of the longest way to
            an output, then as they are met on the ways back from the outputs.
        calls: how many calls of layers a run stands for, those inside models included.
    """

    # In this order, copying and pickling meet every symbolic array after those that it was made from, and so
    # never go deep.
    inputs: Any
    steps: tuple[Step, ...]
    outputs: Any
    results: Any
    spec: list[InputSpec]
    members: tuple[Any, ...]
    calls: int

    @property
    def layers(self) -> list[Layer]:
        """The layers, each once, in Keras's order."""
        return [member for member in self.members if not isinstance(member, SymbolicArray)]

    def run(self, inputs: Any, call: Caller | None = None) -> Any:
        """Runs the steps.

        Args:
            inputs: arrays in the structure of the graph's inputs; masks travel with them.
            call: makes a step's call, from the step, its arguments and its keyword arguments, and returns
                the flat outputs; default: calls the layer.

        Returns:
            The outputs in their structure.
        """
        slots = dict(enumerate(nest.flatten(inputs)))

        def value_of(leaf: Any) -> Any:
            if not isinstance(leaf, Ref):
                return leaf
            value = slots[leaf.slot]
            return getattr(value, "_keras_mask", None) if leaf.mask else value

        for step in self.steps:
            if type(step.inputs) is Ref and not step.args:  # as in most models, and faster
                arguments: Sequence[Any] = (value_of(step.inputs),)
            else:
                arguments = nest.map_structure(value_of, (step.inputs, *step.args))
            keywords = nest.map_structure(value_of, step.kwargs) if step.kwargs else {}
            results = (call or _call)(step, arguments, keywords)
            slots.update(zip(step.slots, results, strict=True))
        return nest.map_structure(value_of, self.results)


def calls_of(layer: Any) -> int:
    """How many calls of layers a symbolic call of this layer may make."""
    return 1 + _calls_inside(layer) if getattr(layer, "_graph", None) is None else int(layer._graph.calls)


def _calls_inside(layer: Any) -> int:
    """The calls of models inside a layer, which may call them for shapes, for masks, and to try them out."""
    below = layer._sublayers()
    return 4 * sum(calls_of(one) if getattr(one, "_graph", None) else _calls_inside(one) for one in below)


Caller = Callable[[Step, Sequence[Any], dict[str, Any]], list[Any]]


def _call(step: Step, arguments: Sequence[Any], keywords: dict[str, Any]) -> list[Any]:
    return nest.flatten(step.layer(*arguments, **keywords))


def graph_of(inputs: Any, outputs: Any) -> Graph:
    """The graph between symbolic inputs and outputs.

    Raises:
        ValueError: something is not symbolic, an output depends on an `Input` that is not among the inputs,
            or two layers have the same name.
    """
    flat = nest.flatten(inputs)
    if not flat or not all(isinstance(symbol, SymbolicArray) for symbol in (*flat, *nest.flatten(outputs))):
        raise ValueError(
            "`inputs` and `outputs` of a Model must be symbolic arrays, made by Input and by calling "
            "layers on them"
        )
    if len({id(symbol) for symbol in flat}) != len(flat):
        raise ValueError("`inputs` of a Model holds the same symbolic array twice")
    vertices, met = _visited(flat, nest.flatten(outputs))
    members, nodes = _by_depth(flat, vertices, met)
    _check_names(members)
    steps, places = _steps(flat, nodes)
    results = nest.map_structure(partial(_ref, places=places), outputs)
    spec = [InputSpec(shape=symbol.shape) for symbol in flat]
    calls = sum(calls_of(step.layer) for step in steps)
    return Graph(inputs, steps, outputs, results, spec, tuple(members), calls)


def symbols_in(structure: Any) -> Iterator[SymbolicArray]:
    """The symbolic arrays that a structure needs; for a mask the array that carries it."""
    for leaf in nest.flatten(structure):
        if isinstance(leaf, SymbolicArray):
            yield leaf if leaf.mask_of is None else leaf.mask_of


def _visited(inputs: list[Any], outputs: list[Any]) -> tuple[list[Any], dict[int, int]]:
    """Inputs and calls, each after what it depends on, and when each input or layer was met first."""
    known = {id(symbol) for symbol in inputs}
    finished: dict[int, Any] = {}
    met: dict[int, int] = {}
    pending = [(symbol, False) for symbol in reversed(list(symbols_in(outputs)))]
    while pending:
        symbol, left = pending.pop()
        vertex = symbol if id(symbol) in known else symbol.node
        if vertex is None:
            raise ValueError(
                f"The outputs depend on {symbol!r}, which is not among the `inputs` of the Model"
            )
        if id(vertex) in finished:
            continue
        if left:
            finished[id(vertex)] = vertex
            continue
        met.setdefault(id(_owner(vertex)), len(met))
        pending.append((symbol, True))
        pending.extend((needed, False) for needed in reversed(_needed(vertex)))
    return list(finished.values()), met


def _owner(vertex: Any) -> Any:
    return vertex.layer if isinstance(vertex, Node) else vertex


def _needed(vertex: Any) -> list[SymbolicArray]:
    return list(symbols_in((vertex.inputs, vertex.args, vertex.kwargs))) if isinstance(vertex, Node) else []


def _by_depth(inputs: list[Any], vertices: list[Any], met: dict[int, int]) -> tuple[list[Any], list[Node]]:
    """Inputs and layers, and calls, both in the order of Keras."""
    known = {id(symbol) for symbol in inputs}
    depths: dict[int, int] = {}
    owners: dict[int, int] = {}
    for vertex in reversed(vertices):
        owner = id(_owner(vertex))
        # A layer that is called several times is as deep as its deepest call so far.
        depth = max(depths.get(id(vertex), 0), owners.get(owner, 0))
        depths[id(vertex)] = owners[owner] = depth
        for symbol in _needed(vertex):
            parent = id(symbol if id(symbol) in known else symbol.node)
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    unused = [symbol for symbol in inputs if id(symbol) not in owners]
    distinct = list({id(_owner(vertex)): _owner(vertex) for vertex in (*vertices, *unused)}.values())
    distinct.sort(key=lambda owner: (-owners.get(id(owner), 0), met.get(id(owner), -1)))
    order = {key: (-depth, place) for place, (key, depth) in enumerate(depths.items())}
    nodes = [vertex for vertex in vertices if isinstance(vertex, Node)]
    return distinct, sorted(nodes, key=lambda node: order[id(node)])


def _check_names(members: Iterable[Any]) -> None:
    names: set[str] = set()
    for member in members:
        if member.name in names:
            raise ValueError(f'The name "{member.name}" is used twice in the Model; names must be unique')
        names.add(member.name)


def _steps(inputs: list[Any], nodes: list[Node]) -> tuple[tuple[Step, ...], dict[int, int]]:
    """The calls as steps, and the slot of every symbolic array by its id."""
    places = {id(symbol): slot for slot, symbol in enumerate(inputs)}
    free = count(len(inputs))
    calls: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for node in sorted(nodes, key=lambda node: node.serial):
        numbers[id(node)] = calls.get(id(node.layer), 0)
        calls[id(node.layer)] = numbers[id(node)] + 1
    steps = []
    for node in nodes:
        inner, args, kwargs = nest.map_structure(
            partial(_ref, places=places), (node.inputs, node.args, node.kwargs)
        )
        slots = tuple(next(free) for _ in node.outputs)
        for output, slot in zip(node.outputs, slots, strict=True):
            places.setdefault(id(output), slot)  # an output that is an input as well has the slot of that
        steps.append(Step(node.layer, inner, args, kwargs, slots, numbers[id(node)], tuple(node.outputs)))
    return tuple(steps), places


def _ref(leaf: Any, places: dict[int, int]) -> Any:
    if not isinstance(leaf, SymbolicArray):
        return leaf
    return Ref(places[id(leaf)]) if leaf.mask_of is None else Ref(places[id(leaf.mask_of)], mask=True)
