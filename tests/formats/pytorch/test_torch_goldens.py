"""State dicts and modules against results recorded from PyTorch; nothing here needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_cases import compare, flat_states, goldens, initial_state, stand_in, stand_in_for

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.pytorch import from_torch
from rnnpack.formats.pytorch.export import export

CASES = goldens()
TERMS = 3 + 4 + 2


def convert(case: dict[str, Any]) -> Any:
    options = case["options"]
    known = {key: options[key] for key in ("batch_first", "nonlinearity") if key in options}
    return from_torch(case["weights"], **known)


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_computes_what_pytorch_did(name: str) -> None:
    case = CASES[name]
    compare(convert(case)(case["x"]), case["y"], case["hn"], case.get("cn"), TERMS)


@pytest.mark.parametrize("name", CASES)
def test_a_module_computes_what_pytorch_did(name: str) -> None:
    case = CASES[name]
    compare(from_torch(stand_in_for(case))(case["x"]), case["y"], case["hn"], case.get("cn"), TERMS)


@pytest.mark.parametrize("name", [name for name in CASES if "deep_both" not in name])
def test_layers_take_initial_states(name: str) -> None:
    case = CASES[name]
    layer = convert(case)
    result = layer(case["x"], initial_state=initial_state(layer, case["h0"], case.get("c0")))
    compare(result, case["y_from"], case["hn_from"], case.get("cn_from"), TERMS)


@pytest.mark.parametrize("name", [name for name in CASES if "deep_both" in name])
def test_models_take_initial_states_where_asked(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    states = flat_states(case["h0"], case.get("c0"))
    for given in (case["weights"], stand_in_for(case)):
        options = (
            {} if given is not case["weights"] else {"batch_first": case["options"].get("batch_first", False)}
        )
        model = from_torch(given, initial_state=True, **options)
        result = model([case["x"], *states])
        compare(result, case["y_from"], case["hn_from"], case.get("cn_from"), TERMS)
    assert export(model).arrays.keys() == case["weights"].keys()
    rnnpack.save(model, tmp_path / "model.safetensors")
    again = rnnpack.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again([case["x"], *states])[0], result[0])


@pytest.mark.parametrize("name", CASES)
def test_what_is_loaded_can_be_saved(name: str, tmp_path: Path) -> None:
    model = convert(CASES[name])
    rnnpack.save(model, tmp_path / "model.safetensors")
    again = rnnpack.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again(CASES[name]["x"])[0], model(CASES[name]["x"])[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lstm-float32", rnnpack.LSTM),
        ("gru-float32", rnnpack.GRU),
        ("rnn-float32", rnnpack.SimpleRNN),
        ("gru_deep-float32", rnnpack.RNN),
        ("rnn_both-float32", rnnpack.Bidirectional),
        ("lstm_deep_both-float64", rnnpack.Model),
        ("lstm_projected-float32", rnnpack.RNN),
    ],
)
def test_what_modules_become(name: str, expected: type) -> None:
    assert type(convert(CASES[name])) is expected


def test_biases_are_added_in_their_dtype() -> None:
    case = CASES["lstm-float32"]
    bias = convert(case).get_weights()[2]
    np.testing.assert_array_equal(bias, case["weights"]["bias_ih_l0"] + case["weights"]["bias_hh_l0"])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_take_the_weights_of_layers(kind: str, bias: bool) -> None:
    case = CASES[f"{kind.lower()}-float64"]
    weights = {name[:-3]: array for name, array in case["weights"].items() if bias or "bias" not in name}
    cells = [
        from_torch({f"steps.{name}": array for name, array in weights.items()}),
        from_torch(stand_in(f"{kind}Cell", bias=bias, nonlinearity="tanh", **weights)),
    ]
    layer = from_torch({f"{name}_l0": array for name, array in weights.items()})
    _, *states = layer(case["x"])
    for cell in cells:
        h = [np.zeros_like(state) for state in states]
        for inputs in case["x"]:
            _, h = cell(inputs, h)
        for ours, theirs in zip(h, states, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-14)


def test_cells_know_their_nonlinearity() -> None:
    weights = {"weight_ih": np.eye(2), "weight_hh": np.zeros((2, 2))}
    cell = from_torch(weights, nonlinearity="relu")
    assert cell(np.array([[-1.0, 2.0]]), [np.zeros((1, 2))])[0].tolist() == [[0, 2]]
    with pytest.raises(FormatError, match="`nonlinearity` must be 'tanh' or 'relu', got 'elu'"):
        from_torch(weights, nonlinearity="elu")
