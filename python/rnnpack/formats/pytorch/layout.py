"""How PyTorch lays out the weights of recurrent layers, and how rnnpack does.

PyTorch's matrices are `(gates * units, inputs)`, one block of rows for each gate, with a bias for the inputs
and one for the state; formulas: the pages of `torch.nn.LSTM`, `GRU` and `RNN`. Here matrices are
`(inputs, gates * units)`, and only the GRU keeps two biases, because its reset gate applies to the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Where each of our gates is among PyTorch's; every one of these orders is its own inverse.
# LSTM: i, f, g, o in both. GRU: z, r, h here; r, z, n there.
ORDER = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "RNN": (0,)}

# The kind of a layer by its number of gates.
KIND = {len(order): kind for kind, order in ORDER.items()}


def from_torch(kind: str, weights: Mapping[str, Array]) -> list[Array]:
    """The weights of one cell in the order of `get_weights()`.

    The two biases of an LSTM or RNN are added in their own dtype: one rounding.

    Args:
        kind: "LSTM", "GRU" or "RNN".
        weights: `weight_ih`, `weight_hh`, and where the layer has them `bias_ih`, `bias_hh`, `weight_hr`.
    """
    ours = [_reordered(kind, weights["weight_ih"]).T, _reordered(kind, weights["weight_hh"]).T]
    if "bias_ih" in weights:
        biases = [_reordered(kind, weights[name]) for name in ("bias_ih", "bias_hh")]
        ours.append(np.stack(biases) if kind == "GRU" else biases[0] + biases[1])
    if "weight_hr" in weights:
        ours.append(weights["weight_hr"].T)
    return ours


def to_torch(kind: str, weights: Sequence[Array], use_bias: bool) -> dict[str, Array]:
    """The weights of one cell under PyTorch's names; the bias of an LSTM or RNN becomes `bias_ih`.

    Args:
        kind: "LSTM", "GRU" or "RNN".
        weights: as `get_weights()` returns them.
        use_bias: whether the third is a bias.
    """
    kernel, recurrent_kernel, *rest = weights
    theirs = {"weight_ih": _reordered(kind, kernel.T), "weight_hh": _reordered(kind, recurrent_kernel.T)}
    if use_bias:
        bias = rest.pop(0)
        rows = bias if kind == "GRU" else np.stack([bias, np.zeros_like(bias)])
        theirs |= {"bias_ih": _reordered(kind, rows[0]), "bias_hh": _reordered(kind, rows[1])}
    if rest:
        theirs["weight_hr"] = rest[0].T
    return {name: np.ascontiguousarray(array) for name, array in theirs.items()}


def _reordered(kind: str, array: Array) -> Array:
    """The blocks of rows, one for each gate, in the other framework's order."""
    order = ORDER[kind]
    return np.concatenate([np.split(array, len(order))[block] for block in order])
