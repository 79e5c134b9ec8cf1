"""Record peephole.npz with live TensorFlow 2.15 (CPU): ``python record_peephole.py``.

Keras 2.15 has no ``PeepholeLSTMCell`` any more; the cell it was made from, TensorFlow 1's ``LSTMCell`` with
``use_peepholes=True``, is there and runs in Keras' ``RNN``. Its kernel lies under the recurrent kernel in one
matrix with column blocks i, candidate, f, o, ``forget_bias`` is added to f, and its states are c, h.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]

B, T, F = 4, 6, 5
RIGHT = np.arange(T) < np.array([6, 2, 5, 1])[:, None]
HOLES = np.random.default_rng(3).random((B, T)) < 0.6
HOLES[3] = False
# units, dtype, forget bias, activation, mask, first states, backwards
CASES: dict[str, tuple[Any, ...]] = {
    "plain": (7, "float32", 1.0, "tanh", None, False, False),
    "wide": (37, "float32", 0.0, "tanh", None, True, False),
    "float64": (19, "float64", 1.0, "tanh", HOLES, True, False),
    "padded": (7, "float32", 1.0, "softsign", RIGHT, False, False),
    "holes": (16, "float32", 0.5, "relu", HOLES, True, True),
}


def blocks(matrix: Any) -> Any:
    """From i, candidate, f, o to i, f, candidate, o."""
    i, candidate, f, o = np.split(np.asarray(matrix), 4, axis=-1)
    return np.concatenate([i, f, candidate, o], axis=-1)


def record(name: str, seed: int) -> dict[str, Any]:
    """What Keras' layer gives, with the weights in the layout of ``rnnpack.PeepholeLSTMCell``."""
    units, dtype, forget_bias, activation, mask, given, backwards = CASES[name]
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return generator.standard_normal(shape).astype(dtype)

    cell = tf.compat.v1.nn.rnn_cell.LSTMCell(
        units, use_peepholes=True, forget_bias=forget_bias, activation=activation, dtype=dtype
    )
    layer = tf.keras.layers.RNN(
        cell, return_sequences=True, return_state=True, go_backwards=backwards, dtype=dtype
    )
    x, h, c = draw(B, T, F), draw(B, units), draw(B, units)
    states = [tf.constant(c), tf.constant(h)] if given else None
    layer(x)
    cell.set_weights(
        [0.5 * draw(*w.shape) / (len(w) ** 0.5 if w.ndim == 2 else 1) for w in cell.get_weights()]
    )
    output, last_c, last_h = layer(x, mask=mask, initial_state=states)
    kernel, bias, p_f, p_i, p_o = cell.get_weights()
    bias = blocks(bias)
    bias[units : 2 * units] += forget_bias
    found = {"x": x, "output": output, "h": last_h, "c": last_c, "bias": bias, "activation": activation}
    found |= {"kernel": blocks(kernel[:F]), "recurrent_kernel": blocks(kernel[F:]), "go_backwards": backwards}
    found |= {"peephole_0": p_i, "peephole_1": p_f, "peephole_2": p_o}
    found |= {"first_h": h, "first_c": c} if given else {}
    found |= {} if mask is None else {"mask": mask}
    return {f"{name}/{key}": np.asarray(value) for key, value in found.items()}


if __name__ == "__main__":
    cases: dict[str, Any] = {}
    for seed, name in enumerate(CASES):
        cases |= record(name, seed)
    np.savez_compressed(Path(__file__).with_name("peephole.npz"), **cases)
