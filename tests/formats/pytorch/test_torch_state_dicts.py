"""State dicts: prefixes, checkpoints, and what is wrong with damaged ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch_cases import Module, goldens, stand_in

from rnnpack.formats import FormatError
from rnnpack.formats.pytorch import from_torch

CASES = goldens()
LSTM = CASES["lstm-float32"]["weights"]
DEEP = CASES["gru_deep_both-float32"]["weights"]
PROJECTED = CASES["lstm_projected-float32"]["weights"]


def with_prefix(prefix: str, weights: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: array for name, array in weights.items()}


def test_one_module_is_found_among_others() -> None:
    state_dict = {"fc.weight": np.zeros((2, 4)), **with_prefix("net.lstm.", LSTM), "epoch": 3}
    np.testing.assert_array_equal(from_torch(state_dict).get_weights()[0], LSTM["weight_ih_l0"].T)


def test_several_modules_need_a_prefix() -> None:
    state_dict = {**with_prefix("encoder.", LSTM), **with_prefix("decoder.", DEEP)}
    with pytest.raises(FormatError, match=r"several .* pass `prefix`, one of 'encoder\.', 'decoder\.'$"):
        from_torch(state_dict)
    for prefix in ("encoder", "encoder."):
        np.testing.assert_array_equal(
            from_torch(state_dict, prefix=prefix).get_weights()[0], LSTM["weight_ih_l0"].T
        )
    with pytest.raises(
        FormatError, match=r"no recurrent module has the prefix 'other': expected one of 'enc"
    ):
        from_torch(state_dict, prefix="other")


def test_checkpoints_hold_state_dicts() -> None:
    checkpoint = {"model": with_prefix("rnn.", LSTM), "optimizer": {"lr": 0.1}, "epoch": 3}
    assert len(from_torch(checkpoint, prefix="model.rnn").get_weights()) == 3


def test_dicts_within_dicts_end_somewhere() -> None:
    endless: dict[Any, Any] = {10**5000: 3, "x" * 2000: 3}
    endless.update({str(number): endless for number in range(100)})
    with pytest.raises(FormatError, match="no weights of a recurrent module"):
        from_torch(endless)


@pytest.mark.parametrize(
    ("weights", "change", "message"),
    [
        (LSTM, {"weight_hh_l0": None}, "weight_hh_l0: missing"),
        (LSTM, {"bias_ih_l0": None}, "bias_ih_l0: missing"),
        (LSTM, {"weight_ih_l0": np.zeros(16, "f4")}, r"weight_ih_l0: expected two axes, got shape \(16,\)"),
        (LSTM, {"weight_ih_l0": np.zeros((12, 3), "f4")}, r"expected shape \(16, 3\), got \(12, 3\)"),
        (LSTM, {"weight_ih_l0": np.zeros((16, 0), "f4")}, r"expected shape \(16, 0\), got \(16, 0\)"),
        (LSTM, {"weight_hh_l0": np.zeros((16, 0), "f4")}, "blocks of 0 rows"),
        (LSTM, {"weight_hh_l0": np.zeros((8, 4), "f4")}, r"expected 4 \(LSTM\), 3 .* got 8 rows"),
        (LSTM, {"weight_hh_l0": np.zeros((16, 5), "f4")}, "blocks of 5 rows"),
        (LSTM, {"bias_hh_l0": np.zeros(4, "f4")}, r"bias_hh_l0: expected shape \(16,\), got \(4,\)"),
        (LSTM, {"bias_hh_l0": np.zeros(16)}, "its dtype differs"),
        (LSTM, {"bias_hh_l0": np.zeros(16, "f2")}, "must be of dtype float32 or float64, got float16"),
        (LSTM, {"bias_hh_l0": "text"}, "must be of dtype float32 or float64, got <U4"),
        (LSTM, {"weight_ih_l1": np.zeros((16, 4), "f4")}, "weight_hh_l1: missing"),
        (LSTM, {"weight_ih_l0_reverse": np.zeros((16, 3), "f4")}, "weight_hh_l0_reverse: missing"),
        (LSTM, {"weight_ih_l2": np.zeros((16, 4), "f4")}, "weight_ih_l1: missing; there are weight_ih_l0,"),
        (DEEP, {"weight_ih_l1": np.zeros((12, 4), "f4")}, r"weight_ih_l1: expected \(kind, .* got"),
        (
            DEEP,
            {key: array for key, array in with_prefix("", PROJECTED).items() if key.startswith("weight_hr")},
            "expected 4 ",
        ),
        (PROJECTED, {"weight_hr_l0": np.zeros((4, 4), "f4")}, "weight_hr_l0: expected shape"),
        (PROJECTED, {"weight_hr_l0": np.zeros(4, "f4")}, "weight_hr_l0: expected two axes"),
    ],
)
def test_damaged_state_dicts_say_what_is_wrong(
    weights: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    damaged = {key: array for key, array in {**weights, **change}.items() if array is not None}
    with pytest.raises(FormatError, match=message):
        from_torch(damaged)


@pytest.mark.parametrize("state_dict", [{}, {"fc.weight": np.zeros(3)}, {f"a{n}": n for n in range(20)}])
def test_state_dicts_without_recurrent_modules(state_dict: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=rf"no weights .* among the {len(state_dict)} entries"):
        from_torch(state_dict)


class Unreadable:
    """As a tensor that NumPy has no dtype for."""

    def detach(self) -> Unreadable:
        return self

    def cpu(self) -> Any:
        raise TypeError("Got unsupported ScalarType BFloat16\nmore")


def test_tensors_that_are_no_arrays() -> None:
    with pytest.raises(
        FormatError, match=r"weight_ih_l0: cannot be read .*: Got unsupported ScalarType BFloat16$"
    ):
        from_torch({**LSTM, "weight_ih_l0": Unreadable()})


def test_only_modules_and_state_dicts() -> None:
    with pytest.raises(TypeError, match=r"`obj` must be a torch\.nn\.Module or a state dict, got ndarray"):
        from_torch(np.zeros(3))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Module(), "module: a module of class Module cannot be converted as a whole"),
        (stand_in("Transformer"), "module: torch.nn.Transformer is not supported"),
        (stand_in("RNNBase"), "a module of class RNNBase cannot"),
        (stand_in("ScriptModule", "torch.jit._script"), "ScriptModule is TorchScript"),
        (stand_in("LSTM", "torch.ao.nn.quantized.dynamic.modules.rnn"), "LSTM is quantised"),
        (stand_in("LSTM", _forward_hooks={0: print}), "LSTM has forward hooks"),
        (stand_in("LSTM", _forward_pre_hooks={0: print}), "LSTM has forward hooks"),
    ],
)
def test_modules_that_are_not_supported_are_named(module: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_torch(module)


def test_modules_with_a_forward_of_their_own() -> None:
    module = stand_in("LSTM")

    class Mine(type(module)):  # type: ignore[misc]
        def forward(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(FormatError, match=r"Mine has a forward\(\) of its own, not that of torch.nn.LSTM"):
        from_torch(Mine())


def test_a_models_own_modules_are_named() -> None:
    module = Module(named_children=lambda: [("rnn", None), ("head", None)])
    with pytest.raises(
        FormatError, match="Module cannot be converted as a whole: convert its children rnn, head"
    ):
        from_torch(module)


def test_options_of_state_dicts_are_not_for_modules() -> None:
    with pytest.raises(FormatError, match="are for state dicts"):
        from_torch(stand_in("LSTM"), batch_first=True)
