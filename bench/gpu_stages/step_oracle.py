"""Recurrent modules in float64, step by step, for the large layers that are timed.

Written from the formulas on the pages of `torch.nn.LSTM`, `GRU` and `RNN`; `torch` is handed in, so that the
rest of the benchmark needs no PyTorch.
"""

from __future__ import annotations

from typing import Any

# How far a result may be off, as a part of its norm, in units of the format's rounding: both factors of a
# product, its sum, the gates and the stored output round once each, and what h brings along from the step
# before fades, because gates forget; as much again for errors that are not independent.
ROUNDINGS = 10.0
UNIT = {"float32": 2.0**-24, "tf32": 2.0**-11, "bfloat16": 2.0**-8, "float16": 2.0**-11}


def tolerance(form: str, features: int, units: int) -> float:
    """The largest relative error in the Euclidean norm; sums are float32 and add the root of their length."""
    return ROUNDINGS * (UNIT[form] + UNIT["float32"] * (features + units) ** 0.5)


def relative_error(torch: Any, found: Any, wanted: Any) -> float:
    """The norm of the difference over the norm of what is wanted, infinite for NaN."""
    error = float(torch.linalg.vector_norm(found.double() - wanted) / torch.linalg.vector_norm(wanted))
    return error if error == error else float("inf")


def _direction(torch: Any, kind: str, weights: dict[str, Any], x: Any, kept: Any, backwards: bool) -> Any:
    """Outputs `(B, T, H)` and final states of one direction."""
    batch, steps = x.shape[:2]
    units = weights["weight_hh"].shape[1]
    h = c = x.new_zeros(batch, units)
    outputs = x.new_zeros(batch, steps, units)
    from_x = x @ weights["weight_ih"].T + weights["bias_ih"]
    recurrent = weights["weight_hh"].T.contiguous()
    for t in reversed(range(steps)) if backwards else range(steps):
        of_x, of_h = from_x[:, t], torch.addmm(weights["bias_hh"], h, recurrent)
        new_c = c
        if kind == "lstm":
            i, f, g, o = (of_x + of_h).chunk(4, dim=1)
            new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            new_h = torch.sigmoid(o) * torch.tanh(new_c)
        elif kind == "gru":
            (rx, zx, nx), (rh, zh, nh) = of_x.chunk(3, dim=1), of_h.chunk(3, dim=1)
            z = torch.sigmoid(zx + zh)
            new_h = (1 - z) * torch.tanh(nx + torch.sigmoid(rx + rh) * nh) + z * h
        else:
            new_h = torch.tanh(of_x + of_h)
        now = kept[:, t, None]
        h, c = torch.where(now, new_h, h), torch.where(now, new_c, c)
        outputs[:, t] = torch.where(now, new_h, torch.zeros_like(new_h))
    return outputs, [h, c] if kind == "lstm" else [h]


def forward(torch: Any, kind: str, module: Any, x: Any, lengths: Any = None) -> list[Any]:
    """What a module of one layer computes, batch first, from zero states.

    Args:
        torch: the library.
        kind: one of `shapes.CELLS`.
        module: `nn.LSTM`, `GRU` or `RNN`; its weights count as exact.
        x: `(B, T, F)`.
        lengths: of the rows `(B,)`, or None; outputs after a row's end are zero.

    Returns:
        The output, then the final states of each direction, forwards first: h, for an LSTM then c.
    """
    x = x.double()
    steps = torch.arange(x.shape[1], device=x.device)
    whole = torch.full((x.shape[0],), x.shape[1])
    kept = steps < (whole if lengths is None else lengths).to(x.device)[:, None]
    outputs, states = [], []
    for suffix in ("_l0", "_l0_reverse") if module.bidirectional else ("_l0",):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = {name: getattr(module, name + suffix).detach().double() for name in names}
        output, found = _direction(torch, kind, weights, x, kept, suffix.endswith("reverse"))
        outputs.append(output)
        states += found
    return [torch.cat(outputs, dim=2), *states]
