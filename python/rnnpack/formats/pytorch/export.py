"""Layers of rnnpack as state dicts that PyTorch's recurrent modules load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rnnpack
from rnnpack import activations
from rnnpack.engine import nest
from rnnpack.formats.errors import FormatError
from rnnpack.formats.pytorch import layout
from rnnpack.symbolic import SymbolicArray

_KINDS = {"LSTMCell": "LSTM", "ProjectedLSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "RNN"}
_LAYERS = ("LSTM", "GRU", "SimpleRNN", "RNN")


@dataclass(frozen=True)
class Exported:
    """One module's weights, and what they do not tell.

    Attributes:
        arrays: PyTorch's names to arrays.
        batch_first: argument of the module.
        nonlinearity: argument of an RNN; "tanh" for the others.
    """

    arrays: dict[str, layout.Array]
    batch_first: bool
    nonlinearity: str


def export(model: Any) -> Exported:
    """The weights of a layer, or of a Model that is a chain of layers, as one module of PyTorch has them.

    Raises:
        FormatError: no one module of PyTorch computes this; what it cannot hold is named.
    """
    layers = _chain(model)
    # For each layer of PyTorch its cells, one for each direction.
    cells = [pair for layer in layers for pair in _cells(layer)]
    described = {_description(cell): cell.name for pair in cells for cell in pair}
    if len(described) > 1 or len({len(pair) for pair in cells}) > 1:
        raise FormatError(
            f"{model.name}: a module of PyTorch has layers of one kind, all in one direction or in both, got "
            + ", ".join(map(str, described))
        )
    time_major = {_forward(layer).time_major for layer in layers}
    if len(time_major) > 1:
        raise FormatError(f"{model.name}: its layers must all be `time_major`, or none")
    arrays = {
        f"{role}_l{number}{suffix}": array
        for number, pair in enumerate(cells)
        for cell, suffix in zip(pair, ("", "_reverse"), strict=False)
        for role, array in layout.to_torch(_kind(cell), cell.get_weights(), cell.use_bias).items()
    }
    return Exported(arrays, not time_major.pop(), _nonlinearity(cells[0][0]))


def _chain(model: Any) -> list[Any]:
    """The recurrent layers of a model, first to last."""
    if not isinstance(model, rnnpack.Model):
        return [model]
    if not model.built:
        raise FormatError(f"{model.name}: has no weights yet: build it or call it first")
    symbol = nest.flatten(model.outputs)[0]
    layers: list[Any] = []
    while symbol.node is not None:
        node = symbol.node
        others = nest.flatten((node.args, node.kwargs))
        plain = symbol is node.outputs[0] and isinstance(node.inputs, SymbolicArray)
        if not plain or not all(map(_is_input, others)):
            raise FormatError(f"{model.name}: {node.layer.name} is not one of a plain chain of layers")
        layers.insert(0, node.layer)
        symbol = node.inputs
    for layer in layers[:-1]:
        if not getattr(layer, "return_sequences", True):
            raise FormatError(f"{layer.name}: must return sequences to the layer after it in PyTorch")
    return layers


def _is_input(argument: Any) -> bool:
    """Whether a call's argument is an Input of the model, as initial states may be."""
    return isinstance(argument, SymbolicArray) and argument.node is None and argument.mask_of is None


def _forward(layer: Any) -> Any:
    return layer.forward_layer if type(layer) is rnnpack.Bidirectional else layer


def _cells(layer: Any) -> list[list[Any]]:
    """For each layer of PyTorch in this layer its cells, forwards and backwards."""
    forward = _forward(layer)
    if type(forward) not in [getattr(rnnpack, name) for name in _LAYERS]:
        raise FormatError(f"{layer.name}: PyTorch's recurrent modules hold no {type(forward).__name__}")
    if not layer.built:
        raise FormatError(f"{layer.name}: has no weights yet: build it or call it first")
    if forward.go_backwards:
        raise FormatError(f"{layer.name}: PyTorch has no go_backwards=True")
    stack = getattr(forward.cell, "cells", [forward.cell])
    if forward is layer:
        return [[cell] for cell in stack]
    if layer.merge_mode != "concat":
        raise FormatError(f"{layer.name}: PyTorch has no merge_mode={layer.merge_mode!r}")
    if len(stack) > 1:
        raise FormatError(f"{layer.name}: PyTorch runs both directions layer by layer, not a stack each way")
    if type(layer.backward_layer) is not type(forward):
        raise FormatError(f"{layer.name}: PyTorch has no backward layer of another class")
    return [[forward.cell, layer.backward_layer.cell]]


def _kind(cell: Any) -> str:
    """PyTorch's kind of a cell; FormatError where PyTorch has no such cell."""
    name = type(cell).__name__
    if name not in _KINDS or type(cell) is not getattr(rnnpack, name, None):
        raise FormatError(f"{cell.name}: PyTorch's recurrent modules hold no {name}")
    kind = _KINDS[name]
    known = {
        "activation": (activations.tanh, *((activations.relu,) if kind == "RNN" else ())),
        "recurrent_activation": (activations.sigmoid,),
    }
    for argument, functions in known.items():
        found = getattr(cell, argument, functions[0])
        if found not in functions:
            found = getattr(found, "__name__", found)
            raise FormatError(f"{cell.name}: PyTorch's {kind} has no {argument}={found!r}")
    if kind == "GRU" and not cell.reset_after:
        raise FormatError(f"{cell.name}: PyTorch's GRU has no reset_after=False")
    if cell.dtype not in ("float32", "float64"):
        raise FormatError(f"{cell.name}: must be of dtype float32 or float64, got {cell.dtype}")
    return kind


def _nonlinearity(cell: Any) -> str:
    return "relu" if cell.activation is activations.relu else "tanh"


def _description(cell: Any) -> str:
    """What all cells of a module of PyTorch have in common."""
    projected = f", {cell.projection_units} after projection" if hasattr(cell, "projection_units") else ""
    bias = "" if cell.use_bias else "out"
    return (
        f"{_kind(cell)} of {cell.units} units{projected} with{bias} bias, {_nonlinearity(cell)}, {cell.dtype}"
    )
