"""rnnpack, called as the README shows."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from serve import Arrays, Case

import rnnpack

LAYERS = {"lstm": rnnpack.LSTM, "gru": rnnpack.GRU, "simple_rnn": rnnpack.SimpleRNN}


class Contestant:
    """See `serve.Contestant`; the number of threads comes from RNNPACK_NUM_THREADS."""

    def __init__(self, name: str, threads: int) -> None:
        del name, threads

    def facts(self) -> dict[str, str]:
        """Version, NumPy's version and the path that layers take on this machine."""
        layer = rnnpack.LSTM(8)
        layer.build((1, 1, 8))
        return {"rnnpack": version("rnnpack"), "numpy": np.__version__, "path": str(layer.explain())}

    def prepare(self, task: str, cell: str, arrays: Arrays, precision: str) -> Case:
        """See `serve.Contestant`; tasks: sequence, states, mask, ragged, stream."""
        x = arrays["inputs"]
        units = arrays["recurrent"].shape[0]
        layer = LAYERS[cell](units, return_sequences=True, return_state=True, dtype=str(x.dtype))
        layer.build(x.shape)
        layer.set_weights([arrays["kernel"], arrays["recurrent"], arrays["bias"]])
        if precision != "full":  # not always: versions without this method can be measured too
            layer.set_precision(precision)
        path = str(layer.explain())
        if precision != "full" and not path.endswith(f"/{precision}"):
            raise NotImplementedError(path)
        return _case(task, layer, arrays)._replace(path=path)


def _case(task: str, layer: Any, arrays: Arrays) -> Case:
    x = arrays["inputs"]
    if task == "sequence":
        return Case(lambda: layer(x), list)
    if task == "states":
        states = list(arrays["states"])
        return Case(lambda: layer(x, initial_state=states), list)
    if task == "mask":
        mask = arrays["mask"]
        return Case(lambda: layer(x, mask=mask), list)
    if task == "ragged":
        rows = (x[arrays["mask"]], arrays["mask"].sum(axis=1))
        return Case(lambda: layer(rows), lambda result: [result[0][0], *result[1:]])
    if task == "stream":
        return _stream(layer, x, arrays["recurrent"].shape[0])
    raise ValueError(f"unknown task {task!r}")


def _stream(layer: Any, x: np.ndarray, units: int) -> Case:
    """One step after the other, the states kept by the stream."""
    stream = layer.stream(len(x))
    step = np.ascontiguousarray(x[:, 0])
    out = np.empty((len(x), units), x.dtype)
    return Case(lambda: stream(step, out=out), lambda _: [out[:, None].copy()])
