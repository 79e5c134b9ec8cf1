"""TensorFlow's Keras layers inside a tf.function; under the name "xla" compiled by XLA."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from serve import Arrays, Case, only_full


class Contestant:
    """See `serve.Contestant`."""

    def __init__(self, name: str, threads: int) -> None:
        self.compiled = name == "xla"
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    def facts(self) -> dict[str, str]:
        """Version."""
        return {"tensorflow": tf.__version__}

    def prepare(self, task: str, cell: str, arrays: Arrays, precision: str) -> Case:
        """See `serve.Contestant`; tasks: sequence; no other precision."""
        only_full(precision, "TensorFlow as it is measured here")
        if task != "sequence":
            raise ValueError(f"unknown task {task!r}")
        layers = tf.keras.layers
        kind = {"lstm": layers.LSTM, "gru": layers.GRU, "simple_rnn": layers.SimpleRNN}[cell]
        x = tf.constant(arrays["inputs"])
        units = arrays["recurrent"].shape[0]
        layer = kind(units, return_sequences=True, return_state=True, dtype=x.dtype)
        layer.build(x.shape)
        layer.set_weights([arrays["kernel"], arrays["recurrent"], arrays["bias"]])
        run = tf.function(layer, jit_compile=self.compiled)
        return Case(lambda: run(x), lambda result: [array.numpy() for array in result])
