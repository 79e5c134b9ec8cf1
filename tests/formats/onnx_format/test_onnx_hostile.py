"""Files that are damaged, or made to do harm: each gives a FormatError, or a model that fails cleanly."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models as om
import pytest

import rnnpack.formats.onnx as onnx_format
from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import detect, loads, messages, tensors, wire
from rnnpack.formats.onnx.messages import ModelProto, TensorProto

FILES = Path(__file__).parent / "files"
F32 = np.float32


def attempt(data: bytes) -> None:
    """Loads, and runs where the inputs' sizes are known well enough."""
    try:
        model = loads(data)
        feeds = {
            spec.name: np.ones(
                [s if isinstance(s, int) and s < 99 else 2 for s in spec.shape or ()], spec.dtype
            )
            for spec in model.inputs
        }
        model(feeds)
    except (FormatError, ValueError):
        pass


@pytest.mark.parametrize("name", ["counter", "packed", "tagger"])
def test_truncated_files(name: str) -> None:
    data = (FILES / f"{name}.onnx").read_bytes()
    for end in range(0, len(data), 37):
        with pytest.raises(FormatError):
            loads(data[:end])


@pytest.mark.parametrize("name", ["counter", "packed", "tagger", "forecaster"])
def test_changed_bytes(name: str) -> None:
    data, draw = (FILES / f"{name}.onnx").read_bytes(), random.Random(name)
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(draw.choice([1, 1, 4])):
            changed[draw.randrange(len(changed))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
        attempt(bytes(changed))


def test_a_file_that_does_not_fit_its_name_or_place(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(FormatError, match=r"model\.onnx: ONNX: "):
        onnx_format.load(path)
    with pytest.raises(FormatError, match="custom_objects"):
        onnx_format.load(path, {"a": 1})
    with pytest.raises(OSError, match="missing"):
        onnx_format.load(tmp_path / "missing.onnx")


def test_detect() -> None:
    data = (FILES / "counter.onnx").read_bytes()
    assert detect(Path("a"), data[:4096]) and detect(Path("a.onnx"), data[:4096])
    assert (
        not detect(Path("a.onnx"), b"")
        and not detect(Path("a"), b"\x89HDF")
        and not detect(Path("a"), b"PK\3\4")
    )
    assert not detect(Path("a"), (2000).to_bytes(8, "little") + b"{")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no graph"),
        (b"\x08", "cut off"),
        (b"\x08" + b"\xff" * 11, "too long"),
        (b"\x3a\x7f", "should take 127 bytes, 0 are there"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "should take .* bytes, 0 are there"),
        (b"\x0b", "unknown wire type 3"),
        (b"\x0d\x00", "should take 4 bytes"),
        (b"\x00\x00", "field of number 0"),
        (b"\x0d\x00\x00\x00\x00", "ModelProto.ir_version has wire type 5"),
        (b"\x12\x01\xff", "not UTF-8"),
        (b"\x38\x01", "wire type 0"),
        (b"\x3a\x00", "one version of the standard operators"),
        (b"\x3a\x00\x42\x02\x10\x06", "opset 6 is not supported: expected 7 to 28"),
        (b"\x3a\x00\x42\x02\x10\x63", "opset 99 is not supported"),
        (b"\x3a\x00\x42\x02\x10\x11", "no outputs"),
    ],
)
def test_bytes_that_are_no_model(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        loads(data)


def test_nesting_is_bounded() -> None:
    data = b""
    for _ in range(2000):
        size = wire._unsigned(len(data))
        attribute = b"\x32" + size + data  # AttributeProto.g
        node = b"\x2a" + wire._unsigned(len(attribute)) + attribute
        data = b"\x0a" + wire._unsigned(len(node)) + node
    with pytest.raises(FormatError, match="nested more than 40 levels"):
        loads(b"\x3a" + wire._unsigned(len(data)) + data)


def test_messages_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_MESSAGES", 100)
    nodes = b"\x0a\x00" * 101
    with pytest.raises(FormatError, match="more than 100 messages"):
        loads(b"\x3a" + wire._unsigned(len(nodes)) + nodes)


def test_unknown_fields_are_skipped() -> None:
    data = om.model([om.node("Relu", "x", "y")], {"x": (F32, (None,))}, ["y"])
    extra = b"\xa0\x06\x01" + b"\xa2\x06\x02ab" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh"
    np.testing.assert_array_equal(loads(data + extra)(np.float32([-1, 1])), [0, 1])


def test_every_kind_of_field_comes_back() -> None:
    tensor = TensorProto(
        [2, -1], 1, [1.5, -2.0], [1, -1], [b"a"], [2**62, -(2**62)], "n", b"raw", [1e300], [7]
    )
    tensor.external_data = [messages.StringStringEntryProto("key", "value")]
    assert wire.decode(TensorProto, wire.encode(tensor)) == tensor
    # Numbers of repeated fields may also come one by one.
    loose = b"\x08\x03\x08\x04" + b"\x25\x00\x00\x80\x3f" + b"\x51" + np.float64(2).tobytes()
    found = wire.decode(TensorProto, loose)
    assert (found.dims, found.float_data, found.double_data) == ([3, 4], [1.0], [2.0])


# Tensors.

TENSORS: list[tuple[TensorProto, str]] = [
    (TensorProto([2], None), "element type None"),
    (TensorProto([2], 8, string_data=[b"a", b"b"]), r"element type 8 \(string\)"),
    (TensorProto([2], 1, raw_data=b"1234567"), "needs 8 bytes, got 7"),
    (TensorProto([-1], 1, raw_data=b""), r"the shape \(-1,\)"),
    (TensorProto([1] * 40, 1, raw_data=b"1234"), "the shape"),
    (TensorProto([1 << 62, 1 << 62], 1, raw_data=b"1234"), "bytes, got 4"),
    (TensorProto([3], 1, [1.0]), "should hold 3 numbers, got 1"),
    (TensorProto([1 << 50], 1), "numbers, got 0"),
    (TensorProto([2], 14, [1.0, 2.0]), "should hold 4 numbers"),
    (TensorProto([1], 1, raw_data=b"1234", data_location=1), "in another file"),
    (
        TensorProto([1], 1, external_data=[messages.StringStringEntryProto("location", "../secret")]),
        r"kept in another file \('\.\./secret'\): save the model in a single file",
    ),
]


@pytest.mark.parametrize(("tensor", "words"), TENSORS)
def test_tensors_that_do_not_fit(tensor: TensorProto, words: str) -> None:
    tensor.name = "weights"
    graph = om.graph([om.node("Identity", "weights", "y")], {}, ["y"])
    graph.initializer = [tensor]
    with pytest.raises(FormatError, match=words) as caught:
        loads(om.file(graph))
    assert "'weights'" in str(caught.value)
    node = om.node("Constant", "", "y", "the node")
    node.attribute = [messages.AttributeProto("value", t=tensor, type=4)]
    with pytest.raises(FormatError, match=words):
        loads(om.model([node], {}, ["y"]))


@pytest.mark.parametrize(
    "dtype", ["f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", "c8", "c16"]
)
def test_tensors_of_every_type(dtype: str) -> None:
    array = np.array([[0, 1, 3]]).astype(dtype)
    if array.dtype.kind in "fic":
        array[0, 1] = -2
    raw = tensors.to_tensor(array, "a")
    np.testing.assert_array_equal(tensors.to_array(raw), array)
    listed = TensorProto([1, 3], raw.data_type)
    field = tensors._TYPES[raw.data_type or 0][1]
    numbers: Any = array.ravel()
    if dtype == "f2":
        numbers = numbers.view(np.uint16)
    elif array.dtype.kind == "c":
        numbers = numbers.view(f"f{array.itemsize // 2}")
    setattr(listed, field, numbers.tolist())
    got = tensors.to_array(wire.decode(TensorProto, wire.encode(listed)))
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype and not got.flags.writeable


def test_arrays_without_a_type() -> None:
    with pytest.raises(FormatError, match="no element type for"):
        tensors.to_tensor(np.array(["a"]), "a")


# Graphs.


def changed(change: Any, nodes: Any = None) -> bytes:
    """A small graph after a change."""
    graph = om.graph(
        nodes or [om.node("Relu", "x", "y")], {"x": (F32, (None,))}, ["y"], {"w": np.ones(2, F32)}
    )
    change(graph)
    return om.file(graph)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.node.append(om.node("Relu", "later", "z")), "node z .* needs 'later', which nothing"),
        (lambda g: g.node.insert(0, om.node("Neg", "y", "x2")), "needs 'y', which nothing before"),
        (lambda g: g.node.append(om.node("Neg", "x", "y")), "defines 'y' a second time"),
        (lambda g: g.initializer.extend(g.initializer), "initializer 'w' defines 'w' a second time"),
        (lambda g: g.input.extend(g.input), "a second time"),
        (lambda g: g.output.append(om.value_info("q", F32, None)), "outputs needs 'q'"),
        (lambda g: setattr(g.node[0], "domain", "com.microsoft"), "domain 'com.microsoft' are not supported"),
        (lambda g: setattr(g.node[0], "output", []), "1 to 1 outputs, got 0"),
        (lambda g: setattr(g.node[0], "output", ["y", "z"]), "1 to 1 outputs, got 2"),
        (lambda g: setattr(g, "sparse_initializer", [messages.SparseTensorProto()]), "sparse"),
        (lambda g: setattr(g.input[0], "type", None), "input 'x' is no tensor"),
        (lambda g: setattr(g.input[0].type, "tensor_type", None), "input 'x' is no tensor"),
        (lambda g: setattr(g.output[0].type, "tensor_type", None), "output 'y' is no tensor"),
        (lambda g: setattr(g.input[0].type.tensor_type, "elem_type", 8), "element type 8"),
        (lambda g: g.input[0].type.tensor_type.shape.dim.extend([messages.Dimension()] * 40), "41 axes"),
    ],
)  # fmt: skip
def test_graphs_that_do_not_fit(change: Any, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        loads(changed(change))


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        (messages.AttributeProto("axis", i=1), "type None, expected i"),
        (messages.AttributeProto("axis", i=1, type=2, ref_attr_name="a"), "type i, expected i|type"),
        (messages.AttributeProto("axis", type=99), "type 99"),
    ],
)
def test_attributes_that_do_not_fit(attribute: messages.AttributeProto, words: str) -> None:
    node = om.node("Softmax", "x", "y")
    node.attribute = [attribute]
    with pytest.raises(FormatError, match=words):
        loads(om.model([node], {"x": (F32, None)}, ["y"]))
    node.attribute = [om.attribute("axis", 1)] * 2
    with pytest.raises(FormatError, match="there twice"):
        loads(om.model([node], {"x": (F32, None)}, ["y"]))


def test_outputs_without_a_type() -> None:
    model = loads(changed(lambda graph: setattr(graph.output[0], "type", None)))
    assert (model.outputs[0].shape, model.outputs[0].dtype) == (None, None)


@pytest.mark.parametrize(
    "nodes",
    [
        [om.node("Concat", f"y{at} y{at}", f"y{at + 1}", axis=0) for at in range(60)],
        [om.node("Tile", f"y{at} eight", f"y{at + 1}") for at in range(60)],
        [om.node("ConstantOfShape", "large", f"y{at + 1}") for at in range(60)],
    ],
)
def test_growing_constants_end_while_loading_or_running(nodes: Any) -> None:
    constants = {"y0": np.ones(8, F32), "eight": np.array([8]), "large": np.array([1 << 40])}
    start = time.monotonic()
    model = loads(om.model(nodes, {}, ["y60"], constants))
    assert time.monotonic() - start < 5 and sum(np.size(v) for v in model._program.values) < 1 << 27


def test_other_programs_read_what_is_written() -> None:
    onnx = pytest.importorskip("onnx")
    data = om.model(
        [om.node("Softmax", "x", "y", axis=0)], {"x": (F32, ("n", 3))}, ["y"], {"w": np.ones(2, F32)}
    )
    model = onnx.load_from_string(data)
    assert (
        model.graph.node[0].attribute[0].i == 0
        and model.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3
    )
    assert wire.decode(ModelProto, model.SerializeToString()) == wire.decode(ModelProto, data)


def test_what_is_computed_while_loading_is_bounded_all_together() -> None:
    nodes = [om.node("ConstantOfShape", "size", "y0")]
    for at in range(40):  # each reshape of a transposed array is a copy
        nodes += [om.node("Transpose", f"y{at}", f"t{at}"), om.node("Reshape", f"t{at} other", f"y{at + 1}")]
    outputs = [f"y{at}" for at in range(41)]
    sizes = {"size": np.array([1000, 1000]), "other": np.array([500, 2000])}
    model = loads(om.model(nodes, {}, outputs, sizes))
    assert len(model._program.steps) > 60
    np.testing.assert_array_equal(model()[40], np.zeros((500, 2000)))
