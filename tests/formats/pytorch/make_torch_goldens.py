"""Records what PyTorch's recurrent modules compute: `python make_torch_goldens.py`, with torch installed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch_cases import GOLDENS, SAVED

FEATURES, UNITS, BATCH, TIME = 3, 4, 2, 5

CASES: dict[str, dict[str, Any]] = {
    "lstm": {"kind": "LSTM"},
    "lstm_batch_first": {"kind": "LSTM", "batch_first": True, "bias": False},
    "lstm_deep": {"kind": "LSTM", "num_layers": 3, "batch_first": True, "dropout": 0.5},
    "lstm_both": {"kind": "LSTM", "bidirectional": True, "batch_first": True},
    "lstm_deep_both": {"kind": "LSTM", "num_layers": 2, "bidirectional": True},
    "lstm_projected": {"kind": "LSTM", "proj_size": 2, "batch_first": True},
    "lstm_projected_deep_both": {"kind": "LSTM", "proj_size": 2, "num_layers": 2, "bidirectional": True},
    "lstm_projected_no_bias": {"kind": "LSTM", "proj_size": 3, "num_layers": 2, "bias": False},
    "gru": {"kind": "GRU", "batch_first": True},
    "gru_no_bias": {"kind": "GRU", "bias": False},
    "gru_deep": {"kind": "GRU", "num_layers": 2},
    "gru_deep_both": {"kind": "GRU", "num_layers": 2, "bidirectional": True, "batch_first": True},
    "rnn": {"kind": "RNN"},
    "rnn_relu": {"kind": "RNN", "nonlinearity": "relu", "num_layers": 2, "batch_first": True},
    "rnn_both": {"kind": "RNN", "bidirectional": True, "bias": False, "batch_first": True},
}


def record(kind: str, dtype: torch.dtype, **options: Any) -> dict[str, np.ndarray]:
    """Weights, inputs, initial states and results of one module."""
    module = getattr(torch.nn, kind)(FEATURES, UNITS, dtype=dtype, **options).eval()
    lead = (BATCH, TIME) if module.batch_first else (TIME, BATCH)
    x = torch.randn(*lead, FEATURES, dtype=dtype)
    count = module.num_layers * (2 if module.bidirectional else 1)
    h0 = torch.randn(count, BATCH, module.proj_size or UNITS, dtype=dtype)
    given = (h0, torch.randn(count, BATCH, UNITS, dtype=dtype)) if kind == "LSTM" else (h0,)
    arrays = {f"weights/{name}": value for name, value in module.state_dict().items()}
    arrays |= {"x": x, **dict(zip(("h0", "c0"), given, strict=False))}
    with torch.no_grad():
        for suffix, result in (("", module(x)), ("_from", module(x, given if kind == "LSTM" else h0))):
            states = result[1] if kind == "LSTM" else (result[1],)
            arrays[f"y{suffix}"] = result[0]
            arrays |= {f"{n}{suffix}": state for n, state in zip(("hn", "cn"), states, strict=False)}
    return {name: value.numpy() for name, value in arrays.items()}


def main() -> None:
    """Writes both files."""
    torch.manual_seed(0)
    arrays: dict[str, np.ndarray] = {}
    options: dict[str, Any] = {}
    for name, case in CASES.items():
        for dtype in (torch.float32, torch.float64):
            full = f"{name}-{str(dtype).rpartition('.')[2]}"
            options[full] = {key: value for key, value in case.items() if key != "dropout"}
            arrays |= {f"{full}/{key}": array for key, array in record(dtype=dtype, **case).items()}
    np.savez_compressed(GOLDENS, options=json.dumps(options), **arrays)
    torch.save({"lstm." + name: value for name, value in torch.nn.LSTM(2, 2).state_dict().items()}, SAVED)


if __name__ == "__main__":
    main()
