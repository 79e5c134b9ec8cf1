"""Models and layers as ONNX graphs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rnnpack import layers, models, symbolic
from rnnpack.engine import nest
from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import tensors
from rnnpack.formats.onnx.export import attention, over_time, plain, recurrent
from rnnpack.formats.onnx.export.builder import EXPORTERS, Builder, Call, Value
from rnnpack.formats.onnx.messages import (
    Dimension,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorShapeProto,
    TensorTypeProto,
    TypeProto,
    ValueInfoProto,
)
from rnnpack.layers.base import call_signature
from rnnpack.layers.reshaping import SameDtype
from rnnpack.models.graph import Ref

assert attention and over_time and plain and recurrent  # importing them has filled the table of exporters

# Old enough for runtimes in use, new enough for all that is written. IR 8 goes with opset 17.
OPSET = 17
IR_VERSION = 8

# What takes integers as they are.
_KEEPING_INTEGERS = (layers.Embedding, SameDtype, layers.TimeDistributed)


def exported(model: Any) -> ModelProto:
    """A model or layer as an ONNX model.

    Args:
        model: a Model, or one layer that has been built.

    Raises:
        FormatError: ONNX, or this package, cannot express a part of it exactly, which is named.
    """
    if not isinstance(model, layers.Layer):
        raise FormatError(f"Only models and layers can be written to ONNX, got {type(model).__name__}")
    model = model if isinstance(model, models.Model) else _as_model(model)
    return _Exporter(model).export()


def _as_model(layer: Any) -> Any:
    """A model of one layer."""
    spec = layer.input_spec or getattr(layer, "forward_layer", layer).input_spec
    spec = spec[0] if isinstance(spec, list) else spec
    shape = None if spec is None else spec.shape
    if spec is not None and shape is None and spec.ndim is not None:
        axes = {axis % spec.ndim: size for axis, size in spec.axes.items()}
        shape = [axes.get(axis) for axis in range(spec.ndim)]
    if not layer.built or shape is None:
        raise FormatError(
            f"Layer {layer.name!r} cannot be written to ONNX alone: the shape of its inputs is not known; "
            "build it, or make a Model"
        )
    x = symbolic.Input(batch_shape=shape, dtype=layer.compute_dtype, name="x")
    return models.Model(x, layer(x), name=layer.name)


class _Exporter:
    """Writes one model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.builder = Builder()
        # Where time comes first, no axis may pass for rows.
        recurrent_layers = [one for one in model._flatten_layers() if isinstance(one, layers.RNN)]
        self.batch_axis = 1 if any(one.time_major for one in recurrent_layers) else 0

    def export(self) -> ModelProto:
        builder, model = self.builder, self.model
        graph = model._built_graph()
        symbols = nest.flatten(graph.inputs)
        builder.layer = model.name
        values = [
            Value(name, symbol.shape, symbol.dtype)
            for name, symbol in zip(model.input_names, symbols, strict=True)
        ]
        results = self.graph(graph, values)
        builder.layer = "outputs"
        taken, outputs = set(model.input_names), []
        for name, value in zip(model.output_names, results, strict=True):
            unique = name
            while unique in taken:
                unique += "_output"
            taken.add(unique)
            builder.nodes.append(_renaming(value.name, unique))
            outputs.append(self._info(unique, value))
        inputs = [self._info(value.name, value) for value in values]
        builder.prune([info.name for info in outputs])
        made = GraphProto(builder.nodes, model.name, builder.constants, "", inputs, outputs)
        version = OperatorSetIdProto("", OPSET)
        return ModelProto(IR_VERSION, "rnnpack", "", made, [version])

    def graph(self, graph: Any, inputs: list[Value]) -> list[Value]:
        """Writes a recorded graph; the values of its flat outputs."""
        slots = dict(enumerate(inputs))
        for symbol in nest.flatten(graph.inputs):
            self._refuse_mask(symbol, symbol.name)
        for step in graph.steps:
            found = [_value_of(leaf, slots) for leaf in nest.flatten(step.inputs)]
            named = zip(call_signature(step.layer.call).parameters, step.args, strict=False)
            given = {**dict(named), **step.kwargs}
            keywords = {
                name: nest.map_structure(partial(_value_of, slots=slots), value)
                for name, value in given.items()
                if value is not None
            }
            for symbol in step.outputs:
                self._refuse_mask(symbol, step.layer.name)
            names = self.layer(step.layer, found, keywords)
            for slot, name, symbol in zip(step.slots, names, step.outputs, strict=True):
                slots[slot] = Value(name, symbol.shape, symbol.dtype)
        return [_value_of(leaf, slots) for leaf in nest.flatten(graph.results)]

    def layer(self, layer: Any, inputs: list[Value], keywords: dict[str, Any]) -> list[str]:
        """Writes one call of a layer; the names of its flat outputs."""
        if keywords.pop("training", None):
            raise self._error(layer, "training mode")
        if not all(isinstance(value, Value) for value in inputs):
            raise self._error(layer, "an input that is not an array of the model")
        if isinstance(layer, models.Model):
            if keywords:
                raise self._error(layer, f"call arguments {sorted(keywords)}")
            return [value.name for value in self.graph(layer._built_graph(), inputs)]
        if type(layer) not in EXPORTERS:
            raise self._error(layer, f"there is no exporter for {type(layer).__name__}")
        entry = EXPORTERS[type(layer)]
        if keywords and not entry.keywords:
            raise self._error(layer, f"call arguments {sorted(keywords)}")
        dtype = layer.dtype_policy.compute_dtype
        if dtype not in (np.float32, np.float64):
            raise self._error(layer, f"it computes in {dtype}, expected float32 or float64")
        before, self.builder.layer = self.builder.layer, layer.name
        whole = any(value.dtype.kind != "f" for value in inputs)
        if whole and not (entry.floats or isinstance(layer, _KEEPING_INTEGERS)):
            raise self.builder.error("its inputs are integers")
        inputs = [
            self.builder.cast(value, dtype)
            if entry.floats or (layer.autocast and value.dtype.kind == "f")
            else value
            for value in inputs
        ]
        names = entry.write(self.builder, layer, Call(inputs, keywords, self))
        self.builder.layer = before
        return names

    def _refuse_mask(self, symbol: Any, name: str) -> None:
        if symbol._keras_mask is not None:
            raise FormatError(
                f"{name!r} makes a mask, which ONNX cannot express: write the model without masks"
            )

    def _error(self, layer: Any, what: str) -> FormatError:
        return FormatError(f"Layer {layer.name!r} cannot be written to ONNX: {what}")

    def _info(self, name: str, value: Value) -> ValueInfoProto:
        """Type and shape of an input or output; unknown sizes get names, those of rows the same."""
        dims = []
        for axis, size in enumerate(value.shape):
            if size is not None:
                dims.append(Dimension(int(size)))
            elif axis == self.batch_axis:
                dims.append(Dimension(None, "batch"))
            else:
                dims.append(Dimension(None, f"{name}_{axis}"))
        shape = TensorShapeProto(dims)
        return ValueInfoProto(name, TypeProto(TensorTypeProto(tensors.type_number(value.dtype), shape)))


def _value_of(leaf: Any, slots: dict[int, Value]) -> Any:
    """The value that a reference stands for; whatever is none stays."""
    if not isinstance(leaf, Ref):
        return leaf
    if leaf.mask:
        raise FormatError("Masks cannot be written to ONNX")
    return slots[leaf.slot]


def _renaming(old: str, new: str) -> NodeProto:
    """A node that gives a value another name."""
    return NodeProto([old], [new], f"{new}/Identity", "Identity")
