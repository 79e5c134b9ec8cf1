"""PyTorch's recurrent modules, batch first, under inference_mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from serve import Arrays, Case, only_full
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
CELLS = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "simple_rnn": torch.nn.RNNCell}


class Contestant:
    """See `serve.Contestant`."""

    def __init__(self, name: str, threads: int) -> None:
        del name
        torch.set_num_threads(threads)
        self.mode = torch.inference_mode()  # held, because it ends when it is collected
        self.mode.__enter__()

    def facts(self) -> dict[str, str]:
        """Version."""
        return {"torch": torch.__version__}

    def prepare(self, task: str, cell: str, arrays: Arrays, precision: str) -> Case:
        """See `serve.Contestant`.

        Tasks: sequence, states, stream (the library's cell, its states handed on by the caller), packed (from
        and to packed sequences), padded (the same from and to padded arrays). In bfloat16, inputs and states
        are given as such tensors, and results are made float32 for the oracle only.
        """
        x = torch.from_numpy(arrays["inputs"])
        if task == "stream":
            only_full(precision, "the cell as it is measured here")
            return _stream(cell, x, arrays)
        units = arrays["recurrent"].shape[0]
        module = MODULES[cell](x.shape[2], units, batch_first=True, dtype=x.dtype).eval()
        _load(module, cell, arrays, "_l0")
        states = tuple(torch.from_numpy(state[None]) for state in arrays["states"])
        if precision == "bfloat16":
            module, x, states = module.bfloat16(), x.bfloat16(), tuple(state.bfloat16() for state in states)
        elif precision == "int8":
            module = _quantized(module)
        if task == "sequence":
            return Case(lambda: module(x), lambda result: [_array(result[0]), *_states(result[1])])
        if task == "states":
            first = states if cell == "lstm" else states[0]
            return Case(lambda: module(x, first), lambda result: [_array(result[0]), *_states(result[1])])
        if task in ("packed", "padded"):
            return _packed(module, x, arrays["mask"], task == "padded")
        raise ValueError(f"unknown task {task!r}")


def _load(module: torch.nn.Module, cell: str, arrays: Arrays, suffix: str) -> None:
    """Keras' weights in PyTorch's layout: transposed, the columns z, r, h of a GRU as r, z, n."""

    def columns(array: np.ndarray) -> np.ndarray:
        if cell == "gru":
            z, r, h = np.split(array, 3, axis=-1)
            array = np.concatenate([r, z, h], axis=-1)
        return np.ascontiguousarray(array.T)

    bias = arrays["bias"]
    biases = bias if cell == "gru" else (bias, np.zeros_like(bias))
    named = {"weight_ih": arrays["kernel"], "weight_hh": arrays["recurrent"]}
    named |= {"bias_ih": biases[0], "bias_hh": biases[1]}
    state = {name + suffix: torch.from_numpy(columns(array)) for name, array in named.items()}
    module.load_state_dict(state)


def _quantized(module: torch.nn.Module) -> torch.nn.Module:
    """The module with weights of 8 bits and inputs scaled call by call.

    Raises:
        NotImplementedError: there is no such module, and the given one came back.
    """
    wrapped = torch.nn.Sequential(module)
    found = torch.ao.quantization.quantize_dynamic(wrapped, {type(module)}, dtype=torch.qint8)[0]
    if type(found) is type(module):
        raise NotImplementedError(f"torch.ao leaves nn.{type(module).__name__} in float32")
    return found


def _array(tensor: torch.Tensor) -> np.ndarray:
    """As NumPy's, which has no bfloat16."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _states(states: Any) -> list[np.ndarray]:
    """Final states without the axis of layers."""
    return [_array(state[0]) for state in (states if isinstance(states, tuple) else (states,))]


def _stream(cell: str, x: torch.Tensor, arrays: Arrays) -> Case:
    step = x[:, 0].contiguous()
    module = CELLS[cell](x.shape[2], arrays["recurrent"].shape[0], dtype=x.dtype).eval()
    _load(module, cell, arrays, "")
    states: Any = None

    def call() -> Any:
        nonlocal states
        states = module(step, states)
        return states

    def output(result: Any) -> list[np.ndarray]:
        return [(result[0] if cell == "lstm" else result)[:, None].numpy()]

    return Case(call, output)


def _packed(module: torch.nn.Module, x: torch.Tensor, mask: np.ndarray, padded: bool) -> Case:
    lengths = torch.from_numpy(mask.sum(axis=1))

    def pack() -> Any:
        return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)

    def unpack(sequence: Any) -> torch.Tensor:
        return pad_packed_sequence(sequence, batch_first=True, total_length=x.shape[1])[0]

    def call_padded() -> Any:
        output, states = module(pack())
        return unpack(output), states

    if padded:
        return Case(call_padded, lambda result: [_array(result[0]), *_states(result[1])])
    packed = pack()
    return Case(lambda: module(packed), lambda result: [_array(unpack(result[0])), *_states(result[1])])
