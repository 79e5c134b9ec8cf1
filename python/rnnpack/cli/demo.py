"""`rnnpack demo`: an LSTM that is not trained follows a wave, and a linear readout predicts it."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import LSTM, set_seed
from rnnpack.cli.terminal import styled

_UNITS = 64
_TIMESTEPS = 600
_FITTED = 400
# Predicted values shown.
_WIDTH, _HEIGHT = 72, 15


def command(options: Any) -> None:
    """Prints the picture and how fast it was."""
    set_seed(1)
    layer = LSTM(_UNITS, return_sequences=True)
    wave = _wave()
    states = layer(wave[None, :-1, None])[0]
    readout = _readout(states[:_FITTED], wave[1 : _FITTED + 1])
    predicted = _with_one(states[_FITTED:]) @ readout
    truth = wave[_FITTED + 1 :]
    error = float(np.sqrt(np.mean((predicted - truth) ** 2)) / np.std(truth))

    print(styled("An LSTM with random weights, and a linear readout fitted to the first 400 steps", "bold"))
    print(f"predicts the next value of a wave that it has not seen: {_legend()}\n")
    print("\n".join(_picture(truth[:_WIDTH], predicted[:_WIDTH])))
    print(f"\nerror:    {error:.1%} of the wave's standard deviation")
    print(f"explain:  {styled(str(layer.explain()), 'green')}")
    print(f"speed:    {_speed(layer):,.0f} timesteps/s, LSTM({_UNITS}), batch 64")
    print("\nnext:     rnnpack run MODEL INPUT -o OUTPUT    (rnnpack --help)")


def _wave() -> NDArray[np.float32]:
    time = np.arange(_TIMESTEPS + 1)
    return (np.sin(time / 5) * np.cos(time / 23)).astype(np.float32)


def _readout(states: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """Ridge regression, after the first steps in which the states still forget that they began with zeros."""
    inputs, wanted = _with_one(states[20:]), targets[20:]
    return np.linalg.solve(inputs.T @ inputs + 1e-6 * np.eye(inputs.shape[1]), inputs.T @ wanted)


def _with_one(states: NDArray[Any]) -> NDArray[np.float64]:
    return np.concatenate([states, np.ones((len(states), 1))], axis=1).astype(np.float64)


def _speed(layer: LSTM) -> float:
    """Timesteps in a second, of the fastest of a few calls."""
    rows = np.random.default_rng(0).normal(size=(64, 100, 1)).astype(np.float32)
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        layer(rows)
        best = min(best, time.perf_counter() - began)
    return 64 * 100 / best


def _marks() -> tuple[str, str]:
    """For the truth and the prediction."""
    return ("·", "●") if (sys.stdout.encoding or "").lower().startswith("utf") else (".", "o")


def _legend() -> str:
    true, predicted = _marks()
    return f"{true} wave, {styled(predicted, 'cyan')} prediction"


def _picture(truth: NDArray[Any], predicted: NDArray[Any]) -> list[str]:
    """Both over time; the prediction covers the truth."""
    lowest, highest = float(truth.min()), float(truth.max())
    canvas = [[" "] * len(truth) for _ in range(_HEIGHT)]
    true, guess = _marks()
    for values, mark in ((truth, true), (predicted, styled(guess, "cyan"))):
        heights = np.clip((values - lowest) / (highest - lowest), 0, 1)
        for column, height in enumerate(heights):
            canvas[round((1 - float(height)) * (_HEIGHT - 1))][column] = mark
    return ["  " + "".join(line).rstrip() for line in canvas]
