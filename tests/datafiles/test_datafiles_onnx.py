"""ONNX graphs on chunks of columns: wherever the graph has its rows, files have them first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnnpack.datafiles import Computation
from rnnpack.formats.onnx import loads

onnx = pytest.importorskip("onnx")
rng = np.random.default_rng(2)
UNITS, FEATURES = 2, 3
KERNEL, RECURRENT = (rng.normal(size=(1, UNITS, width)).astype("f4") for width in (FEATURES, UNITS))


def recurrent(batch: Any, outputs: tuple[str, ...] = ("y", "last")) -> Any:
    """A graph of one RNN node, whose inputs are (time, batch, features)."""
    shapes = {"y": ["time", 1, batch, UNITS], "last": [1, batch, UNITS]}
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("RNN", ["x", "W", "R"], list(shapes), hidden_size=UNITS)],
        "graph",
        [tensor("x", float32, ["time", batch, FEATURES])],
        [tensor(name, float32, shapes[name]) for name in outputs],
        [onnx.numpy_helper.from_array(KERNEL, "W"), onnx.numpy_helper.from_array(RECURRENT, "R")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return loads(onnx.helper.make_model(graph, opset_imports=opsets).SerializeToString())


def pairwise(nodes: list[Any], inputs: dict[str, Any], outputs: list[str]) -> Any:
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [tensor(name, float32, shape) for name, shape in inputs.items()],
        [tensor(name, float32, None) for name in outputs],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return loads(onnx.helper.make_model(graph, opset_imports=opsets).SerializeToString())


def expected(x: np.ndarray) -> np.ndarray:
    """All states of the RNN, by its formula, rows first."""
    state, states = np.zeros((len(x), UNITS)), []
    for step in np.moveaxis(x.astype("f8"), 1, 0):
        state = np.tanh(step @ KERNEL[0].T + state @ RECURRENT[0].T)
        states.append(state)
    return np.stack(states, 1)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_rows_on_an_axis_named_batch(batch_size: int) -> None:
    x = rng.normal(size=(7, 5, FEATURES)).astype("f4")
    computation = Computation(recurrent("batch"), batch_size)
    assert [str(one) for one in computation.inputs] == ["x(any, 3)"]
    got = computation.compute({"anything": x})
    wanted = expected(x)
    # 5 steps of 5 products: a few roundings of numbers below 1.
    np.testing.assert_allclose(got["y"], wanted[:, :, None], atol=25 * np.finfo("f4").eps)
    np.testing.assert_allclose(got["last"], wanted[:, -1:], atol=25 * np.finfo("f4").eps)


def test_a_number_of_rows_that_the_file_fixes() -> None:
    model = pairwise([onnx.helper.make_node("Neg", ["x"], ["y"])], {"x": [2, 3]}, ["y"])
    x = rng.normal(size=(6, 3)).astype("f4")
    np.testing.assert_array_equal(Computation(model, 32).compute({"x": x})["y"], -x)
    with pytest.raises(ValueError, match="input x"):
        Computation(model, 32).compute({"x": x[:5]})


def test_several_inputs_without_names_of_axes() -> None:
    nodes = [
        onnx.helper.make_node("Add", ["a", "b"], ["sum"]),
        onnx.helper.make_node("Mul", ["a", "b"], ["product"]),
    ]
    model = pairwise(nodes, {"a": [None, 3], "b": [None, 3]}, ["sum", "product"])
    a, b = rng.normal(size=(2, 5, 3)).astype("f4")
    got = Computation(model, 2).compute({"b": b, "a": a})
    np.testing.assert_array_equal(got["sum"], a + b)
    np.testing.assert_array_equal(got["product"], a * b)


def test_a_first_axis_that_is_time_is_not_taken_for_rows() -> None:
    x = rng.normal(size=(7, 5, FEATURES)).astype("f4")
    for rows in (x, x[:1]):
        with pytest.raises(ValueError, match="output 'y' of the model differs among copies of one row"):
            Computation(recurrent(None, ("y",))).compute({"x": rows})


def test_what_does_not_fit() -> None:
    total = pairwise([onnx.helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], {"x": [None, 3]}, ["y"])
    with pytest.raises(
        ValueError, match=r"output 'y' of the model has shape \(\), expected 2 rows on axis 0"
    ):
        Computation(total).compute({"x": np.ones((2, 3), "f4")})
    with pytest.raises(ValueError, match="rows of one length only"):
        Computation(recurrent("batch")).compute({"x": (np.ones((3, 3), "f4"), np.array([1, 2]))})
    unknown = pairwise([onnx.helper.make_node("Neg", ["x"], ["y"])], {"x": None}, ["y"])
    with pytest.raises(ValueError, match="does not say its axes"):
        Computation(unknown)
