"""Activations as ONNX nodes, and as activations of its recurrent operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rnnpack import activations
from rnnpack.formats.onnx.export.builder import Builder

_SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}


def _gelu(builder: Builder, x: str, dtype: Any) -> str:
    inner = builder.add("Erf", builder.add("Mul", x, builder.constant(1 / math.sqrt(2), dtype)))
    half = builder.add("Mul", x, builder.constant(0.5, dtype))
    return builder.add("Mul", half, builder.add("Add", inner, builder.constant(1, dtype)))


_NODES: dict[Any, Callable[[Builder, str, Any], str]] = {
    activations.elu: lambda b, x, dtype: b.add("Elu", x),
    activations.exponential: lambda b, x, dtype: b.add("Exp", x),
    activations.gelu: _gelu,
    activations.hard_sigmoid: lambda b, x, dtype: b.add("HardSigmoid", x, alpha=0.2, beta=0.5),
    activations.linear: lambda b, x, dtype: x,
    activations.relu: lambda b, x, dtype: b.add("Relu", x),
    activations.selu: lambda b, x, dtype: b.add("Selu", x, **_SELU),
    activations.sigmoid: lambda b, x, dtype: b.add("Sigmoid", x),
    activations.softmax: lambda b, x, dtype: b.add("Softmax", x, axis=-1),
    activations.softplus: lambda b, x, dtype: b.add("Softplus", x),
    activations.softsign: lambda b, x, dtype: b.add("Softsign", x),
    activations.swish: lambda b, x, dtype: b.add("Mul", x, b.add("Sigmoid", x)),
    activations.tanh: lambda b, x, dtype: b.add("Tanh", x),
}

# Name in the recurrent operators, with alpha and beta where it has these.
_RECURRENT: dict[Any, tuple[str, list[float], list[float]]] = {
    activations.elu: ("Elu", [1.0], []),
    activations.hard_sigmoid: ("HardSigmoid", [0.2], [0.5]),
    activations.linear: ("Affine", [1.0], [0.0]),
    activations.relu: ("Relu", [], []),
    activations.sigmoid: ("Sigmoid", [], []),
    activations.softplus: ("Softplus", [], []),
    activations.softsign: ("Softsign", [], []),
    activations.tanh: ("Tanh", [], []),
}


def activated(builder: Builder, function: Any, x: str, dtype: Any) -> str:
    """The activation of a value; FormatError where ONNX cannot say it."""
    try:
        write = _NODES.get(function)
    except TypeError:  # other callables need not be hashable
        write = None
    if write is None:
        raise builder.error(f"activation {getattr(function, '__name__', function)!r} is not known")
    return write(builder, x, dtype)


def recurrent_attributes(builder: Builder, functions: list[Any]) -> dict[str, Any]:
    """The attributes for the activations of a recurrent operator."""
    found = []
    for function in functions:
        try:
            entry = _RECURRENT.get(function)
        except TypeError:
            entry = None
        if entry is None:
            name = getattr(function, "__name__", function)
            raise builder.error(f"ONNX's recurrent operators have no activation {name!r}")
        found.append(entry)
    return {
        "activations": [name for name, _, _ in found],
        "activation_alpha": [alpha for _, alphas, _ in found for alpha in alphas] or None,
        "activation_beta": [beta for _, _, betas in found for beta in betas] or None,
    }
