"""Record models of a live Keras 2.15 (TensorFlow 2.15, CPU): ``python make_model_goldens.py``.

For each case `models.npz` holds the model's JSON, its weights, inputs, flat outputs and what it says about
its names. Nothing of the project is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-not-found]
import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]
from keras import Input, Model, Sequential, layers

B, T, F = 3, 5, 3


def numbers(*shape: int, seed: int = 0) -> Any:
    """Normal numbers as float32."""
    return np.random.default_rng(seed).normal(size=shape).astype("f")


def with_padding(seed: int = 0) -> Any:
    """Rows of lengths 5, 3 and 1, and a zero step inside."""
    x = numbers(B, T, F, seed=seed)
    x[1, 3:] = x[2, 1:] = x[0, 2] = 0
    return x


def tokens() -> Any:
    """Rows of tokens with zeros behind them."""
    return np.array([[3, 1, 4, 1, 5], [2, 7, 0, 0, 0], [1, 0, 8, 2, 0]], "int32")


def states_and_shared_layers() -> Any:
    x, h = Input((None, F), name="x"), Input((4,), name="h")
    y, s = layers.GRU(4, return_sequences=True, return_state=True)(x, initial_state=h)
    shared = layers.LSTM(4)
    total = layers.Add()([shared(y), shared(y, mask=None), s])
    return Model([x, h], {"total": total, "state": s}), [numbers(B, T, F), numbers(B, 4, seed=1)]


def masked_row() -> Any:
    model = Sequential(
        [
            layers.Masking(input_shape=(None, F)),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.Dense(3, activation="tanh"),
            layers.Dropout(0.5),
            layers.GRU(4),
            layers.Dense(2, activation="softmax"),
        ]
    )
    return model, [with_padding()]


def deferred_row() -> Any:
    model = Sequential([layers.Masking(), layers.LSTM(4, return_sequences=True), layers.SimpleRNN(3)])
    x = with_padding()
    model(x)
    return model, [x]


def tokens_to_tags_and_mean() -> Any:
    x = Input((None,), dtype="int32")
    y = layers.Embedding(10, 4, mask_zero=True)(x)
    y = layers.LSTM(4, return_sequences=True)(y)
    tags = layers.TimeDistributed(layers.Dense(3))(y)
    return Model(x, [tags, layers.GlobalAveragePooling1D()(y), layers.GRU(2)(tags)]), [tokens()]


def models_in_models() -> Any:
    def row() -> Any:
        return Sequential([layers.Masking(input_shape=(None, F)), layers.LSTM(F, return_sequences=True)])

    a = Input((None, F))
    graph = Model(a, [layers.Dense(3)(row()(a)), layers.GRU(2)(a)])
    x = Input((None, F), name="x")
    first, state = graph(x)
    second, _ = graph(row()(x))
    last = layers.GRU(2)(layers.Concatenate()([first, second]))
    return Model(x, layers.Concatenate()([last, state])), [with_padding()]


def masks_end_somewhere() -> Any:
    x = Input((T, F), name="x")
    m = layers.Masking()(x)
    outputs = []
    for layer in (
        layers.Identity(),
        layers.Dense(3),
        layers.Activation("relu"),
        layers.Rescaling(2.0),
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.Conv1D(3, 2, padding="same"),
        layers.Permute((1, 2)),
        layers.Reshape((T, F)),
        layers.SpatialDropout1D(0.5),
        layers.TimeDistributed(layers.Dense(2)),
    ):
        outputs.append(layers.LSTM(2)(layer(m)))
    for pair in ([m, x], [x, m]):
        outputs.append(layers.LSTM(2)(layers.Concatenate()(pair)))
        outputs.append(layers.LSTM(2)(layers.Add()(pair)))
    outputs.append(layers.LSTM(2)(layers.Multiply()([m, layers.LSTM(F, return_sequences=True)(m)])))
    outputs.append(layers.Dense(2)(layers.Flatten()(m)))
    return Model(x, outputs), [with_padding()]


def masks_as_arguments() -> Any:
    x, mask = Input((None, F), name="x"), Input((None,), dtype="bool", name="mask")
    y = layers.LSTM(4, return_sequences=True)(x, mask=mask)
    z = layers.Bidirectional(layers.GRU(2))(layers.Masking()(x), mask=None)
    return Model([x, mask], [layers.GRU(3)(y), z]), [with_padding(), tokens() % 3 > 0]


def encoder_and_decoder() -> Any:
    source, target = Input((None, F), name="source"), Input((None, 2), name="target")
    _, h, c = layers.LSTM(4, return_state=True, name="encoder")(layers.Masking()(source))
    y = layers.LSTM(4, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    return Model({"b": source, "a": target}, layers.Dense(2)(y)), [numbers(B, 4, 2, seed=1), with_padding()]


def both_directions_from_states() -> Any:
    x, s = Input((None, F)), Input((2,))
    y = layers.Bidirectional(layers.LSTM(2, return_state=True))(x, initial_state=[s, s, s, s])
    return Model([x, s], y), [numbers(B, T, F), numbers(B, 2, seed=1)]


def stacked_cells() -> Any:
    x = Input((None, F))
    y = layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_state=True)(x)
    return Model(x, y[0]), [numbers(B, T, F)]


def order_of_weights() -> Any:
    x, z = Input((T, F), name="x"), Input((T, F), name="z")
    short = layers.Dense(F, name="short")(z)
    frozen = layers.BatchNormalization(name="normal")
    long = frozen(layers.Dense(F, name="second")(layers.Dense(F, name="first")(x)))
    again = layers.Dense(F, name="again")
    long = again(layers.LayerNormalization(name="between")(again(long)))
    off = layers.LSTM(2, name="off", trainable=False)
    joined = layers.Average(name="joined")([short, long])
    return Model([z, x], [layers.Dense(1, name="head")(joined), off(short)]), [numbers(B, T, F)] * 2


def inputs_as_outputs_and_unused_ones() -> Any:
    x, unused = Input((None, F), name="x"), Input((2,), name="unused")
    return Model([x, unused], [x, layers.GRU(2)(x)]), [numbers(B, T, F), numbers(B, 2)]


def skipped_layers() -> Any:
    x = Input((T, F), name="x")
    first = layers.Dense(F, name="z_first")(x)
    second = layers.Dense(F, name="y_second")(first)
    third = layers.Dense(F, name="x_third")(second)
    joined = layers.Add(name="joined")([third, first])
    again = layers.Add(name="again")([first, layers.Dense(F, name="w_fourth")(joined), x])
    side = layers.Dense(2, name="side")(first)
    return Model(x, [side, again, layers.Dense(2, name="a_last")(second)]), [numbers(B, T, F)]


def states_kept_between_calls() -> Any:
    x = Input(batch_shape=(B, T, F), name="x")
    layer = layers.LSTM(F, stateful=True, return_sequences=True)
    late = layer(layers.Dense(F)(x))
    early = layer(x)
    once_more = layer(layers.Dense(F)(layers.Dense(F)(x)))
    return Model(x, [early, once_more, late]), [numbers(B, T, F)]


CASES: tuple[Callable[[], Any], ...] = (
    states_and_shared_layers,
    masked_row,
    deferred_row,
    tokens_to_tags_and_mean,
    models_in_models,
    masks_end_somewhere,
    masks_as_arguments,
    encoder_and_decoder,
    both_directions_from_states,
    stacked_cells,
    order_of_weights,
    inputs_as_outputs_and_unused_ones,
    skipped_layers,
    states_kept_between_calls,
)


def recorded(case: Callable[[], Any]) -> dict[str, Any]:
    """All that is kept of one case."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model, inputs = case()
    rng = np.random.default_rng(5)
    # Biases that are not zero; variances stay positive.
    model.set_weights([w + np.abs(rng.normal(size=w.shape)) / 5 for w in model.get_weights()])
    outputs = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, inputs), training=False))
    facts = {
        "input_names": model.input_names,
        "output_names": model.output_names,
        "layers": [layer["config"]["name"] for layer in model.get_config()["layers"]],
        "input_layers": model.get_config().get("input_layers"),
        "parameters": model.count_params(),
        "output_shape": [tensor.shape.as_list() for tensor in model.outputs],
    }
    arrays = {"json": model.to_json(), "facts": json.dumps(facts)}
    for role, values in (("weight", model.get_weights()), ("input", inputs), ("output", outputs)):
        arrays.update({f"{role}{place}": np.asarray(value) for place, value in enumerate(values)})
    return {f"{case.__name__}/{key}": np.asarray(value) for key, value in arrays.items()}


def main() -> None:
    """Writes models.npz beside this script."""
    assert keras.__version__.startswith("2.15"), keras.__version__
    found: dict[str, Any] = {}
    for case in CASES:
        found.update(recorded(case))
    np.savez_compressed(Path(__file__).with_name("models.npz"), **found)


if __name__ == "__main__":
    main()
