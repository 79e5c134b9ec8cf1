"""Converts small Keras models with tf2onnx to files/keras_*.onnx, with inputs and outputs beside them.

Needs tensorflow 2.15, tf2onnx and onnx: `python tests/formats/onnx_format/make_onnx_keras_fixtures.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf2onnx

FILES = Path(__file__).parent / "files"
L = tf.keras.layers


def save(name: str, inputs: Any, outputs: Any, x: Any, opset: int) -> None:
    """Writes one model and what it computes; batch and time stay open."""
    model = tf.keras.Model(inputs, outputs)
    signature = [tf.TensorSpec([None, None, *x.shape[2:]], x.dtype, name="x")]
    tf2onnx.convert.from_keras(
        model, input_signature=signature, opset=opset, output_path=str(FILES / f"keras_{name}.onnx")
    )
    results = model(x)
    results = results if isinstance(results, (list, tuple)) else [results]
    arrays = {f"out_{index}": result.numpy() for index, result in enumerate(results)}
    np.savez(FILES / f"keras_{name}.npz", in_x=x, **arrays)


def main() -> None:
    """Writes all fixtures."""
    tf.random.set_seed(0)
    random = np.random.default_rng(0)
    x = random.normal(size=(3, 7, 4)).astype(np.float32)
    tokens = random.integers(1, 20, (3, 7)).astype(np.int32)
    tokens[1, 4:] = tokens[2, 2] = 0

    i = tf.keras.Input((None, 4))
    save("lstm", i, L.Dense(3, activation="softmax")(L.LSTM(5)(i)), x, 9)
    i = tf.keras.Input((None,), dtype="int32")
    y = L.Bidirectional(L.LSTM(5, return_sequences=True))(L.Embedding(20, 6)(i))
    save("bidirectional", i, L.Dense(3)(y), tokens, 13)
    i = tf.keras.Input((None, 4))
    save("gru", i, L.GRU(5, return_sequences=True, return_state=True)(L.LayerNormalization()(i)), x, 17)
    i = tf.keras.Input((None, 4))
    y = L.BatchNormalization()(L.Conv1D(6, 3, padding="same", activation="relu")(i))
    save("convolution", i, L.SimpleRNN(5)(L.MaxPooling1D(2)(y)), x, 9)
    i = tf.keras.Input((None,), dtype="int32")
    save("masked", i, L.LSTM(5, return_sequences=True)(L.Embedding(20, 6, mask_zero=True)(i)), tokens, 17)
    i = tf.keras.Input((None, 4))
    save("attention", i, L.MultiHeadAttention(2, 3)(i, i), x, 17)


if __name__ == "__main__":
    main()
