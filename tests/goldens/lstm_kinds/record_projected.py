"""Record projected.npz with live PyTorch 2: ``python record_projected.py``.

``torch.nn.LSTM(proj_size=...)`` has the gates' order i, f, candidate, o, transposed matrices, and two biases
that are added. Rows of different lengths are packed sequences there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

B, T, F = 4, 6, 5
LENGTHS = [6, 2, 5, 1]
# units, projection units, dtype, bias, layers, both directions, lengths, first states
CASES: dict[str, tuple[Any, ...]] = {
    "plain": (7, 3, "float32", True, 1, False, None, False),
    "wide": (50, 37, "float32", True, 1, False, None, True),
    "float64": (19, 18, "float64", False, 1, False, LENGTHS, True),
    "stack": (7, 4, "float32", True, 3, False, LENGTHS, False),
    "both directions": (9, 5, "float32", True, 1, True, LENGTHS, False),
}


def record(name: str, seed: int) -> dict[str, Any]:
    """What PyTorch gives, with the weights of each layer in the layout of ``rnnpack.ProjectedLSTMCell``."""
    units, outputs, dtype, bias, layers, both, lengths, given = CASES[name]
    torch.manual_seed(seed)
    kind = getattr(torch, dtype)
    layer = torch.nn.LSTM(
        F, units, layers, bias, batch_first=True, bidirectional=both, proj_size=outputs, dtype=kind
    )
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, 0.0, 0.4 / max(weight.shape[-1], 9) ** 0.5 if weight.ndim == 2 else 0.4)
    x = torch.randn(B, T, F, dtype=kind)
    first = [torch.randn(layers, B, size, dtype=kind) for size in (outputs, units)] if given else None
    packed: Any = x
    if lengths is not None:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
    with torch.no_grad():
        output, (h, c) = layer(packed, first)
    if lengths is not None:
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=T)
    found = {"x": x, "output": output, "h": h, "c": c}
    weights = layer.state_dict()
    suffixes = ["", "_reverse"] if both else [""]
    for i, suffix in enumerate(f"l{k}{end}" for k in range(layers) for end in suffixes):
        names = ["weight_ih_", "weight_hh_", "weight_hr_"]
        kernel, recurrent, projection = (weights[part + suffix].T for part in names)
        found |= {f"kernel_{i}": kernel, f"recurrent_kernel_{i}": recurrent, f"projection_{i}": projection}
        if bias:
            found[f"bias_{i}"] = weights["bias_ih_" + suffix] + weights["bias_hh_" + suffix]
    if first is not None:
        found |= {"first_h": first[0], "first_c": first[1]}
    arrays = {f"{name}/{key}": value.contiguous().numpy() for key, value in found.items()}
    return arrays if lengths is None else arrays | {f"{name}/lengths": np.array(lengths)}


if __name__ == "__main__":
    cases: dict[str, Any] = {}
    for seed, name in enumerate(CASES):
        cases |= record(name, seed)
    np.savez_compressed(Path(__file__).with_name("projected.npz"), **cases)
