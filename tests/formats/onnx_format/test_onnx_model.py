"""Whole models: what exporters write, calling, predicting, copying, graphs inside graphs."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models as om
import pytest

import rnnpack.formats.onnx as onnx_format
from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import OnnxModel, loads
from rnnpack.formats.onnx.operators import flow

FILES = Path(__file__).parent / "files"
# By PyTorch's exporters; by tf2onnx from Keras, where Loops hold what masks need.
TORCH = ["counter", "forecaster", "packed", "tagger", "dynamo_tagger"]
KERAS = [f"keras_{name}" for name in ("attention", "bidirectional", "convolution", "gru", "lstm", "masked")]
F32 = np.float32


def fixture(name: str) -> tuple[OnnxModel, dict[str, Any], list[Any]]:
    """A model that was exported, its inputs, and the framework's outputs."""
    model = onnx_format.load(FILES / f"{name}.onnx")
    with np.load(FILES / f"{name}.npz") as arrays:
        inputs = {key[3:]: arrays[key] for key in arrays.files if key.startswith("in_")}
        return model, inputs, [arrays[key] for key in arrays.files if key.startswith("out_")]


def listed(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


@pytest.mark.parametrize("name", TORCH + KERAS)
def test_what_exporters_write(name: str) -> None:
    model, inputs, want = fixture(name)
    # Outputs are of size 1 and the models are a few products of at most 12 numbers deep.
    for got, expected in zip(listed(model(inputs)), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    assert all(explanation.native for explanation in model.explain().values())


@pytest.mark.parametrize("name", TORCH + KERAS)
def test_as_onnx_runtime(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model, inputs, _ = fixture(name)
    session = runtime.InferenceSession(FILES / f"{name}.onnx", providers=["CPUExecutionProvider"])
    for got, expected in zip(listed(model(inputs)), session.run(None, inputs), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TORCH)
def test_predict_cuts_where_the_axes_say_batch(name: str) -> None:
    model, inputs, _ = fixture(name)
    whole = listed(model(inputs))
    for size in (1, 2, 100):
        if name == "packed" and size == 1:
            continue  # PyTorch's graph cuts sequences to the longest row of a batch
        for got, expected in zip(listed(model.predict(inputs, batch_size=size)), whole, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(listed(model.predict(inputs, None, verbose=1))[0], whole[0])


def test_predict_on_axes_without_names() -> None:
    # A cumulative sum over time, the first axis: no rows to cut.
    nodes = [om.node("CumSum", "x zero", "y")]
    model = loads(om.model(nodes, {"x": (F32, (None, None))}, ["y"], {"zero": np.int64(0).reshape(())}))
    x = np.ones((40, 2), F32)
    np.testing.assert_array_equal(model.predict(x), np.cumsum(x, 0))
    np.testing.assert_array_equal(model.predict(x, 1, batch_axis=1), np.cumsum(x, 0))
    with pytest.raises(ValueError, match="must be an axis of all, got 5"):
        model.predict(x, batch_axis=5)
    with pytest.raises(ValueError, match="`batch_size` be positive"):
        model.predict(x, 0, batch_axis=1)


@pytest.mark.parametrize("name", ["tagger", "forecaster"])
def test_copies_compute_the_same(name: str) -> None:
    model, inputs, _ = fixture(name)
    model.set_precision("bfloat16")
    want = listed(model(inputs))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.precision == "bfloat16"
        for got, expected in zip(listed(other(inputs)), want, strict=True):
            np.testing.assert_array_equal(got, expected)
    assert pickle.loads(pickle.dumps(fixture(name)[0])).precision == "full"


def test_threads_share_a_model() -> None:
    model, inputs, _ = fixture("tagger")
    want, wrong = model(inputs), []

    def work() -> None:
        wrong.extend(None for _ in range(50) if not np.array_equal(model(inputs), want))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model, _, _ = fixture("forecaster")
    model.summary()
    text = capsys.readouterr().out
    assert "opset 17, 769 parameters" in text and "x float32 (time, batch, 3)" in text
    assert "GRU 2" in text and "/gru/GRU: native: gru/" in text
    assert model.count_params() == 769 and repr(model) == "<OnnxModel main_graph: x, h -> y, state>"


def adding(shape: Any = ("batch", 2)) -> OnnxModel:
    """y = x + w, z = x."""
    nodes = [om.node("Add", "x w", "y"), om.node("Identity", "x", "z"), om.node("Identity", "y", "again")]
    outputs = ["y", "z", "again", "w"]
    return loads(om.model(nodes, {"x": (F32, shape), "w": (F32, shape)}, outputs, {"w": np.ones(2, F32)}))


def test_calling() -> None:
    model, x = adding(), np.zeros((3, 2), F32)
    assert model.input_names == ["x"]  # w has a value
    for outputs in (
        model(x),
        model([x]),
        model({"x": x}),
        model(x=x),
        model(x.astype(int)),
    ):
        np.testing.assert_array_equal(outputs[0], x + 1)
    assert str(model.outputs[0]) == "y float32 (?)" and str(model.inputs[0]) == "x float32 (batch, 2)"


def test_outputs_are_new() -> None:
    model, x = adding(), np.zeros((3, 2), F32)
    outputs = model(x)
    for output in outputs:
        output[...] = 7
    np.testing.assert_array_equal(x, 0)
    outputs = model(x)
    assert not any(np.shares_memory(a, b) for a in outputs for b in outputs if a is not b)
    np.testing.assert_array_equal(outputs[3], 1)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((), "expected 1 inputs"),
        ((np.zeros((3, 2), F32),) * 2, "expected 1 inputs .*, got 2"),
        (({"a": 1},), r"missing \['x'\], unknown \['a'\]"),
        ((np.zeros((3, 3), F32),), r"input x float32 \(batch, 2\) got an array of shape \(3, 3\)"),
        ((np.zeros(2, F32),), "got an array of shape"),
        ((np.zeros((3, 2), complex),), "'x' must be float32, got complex128"),
        ((np.array([["a", "b"]]),), "must be float32"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        adding()(*inputs)


def test_two_inputs_by_place_and_name() -> None:
    described = {"a": (F32, (None,)), "b": (F32, (0,))}  # 0 stands for a size that is not known
    model = loads(om.model([om.node("Sub", "a b", "y")], described, ["y"]))
    two, one = np.float32([2]), np.float32([1])
    for result in (model(two, one), model(two, b=one), model(b=one, a=two), model((two, one))):
        np.testing.assert_array_equal(result, [1])
    with pytest.raises(ValueError, match="one number of rows"):
        model.predict([two, np.ones(5, F32)], batch_axis=0)


# Graphs inside graphs.


def body(nodes: list[Any], inputs: list[str], outputs: list[str], constants: Any = None) -> Any:
    return om.graph(nodes, {name: (F32, None) for name in inputs}, outputs, constants)


def test_if_reads_values_around_it() -> None:
    product, negative = (
        body([node], [], ["d"]) for node in (om.node("Mul", "x w", "d"), om.node("Neg", "x", "d"))
    )
    deep = om.node("If", "c", "deep", then_branch=product, else_branch=negative)
    inner = body([deep], [], ["deep", "w"])
    other = body([om.node("Add", "s x", "o")], [], ["o", "s"])
    nodes = [om.node("Abs", "x", "s"), om.node("If", "c", "y z", then_branch=inner, else_branch=other)]
    model = loads(om.model(nodes, {"c": (bool, ()), "x": (F32, (None,))}, ["y", "z"], {"w": np.float32([3])}))
    x = np.float32([-1, 2])
    y, z = model(True, x)
    np.testing.assert_array_equal(y, 3 * x)
    np.testing.assert_array_equal(z, [3])
    y, z = model(False, x)
    np.testing.assert_array_equal(y, np.abs(x) + x)


def test_recurrent_nodes_in_subgraphs_are_explained() -> None:
    weights = {"W": np.ones((1, 3, 2), F32), "R": np.ones((1, 3, 3), F32)}
    branch = body([om.node("RNN", "x W R", "y", "rnn")], [], ["y"], weights)
    other = body([om.node("Identity", "x", "y")], [], ["y"])
    nodes = [om.node("If", "c", "y", "choice", then_branch=branch, else_branch=other)]
    model = loads(om.model(nodes, {"c": (bool, ()), "x": (F32, (None, None, 2))}, ["y"]))
    assert list(model.explain()) == ["choice.then_branch/rnn"] and model.count_params() == 15
    assert model(True, np.zeros((2, 1, 2))).shape == (2, 1, 1, 3)


def loop(nodes: list[Any], outputs: list[str], trips: Any, going: str = "-") -> OnnxModel:
    inner = om.graph(nodes, {"i": (np.int64, ()), "on": (bool, ()), "a": (F32, None)}, outputs)
    made = [om.node("Loop", f"n {going} x", "last rows", body=inner)]
    return loads(om.model(made, {"x": (F32, (None,))}, ["last", "rows"], {"n": np.array(trips, np.int64)}))


def test_loops() -> None:
    nodes = [om.node("Add", "a x", "b"), om.node("Identity", "on", "next"), om.node("Neg", "b", "row")]
    last, rows = loop(nodes, ["next", "b", "row"], 3)(np.float32([1, 2]))
    np.testing.assert_array_equal(last, [4, 8])
    np.testing.assert_array_equal(rows, [[-2, -4], [-3, -6], [-4, -8]])
    with pytest.raises(ValueError, match="without a step"):
        loop(nodes, ["next", "b", "row"], 0)(np.float32([1, 2]))


def test_loops_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_STEPS", 100)
    endless = body([], ["i", "on", "a"], ["on", "a"])
    nodes = [om.node("Loop", "- - x", "y", body=endless)]
    with pytest.raises(ValueError, match="loops of more than 100 steps"):
        loads(om.model(nodes, {"x": (F32, None)}, ["y"]))(np.ones(1))
    # Loops in loops count together, those beside each other do not.
    twenty = {"n": np.array(20)}
    inner = om.node("Loop", "n - x", "b", body=body([], ["i2", "on2", "a2"], ["on2", "a2"]))
    nested = om.graph([inner], {name: (F32, None) for name in ("i", "on", "a")}, ["on", "b"])
    nodes = [om.node("Loop", "n - x", "y", body=nested)]
    with pytest.raises(ValueError, match="loops of more than 100 steps"):
        loads(om.model(nodes, {"x": (F32, None)}, ["y"], twenty))(np.ones(1))
    beside = [
        om.node("Loop", "n - x", f"y{at}", body=body([], ["i", "on", "a"], ["on", "a"])) for at in range(6)
    ]
    assert loads(om.model(beside, {"x": (F32, None)}, ["y5"], twenty))(np.ones(1)) == 1


def test_a_node_in_a_loop_is_named() -> None:
    nodes = [om.node("Concat", "a a", "b", axis=0), om.node("MatMul", "b x", "row", "product")]
    with pytest.raises(ValueError, match=r"^ONNX node product \(MatMul\): "):
        loop(nodes, ["on", "b", "row"], 3)(np.float32([1, 2]))


def test_scans_both_ways() -> None:
    inner = body([om.node("Add", "s x", "t"), om.node("Identity", "t", "y")], ["s", "x"], ["t", "y"])
    options = {"num_scan_inputs": 1, "scan_input_directions": [1], "scan_output_directions": [1],
               "scan_input_axes": [1], "scan_output_axes": [-1]}  # fmt: skip
    nodes = [om.node("Scan", "first series", "final sums", body=inner, **options)]
    model = loads(om.model(nodes, {"first": (F32, (1,)), "series": (F32, (1, None))}, ["final", "sums"]))
    series = np.float32([[1, 2, 3]])
    final, sums = model(np.zeros(1), series)
    np.testing.assert_array_equal(final, [6])
    np.testing.assert_array_equal(sums, [[6, 5, 3]])
    with pytest.raises(ValueError, match="without a step"):
        model(np.zeros(1), series[:, :0])


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            om.node("If", "x", "a b", then_branch=body([], ["q"], ["q"]), else_branch=body([], [], ["x"])),
            "outputs",
        ),
        (om.node("Loop", "x x x", "a", body=body([], ["i", "c"], ["c", "x"])), "2 inputs and 2 outputs"),
        (om.node("Scan", "x", "a", num_scan_inputs=2, body=body([], ["q"], ["q"])), "must be 1 to 1"),
        (om.node("Scan", "x", "a", num_scan_inputs=1, body=body([], [], ["x"])), "0 inputs"),
        (
            om.node("Scan", "x", "a", num_scan_inputs=1, scan_input_axes=[1, 2], body=body([], ["q"], ["q"])),
            "axes",
        ),
    ],
)
def test_subgraphs_that_do_not_fit(node: Any, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        loads(om.model([node], {"x": (F32, None)}, ["a"]))


def test_a_scan_of_sequences_of_different_lengths() -> None:
    inner = body([om.node("Add", "p q", "y")], ["p", "q"], ["y"])
    nodes = [om.node("Scan", "a b", "y", body=inner, num_scan_inputs=2)]
    model = loads(om.model(nodes, {"a": (F32, (None,)), "b": (F32, (None,))}, ["y"]))
    np.testing.assert_array_equal(model(np.ones(2), np.ones(2)), [2, 2])
    with pytest.raises(ValueError, match=r"\[2, 3\] steps"):
        model(np.ones(2), np.ones(3))


def test_constants_are_computed_once() -> None:
    nodes = [om.node("Add", "w w", "v"), om.node("Mul", "x v", "y")]
    model = loads(om.model(nodes, {"x": (F32, (None,))}, ["y", "v"], {"w": np.ones(2, F32)}))
    assert len(model._program.steps) == 1
    np.testing.assert_array_equal(model(np.ones(2))[1], [2, 2])
    # Too much to keep: computed in every call.
    nodes = [om.node("ConstantOfShape", "n", "v"), om.node("ReduceSum", "v", "y")]
    model = loads(om.model(nodes, {}, ["y"], {"n": np.array([1 << 26])}))
    assert len(model._program.steps) == 2
    nodes = [om.node("Reshape", "w shape", "v")]
    with pytest.raises(FormatError, match=r"node v \(Reshape\): cannot reshape"):
        loads(om.model(nodes, {}, ["v"], {"w": np.ones(2, F32), "shape": np.array([5])}))
