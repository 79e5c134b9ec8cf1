"""Cells of flax.linen against recorded results, and against the installed flax."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tree_cases import compare, recorded

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.flax import from_flax

CASES = recorded("flax")


def function(name: str) -> Any:
    """A function of this name."""

    def named() -> None: ...

    named.__name__ = name
    return named


def cell(kind: str, **attributes: Any) -> Any:
    """Stands for a cell of flax: the loader goes by names only."""
    return type(kind, (), attributes)()


CELLS = {
    "residual": cell("SimpleCell", residual=True, activation_fn=function("tanh")),
    "activations": cell("OptimizedLSTMCell", gate_fn=function("soft_sign"), activation_fn=function("relu")),
}


def ordered(name: str, states: list[Any]) -> list[Any]:
    """States of an LSTM are (c, h) in flax."""
    return states[::-1] if len(states) == 2 and not name.startswith("both") else states


@pytest.mark.parametrize("name", CASES)
def test_parameters_compute_what_flax_did(name: str) -> None:
    case = CASES[name]
    for params in (case["params"], case["params"]["params"], {"model": case["params"]["params"]}):
        layer = from_flax(params, CELLS.get(name.partition("-")[0]), return_state=True)
        compare(layer(case["x"]), case["y"], ordered(name, case["states"]))


def test_layers_take_arguments() -> None:
    case = CASES["gru-float64"]
    layer = from_flax(case["params"], time_major=True, return_sequences=False)
    assert isinstance(layer, rnnpack.GRU)
    np.testing.assert_allclose(layer(case["x"].swapaxes(0, 1)), case["y"][:, -1], atol=1e-14)


LSTM = CASES["lstm-float32"]["params"]["params"]["cell"]
GRU = CASES["gru-float32"]["params"]["params"]["cell"]
SIMPLE = CASES["simple-float32"]["params"]["params"]["cell"]


def test_several_cells_need_a_prefix() -> None:
    params = {"params": {"encoder": {"cell": LSTM}, "decoder": {"cell": GRU}, "head": {"kernel": np.ones(2)}}}
    with pytest.raises(
        FormatError, match=r"several .* pass `prefix`, one of 'encoder/cell', 'decoder/cell'$"
    ):
        from_flax(params)
    for prefix in ("decoder", "decoder/", "decoder/cell"):
        assert isinstance(from_flax(params, prefix=prefix), rnnpack.GRU)
    with pytest.raises(FormatError, match=r"no recurrent cell of flax at 'dec'; there are params$"):
        from_flax(params, prefix="dec")
    pair = {"a_rnn": {"cell": GRU}, "b_rnn": {"cell": GRU}}
    with pytest.raises(FormatError, match="several recurrent cells"):
        from_flax(pair)


@pytest.mark.parametrize("params", [{}, {"Dense_0": {"kernel": np.ones((2, 2))}}, {"a": {"b": {"c": 1}}}])
def test_parameters_without_cells(params: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="no recurrent cell of flax at 'any path'"):
        from_flax(params)


def test_dicts_within_dicts_end_somewhere() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(FormatError, match="no recurrent cell"):
        from_flax(endless)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({**GRU, "hn": {"kernel": GRU["hn"]["kernel"]}}, "cell/hn/bias: missing"),
        ({**GRU, "hn": GRU["hn"]["kernel"]}, "cell/hn/kernel: missing"),
        ({**GRU, "hn": {**GRU["hn"], "bias": np.ones(3, "f4")}}, r"cell/hn/bias: expected shape \(4,\)"),
        (
            {**GRU, **{gate: {**GRU[gate], "bias": np.ones(3, "f4")} for gate in ("iz", "ir", "in")}},
            r"bias: expected shape \(12,\), got \(9,\)",
        ),
        ({**GRU, "ir": {**GRU["ir"], "kernel": np.ones((3, 5), "f4")}}, "cell/ir/kernel: expected shape"),
        ({**LSTM, "hi": {**LSTM["hi"], "kernel": np.ones(4, "f4")}}, "hi/kernel: expected two axes"),
        ({**LSTM, "hi": {**LSTM["hi"], "bias": np.ones((4, 1), "f4")}}, "hi/bias: expected one axis"),
        ({**SIMPLE, "h": {"kernel": np.ones((4, 5), "f4")}}, "cell: recurrent kernel: expected shape"),
        ({**SIMPLE, "h": {"kernel": np.ones((5, 5), "f4")}}, r"cell: bias: expected shape \(5,\)"),
        (
            {"h": {"kernel": np.ones((4, 4), "f4")}, "i": {**SIMPLE["i"], "kernel": np.ones((3, 5), "f4")}},
            r"cell: kernel: expected shape \(3, 4\)",
        ),
        ({**SIMPLE, "h": {"kernel": np.ones((4, 4))}}, "all weights must be float32, got one of float64"),
        ({**SIMPLE, "h": {"kernel": np.ones((4, 4), "f2")}}, "must be of dtype float32 or float64"),
        ({gate: {} for gate in ("if", "in", "hf", "hn")}, "cell: MGUCell of flax is not supported"),
        ({"ih": {}, "hh": {}}, "cell: ConvLSTMCell of flax is not supported"),
    ],
)
def test_damaged_parameters_say_what_is_wrong(params: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_flax({"cell": params})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (cell("GRUCell"), "`cell`: expected a SimpleCell, as the parameters are, got a GRUCell"),
        (cell("SimpleCell", activation_fn=function("gelu")), "`cell`: activation_fn='gelu' is not supported"),
        (cell("SimpleCell", activation_fn=SimpleNamespace()), "activation_fn=namespace"),
    ],
)
def test_cells_that_do_not_fit(given: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_flax({"cell": SIMPLE}, given)


@pytest.mark.parametrize("kind", ["LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"])
@pytest.mark.parametrize("both", [False, True])
def test_live_cells(kind: str, both: bool) -> None:
    jax = pytest.importorskip("jax")
    nn = pytest.importorskip("flax.linen")
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 7, 3)).astype("f4")
    make = getattr(nn, kind)
    options = {"activation_fn": jax.nn.softplus} if kind == "SimpleCell" else {}
    module = nn.RNN(make(4, **options), return_carry=True)
    if both:
        module = nn.Bidirectional(module, nn.RNN(make(4, **options), return_carry=True), return_carry=True)
    params = module.init(jax.random.key(0), x)
    params = jax.tree.map(lambda array: (rng.normal(size=array.shape) * 0.25).astype("f4"), params)
    carry, y = module.apply(params, x)
    states = [
        np.asarray(state)
        for part in (carry if both else [carry])
        for state in (part[::-1] if "LSTM" in kind else [part])
    ]
    layer = from_flax(params, make(4, **options), return_state=True)
    compare(layer(x), np.asarray(y), states)
