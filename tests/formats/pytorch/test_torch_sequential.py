"""Modules that are not recurrent, and Sequential; the offline part against float64 formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch_cases import goldens, stand_in

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.pytorch import from_torch

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 4)) * 3
WEIGHT, BIAS = RNG.normal(size=(6, 4)), RNG.normal(size=6)
GAIN, SHIFT = RNG.normal(size=4), RNG.normal(size=4)
CASE = goldens()["gru-float64"]


def module(kind: str, **attributes: Any) -> Any:
    return stand_in(kind, "torch.nn.modules.some", **attributes)


class Sequence(list):  # type: ignore[type-arg]
    """Of modules, as `nn.Sequential`."""

    __module__ = "torch.nn.modules.container"

    def forward(self, inputs: Any) -> None:
        """Never called."""

    def parameters(self) -> Any:
        return (parameter for inner in self for parameter in inner.parameters())


def sequential(*modules: Any) -> Any:
    bases = (Sequence, type(stand_in("LSTM")).__mro__[1])
    kind = type("Sequential", bases, {"__module__": "torch.nn.modules.container"})
    return kind(modules)


def linear(dtype: str = "float64", bias: bool = True) -> Any:
    return module("Linear", weight=WEIGHT.astype(dtype), bias=BIAS.astype(dtype) if bias else None)


def norm(**attributes: Any) -> Any:
    values = {"normalized_shape": (4,), "eps": 1e-3, "weight": GAIN, "bias": SHIFT, **attributes}
    return module("LayerNorm", **values)


def normalized(x: Any) -> Any:
    deviations = x - x.mean(-1, keepdims=True)
    return deviations / np.sqrt((deviations**2).mean(-1, keepdims=True) + 1e-3)


def erf(x: Any) -> Any:
    return np.vectorize(math.erf)(x)


H = X @ WEIGHT.T + BIAS
SIGMOID = 1 / (1 + np.exp(-H))
SOFTMAX = np.exp(H) / np.exp(H).sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (module("Tanh"), np.tanh(H)),
        (module("Sigmoid"), SIGMOID),
        (module("ReLU"), np.maximum(H, 0)),
        (module("ReLU6"), np.clip(H, 0, 6)),
        (module("LeakyReLU", negative_slope=0.01), np.where(H > 0, H, 0.01 * H)),
        (module("ELU", alpha=0.7), np.where(H > 0, H, 0.7 * np.expm1(H))),
        (
            module("SELU"),
            1.0507009873554805 * np.where(H > 0, H, 1.6732632423543772 * np.expm1(H)),
        ),
        (module("SiLU"), H * SIGMOID),
        (module("GELU", approximate="none"), H * (1 + erf(H / math.sqrt(2))) / 2),
        (module("Softsign"), H / (1 + np.abs(H))),
        (module("Softplus", beta=1, threshold=20), np.log1p(np.exp(-np.abs(H))) + np.maximum(H, 0)),
        (module("Softmax", dim=-1), SOFTMAX),
        (module("Identity"), H),
        (module("Dropout", p=0.5), H),
        (module("Flatten", start_dim=1, end_dim=-1), H),
        (norm(normalized_shape=(6,), weight=None, bias=None), normalized(H)),
        (sequential(module("Identity"), module("Tanh")), np.tanh(H)),
    ],
)
def test_each_module_computes_its_formula(after: Any, expected: Any) -> None:
    model = from_torch(sequential(linear(), after))
    assert isinstance(model, rnnpack.Model)
    result = model(X)
    assert result.dtype == np.float64
    # A few roundings of numbers of size 30, in sums of 6.
    np.testing.assert_allclose(result, expected, rtol=0, atol=100 * 6 * np.finfo("f8").eps)


@pytest.mark.parametrize(
    ("weight", "bias", "expected"),
    [
        (GAIN, SHIFT, normalized(X) * GAIN + SHIFT),
        (GAIN, None, normalized(X) * GAIN),
        (None, None, normalized(X)),
    ],
)
def test_layer_norm(weight: Any, bias: Any, expected: Any) -> None:
    layer = from_torch(norm(weight=weight, bias=bias, scale=np.zeros(1)))  # the last: so that it has a dtype
    np.testing.assert_allclose(layer(X), expected, atol=1e-14)
    np.testing.assert_allclose(
        from_torch(norm(weight=weight, bias=bias, scale=X))(X[None]), expected[None], atol=1e-14
    )


def test_layer_norm_of_several_axes() -> None:
    gain = RNG.normal(size=(2, 4))
    layer = from_torch(norm(normalized_shape=(2, 4), weight=gain, bias=np.zeros((2, 4))))
    x = RNG.normal(size=(3, 5, 2, 4))
    np.testing.assert_allclose(layer(x), normalized(x.reshape(3, 5, 8)).reshape(x.shape) * gain, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_single_modules_are_layers(dtype: str) -> None:
    dense = from_torch(linear(dtype, bias=False))
    assert (type(dense), dense.dtype) == (rnnpack.layers.Dense, dtype)
    np.testing.assert_array_equal(dense.get_weights()[0], WEIGHT.T.astype(dtype))
    table = from_torch(module("Embedding", weight=WEIGHT.astype(dtype), max_norm=None))
    np.testing.assert_array_equal(table(np.array([[5, 0]])), WEIGHT.astype(dtype)[[[5, 0]]])
    assert isinstance(from_torch(module("Dropout", p=0.1)), rnnpack.layers.Dropout)


def recurrent(features: int = 3, batch_first: bool = True) -> Any:
    weights = {**CASE["weights"], "weight_ih_l0": np.ones((12, features))}
    return stand_in("GRU", num_layers=1, bias=True, bidirectional=False, batch_first=batch_first, **weights)


def test_a_recurrent_module_comes_last() -> None:
    model = from_torch(sequential(module("Embedding", weight=WEIGHT, max_norm=None), norm(), recurrent(4)))
    y, h = model(np.array([[1, 2, 0]]))
    assert (y.shape, h.shape) == ((1, 3, 4), (1, 4))
    layer = from_torch(recurrent(4))
    np.testing.assert_allclose(y, layer(normalized(WEIGHT[[[1, 2, 0]]]) * GAIN + SHIFT)[0], atol=1e-13)


def test_a_sequential_takes_initial_states_where_asked() -> None:
    deep = {name.replace("l0", "l1"): array for name, array in CASE["weights"].items()}
    deep["weight_ih_l1"] = np.ones((12, 4))
    last = stand_in(
        "GRU", num_layers=2, bias=True, bidirectional=False, batch_first=True, **{**CASE["weights"], **deep}
    )
    states = RNG.normal(size=(2, 5, 4))
    weights = RNG.normal(size=(3, 4))
    net = sequential(module("Linear", weight=weights, bias=None), module("Tanh"), last)
    result = from_torch(net, initial_state=True)([X[:, None], *states])
    expected = from_torch(last)(np.tanh(X[:, None] @ weights.T), initial_state=list(states))
    for ours, theirs in zip(result, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-14)


def test_time_is_an_axis_where_the_last_module_is_recurrent() -> None:
    y, _ = from_torch(sequential(linear(), recurrent(6)))(np.zeros((2, 7, 4)))
    assert y.shape == (2, 7, 4)


def test_an_input_shape_can_be_given() -> None:
    model = from_torch(sequential(module("Tanh"), linear()), input_shape=(None, 9, 4))
    assert model(np.zeros((2, 9, 4))).shape == (2, 9, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: module("Conv1d"), "module: torch.nn.Conv1d is not supported"),
        (lambda: sequential(linear(), module("Hardsigmoid")), r"module\[1\]: torch.nn.Hardsigmoid is not"),
        (lambda: module("GELU", approximate="tanh"), "approximate='none' only, got 'tanh'"),
        (lambda: module("Softplus", beta=2, threshold=20), "beta=1 only, got 2"),
        (lambda: module("Softmax", dim=None), "`dim` only"),
        (lambda: module("Flatten", start_dim=0, end_dim=-1), "start_dim=1 only, got 0"),
        (lambda: module("Embedding", weight=WEIGHT, max_norm=1.0), "max_norm=None only"),
        (lambda: sequential(), "module: has no modules"),
        (lambda: sequential(recurrent(), linear()), r"module\[0\]: a recurrent module must be the last"),
        (lambda: sequential(module("Tanh"), linear()), "`input_shape` is needed: Activation, the first"),
        (lambda: sequential(linear(), linear()), r"dense.* does not fit inputs of shape \(None, 6\)"),
        (lambda: sequential(linear("float32"), linear()), "all weights must be float32, got one of float64"),
    ],
)
def test_what_is_not_supported_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_torch(make())


def test_live_sequential_modules() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    gates = [
        nn.Tanh(),
        nn.Sigmoid(),
        nn.ReLU(),
        nn.SELU(),
        nn.SiLU(),
        nn.Softsign(),
        nn.Softplus(),
        nn.GELU(),
    ]
    gates += [
        nn.ReLU6(),
        nn.LeakyReLU(),
        nn.ELU(0.7),
        nn.Softmax(-1),
        nn.Identity(),
        nn.LayerNorm(8),
        nn.Dropout(),
    ]
    for dtype in (torch.float32, torch.float64):
        for gate in gates:
            net = nn.Sequential(nn.Linear(4, 8), gate, nn.Linear(8, 3), nn.Flatten()).to(dtype).eval()
            x = torch.randn(5, 4, dtype=dtype)
            ours, theirs = from_torch(net)(x.numpy()), net(x).detach().numpy()
            assert ours.dtype == theirs.dtype
            # Two sums of at most 8 numbers of size 4.
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2 * 8 * 4 * np.finfo(ours.dtype).eps)
        net = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True)).to(
            dtype
        )
        tokens = torch.randint(0, 9, (3, 7))
        y, (h, c) = net(tokens)
        result = from_torch(net)(tokens.numpy())
        tolerance = 7 * 2 * 11 * 4 * np.finfo(result[0].dtype).eps  # steps, layers, terms, size
        np.testing.assert_allclose(result[0], y.detach().numpy(), rtol=0, atol=tolerance)
        np.testing.assert_allclose(result[-1], c[-1].detach().numpy(), rtol=0, atol=tolerance)
        np.testing.assert_allclose(result[1], h[0].detach().numpy(), rtol=0, atol=tolerance)
