"""Recurrent cores of Haiku against recorded results, and against the installed Haiku."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tree_cases import compare, recorded

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.haiku import from_haiku

CASES = recorded("haiku")


@pytest.mark.parametrize("name", CASES)
def test_parameters_compute_what_haiku_did(name: str) -> None:
    case = CASES[name]
    prefix = "encoder" if name.startswith("named") else None
    layer = from_haiku(case["params"], prefix, return_state=True)
    compare(layer(case["x"]), case["y"], case["states"])


def test_the_given_parameters_stay_as_they_are() -> None:
    case = CASES["lstm-float32"]
    before = case["params"]["lstm/linear"]["b"].copy()
    from_haiku(case["params"])
    np.testing.assert_array_equal(case["params"]["lstm/linear"]["b"], before)


def test_layers_take_arguments() -> None:
    case = CASES["vanilla-float64"]
    layer = from_haiku(case["params"], time_major=True, return_sequences=False)
    assert isinstance(layer, rnnpack.SimpleRNN)
    np.testing.assert_allclose(layer(case["x"].swapaxes(0, 1)), case["y"][:, -1], atol=1e-13)


LSTM = CASES["lstm-float32"]["params"]["lstm/linear"]
GRU = CASES["gru-float32"]["params"]["gru"]
VANILLA = CASES["vanilla-float32"]["params"]


def test_several_cores_need_a_prefix() -> None:
    params = {"net/~/lstm/linear": LSTM, "net/~/lstm_1/linear": LSTM, "mlp/linear": LSTM, "g": GRU}
    with pytest.raises(FormatError, match=r"pass `prefix`, one of 'net/~/lstm', 'net/~/lstm_1', 'g'$"):
        from_haiku(params)
    assert isinstance(from_haiku(params, "g"), rnnpack.GRU)
    assert isinstance(from_haiku(params, "net/~/lstm_1"), rnnpack.LSTM)
    assert isinstance(from_haiku(params, "mlp"), rnnpack.LSTM)
    with pytest.raises(FormatError, match=r"no LSTM, .* at 'net'; there are net/~/lstm/linear, "):
        from_haiku(params, "net")


@pytest.mark.parametrize("params", [{}, {"linear": LSTM}, {"mlp/linear": LSTM}, {"gru": 3}])
def test_parameters_without_cores(params: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="no LSTM, GRU or VanillaRNN of Haiku at 'any name'"):
        from_haiku(params)


def vanilla(module: str, **arrays: Any) -> dict[str, Any]:
    changed = {**VANILLA[f"vanilla_rnn/{module}"], **arrays}
    return {**VANILLA, f"vanilla_rnn/{module}": {key: one for key, one in changed.items() if one is not None}}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lstm/linear": {"w": LSTM["w"]}}, "lstm/linear/b: missing"),
        ({"lstm/linear": 3}, "lstm/linear/w: missing"),
        (
            {"lstm/linear": {**LSTM, "b": np.float32(3)}},
            "lstm/linear/b: expected an array, got a single number",
        ),
        ({"lstm/linear": {**LSTM, "b": np.ones(15, "f4")}}, r"w: expected shape \(7, 12\), got \(7, 16\)"),
        (
            {"lstm/linear": {"w": np.ones((7, 12), "f4"), "b": np.ones(14, "f4")}},
            r"b: expected shape \(12,\)",
        ),
        ({"lstm/linear": {**LSTM, "w": np.ones((4, 16), "f4")}}, "expected more than 4 rows, got shape"),
        ({"lstm/linear": {**LSTM, "b": np.ones(16, "f2")}}, "must be of dtype float32 or float64"),
        ({"gru": {**GRU, "w_i": np.ones((3, 9), "f4")}}, r"gru/w_i: expected shape \(3, 12\)"),
        ({"gru": {**GRU, "w_h": np.ones((4, 9), "f4")}}, r"gru/w_h: expected shape \(4, 12\)"),
        ({"gru": {**GRU, "b": np.ones(9, "f4")}}, r"gru/b: expected shape \(12,\)"),
        ({"gru": {**GRU, "b": np.ones(12)}}, "all weights must be float32, got one of float64"),
        (vanilla("linear", b=None), "vanilla_rnn/linear/b: missing"),
        (vanilla("linear", w=np.ones((3, 5), "f4")), r"linear/w: expected shape \(3, 4\)"),
        (vanilla("linear", b=np.ones(5, "f4")), r"linear/b: expected shape \(4,\)"),
        (vanilla("linear_1", w=np.ones((4, 5), "f4")), r"linear_1/w: expected shape \(4, 4\)"),
        (vanilla("linear_1", b=np.ones(5, "f4")), r"linear_1/b: expected shape \(4,\)"),
    ],
)
def test_damaged_parameters_say_what_is_wrong(params: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_haiku(params)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "VanillaRNN"])
def test_live_cores(kind: str) -> None:
    jax = pytest.importorskip("jax")
    hk = pytest.importorskip("haiku")
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 7, 3)).astype("f4")

    def run(inputs: Any) -> Any:
        core = getattr(hk, kind)(4, name="own")
        return hk.dynamic_unroll(core, inputs, core.initial_state(2), time_major=False)

    transformed = hk.without_apply_rng(hk.transform(run))
    params = transformed.init(jax.random.key(0), x)
    params = jax.tree.map(lambda array: (rng.normal(size=array.shape) * 0.25).astype("f4"), params)
    y, states = transformed.apply(params, x)
    layer = from_haiku(params, "own", return_state=True)
    compare(layer(x), np.asarray(y), [np.asarray(state) for state in jax.tree.leaves(states)])
