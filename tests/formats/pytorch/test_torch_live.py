"""Modules of the installed PyTorch, with all of their options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_cases import compare, flat_states, initial_state

import rnnpack
from rnnpack.formats import FormatError
from rnnpack.formats.pytorch import from_torch, to_torch_state_dict

torch = pytest.importorskip("torch")
nn = torch.nn
torch.set_num_threads(1)  # these modules are small, and the machine may be busy

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

KINDS = st.sampled_from(["LSTM", "GRU", "RNN"])


@st.composite
def modules(draw: st.DrawFn) -> Any:
    kind = draw(KINDS)
    units = draw(st.integers(1, 9))
    options: dict[str, Any] = {
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind == "LSTM" and units > 1 and draw(st.booleans()):
        options["proj_size"] = draw(st.integers(1, units - 1))
    if options["num_layers"] > 1:
        options["dropout"] = draw(st.sampled_from([0.0, 0.5]))
    torch.manual_seed(draw(st.integers(0, 99)))
    return getattr(nn, kind)(draw(st.integers(1, 5)), units, **options).eval()


def run(module: Any, states: Any = None, batch: int = 2, time: int = 9) -> tuple[Any, Any, Any, Any]:
    """x, y, hn, cn."""
    lead = (batch, time) if module.batch_first else (time, batch)
    x = torch.randn(*lead, module.input_size, dtype=module.weight_ih_l0.dtype)
    with torch.no_grad():
        y, final = module(x, states)
    hn, cn = final if isinstance(final, tuple) else (final, None)
    return x.numpy(), y.numpy(), hn.numpy(), None if cn is None else cn.numpy()


def terms(module: Any) -> int:
    return int(module.input_size + 3 * module.hidden_size + 2)


@settings(max_examples=40)
@given(modules())
def test_modules_compute_the_same(module: Any) -> None:
    x, y, hn, cn = run(module)
    compare(from_torch(module)(x), y, hn, cn, terms(module))


@settings(max_examples=20)
@given(modules())
def test_state_dicts_go_there_and_back(module: Any) -> None:
    options = {"batch_first": module.batch_first, "nonlinearity": getattr(module, "nonlinearity", "tanh")}
    model = from_torch(module.state_dict(), **options)
    x, y, hn, cn = run(module)
    compare(model(x), y, hn, cn, terms(module))
    module.load_state_dict(to_torch_state_dict(model))  # the sums of biases only are as they were
    x, y, hn, cn = run(module)
    compare(model(x), y, hn, cn, terms(module))


@settings(max_examples=20)
@given(modules())
def test_initial_states(module: Any) -> None:
    directions = 2 if module.bidirectional else 1
    count, dtype = directions * module.num_layers, module.weight_ih_l0.dtype
    h0 = torch.randn(count, 2, module.proj_size or module.hidden_size, dtype=dtype)
    c0 = torch.randn(count, 2, module.hidden_size, dtype=dtype) if module.mode == "LSTM" else None
    x, y, hn, cn = run(module, h0 if c0 is None else (h0, c0))
    layer = from_torch(module, initial_state=True)
    h0, c0 = h0.numpy(), None if c0 is None else c0.numpy()
    if isinstance(layer, rnnpack.Model):
        result = layer([x, *flat_states(h0, c0)])
    else:
        result = layer(x, initial_state=initial_state(layer, h0, c0))
    compare(result, y, hn, cn, terms(module))


@settings(max_examples=20)
@given(KINDS, st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_cells_compute_the_same(kind: str, bias: bool, dtype: Any) -> None:
    module = getattr(nn, f"{kind}Cell")(3, 5, bias=bias, dtype=dtype)
    x = torch.randn(2, 3, dtype=dtype)
    states = [torch.randn(2, 5, dtype=dtype) for _ in range(2 if kind == "LSTM" else 1)]
    with torch.no_grad():
        theirs = module(x, tuple(states) if kind == "LSTM" else states[0])
    _, ours = from_torch(module)(x.numpy(), [state.numpy() for state in states])
    for our, their in zip(ours, theirs if kind == "LSTM" else [theirs], strict=True):
        # 10 terms, numbers of size 4.
        np.testing.assert_allclose(our, their.numpy(), rtol=0, atol=10 * 4 * np.finfo(our.dtype).eps)


def test_parametrized_modules_have_their_effective_weights() -> None:
    module = nn.utils.parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0")
    x, y, hn, cn = run(module.eval())
    compare(from_torch(module)(x), y, hn, cn, terms(module))


class Mine(nn.LSTM):
    def forward(self, inputs: Any) -> Any:
        return inputs


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 4)
        self.head = nn.Linear(4, 2)


def hooked() -> Any:
    module = nn.LSTM(3, 4)
    module.register_forward_hook(lambda *arguments: None)
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Mine(3, 4), r"Mine has a forward\(\) of its own"),
        (Model(), "module of class Model cannot be converted as a whole: convert its children encoder, head"),
        (hooked(), "has forward hooks"),
        (nn.LSTM(3, 4).half(), "got float16"),
        (nn.LSTM(3, 4).bfloat16(), "cannot be read as an array of float32 or float64: .*BFloat16"),
        (nn.GRU(3, 4, device="meta"), "cannot be read as an array"),
        (nn.Conv1d(3, 4, 2), "torch.nn.Conv1d is not supported"),
    ],
)
def test_live_modules_that_are_not_supported(module: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        from_torch(module)


@pytest.mark.filterwarnings("ignore")
def test_live_modules_of_torchscript_and_quantised_ones() -> None:
    with pytest.raises(FormatError, match="is TorchScript"):
        from_torch(torch.jit.script(nn.Linear(3, 4)))
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(3, 4)), {nn.LSTM})
    with pytest.raises(FormatError, match=r"module\[0\]: LSTM is quantised"):
        from_torch(quantised)
