"""Train the digit network of this folder with Keras 2.15 and write ``weights.npz``.

rnnpack runs trained networks; this one is trained by Keras. Only this script needs TensorFlow, whose
release 2.15 is made for Python 3.9 to 3.11:

    pip install tensorflow-cpu==2.15.0
    python examples/digits/train.py

It takes a few minutes on one core. The seeds are fixed and TensorFlow is held to deterministic operations on
one thread; another processor may still round differently and then gives other weights of about the same
accuracy. The held-out digits are used only at the end; settings are chosen with ``--validate``, which leaves
them alone and holds out a part of the training digits instead.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).resolve().parent
DATA = HERE / "digits.npz"
KERAS_VERSION = "2.15.0"
BATCH = 32
CONFIG: dict[str, Any] = {
    "lstm_units": 40,  # of each direction of the bidirectional layer
    "stack_units": [56, 56],  # GRU, LSTM
    "classes": 10,
    "pixel_max": 16,  # pixels are 0..16 in the file and 0..1 in the network
    "held_out": 360,  # the last 360 digits in the order of the file, never trained on
    "seed": 1998,
    "epochs": 300,
    "dropout": 0.3,
    "keras": KERAS_VERSION,
}


def build() -> keras.Model:
    """Return the untrained network: ``(B, 8, 8)`` images to ``(B, 10)`` probabilities."""
    gru_units, lstm_units = CONFIG["stack_units"]
    return keras.Sequential(
        [
            keras.Input((8, 8)),
            keras.layers.Bidirectional(keras.layers.LSTM(CONFIG["lstm_units"], return_sequences=True)),
            keras.layers.Dropout(CONFIG["dropout"]),
            keras.layers.RNN([keras.layers.GRUCell(gru_units), keras.layers.LSTMCell(lstm_units)]),
            keras.layers.Dropout(CONFIG["dropout"]),
            keras.layers.Dense(CONFIG["classes"], activation="softmax"),
        ]
    )


def distorted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``(N, 8, 8)`` images, each sheared, scaled, turned and shifted a little at random.

    Each output pixel is read from the input at an affine map of its position with bilinear interpolation. The
    matrix differs by up to 0.2 an entry from the identity, the shift is up to one pixel; outside is zero.
    """
    count = len(images)
    matrix = np.eye(2) + rng.uniform(-0.2, 0.2, (count, 2, 2))
    shift = rng.uniform(-1.0, 1.0, (count, 2, 1, 1))
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij")) - 3.5
    border = 2
    position = np.einsum("nij,jrc->nirc", matrix, grid) + shift + 3.5 + border
    position = np.clip(position, 0, 8 + 2 * border - 1.001)
    corner = position.astype(int)
    part = position - corner
    padded = np.pad(images, ((0, 0), (border, border), (border, border)))
    which = np.arange(count)[:, None, None]
    result = np.zeros_like(images, dtype=np.float64)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - part[:, 0]) * np.abs(1 - right - part[:, 1])
            result += weight * padded[which, corner[:, 0] + down, corner[:, 1] + right]
    return result.astype(np.float32)


def fit(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> None:
    """Train ``model`` on images distorted anew every epoch, the learning rate falling to zero."""
    rng = np.random.default_rng(CONFIG["seed"])
    epochs = CONFIG["epochs"]
    steps = epochs * -(-len(images) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    for epoch in range(1, epochs + 1):
        loss = model.fit(distorted(images, rng), labels, batch_size=BATCH, verbose=0).history["loss"][0]
        if epoch % 20 == 0:
            print(f"epoch {epoch:3d} of {epochs}   loss {loss:.4f}", flush=True)


def named_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights by ``part/name``, in the order in which each layer's ``get_weights`` gives them."""
    bidirectional, _, stack, _, dense = model.layers
    parts = {
        "bidirectional/forward": bidirectional.forward_layer,
        "bidirectional/backward": bidirectional.backward_layer,
        "stack/gru": stack.cell.cells[0],
        "stack/lstm": stack.cell.cells[1],
        "dense": dense,
    }
    return {
        f"{name}/{weight.name.split('/')[-1].removesuffix(':0')}": weight.numpy()
        for name, part in parts.items()
        for weight in part.weights
    }


def main() -> None:
    """Train, report the accuracy on digits not trained on, and write weights and Keras's own answers."""
    parser = argparse.ArgumentParser(description="Train the digit network with Keras and write its weights.")
    parser.add_argument("--output", type=Path, default=HERE / "weights.npz", help="the file to write")
    parser.add_argument(
        "--validate", action="store_true", help="do not use the held-out digits, write nothing"
    )
    args = parser.parse_args()
    if keras.__version__ != KERAS_VERSION:
        parser.error(f"needs Keras {KERAS_VERSION}, this is {keras.__version__}")

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(CONFIG["seed"])

    with np.load(DATA, allow_pickle=False) as data:
        images = data["images"].astype(np.float32) / CONFIG["pixel_max"]
        labels = data["labels"].astype(np.int32)
    held_out = CONFIG["held_out"]
    if args.validate:
        images, labels = images[:-held_out], labels[:-held_out]

    model = build()
    print(f"training {model.count_params():,} weights on {len(images) - held_out} digits", flush=True)
    fit(model, images[:-held_out], labels[:-held_out])
    probabilities = model.predict(images[-held_out:], verbose=0)
    right = int((probabilities.argmax(axis=1) == labels[-held_out:]).sum())
    print(f"{right} of {held_out} digits not trained on are right: {right / held_out:.1%}")
    if args.validate:
        return
    np.savez_compressed(
        args.output,
        config=np.array(json.dumps(CONFIG)),
        keras_probabilities=probabilities,
        **named_weights(model),
    )
    print(f"wrote {args.output} ({args.output.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
