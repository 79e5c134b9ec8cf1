"""Records what recurrent cells of flax.linen and Haiku compute; needs jax, flax and dm-haiku."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as nn
import haiku as hk
import jax
import numpy as np

FILE = Path(__file__).parent / "files" / "flax_haiku_goldens.npz"

RNG = np.random.default_rng(0)
FEATURES, UNITS, BATCH, TIME = 3, 4, 2, 5


def drawn(params: Any, dtype: str) -> Any:
    """Other numbers in the same places, so that no bias is zero."""
    return jax.tree.map(lambda array: (RNG.normal(size=array.shape) * 0.5).astype(dtype), params)


def flat(tree: Any, path: str) -> dict[str, np.ndarray]:
    """Arrays by path, with "|" between the keys."""
    if not hasattr(tree, "items"):
        return {path: np.asarray(tree)}
    return {
        key: array for name, inner in tree.items() for key, array in flat(inner, f"{path}|{name}").items()
    }


def flax_case(module: Any, x: Any, dtype: str) -> dict[str, np.ndarray]:
    """Parameters and results of `nn.RNN` or `nn.Bidirectional`."""
    params = drawn(module.init(jax.random.key(0), x), dtype)
    carry, y = module.apply(params, x)
    states = jax.tree.leaves(carry)
    return {**flat(params, "params"), "y": y, **{f"state{n}": state for n, state in enumerate(states)}}


def haiku_case(make: Any, x: Any, dtype: str) -> dict[str, np.ndarray]:
    """Parameters and results of `hk.dynamic_unroll`."""

    def run(inputs: Any) -> Any:
        core = make()
        first = jax.tree.map(lambda array: array.astype(dtype), core.initial_state(BATCH))
        return hk.dynamic_unroll(core, inputs, first, time_major=False)

    function = hk.without_apply_rng(hk.transform(run))
    params = drawn(function.init(jax.random.key(0), x), dtype)
    y, final = function.apply(params, x)
    states = jax.tree.leaves(final)
    return {**flat(params, "params"), "y": y, **{f"state{n}": state for n, state in enumerate(states)}}


def main() -> None:
    """Writes the file."""
    jax.config.update("jax_enable_x64", True)
    arrays: dict[str, np.ndarray] = {}
    for dtype in ("float32", "float64"):
        x = RNG.normal(size=(BATCH, TIME, FEATURES)).astype(dtype)

        def rnn(cell: Any, **options: Any) -> Any:
            return nn.RNN(cell(UNITS, param_dtype=dtype, **options), return_carry=True)  # noqa: B023

        flax_cases = {
            "lstm": rnn(nn.LSTMCell),
            "optimized_lstm": rnn(nn.OptimizedLSTMCell),
            "gru": rnn(nn.GRUCell),
            "simple": rnn(nn.SimpleCell),
            "residual": rnn(nn.SimpleCell, residual=True),
            "activations": rnn(nn.LSTMCell, gate_fn=nn.soft_sign, activation_fn=nn.relu),
            "both": nn.Bidirectional(rnn(nn.GRUCell), rnn(nn.GRUCell), return_carry=True),
        }
        haiku_cases = {
            "lstm": lambda: hk.LSTM(UNITS),
            "gru": lambda: hk.GRU(UNITS),
            "vanilla": lambda: hk.VanillaRNN(UNITS),
            "single_bias": lambda: hk.VanillaRNN(UNITS, double_bias=False),
            "named": lambda: hk.LSTM(UNITS, name="encoder"),
        }
        cases = {f"flax_{name}-{dtype}": flax_case(module, x, dtype) for name, module in flax_cases.items()}
        cases |= {f"haiku_{name}-{dtype}": haiku_case(make, x, dtype) for name, make in haiku_cases.items()}
        for name, case in cases.items():
            arrays |= {f"{name}/{key}": np.asarray(array) for key, array in {**case, "x": x}.items()}
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
