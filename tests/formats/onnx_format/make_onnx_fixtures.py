"""Exports small PyTorch models to files/*.onnx, with inputs and PyTorch's outputs in files/*.npz.

Needs torch, onnx and, for dynamo_tagger, onnxscript:
`python tests/formats/onnx_format/make_onnx_fixtures.py`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

FILES = Path(__file__).parent / "files"


class Tagger(nn.Module):
    """Embedding, bidirectional LSTM of two layers, a softmax for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.dense = nn.Linear(10, 4)

    def forward(self, tokens: Any) -> Any:
        sequence, _ = self.lstm(self.embedding(tokens))
        return torch.softmax(self.dense(sequence), -1)


class Forecaster(nn.Module):
    """GRU of two layers with a first state, its last output through LayerNorm and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 8, num_layers=2)
        self.norm = nn.LayerNorm(8)
        self.dense = nn.Linear(8, 1)

    def forward(self, x: Any, h: Any) -> Any:
        sequence, state = self.gru(x, h)
        return self.dense(nn.functional.gelu(self.norm(sequence[-1]))), state


class Counter(nn.Module):
    """RNN with relu on convolved and pooled series, summed with attention weights."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(3, 6, 3, padding=1)
        self.pool = nn.MaxPool1d(2)
        self.rnn = nn.RNN(6, 7, nonlinearity="relu", batch_first=True)
        self.score = nn.Linear(7, 1)

    def forward(self, x: Any) -> Any:
        features = self.pool(torch.relu(self.convolution(x.transpose(1, 2)))).transpose(1, 2)
        sequence, _ = self.rnn(features)
        weights = torch.softmax(self.score(torch.tanh(sequence)), 1)
        return (weights * sequence).sum(1)


class Packed(nn.Module):
    """LSTM over rows of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True, bidirectional=True)

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        sequence, (h, c) = self.lstm(packed)
        sequence, _ = nn.utils.rnn.pad_packed_sequence(sequence, batch_first=True)
        return sequence, h, c


def strip(path: Path) -> None:
    """Takes out where in which source the nodes come from."""
    model = onnx.load(path)
    for part in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        model.graph,
    ):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, path)


def main() -> None:
    """Writes all fixtures."""
    torch.manual_seed(0)
    rows = {0: "batch", 1: "time"}
    cases: dict[str, Any] = {
        "tagger": (
            Tagger(),
            (torch.randint(0, 20, (3, 7)),),
            ["tokens"],
            ["tags"],
            {"tokens": rows, "tags": rows},
        ),
        "forecaster": (
            Forecaster(),
            (torch.randn(6, 2, 3), torch.randn(2, 2, 8)),
            ["x", "h"],
            ["y", "state"],
            {"x": {0: "time", 1: "batch"}, "h": {1: "batch"}, "y": {0: "batch"}, "state": {1: "batch"}},
        ),
        "counter": (Counter(), (torch.randn(2, 8, 3),), ["x"], ["y"], {"x": rows, "y": {0: "batch"}}),
        "packed": (
            Packed(),
            (torch.randn(3, 5, 4), torch.tensor([5, 3, 1])),
            ["x", "lengths"],
            ["y", "h", "c"],
            {"x": rows, "lengths": {0: "batch"}, "y": rows, "h": {1: "batch"}, "c": {1: "batch"}},
        ),
    }
    for name, (module, inputs, input_names, output_names, axes) in cases.items():
        module.eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = module(*inputs)
            torch.onnx.export(
                module, inputs, FILES / f"{name}.onnx", input_names=input_names, output_names=output_names,
                dynamic_axes=axes, opset_version=17, dynamo=False,
            )  # fmt: skip
            if name == "tagger":  # by the newer exporter as well
                shapes = {"tokens": {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}}
                torch.onnx.export(
                    module, inputs, FILES / "dynamo_tagger.onnx", input_names=input_names,
                    output_names=output_names, dynamic_shapes=shapes, dynamo=True, external_data=False,
                )  # fmt: skip
                strip(FILES / "dynamo_tagger.onnx")
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = {f"in_{key}": value.numpy() for key, value in zip(input_names, inputs, strict=True)}
        arrays |= {f"out_{key}": value.numpy() for key, value in zip(output_names, outputs, strict=True)}
        np.savez(FILES / f"{name}.npz", **arrays)
        if name == "tagger":
            np.savez(FILES / "dynamo_tagger.npz", **arrays)


if __name__ == "__main__":
    main()
