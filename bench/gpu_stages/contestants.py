"""rnnpack and PyTorch's modules (cuDNN) with the same weights, on tensors in the memory of the GPU."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import rnnpack
from gpu_stages.cells import Cell
from gpu_stages.check import flat
from gpu_stages.floors import set_tf32

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
Call = Callable[[Any], list[Any]]


def dtype_of(form: str) -> torch.dtype:
    """What the arrays of a format are stored as."""
    return torch.float32 if form == "tf32" else getattr(torch, form)


def seed_of(text: str) -> int:
    """A seed that belongs to a name."""
    return zlib.crc32(text.encode())


@dataclass(frozen=True)
class Pair:
    """Both contestants' layers; `exact` has the same weights, rounded to the format, in float32."""

    exact: Any
    module: Any
    layer: Any


def pair(cell: Cell, device: str = "cuda") -> Pair:
    """The layers of a cell, with fresh weights that depend only on `cell.weights`."""
    torch.manual_seed(seed_of(str(cell.weights)))
    module = MODULES[cell.kind](
        cell.units,
        cell.units,
        batch_first=True,
        bidirectional=cell.directions == "both",
        device=device,
        dtype=dtype_of(cell.format),
    ).eval()
    exact = MODULES[cell.kind](
        cell.units, cell.units, batch_first=True, bidirectional=cell.directions == "both"
    ).eval()
    exact.load_state_dict({name: value.float().cpu() for name, value in module.state_dict().items()})
    layer = rnnpack.from_torch(exact)
    if device != "cpu":
        layer.device = device
        layer.set_precision("full" if cell.format == "float32" else cell.format)
    return Pair(exact, module, layer)


@dataclass(frozen=True)
class Inputs:
    """One set of inputs in both contestants' form; `lengths` is None where all rows are whole."""

    x: Any
    lengths: Any
    mask: Any
    packed: Any


def inputs(cell: Cell, count: int, device: str = "cuda") -> list[Inputs]:
    """So many sets of random inputs; lengths are uniform from half of the timesteps to all."""
    generator = torch.Generator(device).manual_seed(seed_of(cell.key))
    host = torch.Generator().manual_seed(seed_of(cell.key))
    shape, made = (cell.batch, cell.timesteps, cell.units), []
    for _ in range(count):
        x = torch.randn(shape, generator=generator, device=device, dtype=dtype_of(cell.format))
        if cell.rows == "whole":
            made.append(Inputs(x, None, None, x))
            continue
        least = (cell.timesteps + 1) // 2
        lengths = torch.randint(least, cell.timesteps + 1, (cell.batch,), generator=host)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        mask = torch.arange(cell.timesteps, device=device) < lengths.to(device)[:, None]
        made.append(Inputs(x, lengths, mask, packed))
    return made


def ours(two: Pair) -> Call:
    """A call of rnnpack: `[output, *states]`, states of each direction in turn."""
    return lambda one: flat(two.layer(one.x, mask=one.mask) if one.mask is not None else two.layer(one.x))


def theirs(two: Pair) -> Call:
    """A call of PyTorch on packed rows, or on whole ones: `[output, *states]` as PyTorch returns them."""

    def call(one: Inputs) -> list[Any]:
        output, states = two.module(one.packed)
        return [output, *(states if isinstance(states, tuple) else (states,))]

    return call


def in_our_order(cell: Cell, found: list[Any]) -> list[Any]:
    """PyTorch's results as rnnpack returns them, the rows padded again."""
    output, *states = found
    if cell.rows == "lengths":
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(
            output, batch_first=True, total_length=cell.timesteps
        )
    return [output, *(state[d] for d in range(states[0].shape[0]) for state in states)]


def zero_padding(one: Inputs, found: list[Any]) -> list[Any]:
    """Results whose outputs are zero after a row's end, where each library puts what it likes."""
    output, *states = found
    return [output if one.mask is None else output * one.mask[..., None], *states]


def peer(cell: Cell, one: Inputs) -> str:
    """What PyTorch computes the module with."""
    set_tf32(torch, cell.format == "tf32")
    return "cuDNN" if torch.cudnn_is_acceptable(one.x) else "PyTorch's own kernels"
