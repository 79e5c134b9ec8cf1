"""Vocabulary for writing golden cases."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Step = dict[str, Any]
Case = dict[str, Any]
Spec = dict[str, Any]

# The four built-in cells as (layer class, config), and how many states they have.
KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "simple_rnn": ("SimpleRNN", {}, 1),
    "lstm": ("LSTM", {}, 2),
    "gru": ("GRU", {}, 1),
    "gru_reset_before": ("GRU", {"reset_after": False}, 1),
}

# (4, 6), True = use the step.
MASKS: dict[str, NDArray[np.bool_]] = {
    name: np.array([[c == "1" for c in row] for row in rows.split()])
    for name, rows in {
        "full": "111111 111111 111111 111111",
        "right": "111111 111100 100000 111110",
        "left": "111111 001111 000001 011111",
        "mixed": "011110 111100 000011 001000",
        "holes": "101010 010101 110011 001100",
        "empty_row": "110110 000000 111111 000000",
        "nothing": "000000 000000 000000 000000",
    }.items()
}


def spec(name: str, /, **config: Any) -> Spec:
    """A layer or cell by class name and constructor arguments."""
    return {"$layer": name, "config": config}


def layer_of(kind: str, /, **config: Any) -> Spec:
    """The built-in layer of one of ``KINDS``, four units unless told."""
    name, extra, _ = KINDS[kind]
    return spec(name, **{"units": 4, **extra, **config})


def cell_of(kind: str, /, **config: Any) -> Spec:
    """The cell of one of ``KINDS``."""
    name, extra, _ = KINDS[kind]
    return spec(name + "Cell", **{"units": 4, **extra, **config})


def data(name: str, *shape: int, dtype: str = "float32") -> NDArray[Any]:
    """Reproducible values in [-2, 2], multiples of 2**-8."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return (rng.integers(-512, 513, shape) / 256).astype(dtype)


def states(name: str, count: int, batch: int = 4, units: int = 4) -> list[NDArray[Any]]:
    """Initial states in [-1, 1]."""
    return [data(f"{name}/{i}", batch, units) / 2 for i in range(count)]


def call(*args: Any, **kwargs: Any) -> Step:
    """Call the layer."""
    return {"op": "call", "args": list(args), "kwargs": kwargs}


def prime(*args: Any, **kwargs: Any) -> Step:
    """Call the layer for its building; the result hangs on random initial weights and is not compared."""
    return {"op": "prime", "args": list(args), "kwargs": kwargs}


def method(name: str, *args: Any, **kwargs: Any) -> Step:
    """Call a method of the layer."""
    return {"op": name, "args": list(args), "kwargs": kwargs}


def build(*shape: int | None) -> Step:
    """Build with an input shape."""
    return method("build", tuple(shape))


def weights(scale: float = 1.0) -> Step:
    """Set random weights (drawn when recording)."""
    return {"op": "weights", "scale": scale}


def attribute(path: str) -> Step:
    """Read an attribute."""
    return method("attribute", path)


def create() -> Step:
    """Construct the layer; needed first in every case."""
    return {"op": "create"}


def raises(step: Step, error: str, fragment: str = "") -> Step:
    """The step must raise ``error`` with ``fragment`` in its text."""
    return {**step, "raises": [error, fragment]}


def case(name: str, layer: Spec, /, *steps: Step, tags: tuple[str, ...] = (), **extra: Any) -> Case:
    """A case; ``extra`` may hold ``expected_from``, another case. Calls before ``weights`` only prime."""
    ops = [step["op"] for step in steps]
    drawn = ops.index("weights") if "weights" in ops else 0
    primed = [{**s, "op": "prime"} if s["op"] == "call" and i < drawn else s for i, s in enumerate(steps)]
    first = [] if ops[:1] == ["create"] else [create()]
    return {"name": name, "layer": layer, "steps": first + primed, "tags": list(tags), **extra}


def decided(name: str, tag: str, layer: Spec, equivalent: Spec, *steps: Step) -> Case:
    """A case where this project wants what Keras gives for the ``equivalent`` layer."""
    return case(name, layer, *steps, tags=(tag,), expected_from=case(name, equivalent, *steps))
