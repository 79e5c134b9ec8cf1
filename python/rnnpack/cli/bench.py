"""`rnnpack bench`: latency and throughput of a model on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.cli.models import ready
from rnnpack.cli.terminal import styled, table
from rnnpack.datafiles.fitting import ModelInput
from rnnpack.datafiles.running import Runner, as_model, runner_of
from rnnpack.layers import Embedding, Layer
from rnnpack.threads import get_num_threads

# Calls of a measurement.
_FEWEST, _MOST = 5, 100_000


@dataclass(frozen=True)
class Figures:
    """What a measurement found.

    Attributes:
        batch_size: rows of a call.
        timesteps: of a row; None if the rows have no time.
        calls: that were measured.
        median_ms: of a call's time, in milliseconds.
        lower_ms: the first quartile.
        upper_ms: the third quartile.
        rows_per_second: at the median.
    """

    batch_size: int
    timesteps: int | None
    calls: int
    median_ms: float
    lower_ms: float
    upper_ms: float
    rows_per_second: float


def command(options: Any) -> None:
    """Prints a table or JSON."""
    model = ready(options.model, options.precision, options.threads)
    if isinstance(model, Layer):
        model = as_model(model)
    runner = runner_of(model)
    figures = list(_measured(runner, _words(model), options.batch_sizes, options.timesteps, options.seconds))
    if options.json:
        kept = {"model": model.name, "threads": get_num_threads(), "precision": options.precision}
        print(json.dumps({**kept, "results": [asdict(one) for one in figures]}, indent=2))
        return
    print(f"{styled(model.name, 'bold')}: {get_num_threads()} threads, precision {options.precision}")
    rows = [
        [
            f"{one.batch_size}",
            "-" if one.timesteps is None else f"{one.timesteps}",
            f"{one.calls}",
            f"{one.median_ms:.3f}",
            f"{one.lower_ms:.3f} to {one.upper_ms:.3f}",
            f"{one.rows_per_second:,.0f}",
            "-" if one.timesteps is None else f"{one.rows_per_second * one.timesteps:,.0f}",
        ]
        for one in figures
    ]
    head = ("batch", "timesteps", "calls", "median ms", "quartiles ms", "rows/s", "timesteps/s")
    print("\n".join(table(head, rows)))
    for name, explanation in model.explain().items():
        print(f"{name}: {explanation}")


def _measured(
    runner: Runner, words: int | None, batch_sizes: list[int], timesteps: list[int], seconds: float
) -> Iterator[Figures]:
    rng = np.random.default_rng(0)
    # Sizes of time that the model fixes are measured once.
    free = any(one.shape and one.shape[0] is None for one in runner.inputs)
    for steps in timesteps if free else [None]:
        for batch in batch_sizes:
            arrays = [_random(rng, words, one, batch, steps) for one in runner.inputs]
            times = _timed(runner, arrays, seconds)
            lower, median, upper = np.quantile(times, [0.25, 0.5, 0.75]) * 1e3
            length = arrays[0].shape[1] if arrays[0].ndim > 1 else None
            yield Figures(
                batch,
                length,
                len(times),
                float(median),
                float(lower),
                float(upper),
                batch / float(median) * 1e3,
            )


def _timed(runner: Runner, arrays: list[NDArray[Any]], seconds: float) -> NDArray[np.float64]:
    """Seconds of single calls, after one that packs the weights."""
    runner.once(arrays)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _FEWEST or (time.perf_counter() < end and len(times) < _MOST):
        began = time.perf_counter()
        runner.once(arrays)
        times.append(time.perf_counter() - began)
    return np.array(times)


def _words(model: Any) -> int | None:
    """How many words the model can look up; None if it looks none up, or does not tell."""
    layers = model._flatten_layers() if isinstance(model, Layer) else ()
    return min((layer.input_dim for layer in layers if isinstance(layer, Embedding)), default=None)


def _random(
    rng: np.random.Generator, words: int | None, one: ModelInput, batch: int, timesteps: int | None
) -> NDArray[Any]:
    """Normal numbers; numbers of words for a row without features in a model that looks words up.

    Raises:
        ValueError: a size other than that of time is open.
    """
    shape = list(one.shape)
    if shape and shape[0] is None:
        shape[0] = timesteps
    if None in shape:
        raise ValueError(f"input {one} leaves a size open that is not that of time")
    size = (batch, *(axis for axis in shape if axis is not None))
    if one.dtype.kind in "iu" or (words is not None and len(shape) == 1):
        return rng.integers(0, words or 2, size).astype(one.dtype)
    return rng.normal(size=size).astype(one.dtype)
