"""Layers of reduced precision and how they are compared with their oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tolerance
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from numpy.typing import NDArray
from precision import oracle

from rnnpack import (
    GRU,
    LSTM,
    RNN,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SimpleRNN,
    SimpleRNNCell,
)

PRECISIONS = ("bfloat16", "int8")
STACK = [(LSTMCell, 6), (GRUCell, 19), (SimpleRNNCell, 5)]
# A wrong gate, step, row, scale or rounding moves many values by more than this, a tenth of a step of the
# grid behind a weight of order one; bounds above it prove little. See `assert_near`.
MEANINGFUL = 2e-4


def ways() -> list[tuple[str, str]]:
    """All precisions, each with its instruction sets."""
    from rnnpack import _core  # here, so that tests can be collected without a built package

    return [(precision, isa) for precision in PRECISIONS for isa in _core.available_isas(precision)]


def _stack(dtype: Any = None, **flags: Any) -> Any:
    return RNN([cell(n, dtype=dtype) for cell, n in STACK], dtype=dtype, **flags)


_OF_CELLS = ("activation", "recurrent_activation", "use_bias", "dtype")


def _recurrent(cell: Callable[..., Any], **kwargs: Any) -> Any:
    """A layer of a cell that has no layer class of its own."""
    own = {name: value for name, value in kwargs.items() if name in _OF_CELLS}
    return RNN(cell(**own), **{n: v for n, v in kwargs.items() if n not in own or n == "dtype"})


MAKE: dict[str, Callable[..., Any]] = {
    "simple": lambda units=7, **k: SimpleRNN(units, **k),
    "lstm": lambda units=7, **k: LSTM(units, **k),
    "gru": lambda units=7, **k: GRU(units, **k),
    "gru reset before": lambda units=7, **k: GRU(units, reset_after=False, **k),
    "peephole lstm": lambda units=7, **k: _recurrent(partial(PeepholeLSTMCell, units), **k),
    "projected lstm": lambda units=7, **k: _recurrent(partial(ProjectedLSTMCell, units, 5), **k),
    "stack": _stack,
}
CELLS = [name for name in MAKE if name != "stack"]


def settle(layer: Any, features: int, seed: int = 0, batch: int | None = None, scale: float = 0.7) -> Any:
    """Build a layer with weights that keep gates and states of order one, for any number of units."""
    if not layer.built:
        layer.build((batch, None, features))
    generator = np.random.default_rng(seed)
    layer.set_weights(
        [
            scale * generator.standard_normal(w.shape) / np.sqrt(len(w) if w.ndim == 2 and len(w) > 2 else 4)
            for w in layer.get_weights()
        ]
    )
    return layer


def made(
    name: str, precision: str = "full", features: int = 5, batch: int | None = None, **kwargs: Any
) -> Any:
    """A built layer of a precision."""
    layer = settle(MAKE[name](**kwargs), features, batch=batch)
    layer.set_precision(precision)
    return layer


def first_states(layer: Any, batch: int, scale: float = 1.0, seed: int = 50) -> list[Any]:
    """Random states in the structure that the layer takes."""
    nest = layer.get_initial_state(np.zeros((batch, batch, 1), "float32"))

    def draw(part: Any) -> Any:
        nonlocal seed
        seed += 1
        if isinstance(part, list | tuple):
            return [draw(p) for p in part]
        return scale * normal(*part.shape, seed=seed)

    return [draw(part) for part in nest]


def arrays(result: Any) -> list[NDArray[Any]]:
    """All arrays of a result."""
    return flatten([result])


def all_bits(result: Any) -> list[Any]:
    """Shapes, types and bytes of all arrays of a result."""
    return [(a.shape, a.dtype, bits(a)) for a in arrays(result)]


def assert_within(result: Any, want: Sequence[tolerance.Bounded]) -> None:
    """Every element within its bound, and a smallest normal number more: kernels may flush what is below."""
    got = arrays(result)
    assert len(got) == len(want)
    for array, bounded in zip(got, want, strict=True):
        assert array.dtype == np.float32
        assert tolerance.excess(array, bounded.value, bounded.error + np.finfo(np.float32).tiny) <= 1


def assert_near(result: Any, want: Sequence[tolerance.Bounded], loose: float = 0.5) -> None:
    """Every element within its bound, and most bounds small: all but a share of `loose`.

    Bounds that are large belong to elements behind a number that float32's noise may have moved to either of
    two points of the grid.
    """
    assert_within(result, want)
    errors = np.concatenate([(w.error / np.maximum(1.0, np.abs(w.value))).ravel() for w in want])
    assert (errors > MEANINGFUL).mean() <= loose, "the bounds say nothing"


def assert_oracle(
    layer: Any, precision: str, result: Any, x: Any, mask: Any = None, states: Any = None
) -> None:
    """The result of `layer(x, ...)`, with its states if it returns them, agrees with the oracle."""
    want = oracle.run(
        oracle.reduced_layer(layer, precision),
        np.asarray(x, np.float32),
        mask,
        None if states is None else flatten(states),
    )
    assert_near(result, want if layer.return_state else want[:1])
