"""The messages of an ONNX file that are needed to run or write one, with the field numbers of onnx.proto."""

# ruff: noqa: RUF009 (declarations, as `dataclasses.field` is)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnpack.formats.onnx.wire import BYTES, DOUBLE, FLOAT, INT, STRING, many, one


@dataclass
class StringStringEntryProto:
    """A key and a value."""

    key: str = one(1, STRING, "")
    value: str = one(2, STRING, "")


@dataclass
class TensorProto:
    """An array; its numbers are in `raw_data` or in the list that belongs to `data_type`."""

    dims: list[int] = many(1, INT)
    data_type: int | None = one(2, INT)
    float_data: list[float] = many(4, FLOAT)
    int32_data: list[int] = many(5, INT)
    string_data: list[Any] = many(6, BYTES)
    int64_data: list[int] = many(7, INT)
    name: str = one(8, STRING, "")
    raw_data: Any = one(9, BYTES)
    double_data: list[float] = many(10, DOUBLE)
    uint64_data: list[int] = many(11, INT)
    external_data: list[StringStringEntryProto] = many(13, StringStringEntryProto)
    data_location: int | None = one(14, INT)


@dataclass
class Dimension:
    """A known size, a name, or neither."""

    dim_value: int | None = one(1, INT)
    dim_param: str = one(2, STRING, "")


@dataclass
class TensorShapeProto:
    """The shape of a value."""

    dim: list[Dimension] = many(1, Dimension)


@dataclass
class TensorTypeProto:
    """Element type and shape of a value; `shape` is None where even the rank is unknown."""

    elem_type: int | None = one(1, INT)
    shape: TensorShapeProto | None = one(2, TensorShapeProto)


@dataclass
class TypeProto:
    """The type of a value; `tensor_type` is None for sequences, maps and optional values."""

    tensor_type: TensorTypeProto | None = one(1, TensorTypeProto)


@dataclass
class ValueInfoProto:
    """An input or output of a graph."""

    name: str = one(1, STRING, "")
    type: TypeProto | None = one(2, TypeProto)


@dataclass
class AttributeProto:
    """An attribute of a node; `type` says which of the fields counts."""

    name: str = one(1, STRING, "")
    f: float | None = one(2, FLOAT)
    i: int | None = one(3, INT)
    s: Any = one(4, BYTES)
    t: TensorProto | None = one(5, TensorProto)
    g: GraphProto | None = one(6, "GraphProto")
    floats: list[float] = many(7, FLOAT)
    ints: list[int] = many(8, INT)
    strings: list[Any] = many(9, BYTES)
    type: int | None = one(20, INT)
    ref_attr_name: str = one(21, STRING, "")


@dataclass
class NodeProto:
    """An operator applied to named values."""

    input: list[str] = many(1, STRING)
    output: list[str] = many(2, STRING)
    name: str = one(3, STRING, "")
    op_type: str = one(4, STRING, "")
    attribute: list[AttributeProto] = many(5, AttributeProto)
    domain: str = one(7, STRING, "")


@dataclass
class SparseTensorProto:
    """Only recognized, to be refused."""

    values: TensorProto | None = one(1, TensorProto)


@dataclass
class GraphProto:
    """Nodes in the order in which they can run, with constants, inputs and outputs."""

    node: list[NodeProto] = many(1, NodeProto)
    name: str = one(2, STRING, "")
    initializer: list[TensorProto] = many(5, TensorProto)
    doc_string: str = one(10, STRING, "")
    input: list[ValueInfoProto] = many(11, ValueInfoProto)
    output: list[ValueInfoProto] = many(12, ValueInfoProto)
    sparse_initializer: list[SparseTensorProto] = many(15, SparseTensorProto)


@dataclass
class OperatorSetIdProto:
    """Which version of a set of operators the nodes mean."""

    domain: str = one(1, STRING, "")
    version: int | None = one(2, INT)


@dataclass
class ModelProto:
    """A whole file."""

    ir_version: int | None = one(1, INT)
    producer_name: str = one(2, STRING, "")
    producer_version: str = one(3, STRING, "")
    graph: GraphProto | None = one(7, GraphProto)
    opset_import: list[OperatorSetIdProto] = many(8, OperatorSetIdProto)
