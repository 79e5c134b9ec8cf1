"""LSTM, GRU and RNN of the ONNX standard in float64: one row, one step, one formula at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
# Which of alpha and beta an activation has, and their defaults.
PARAMETERS = {
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "Softsign": (),
    "Softplus": (),
    "Affine": (1.0, 0.0),
    "LeakyRelu": (0.01,),
    "ThresholdedRelu": (1.0,),
    "ScaledTanh": (1.0, 1.0),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0,),
}


def activate(name: str, parameters: list[float], value: float) -> float:
    """One activation of one number."""
    x = float(value)
    a, b = [*parameters, 0.0, 0.0][:2]
    if name == "Relu":
        return max(x, 0.0)
    if name == "Tanh":
        return math.tanh(x)
    if name == "Sigmoid":
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
    if name == "Softsign":
        return x / (1 + abs(x))
    if name == "Softplus":
        return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
    if name == "Affine":
        return a * x + b
    if name == "LeakyRelu":
        return x if x >= 0 else a * x
    if name == "ThresholdedRelu":
        return x if x > a else 0.0
    if name == "ScaledTanh":
        return a * math.tanh(b * x)
    if name == "HardSigmoid":
        return min(max(a * x + b, 0.0), 1.0)
    assert name == "Elu"
    return x if x >= 0 else a * math.expm1(x)


def _functions(op: str, attributes: dict[str, Any], direction: int, directions: int) -> list[Any]:
    names = attributes.get("activations") or DEFAULTS[op] * directions
    alphas = iter(attributes.get("activation_alpha") or [])
    betas = iter(attributes.get("activation_beta") or [])
    made, clip, size = [], attributes.get("clip"), len(DEFAULTS[op])
    spelled = {name.lower(): name for name in PARAMETERS}
    for at, name in enumerate(spelled[name.lower()] for name in names):
        parameters = [
            next(given, default) for given, default in zip((alphas, betas), PARAMETERS[name], strict=False)
        ]

        def function(
            values: Array, name: str = name, parameters: list[float] = parameters, at: int = at % size
        ) -> Array:
            if clip is not None and at < 2:  # not the cell state, as in ONNX Runtime
                values = np.clip(values, -clip, clip)
            return np.array([activate(name, parameters, value) for value in values])

        made.append(function)
    return made[direction * size : (direction + 1) * size]


def _step(
    op: str, f: list[Any], x: Array, state: list[Array], w: Array, r: Array, b: Array, p: Array, options: Any
) -> list[Array]:
    """The new states of one row."""
    n = r.shape[1]

    def gate(which: int, h: Array) -> Array:
        rows = slice(which * n, (which + 1) * n)
        gates = len(w) // n
        other = slice((gates + which) * n, (gates + which + 1) * n)
        return w[rows] @ x + r[rows] @ h + b[rows] + b[other]

    h = state[0]
    if op == "RNN":
        return [f[0](gate(0, h))]
    if op == "GRU":
        z, reset = f[0](gate(0, h)), f[0](gate(1, h))
        w_h, r_h = w[2 * n :], r[2 * n :]
        wb, rb = b[2 * n : 3 * n], b[5 * n :]
        if options.get("linear_before_reset"):
            candidate = f[1](w_h @ x + reset * (r_h @ h + rb) + wb)
        else:
            candidate = f[1](w_h @ x + r_h @ (reset * h) + rb + wb)
        return [(1 - z) * candidate + z * h]
    c = state[1]
    i = f[0](gate(0, h) + p[:n] * c)
    forget = 1 - i if options.get("input_forget") else f[0](gate(2, h) + p[2 * n :] * c)
    new = forget * c + i * f[1](gate(3, h))
    o = f[0](gate(1, h) + p[n : 2 * n] * new)
    return [o * f[2](new), new]


def run(op: str, feeds: dict[str, Array | None], attributes: dict[str, Any]) -> list[Array]:
    """Y, Y_h and, for LSTM, Y_c."""
    given = {name: None if a is None else np.asarray(a, np.float64) for name, a in feeds.items()}
    x, w, r = given["X"], given["W"], given["R"]
    assert x is not None and w is not None and r is not None
    first = [given.get("initial_h"), given.get("initial_c")][: 2 if op == "LSTM" else 1]
    if attributes.get("layout"):
        x, first = x.swapaxes(0, 1), [None if a is None else a.swapaxes(0, 1) for a in first]
    steps, batch, _ = x.shape
    directions, n = len(w), r.shape[2]
    lengths = feeds.get("sequence_lens")
    y = np.zeros((steps, directions, batch, n))
    finals = [np.zeros((directions, batch, n)) for _ in first]
    for d in range(directions):
        functions = _functions(op, attributes, d, directions)
        b = np.zeros(2 * len(w[d])) if given.get("B") is None else given["B"][d]
        p = np.zeros(3 * n) if given.get("P") is None else given["P"][d]
        for row in range(batch):
            length = steps if lengths is None else int(lengths[row])
            order = list(range(length))
            if attributes.get("direction") == "reverse" or d == 1:
                order.reverse()
            state = [np.zeros(n) if a is None else a[d, row] for a in first]
            for t in order:
                state = _step(op, functions, x[t, row], state, w[d], r[d], b, p, attributes)
                y[t, d, row] = state[0]
            for final, value in zip(finals, state, strict=True):
                final[d, row] = value
    if attributes.get("layout"):
        return [y.transpose(2, 0, 1, 3), *(final.swapaxes(0, 1) for final in finals)]
    return [y, *finals]
