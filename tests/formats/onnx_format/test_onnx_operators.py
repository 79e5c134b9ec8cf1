"""The cases that the onnx package ships for each operator, and rules that it has no cases for."""

from __future__ import annotations

import functools
import re
import warnings
from typing import Any

import numpy as np
import onnx_models as om
import pytest

from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import loads
from rnnpack.formats.onnx.node import OPERATORS

# What is refused by name: types NumPy does not have, training, values that are no arrays, old versions.
REFUSED = re.compile(
    r"element type|is no tensor|operator is not supported|training mode|opset 1 |'Indices'|storage_order|"
    r"\(Scan\): needs opset 9|domain 'ai.onnx.(ml|preview)"
)


@functools.lru_cache(maxsize=1)
def cases() -> dict[str, list[Any]]:
    """The cases by their first node's operator."""
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        before = np.random.get_state()  # the cases draw their inputs
        np.random.seed(0)
        found: dict[str, list[Any]] = {}
        for case in collect_testcases(None):
            found.setdefault(case.model.graph.node[0].op_type, []).append(case)
        np.random.set_state(before)
    return found


def as_array(value: Any) -> Any:
    """Some cases hold their arrays as tensors of the onnx package."""
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_the_cases_of_onnx(op: str) -> None:
    ran = 0
    for case in cases().get(op, []):
        if {node.op_type for node in case.model.graph.node} - set(OPERATORS):
            continue
        try:
            model = loads(case.model.SerializeToString())
        except FormatError as error:
            assert REFUSED.search(str(error)), f"{case.name}: {error}"
            continue
        for inputs, outputs in case.data_sets:
            try:
                found = model(*map(as_array, inputs))
            except ValueError as error:
                assert REFUSED.search(str(error)), f"{case.name}: {error}"
                continue
            found = found if isinstance(found, list) else [found]
            for got, value in zip(found, outputs, strict=True):
                want = np.asarray(as_array(value))
                assert (got.dtype, got.shape) == (want.dtype, want.shape), case.name
                np.testing.assert_allclose(got, want, case.rtol, case.atol, err_msg=case.name)
            ran += 1
    assert ran or not cases().get(op) or op in ("Constant", "Not"), f"no case of {op} ran"


def run(op: str, *inputs: Any, opset: int = 17, outputs: int = 1, **attributes: Any) -> Any:
    """One node on arrays, all of them inputs of the graph; None for one left out."""
    arrays = [None if value is None else np.asarray(value) for value in inputs]
    names = ["-" if array is None else f"x{at}" for at, array in enumerate(arrays)]
    given = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    described = {name: (array.dtype, (None,) * array.ndim) for name, array in given.items()}
    results = [f"y{at}" for at in range(outputs)]
    made = om.node(op, " ".join(names), " ".join(results), **attributes)
    return loads(om.model([made], described, results, opset=opset))(given)


X = np.arange(12, dtype=np.float32).reshape(3, 4)
P = np.exp(X - 3 - 4 * np.arange(3)[:, None]) / sum(np.exp(-np.arange(4.0)))
ONES = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("opset", "op", "inputs", "attributes", "want"),
    [
        (10, "Clip", [X], {"min": 2.0, "max": 5.0}, np.clip(X, 2, 5)),
        (10, "Clip", [X], {}, X),
        (9, "Slice", [X], {"starts": [1], "ends": [3], "axes": [1]}, X[:, 1:3]),
        (9, "Slice", [X], {"starts": [1, 0], "ends": [9, -1]}, X[1:, :-1]),
        (10, "Slice", [X, [-9], [9]], {}, X),
        (10, "Slice", [X, [9], [-9], [1], [-1]], {}, X[:, ::-1]),
        (10, "Slice", [X, [-9], [-20], [1], [-1]], {}, X[:, :0]),
        (10, "Pad", [X], {"pads": [1, 0, 0, 0], "value": 1.5}, np.vstack([1.5 * ONES, X])),
        (10, "Pad", [X], {"pads": [0, 1, 0, 1], "mode": "edge"}, np.pad(X, ((0, 0), (1, 1)), "edge")),
        (13, "Pad", [X, np.array([0, -1, 0, 1])], {}, np.pad(X[:, 1:], ((0, 0), (0, 1)))),
        (11, "Squeeze", [X[:, None]], {"axes": [1]}, X),
        (11, "Squeeze", [X[None, :, None]], {}, X),
        (11, "Unsqueeze", [X], {"axes": [0, -1]}, X[None, :, :, None]),
        (9, "TopK", [X], {"k": 1}, X[:, -1:]),
        (17, "ReduceMax", [X], {"axes": [1], "keepdims": 0}, X.max(1)),
        (17, "ReduceSum", [X, None], {"noop_with_empty_axes": 1}, X),
        (11, "ReduceSum", [X], {"axes": [-1]}, X.sum(1, keepdims=True)),
        (12, "Softmax", [X.reshape(3, 2, 2)], {}, P.reshape(3, 2, 2)),
        (11, "Dropout", [X], {"ratio": 0.3}, X),
        (13, "Dropout", [X, np.float32(0.5), np.bool_(False)], {"seed": 1}, X),
        (8, "BatchNormalization", [X, ONES, ONES, ONES, 3 * ONES], {"epsilon": 1.0}, (X + 1) / 2),
        (17, "Gemm", [X, X], {"transB": 1, "alpha": 0.5}, 0.5 * X @ X.T),
        (17, "Gemm", [X, X, np.float32(2)], {"transA": 1, "beta": 0.5}, X.T @ X + 1),
        (17, "Gemm", [X, X.T, np.float32(2)], {"beta": 0.0}, X @ X.T),
        (17, "Split", [X], {"axis": 1}, X),
        (11, "Split", [X], {"axis": 1, "split": [4]}, X),
        (17, "Gather", [X, np.array(-1)], {"axis": 1}, X[:, -1]),
        (17, "Reshape", [X, [0, -1]], {}, X),
        (17, "Flatten", [X], {"axis": 2}, X.reshape(12, 1)),
        (17, "Range", [np.int64(5), np.int64(0), np.int64(-2)], {}, [5, 3, 1]),
        (17, "Compress", [X, [False, True]], {"axis": 0}, X[1:2]),
        (17, "Shape", [X], {"start": 1}, [4]),
        (17, "Size", [X], {}, 12),
        (17, "Einsum", [X, X], {"equation": "ab, cb -> ac"}, X @ X.T),
        (17, "Einsum", [X, X], {"equation": "...b,...b"}, (X * X).sum(1)),
        (17, "Mean", [X, X + 2], {}, X + 1),
        (17, "ReduceLogSumExp", [np.zeros((2, 0), np.float32)], {"axes": [1]}, np.full((2, 1), -np.inf)),
        (17, "LpNormalization", [X[1:]], {"p": 1}, X[1:] / X[1:].sum(1, keepdims=True)),
        (17, "Softmax", [X[:, :0]], {}, X[:, :0]),
        (17, "Identity", [X], {}, X),
        (17, "Not", [X > 3], {}, X <= 3),
        (17, "Elu", [-X], {"alpha": 2.0}, 2 * np.expm1(-X)),
        (17, "HardSigmoid", [X], {"alpha": 0.1}, np.clip(0.1 * X + 0.5, 0, 1)),
        (17, "Trilu", [X, np.int64(10**12)], {}, X * 0),
        (17, "Div", [[-7, 7], [2, -2]], {}, [-3, -3]),
        (17, "Sigmoid", [np.float32([-200, 0, 200])], {}, [0, 0.5, 1]),
    ],
)  # fmt: skip
def test_versions_and_edges(opset: int, op: str, inputs: Any, attributes: Any, want: Any) -> None:
    got = run(op, *inputs, opset=opset, outputs=2 if op == "TopK" else 1, **attributes)
    got = got[0] if isinstance(got, list) else got
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    assert got.shape == np.shape(want)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "words"),
    [
        ("Reshape", [X, [0, 0, 0]], {}, "copies sizes"),
        ("Reshape", [X, [5, -1]], {}, "cannot reshape"),
        ("Reshape", [X, [1.5]], {}, "list of integers"),
        ("Split", [X, [1, 1]], {}, "cannot split"),
        ("Slice", [X, [0], [1], [0], [0]], {}, "do not fit"),
        ("Slice", [X, [0], [1], [5]], {}, "axis 5"),
        ("Transpose", [X], {"perm": [0, 0]}, "repeated axis"),
        ("Squeeze", [X, [0, 0]], {}, "twice"),
        ("Gather", [X, [7]], {}, "out of bounds for axis 0 with size 3"),
        ("Gather", [X, [0.5]], {}, "Cannot cast|cannot be"),
        ("GatherElements", [X, [0]], {}, "1 axes"),
        ("GatherElements", [X, [[0.5]]], {}, "must be integers"),
        ("GatherElements", [X, [[7]]], {}, "axis of size 3"),
        ("GatherElements", [X, np.zeros((9, 1), int)], {"axis": 1}, "indices of shape"),
        ("GatherND", [X, np.zeros((2, 3), int)], {}, "data of shape"),
        ("GatherND", [X, np.zeros((2, 1), int)], {"batch_dims": 1}, "sizes differ"),
        ("ScatterND", [X, [[0]], X], {}, "updates of shape"),
        ("ScatterElements", [X, [[0]], X], {}, "updates of shape"),
        ("Tile", [X, [2]], {}, "1 repeats"),
        ("Pad", [X, [1]], {}, "1 pads"),
        ("TopK", [X, [9]], {}, "k=9"),
        ("Range", [np.int64(0), np.int64(5), np.int64(0)], {}, "no range"),
        ("EyeLike", [X[0]], {}, "2 axes"),
        ("Conv", [X, X], {}, "weights of shape"),
        ("Conv", [X[None], X[None]], {"group": 3}, "3 groups"),
        ("Conv", [X[None], np.ones((1, 3, 9), np.float32)], {}, "larger than the input"),
        ("Conv", [X[None], np.ones((1, 3, 1), np.float32)], {"pads": [1]}, "pads"),
        ("Conv", [X[None], np.ones((1, 3, 1), np.float32)], {"strides": [1, 1]}, "strides"),
        ("MatMul", [X, X], {}, "MatMul|matmul"),
        ("Gemm", [X, X[0]], {}, "matrices"),
        ("Gemm", [X, X], {}, "matmul|mismatch"),
        ("Einsum", [X], {"equation": "abc->a"}, "does not fit shape"),
        ("Add", [X, X[:2]], {}, "broadcast"),
        ("ReverseSequence", [X, [1, 9, 1, 1]], {}, "lengths"),
        ("BatchNormalization", [X, *[X[0, :2]] * 4], {}, "scale of shape"),
        ("Dropout", [X, np.float32(0.5), np.bool_(True)], {}, "training mode"),
        ("Cast", [np.array(1)], {"to": 1}, None),
    ],
)
def test_what_does_not_fit_is_named(op: str, inputs: Any, attributes: Any, words: str | None) -> None:
    if words is None:
        run(op, *inputs, **attributes)
        return
    with pytest.raises(ValueError, match=words) as caught:
        run(op, *inputs, **attributes)
    assert f"({op})" in str(caught.value) and "\n" not in str(caught.value)


HUGE = 1 << 40


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("Expand", [np.float32(1), [HUGE]], {}),
        ("Tile", [np.ones(4, np.float32), [HUGE]], {}),
        ("Range", [np.int64(0), np.int64(HUGE), np.int64(1)], {}),
        ("ConstantOfShape", [[HUGE, 3]], {}),
        ("ConstantOfShape", [[1] * 40], {}),
        ("ConstantOfShape", [[-1]], {}),
        ("Pad", [np.ones(1, np.float32), [0, HUGE]], {}),
        ("OneHot", [np.zeros(9, np.int64), np.int64(HUGE), np.float32([0, 1])], {}),
        ("Add", [np.ones((1 << 16, 1), np.float32), np.ones((1, 1 << 16), np.float32)], {}),
        ("MatMul", [np.ones((1 << 16, 1), np.float32), np.ones((1, 1 << 16), np.float32)], {}),
        ("Gemm", [np.ones((1 << 16, 1), np.float32), np.ones((1, 1 << 16), np.float32)], {}),
        ("Einsum", [np.ones(1 << 16, np.float32), np.ones(1 << 16, np.float32)], {"equation": "a,b->ab"}),
        ("Gather", [np.ones((2, 1 << 16), np.float32), np.zeros(1 << 16, np.int64)], {}),
        ("Conv", [np.ones((1, 1, 4), np.float32), np.ones((1, 1, 2), np.float32)], {"pads": [1 << 30, 1]}),
        ("MaxPool", [np.ones((1, 1, 4), np.float32)], {"kernel_shape": [2], "pads": [1 << 30, 1]}),
        ("Unsqueeze", [np.ones(1, np.float32), list(range(1, 40))], {}),
    ],
)
def test_sizes_are_bounded(op: str, inputs: Any, attributes: Any) -> None:
    with pytest.raises(ValueError, match=r"elements, at most|negative size|more than 32"):
        run(op, *inputs, **attributes)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "words"),
    [
        ("Concat", "x", {}, "'axis' is missing"),
        ("Cast", "x", {}, "'to' is missing"),
        ("Cast", "x", {"to": 16}, "bfloat16"),
        ("Cast", "x", {"to": 77}, "element type 77"),
        ("Unsqueeze", "x", {}, "no axes"),
        ("Slice", "x", {}, "'starts' and 'ends'"),
        ("Pad", "x", {}, "'pads' is needed"),
        ("Pad", "x", {"mode": "odd"}, "must be one of constant"),
        ("TopK", "x", {}, "no k"),
        ("Softmax", "x", {"axis": 1.0}, "type f, expected i"),
        ("Softmax", "x", {"axes": 1}, "unknown attribute 'axes'"),
        ("Gelu", "x", {}, "needs opset 20"),
        ("Relu", "x x", {}, "1 to 1 inputs, got 2"),
        ("Add", "x -", {}, r"got 2 \(1 named\)"),
        ("Fancy", "x", {}, "operator is not supported"),
        ("MaxPool", "x", {}, "'kernel_shape' is missing"),
        ("MaxPool", "x", {"kernel_shape": [0]}, "at least 1"),
        ("MaxPool", "x", {"kernel_shape": [1], "storage_order": 1}, "storage_order"),
        ("Conv", "x x", {"group": 0}, "must be positive"),
        ("LpNormalization", "x", {"p": 3}, "must be 1 or 2"),
        ("GroupNormalization", "x x x", {}, "needs opset 18"),
        ("Einsum", "x", {"equation": "a,b->ab"}, "does not fit 1 inputs"),
        ("Einsum", "x", {"equation": "a1->a"}, "does not fit"),
        ("ReverseSequence", "x x", {"batch_axis": 2}, "must be 0 and 1"),
        ("ConstantOfShape", "x", {"value": np.ones(2)}, "one element"),
        ("BatchNormalization", "x x x x x", {"training_mode": 1}, "training mode"),
        ("If", "x", {}, "must be a graph"),
        ("Relu", "x", {"keepdims": 2}, "unknown attribute"),
        ("ReduceMax", "x", {"keepdims": 2}, "must be 0 or 1"),
        ("ReduceMax", "x x", {}, "axes are an attribute"),
        ("Scan", "x", {}, "must be a graph"),
    ],
)
def test_what_is_not_supported_is_named_when_loading(
    op: str, inputs: str, attributes: Any, words: str
) -> None:
    data = om.model([om.node(op, inputs, "y", "the node", **attributes)], {"x": (np.float32, None)}, ["y"])
    with pytest.raises(FormatError, match=words) as caught:
        loads(data)
    assert f"the node ({op})" in str(caught.value)


def test_group_normalization_needs_groups() -> None:
    nodes = [om.node("GroupNormalization", "x x x", "y")]
    with pytest.raises(FormatError, match="'num_groups' must be positive"):
        loads(om.model(nodes, {"x": (np.float32, None)}, ["y"], opset=18))


@pytest.mark.parametrize(
    ("attributes", "want"),
    [
        ({"value": X}, X),
        ({"value_float": 1.5}, np.float32(1.5)),
        ({"value_floats": [1.5, 2.0]}, np.float32([1.5, 2])),
        ({"value_int": 3}, np.int64(3)),
        ({"value_ints": [3, 4]}, np.int64([3, 4])),
    ],
)
def test_constants(attributes: Any, want: Any) -> None:
    got = loads(om.model([om.node("Constant", "", "y", **attributes)], {}, ["y"]))()
    np.testing.assert_array_equal(got, want)
    assert got.dtype == want.dtype and got.flags.writeable
    with pytest.raises(FormatError, match="no value"):
        loads(om.model([om.node("Constant", "", "y", value_string="a")], {}, ["y"]))
