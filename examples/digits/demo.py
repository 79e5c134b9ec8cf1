"""Recognise handwritten digits with a trained recurrent network, without TensorFlow.

Needs rnnpack and matplotlib. The network was trained by ``train.py`` with Keras; here rnnpack runs it, on the
native path and again in the Python loop with the same weights. The exit status is 1 when the accuracy on the
digits that the network was not trained on is 95% or less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import rnnpack

HERE = Path(__file__).resolve().parent
REQUIRED_ACCURACY = 0.95
Array = NDArray[np.float32]


class PythonLSTMCell(rnnpack.LSTMCell):
    """The same cell; being a subclass, it runs in the Python loop."""


class PythonGRUCell(rnnpack.GRUCell):
    """The same cell; being a subclass, it runs in the Python loop."""


@dataclass(frozen=True)
class Digits:
    """The digits the network was not trained on, and what Keras makes of them."""

    images: Array  # (N, 8, 8), 0..1, one row of the image a timestep
    labels: NDArray[np.uint8]  # (N,)
    keras_probabilities: Array  # (N, 10)
    trained_on: int


class Network:
    """A bidirectional LSTM over the rows of an image, a stack of GRU and LSTM, and a dense softmax."""

    def __init__(
        self,
        config: dict[str, Any],
        weights: dict[str, Array],
        lstm_cell: type[rnnpack.LSTMCell] = rnnpack.LSTMCell,
        gru_cell: type[rnnpack.GRUCell] = rnnpack.GRUCell,
    ) -> None:
        """Build the layers and give them the trained weights.

        Args:
            config: sizes, as stored with the weights.
            weights: Keras arrays by ``layer/.../name``, those of each layer in the order of ``set_weights``.
            lstm_cell: class of the LSTM cells.
            gru_cell: class of the GRU cell.
        """
        gru_units, lstm_units = config["stack_units"]
        rows = rnnpack.RNN(lstm_cell(config["lstm_units"]), return_sequences=True)
        self.bidirectional = rnnpack.Bidirectional(rows)
        self.stack = rnnpack.RNN([gru_cell(gru_units), lstm_cell(lstm_units)])

        images = rnnpack.Input((8, 8))
        self.stack(self.bidirectional(images))  # builds the weights
        for name, layer in self.layers().items():
            layer.set_weights([array for key, array in weights.items() if key.startswith(f"{name}/")])
        self.kernel, self.bias = weights["dense/kernel"], weights["dense/bias"]

    def layers(self) -> dict[str, rnnpack.Bidirectional | rnnpack.RNN]:
        """Return the recurrent layers by the names their weights have in the file."""
        return {"bidirectional": self.bidirectional, "stack": self.stack}

    def __call__(self, images: Array) -> Array:
        """Return probabilities ``(N, 10)`` of images ``(N, 8, 8)``."""
        logits = self.stack(self.bidirectional(images)) @ self.kernel + self.bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def load() -> tuple[dict[str, Any], dict[str, Array], Digits]:
    """Return the network's sizes, its weights by name and the digits held out from training."""
    with np.load(HERE / "weights.npz", allow_pickle=False) as data:
        weights = dict(data)
    config = json.loads(str(weights.pop("config")))
    keras_probabilities = weights.pop("keras_probabilities")
    held_out = slice(-config["held_out"], None)
    with np.load(HERE / "digits.npz", allow_pickle=False) as data:
        images = data["images"].astype(np.float32) / config["pixel_max"]
        labels = data["labels"]
    trained_on = len(labels) - config["held_out"]
    return config, weights, Digits(images[held_out], labels[held_out], keras_probabilities, trained_on)


def sequences_per_second(network: Callable[[Array], Array], images: Array, repeat: int) -> float:
    """Return sequences per second: all of ``images`` over the median time of ``repeat`` calls."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        network(images)
        seconds.append(time.perf_counter() - start)
    return len(images) / statistics.median(seconds)


def draw(digits: Digits, probabilities: Array, path: Path) -> None:
    """Write a picture of two rows of digits that were read rightly and one row of errors."""
    predicted = probabilities.argmax(axis=1)
    right = predicted == digits.labels
    shown = [*np.flatnonzero(right)[:16], *np.flatnonzero(~right)[:8]]
    # A figure made without pyplot draws with Agg and needs no display.
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots(3, 8)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, index in zip(axes.flat, shown, strict=False):
        axis.imshow(digits.images[index], cmap="gray_r", vmin=0, vmax=1)
        note = "" if right[index] else f", is {digits.labels[index]}"
        axis.set_title(
            f"{predicted[index]}{note}  ({probabilities[index].max():.0%})",
            fontsize=10,
            color="black" if right[index] else "crimson",
        )
    figure.suptitle("Digits the network was not trained on: prediction and its probability; last row: errors")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


@dataclass(frozen=True)
class Outcome:
    """What one run of the demo found."""

    accuracy: float
    paths: dict[str, list[str]]  # by network, what explain() says of each layer
    python_difference: float  # largest |native - Python loop| of any probability
    keras_difference: float  # largest |native - Keras| of any probability


def run(output: Path, repeat: int) -> Outcome:
    """Run the network both ways, print what happens and write the picture.

    Args:
        output: the PNG file to write.
        repeat: timed calls of each path.
    """
    config, weights, digits = load()
    networks = {
        "native network": Network(config, weights),
        "Python loop": Network(config, weights, PythonLSTMCell, PythonGRUCell),
    }
    count = len(digits.labels)
    native, python = (network(digits.images) for network in networks.values())
    print_network(config, digits)

    wrong = int((native.argmax(axis=1) != digits.labels).sum())
    accuracy = 1 - wrong / count
    print(f"\nAccuracy on the {count} held-out digits\n  {accuracy:.1%}  ({wrong} wrong)")

    print("\nWhich path ran (a cell that is subclassed, even without a change, runs in the Python loop)")
    paths = {}
    for title, network in networks.items():
        paths[title] = [str(layer.explain()) for layer in network.layers().values()]
        for name, path in zip(network.layers(), paths[title], strict=True):
            print(f"  {title:<16} {name:<15} {path}")

    batch_sizes = (count, 1)
    print(f"\nSequences per second, median of {repeat} calls")
    print(f"  {'digits per call':<16}" + "".join(f"{size:>10}" for size in batch_sizes), flush=True)
    for title, network in networks.items():
        rates = [sequences_per_second(network, digits.images[:size], repeat) for size in batch_sizes]
        print(f"  {title:<16}" + "".join(f"{rate:>10,.0f}" for rate in rates), flush=True)

    python_difference = float(np.abs(native - python).max())
    keras_difference = float(np.abs(native - digits.keras_probabilities).max())
    print("\nLargest difference of any probability from those of the native network")
    print(f"  {'Python loop':<16} {python_difference:9.1e}")
    print(f"  {'Keras':<16} {keras_difference:9.1e}  (its answers are stored with the weights)")

    print("\nPicture", flush=True)
    draw(digits, native, output)
    print(f"  {output}")
    return Outcome(accuracy, paths, python_difference, keras_difference)


def print_network(config: dict[str, Any], digits: Digits) -> None:
    """Say what is run on what."""
    gru_units, lstm_units = config["stack_units"]
    print("Handwritten digits, read row by row: 8 timesteps of 8 pixels")
    print(
        f"  network          Bidirectional(LSTM {config['lstm_units']}), "
        f"stack [GRU {gru_units}, LSTM {lstm_units}], dense softmax"
    )
    print(
        f"  training         by Keras {config['keras']} on {digits.trained_on:,} digits; "
        f"{len(digits.labels)} more were held out"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 when the accuracy is as required, else 1."""
    parser = argparse.ArgumentParser(description="Recognise handwritten digits with rnnpack.")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/digits.png"),
        help="picture to write (default: %(default)s)",
    )
    parser.add_argument(
        "--repeat", type=int, default=30, help="timed calls of each path (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.repeat < 1:
        parser.error(f"--repeat must be at least 1, not {options.repeat}")
    outcome = run(options.output, options.repeat)
    if outcome.accuracy > REQUIRED_ACCURACY:
        return 0
    print(f"failed: the accuracy must be over {REQUIRED_ACCURACY:.0%}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
