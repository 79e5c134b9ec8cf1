"""LSTM, GRU and RNN with all their options, beside a float64 oracle of the standard and ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_models as om
import onnx_recurrent_oracle as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import loads

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
INPUTS = {
    "LSTM": ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"],
    "GRU": ["X", "W", "R", "B", "sequence_lens", "initial_h"],
    "RNN": ["X", "W", "R", "B", "sequence_lens", "initial_h"],
}
FED = ("X", "sequence_lens", "initial_h", "initial_c")

# Weights and inputs are below 1 in magnitude, so sums of at most 5 + 5 products and states below about 20
# pass through at most 6 steps whose activations have slopes up to 1 and unbounded ones (relu, affine) gains
# of at most 5 each: rounding errors of 2**-24 grow by less than a few hundred.
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-12, np.float16: 4e-2}


def build(
    op: str, feeds: dict[str, Any], attributes: dict[str, Any], wanted: str, weights_fed: bool = False
) -> bytes:
    """A file with one node."""
    names = [name if feeds.get(name) is not None else "-" for name in INPUTS[op]]
    while names[-1] == "-":
        names.pop()
    fed = [name for name in names if name in FED or (weights_fed and name != "-")]
    return om.model(
        [om.node(op, " ".join(names), wanted, "the node", **attributes)],
        {name: (feeds[name].dtype, (None,) * feeds[name].ndim) for name in fed},
        [name for name in wanted.split() if name != "-"],
        {name: feeds[name] for name in names if name not in fed and name != "-"},
        opset=14,
        output_dtype=feeds["X"].dtype,
    )


@st.composite
def problems(draw: Any, runtime: bool = False) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """An operator, its arrays and attributes; only what ONNX Runtime has too if `runtime`."""
    op = draw(st.sampled_from(sorted(GATES)))
    size = st.integers(1, 5)
    batch, steps, features, units = draw(size), draw(size), draw(size), draw(size)
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    count = 2 if direction == "bidirectional" else 1
    dtype = np.float32 if runtime else draw(st.sampled_from([np.float32, np.float64]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def numbers(*shape: int) -> Any:
        return random.uniform(-1, 1, shape).astype(dtype)

    feeds: dict[str, Any] = {
        "X": numbers(steps, batch, features),
        "W": numbers(count, GATES[op] * units, features),
        "R": numbers(count, GATES[op] * units, units),
    }
    flag = st.booleans()
    if draw(flag):
        feeds["B"] = numbers(count, 2 * GATES[op] * units)
    if draw(flag):
        feeds["initial_h"] = numbers(count, batch, units)
    if op == "LSTM" and draw(flag):
        feeds["initial_c"] = numbers(count, batch, units)
    if op == "LSTM" and draw(flag):
        feeds["P"] = numbers(count, 3 * units)
    if draw(flag):
        feeds["sequence_lens"] = random.integers(1, steps + 1, batch).astype(np.int32)
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": units}
    if draw(st.integers(0, 3)) == 0:
        attributes["clip"] = draw(st.sampled_from([0.25, 1.5]))
    if op == "LSTM" and draw(st.integers(0, 3)) == 0:
        attributes["input_forget"] = 1
    if op == "GRU" and draw(flag):
        attributes["linear_before_reset"] = 1
    if draw(flag):
        # ONNX Runtime's Softplus overflows.
        known = [name for name in oracle.PARAMETERS if not (runtime and name == "Softplus")]
        names = draw(
            st.lists(
                st.sampled_from(known),
                min_size=count * len(oracle.DEFAULTS[op]),
                max_size=count * len(oracle.DEFAULTS[op]),
            )
        )
        attributes["activations"] = names
        if draw(flag) or runtime:  # ONNX Runtime has its own defaults
            attributes["activation_alpha"] = [0.5 for name in names if oracle.PARAMETERS[name]] or None
            attributes["activation_beta"] = [
                0.25 for name in names if len(oracle.PARAMETERS[name]) > 1
            ] or None
    if not runtime and draw(flag):
        attributes["layout"] = 1
        for name in ("X", "initial_h", "initial_c"):
            if name in feeds:
                feeds[name] = feeds[name].swapaxes(0, 1).copy()
    return op, feeds, attributes


def fed(feeds: dict[str, Any]) -> dict[str, Any]:
    """What is not a constant of the file."""
    return {name: array for name, array in feeds.items() if name in FED}


def check(got: Any, want: Any, dtype: Any) -> None:
    """Compares outputs, relative to the largest of each."""
    got = got if isinstance(got, list) else [got]
    for one, other in zip(got, want, strict=True):
        assert one.shape == other.shape and one.dtype == dtype
        np.testing.assert_allclose(one, other, 0, TOLERANCE[np.dtype(dtype).type] * (1 + np.abs(other).max()))


@settings(max_examples=150, deadline=None)
@given(problem=problems(), weights_fed=st.booleans())
def test_the_standard(problem: Any, weights_fed: bool) -> None:
    op, feeds, attributes = problem
    want = oracle.run(op, feeds, attributes)
    model = loads(build(op, feeds, attributes, "Y Y_h Y_c"[: 9 if op == "LSTM" else 5], weights_fed))
    check(model(feeds if weights_fed else fed(feeds)), want, feeds["X"].dtype)
    # Without sequences other ways are taken.
    last = loads(build(op, feeds, attributes, "- Y_h"))
    check(last(fed(feeds)), want[1:2], feeds["X"].dtype)


@settings(max_examples=60, deadline=None)
@given(problem=problems(runtime=True))
def test_onnx_runtime(problem: Any) -> None:
    runtime = pytest.importorskip("onnxruntime")
    op, feeds, attributes = problem
    data = build(op, feeds, attributes, "Y Y_h Y_c"[: 9 if op == "LSTM" else 5])
    want = runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, fed(feeds))
    check(loads(data)(fed(feeds)), want, np.float32)


def arrays(op: str, count: int = 1, dtype: Any = np.float32) -> dict[str, Any]:
    """Arrays of a small problem: 4 steps, 3 rows, 2 features, 5 units."""
    random = np.random.default_rng(1)
    shapes = {"X": (4, 3, 2), "W": (count, GATES[op] * 5, 2), "R": (count, GATES[op] * 5, 5)}
    return {name: random.uniform(-1, 1, shape).astype(dtype) for name, shape in shapes.items()}


NATIVE: list[tuple[str, dict[str, Any], str]] = [
    ("LSTM", {}, "native: lstm/"),
    ("GRU", {"linear_before_reset": 1}, "native: gru/"),
    ("GRU", {}, "native: gru_reset_before/"),
    ("RNN", {"activations": ["Relu"]}, "native: simple_rnn/"),
    ("RNN", {"activations": ["elu"], "activation_alpha": [1.0]}, "native: simple_rnn/"),
    ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Softsign"]}, "native: lstm/"),
    ("LSTM", {"activations": ["Affine", "Affine", "Affine"]}, "native: lstm/"),
]
PYTHON: list[tuple[str, dict[str, Any], str]] = [
    ("LSTM", {"clip": 2.0}, "python: attribute clip=2"),
    ("LSTM", {"input_forget": 1}, "python: attribute input_forget=1"),
    ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "python: activations Tanh and Relu differ"),
    (
        "RNN",
        {"activations": ["ScaledTanh"], "activation_alpha": [2.0]},
        "python: activation ScaledTanh(2, 1)",
    ),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [2.0]}, "python: activation Elu(2)"),
]


@pytest.mark.parametrize(("op", "attributes", "words"), NATIVE + PYTHON)
def test_explain_says_which_way_and_why(op: str, attributes: dict[str, Any], words: str) -> None:
    feeds = arrays(op)
    model = loads(build(op, feeds, attributes, "Y"))
    assert str(model.explain()["the node"]).startswith(words)
    dynamic = loads(build(op, feeds, attributes, "Y", weights_fed=True))
    assert str(dynamic.explain()["the node"]).startswith(words)
    check(model(feeds["X"]), oracle.run(op, feeds, attributes)[:1], np.float32)


def test_peepholes_run_natively() -> None:
    feeds = arrays("LSTM", 2) | {"P": np.full((2, 15), 0.3, np.float32)}
    model = loads(build("LSTM", feeds, {"direction": "bidirectional"}, "Y"))
    assert str(model.explain()["the node"]).startswith("native: peephole")
    check(model(feeds["X"]), oracle.run("LSTM", feeds, {"direction": "bidirectional"})[:1], np.float32)


def test_half_of_the_activations_serve_both_directions() -> None:
    feeds = arrays("GRU", 2)
    given = {"direction": "bidirectional", "activations": ["Sigmoid", "Relu"]}
    want = oracle.run("GRU", feeds, {**given, "activations": ["Sigmoid", "Relu"] * 2})
    check(loads(build("GRU", feeds, given, "Y Y_h"))(feeds["X"]), want, np.float32)


@pytest.mark.parametrize("op", sorted(GATES))
def test_float16_is_computed_in_float32(op: str) -> None:
    feeds = arrays(op, dtype=np.float16)
    feeds["initial_h"] = np.ones((1, 3, 5), np.float16)
    check(loads(build(op, feeds, {}, "Y Y_h"))(fed(feeds)), oracle.run(op, feeds, {})[:2], np.float16)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_no_steps_and_no_rows(direction: str, layout: int) -> None:
    count = 2 if direction == "bidirectional" else 1
    feeds = arrays("LSTM", count)
    feeds["initial_h"] = np.full((3, count, 5) if layout else (count, 3, 5), 0.5, np.float32)
    model = loads(build("LSTM", feeds, {"direction": direction, "layout": layout}, "Y Y_h Y_c"))
    x = feeds["X"].swapaxes(0, 1) if layout else feeds["X"]
    empty = x[:, :0] if layout else x[:0]
    y, h, c = model(empty, feeds["initial_h"])
    assert y.shape == ((3, 0, count, 5) if layout else (0, count, 3, 5))
    np.testing.assert_array_equal(h, feeds["initial_h"])
    np.testing.assert_array_equal(c, 0 * h)
    none = slice(0, 0)
    y, h, c = model(x[none] if layout else x[:, none], h[none] if layout else h[:, none])
    assert y.size == h.size == c.size == 0


@pytest.mark.parametrize("reason", [{}, {"clip": 9.0}])
def test_rows_of_no_steps_keep_their_states(reason: dict[str, Any]) -> None:
    feeds = arrays("GRU") | {"initial_h": np.full((1, 3, 5), 0.5, np.float32)}
    feeds["sequence_lens"] = np.array([0, 4, 2], np.int32)
    got = loads(build("GRU", feeds, reason, "Y Y_h"))(fed(feeds))
    check(got, oracle.run("GRU", feeds, reason), np.float32)
    np.testing.assert_array_equal(got[1][0, 0], feeds["initial_h"][0, 0])


def test_padding_is_not_read() -> None:
    feeds = arrays("LSTM", 2) | {"sequence_lens": np.array([1, 4, 2], np.int32)}
    model = loads(build("LSTM", feeds, {"direction": "bidirectional"}, "Y Y_h"))
    want = model(fed(feeds))
    for row, length in enumerate(feeds["sequence_lens"]):
        feeds["X"][length:, row] = np.nan
    for got, expected in zip(model(fed(feeds)), want, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": np.zeros((4, 3), np.float32)}, "3 axes"),
        ({"X": np.zeros((4, 3, 7), np.float32)}, "2 features"),
        ({"initial_h": np.zeros((1, 2, 5), np.float32)}, "initial states"),
        ({"sequence_lens": np.array([1, 2], np.int32)}, "3 integers"),
        ({"sequence_lens": np.array([1, 2, 9], np.int32)}, "0 to 4"),
        ({"sequence_lens": np.array([1, 2, -1], np.int32)}, "0 to 4"),
        ({"W": np.zeros((2, 20, 2), np.float32)}, "W must be"),
        ({"W": np.zeros((1, 20, 0), np.float32)}, "empty"),
        ({"R": np.zeros((1, 20, 5), np.float64)}, "expected 3 axes of floats"),
        ({"B": np.zeros((1, 3), np.float32)}, "B must be"),
        ({"P": np.zeros((1, 3), np.float32)}, "P must be"),
    ],
)
def test_arrays_that_do_not_fit(change: dict[str, Any], words: str) -> None:
    feeds = {**arrays("LSTM"), **change}
    if "X" in change:
        model = om.model(
            [om.node("LSTM", "X W R", "Y", "the node")],
            {"X": (np.float32, None)},
            ["Y"],
            {name: feeds[name] for name in "WR"},
        )
    else:
        model = build("LSTM", feeds, {}, "Y", weights_fed=True)
    with pytest.raises(ValueError, match=words) as caught:
        loads(model)({name: array for name, array in feeds.items() if "X" not in change or name == "X"})
    assert "the node (LSTM)" in str(caught.value)
    if change.keys() <= {"W", "R", "B", "P"}:  # as constants they are looked at when loading
        with pytest.raises(FormatError, match=words):
            loads(build("LSTM", feeds, {}, "Y"))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"direction": "up"}, "must be one of forward"),
        ({"hidden_size": 9}, "W must be"),
        ({"clip": -1.0}, "must be positive"),
        ({"activations": ["Sigmoid"]}, "does not fit 1 directions"),
        ({"activations": ["Sigmoid", "Sin", "Tanh"]}, "does not fit"),
        ({"linear_before_reset": 1}, "unknown attribute"),
        ({"layout": 2}, "must be 0 or 1"),
    ],
)
def test_attributes_that_do_not_fit(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        loads(build("LSTM", arrays("LSTM"), attributes, "Y"))


def test_precision() -> None:
    feeds = arrays("LSTM", 2)
    data = build("LSTM", feeds, {"direction": "bidirectional"}, "Y")
    model, full = loads(data), loads(data)(feeds["X"])
    model.set_precision("bfloat16")
    assert model.precision == "bfloat16" and model.explain()["the node"].precision == "bfloat16"
    rounded = model(feeds["X"])
    assert 0 < np.abs(rounded - full).max() < 0.05
    model.set_precision("full")
    np.testing.assert_array_equal(model(feeds["X"]), full)
    with pytest.raises(ValueError, match="one of"):
        model.set_precision("odd")


def test_precision_is_all_or_nothing() -> None:
    first, second = arrays("RNN"), arrays("GRU")
    nodes = [
        om.node("RNN", "X W R", "Y", "plain"),
        om.node("GRU", "X W2 R2", "Y2", "clipped", clip=1.0),
    ]
    constants = {"W": first["W"], "R": first["R"], "W2": second["W"], "R2": second["R"]}
    model = loads(om.model(nodes, {"X": (np.float32, (None, None, 2))}, ["Y", "Y2"], constants))
    before = model(first["X"])[0]
    with pytest.raises(ValueError, match="clipped cannot compute in int8: attribute clip=1"):
        model.set_precision("int8")
    assert model.precision == "full" and model.explain()["plain"].precision == "full"
    np.testing.assert_array_equal(model(first["X"])[0], before)
    with pytest.raises(ValueError, match="no recurrent node"):
        loads(om.model([om.node("Relu", "x", "y")], {"x": (np.float32, None)}, ["y"])).set_precision("int8")


def test_precision_where_weights_are_inputs() -> None:
    feeds = arrays("RNN")
    model = loads(build("RNN", feeds, {}, "Y", weights_fed=True))
    full = model(feeds)
    model.set_precision("int8")
    assert 0 < np.abs(model(feeds) - full).max() < 0.1
