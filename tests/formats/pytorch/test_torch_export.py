"""State dicts written for PyTorch: what they hold, and what they cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch_cases import goldens

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.pytorch import from_torch, to_torch_state_dict
from rnnpack.formats.pytorch.export import export

CASES = goldens()


def built(layer: Any, features: int = 3) -> Any:
    layer.build((None, None, features))
    return layer


@pytest.mark.parametrize("name", CASES)
def test_what_came_from_pytorch_goes_back(name: str) -> None:
    case = CASES[name]
    options = {
        key: case["options"].get(key, other)
        for key, other in (("batch_first", False), ("nonlinearity", "tanh"))
    }
    exported = export(from_torch(case["weights"], **options))
    assert (exported.batch_first, exported.nonlinearity) == (options["batch_first"], options["nonlinearity"])
    assert exported.arrays.keys() == case["weights"].keys()
    for key, array in exported.arrays.items():
        expected = case["weights"][key]
        assert array.flags.c_contiguous
        assert array.dtype == expected.dtype
        if key.startswith("bias") and case["options"]["kind"] != "GRU":
            # One bias here, two there: they come back as their sum and zero.
            other = case["weights"][key.replace("_ih_", "_hh_")]
            expected = expected + other if "_ih_" in key else np.zeros_like(expected)
        np.testing.assert_array_equal(array, expected)


def chain(*layers: Any) -> Any:
    inputs = output = rnnpack.Input((None, 3))
    for layer in layers:
        output = layer(output)
    return rnnpack.Model(inputs, output)


def branched() -> Any:
    inputs = rnnpack.Input((None, 3))
    return rnnpack.Model(inputs, rnnpack.layers.Add()([rnnpack.GRU(3)(inputs), rnnpack.GRU(3)(inputs)]))


def with_states() -> Any:
    inputs = rnnpack.Input((None, 3))
    y, h = rnnpack.GRU(3, return_sequences=True, return_state=True)(inputs)
    return rnnpack.Model(inputs, rnnpack.GRU(3)(y, initial_state=h))


def of_states() -> Any:
    inputs = rnnpack.Input((None, 3))
    return rnnpack.Model(inputs, rnnpack.GRU(3, return_state=True)(inputs)[1])


class MyCell(rnnpack.LSTMCell):
    pass


class MyLSTM(rnnpack.LSTM):
    pass


LSTM, GRU, RNN = rnnpack.LSTM, rnnpack.GRU, rnnpack.SimpleRNN


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(2), "has no weights yet"),
        (lambda: rnnpack.Sequential([LSTM(2)]), "has no weights yet"),
        (lambda: built(LSTM(2, go_backwards=True)), "PyTorch has no go_backwards=True"),
        (lambda: built(LSTM(2, activation="relu")), "PyTorch's LSTM has no activation='relu'"),
        (lambda: built(GRU(2, activation=np.tanh)), "PyTorch's GRU has no activation="),
        (lambda: built(RNN(2, activation="elu")), "PyTorch's RNN has no activation='elu'"),
        (
            lambda: built(LSTM(2, recurrent_activation="hard_sigmoid")),
            "PyTorch's LSTM has no recurrent_activation='hard_sigmoid'",
        ),
        (lambda: built(GRU(2, reset_after=False)), "PyTorch's GRU has no reset_after=False"),
        (lambda: built(LSTM(2, dtype="float16")), "must be of dtype float32 or float64, got float16"),
        (lambda: built(MyLSTM(2)), "hold no MyLSTM"),
        (lambda: built(rnnpack.RNN(MyCell(2))), "hold no MyCell"),
        (lambda: rnnpack.layers.Dense(2), "hold no Dense"),
        (lambda: built(rnnpack.Bidirectional(LSTM(2), merge_mode="sum")), "PyTorch has no merge_mode='sum'"),
        (
            lambda: built(rnnpack.Bidirectional(LSTM(2), backward_layer=GRU(2, go_backwards=True))),
            "no backward layer of another class",
        ),
        (
            lambda: built(rnnpack.Bidirectional(rnnpack.RNN([rnnpack.GRUCell(2), rnnpack.GRUCell(2)]))),
            "layer by layer, not a stack each way",
        ),
        (
            lambda: built(rnnpack.RNN([rnnpack.GRUCell(2), rnnpack.GRUCell(3)])),
            "layers of one kind, .* GRU of 2 units with bias, tanh, float32, GRU of 3 units",
        ),
        (lambda: built(rnnpack.RNN([rnnpack.GRUCell(2), rnnpack.LSTMCell(2)])), "LSTM of 2 units"),
        (
            lambda: chain(rnnpack.Bidirectional(LSTM(2, return_sequences=True)), LSTM(2)),
            "all in one direction or in both",
        ),
        (
            lambda: chain(LSTM(2, return_sequences=True, time_major=True), LSTM(2)),
            "must all be `time_major`, or none",
        ),
        (lambda: chain(LSTM(2, return_sequences=True), rnnpack.layers.Dense(2)), "hold no Dense"),
        (branched, "add.* is not one of a plain chain"),
        (with_states, "gru.* is not one of a plain chain"),
        (of_states, "gru.* is not one of a plain chain"),
    ],
)
def test_what_pytorch_cannot_hold_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        export(make())


def test_layers_after_a_last_output_are_refused() -> None:
    inputs = rnnpack.Input((None, 3))
    last = LSTM(3)(inputs)
    model = rnnpack.Model(inputs, GRU(2)(rnnpack.layers.RepeatVector(4)(last)))
    with pytest.raises(FormatError, match=r"hold no RepeatVector|must return sequences"):
        export(model)


def test_a_chain_of_layers_is_one_module() -> None:
    layers = [GRU(4, return_sequences=True), GRU(4)]
    for model in (chain(*layers), rnnpack.Sequential([rnnpack.Input((None, 3)), *layers])):
        arrays = export(model).arrays
        assert list(arrays)[:2] == ["weight_ih_l0", "weight_hh_l0"]
        assert arrays["weight_ih_l1"].shape == (12, 4)


def test_tensors_are_made_of_all_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")
    torch.from_numpy = lambda array: ("tensor", array)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    state_dict = to_torch_state_dict(built(RNN(4)), prefix="rnn.")
    assert list(state_dict) == [f"rnn.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert all(kind == "tensor" for kind, _ in state_dict.values())


MODULES: list[tuple[Callable[[], Any], str, dict[str, Any]]] = [
    (lambda: built(LSTM(4)), "LSTM", {"batch_first": True}),
    (lambda: built(GRU(4, time_major=True)), "GRU", {}),
    (lambda: built(RNN(4, activation="relu")), "RNN", {"nonlinearity": "relu", "batch_first": True}),
    (
        lambda: built(rnnpack.RNN([rnnpack.GRUCell(4, use_bias=False) for _ in range(3)])),
        "GRU",
        {"num_layers": 3, "batch_first": True, "bias": False},
    ),
    (lambda: built(rnnpack.Bidirectional(RNN(4))), "RNN", {"bidirectional": True, "batch_first": True}),
    (
        lambda: chain(rnnpack.Bidirectional(LSTM(4, return_sequences=True)), rnnpack.Bidirectional(LSTM(4))),
        "LSTM",
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
    ),
    (lambda: built(LSTM(4, dtype="float64")), "LSTM", {"batch_first": True}),
    (
        lambda: built(rnnpack.RNN(rnnpack.ProjectedLSTMCell(4, 2))),
        "LSTM",
        {"proj_size": 2, "batch_first": True},
    ),
]


@pytest.mark.parametrize(("make", "kind", "options"), MODULES)
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_pytorch_computes_the_same(make: Callable[[], Any], kind: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    layer = make()
    dtype = layer.get_weights()[0].dtype
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=weight.shape, scale=0.5) for weight in layer.get_weights()])
    module = getattr(torch.nn, kind)(3, 4, dtype=getattr(torch, dtype.name), **options)
    module.load_state_dict(to_torch_state_dict(layer))
    x = rng.normal(size=(2, 5, 3)).astype(dtype)
    with torch.no_grad():
        y = module(torch.from_numpy(x))[0].numpy()
    ours = layer(x)
    if module.bidirectional:  # the backward direction ends at the first step
        y = np.concatenate([y[:, -1, : y.shape[2] // 2], y[:, 0, y.shape[2] // 2 :]], axis=-1)
    else:
        y = y[:, -1] if module.batch_first else y[-1]
    # 9 terms a sum, 5 steps, 3 layers; all numbers are of size 1.
    np.testing.assert_allclose(ours, y, atol=9 * 5 * 3 * np.finfo(x.dtype).eps)


def test_names_get_a_prefix_and_tensors_their_own_memory() -> None:
    pytest.importorskip("torch")
    layer = built(LSTM(4))
    state_dict = to_torch_state_dict(layer, prefix="encoder.")
    before = layer.get_weights()[0]
    state_dict["encoder.weight_ih_l0"].zero_()
    np.testing.assert_array_equal(layer.get_weights()[0], before)
