"""Records models of a live Keras, their inputs and outputs, into `fixtures/keras<major>.zip`.

    python make_keras_fixtures.py      (with Keras 2.15 of TensorFlow; with Keras 3 on any backend)

One archive holds files as Keras wrote them (`<model>.h5`, `<model>.keras`, `<model>.weights.h5`) and
`<model>.npz`: the inputs as `x0`, `x1`, ..., the outputs as `y0`, ...; the functions below are the models.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import zipfile

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras

MAJOR = int(keras.__version__.split(".")[0])
HERE = pathlib.Path(__file__).parent


def lstm_corners():
    """LSTM with every option that changes numbers."""
    layers, x = keras.layers, keras.Input((5, 3), name="x")
    options = [
        {}, {"use_bias": False}, {"recurrent_activation": "hard_sigmoid"}, {"go_backwards": True},
        {"activation": "relu", "recurrent_activation": "softsign"},
        {"return_sequences": True, "unroll": True},
        {"return_sequences": True, "return_state": True},
        {"activation": "softplus", "unit_forget_bias": False},
    ]  # fmt: skip
    outputs = []
    for each in options:
        result = layers.LSTM(3, **each)(x)
        outputs.extend(result if isinstance(result, (list, tuple)) else [result])
    if MAJOR == 2:
        outputs.append(layers.LSTM(2, time_major=True, return_sequences=True)(x))
    return keras.Model(x, outputs)


def gru_corners():
    """GRU and SimpleRNN with every option that changes numbers."""
    layers, x = keras.layers, keras.Input((None, 3))
    outputs = [
        layers.GRU(3)(x),
        layers.GRU(3, reset_after=False)(x),
        layers.GRU(3, reset_after=False, use_bias=False)(x),
        layers.GRU(3, use_bias=False, recurrent_activation="hard_sigmoid")(x),
        layers.GRU(3, activation="elu", go_backwards=True, return_sequences=True)(x),
        layers.SimpleRNN(3)(x),
        layers.SimpleRNN(3, activation="relu", use_bias=False, return_sequences=True)(x),
        *layers.SimpleRNN(2, return_state=True)(x),
    ]
    return keras.Model(x, outputs)


def bidirectional():
    """All merge modes, stacked, with initial states and a backward layer of its own."""
    layers, x = keras.layers, keras.Input((4, 3))
    both = layers.Bidirectional
    outputs = [
        both(layers.LSTM(2, return_sequences=True), merge_mode=mode)(x) for mode in ("sum", "mul", "ave")
    ]
    outputs += both(layers.GRU(2), merge_mode=None)(x)
    deep = both(layers.LSTM(2, return_sequences=True))(both(layers.GRU(2, return_sequences=True))(x))
    outputs.append(deep)
    outputs += both(layers.LSTM(2, return_state=True))(deep)
    own = both(layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, activation="relu"))
    return keras.Model(x, [*outputs, own(x)])


def masked_words():
    """Embedding with a mask, through a stack; TimeDistributed; a second input as initial state."""
    layers = keras.layers
    words, start = keras.Input((6,), dtype="int32", name="words"), keras.Input((4,), name="start")
    x = layers.Embedding(11, 3, mask_zero=True)(words)
    h = layers.LSTM(4, return_sequences=True)(
        x, initial_state=[start, layers.Dense(4, activation="tanh")(start)]
    )
    h = layers.Dropout(0.5)(h)
    both = layers.Bidirectional(layers.GRU(2, return_sequences=True))(h)
    each = layers.TimeDistributed(layers.Dense(2))(both)
    last = layers.SimpleRNN(3)(both)
    return keras.Model([words, start], [each, last])


def cells():
    """RNN over cells and stacks of cells."""
    layers, x = keras.layers, keras.Input((4, 3))
    m = layers.Masking(mask_value=0.0)(x)
    stack = layers.RNN(
        [layers.LSTMCell(3), layers.GRUCell(2), layers.SimpleRNNCell(2)], return_sequences=True
    )
    outputs = [stack(m), layers.RNN(layers.GRUCell(2, reset_after=False), go_backwards=True)(m)]
    return keras.Model({"x": x}, outputs)


def nested():
    """A shared layer, a Sequential and a functional model inside, called twice."""
    layers, x, y = keras.layers, keras.Input((5, 3)), keras.Input((5, 3))
    head = keras.Sequential([layers.Dense(4, activation="relu"), layers.BatchNormalization()], name="head")
    a = keras.Input((5, 3))
    tower = keras.Model(
        a, layers.LSTM(4, return_sequences=True)(layers.Conv1D(3, 2, padding="causal")(a)), name="tower"
    )
    shared = layers.GRU(3)
    p, q = tower(x), tower(y)
    attended = layers.Attention()([p, q])
    pooled = layers.GlobalAveragePooling1D()(attended)
    out = head(layers.Concatenate()([pooled, shared(p), shared(q)]))
    again = head(layers.Concatenate()([pooled, shared(q), shared(p)]))
    return keras.Model([x, y], [out, layers.LayerNormalization()(again)])


def attention():
    """Attention of all kinds, of masked sequences too."""
    layers, x, words = keras.layers, keras.Input((4, 6)), keras.Input((5,), dtype="int32")
    embedding = layers.Embedding(11, 6, mask_zero=True)

    def y():
        # Keras 3 takes the mask off tensors that a MultiHeadAttention has seen, so every call gets its own.
        return embedding(words)

    own = y()
    return keras.Model(
        [x, words],
        [
            layers.MultiHeadAttention(2, 3, value_dim=4)(x, y()),
            layers.MultiHeadAttention(2, 3, output_shape=5)(x, x, use_causal_mask=True),
            layers.GRU(3)(layers.MultiHeadAttention(2, 3, use_bias=False)(own, own, own)),
            layers.Attention(use_scale=True)([x, y()]),
            layers.AdditiveAttention()([x, y()]),
        ],
    )


def convolutions():
    """Convolutions, pooling, merging and shapes around a recurrent layer."""
    layers, x = keras.layers, keras.Input((8, 3))
    h = layers.Conv1D(4, 3, padding="same", activation="relu")(x)
    h = layers.BatchNormalization()(layers.ZeroPadding1D(1)(h))
    h = layers.LeakyReLU(0.2)(layers.SeparableConv1D(4, 3, depth_multiplier=2)(h))
    h = layers.Add()([h, layers.DepthwiseConv1D(2, padding="same")(h)])
    h = layers.PReLU()(layers.SpatialDropout1D(0.3)(h))
    low = layers.UpSampling1D(2)(layers.MaxPooling1D(2)(h))
    both = layers.Concatenate()([layers.ELU(0.5)(h), layers.Softmax()(low), layers.AveragePooling1D(1)(h)])
    last = layers.LSTM(3)(layers.LayerNormalization()(layers.Cropping1D((1, 0))(both)))
    repeated = layers.Permute((2, 1))(layers.RepeatVector(2)(layers.Activation("selu")(last)))
    flat = layers.Flatten()(layers.Reshape((2, 3))(repeated))
    product = layers.Multiply()([layers.Subtract()([flat, flat]), layers.Maximum()([flat, flat])])
    dot = layers.Dot(1, normalize=True)([flat, flat])
    return keras.Model(
        x, [repeated, flat, product, dot, layers.GlobalMaxPooling1D()(both), layers.Rescaling(2.0, 1.0)(last)]
    )


def operations():
    """Arithmetic and indices between layers."""
    layers, x = keras.layers, keras.Input((4, 6))
    h = layers.LSTM(3, return_sequences=True)(x)
    last = h[:, -1, :] * 2.0 + 1.0
    outputs = [last, layers.Dense(2)(last - h[:, 0]), 1.0 / (h + 3.0)]
    if MAJOR == 3:
        ops = keras.ops
        outputs += [
            ops.mean(h, axis=1),
            ops.concatenate([h, ops.tanh(h)], axis=-1),
            ops.stack([last, last], axis=1),
        ]
    return keras.Model(x, outputs)


def sequential():
    """A stateful stack as Sequential."""
    layers = keras.layers
    model = keras.Sequential(name="stack")
    if MAJOR == 2:
        model.add(layers.LSTM(3, return_sequences=True, stateful=True, batch_input_shape=(3, 4, 2)))
    else:
        model.add(keras.Input(batch_shape=(3, 4, 2)))
        model.add(layers.LSTM(3, return_sequences=True, stateful=True))
    model.add(layers.GRU(2, stateful=True, dropout=0.2, recurrent_dropout=0.1))
    model.add(layers.Dense(2, activation="softmax"))
    return model


MODELS = (
    lstm_corners, gru_corners, bidirectional, masked_words, cells,
    nested, attention, convolutions, operations, sequential,
)  # fmt: skip


def randomized(model, rng):
    """Weights in which every number matters: no zero biases, no unit scales."""
    names = [getattr(variable, "path", variable.name) for variable in model.weights]
    model.set_weights(
        [
            rng.uniform(0.1, 0.9, w.shape) * rng.choice([-1, 1], w.shape)
            if "variance" not in name
            else rng.uniform(0.5, 1.5, w.shape)
            for w, name in zip(model.get_weights(), names, strict=True)
        ]
    )


def inputs_of(model, rng):
    """Random inputs; whole steps of zeros for masks, words of which some are 0."""
    arrays = []
    for symbol in model.inputs:
        shape = [size or 3 if axis == 0 else size or 5 for axis, size in enumerate(symbol.shape)]
        if "int" in str(symbol.dtype):
            arrays.append(rng.integers(0, 11, shape) * (rng.random(shape) < 0.7))
        else:
            x = rng.normal(size=shape).astype("float32")
            if len(shape) == 3:
                x[0, 1:3] = 0
            arrays.append(x)
    return arrays


def record(archive, folder):
    """Saves every model in every form that this Keras knows."""
    for make in MODELS:
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        rng = np.random.default_rng(11)
        model, name = make(), make.__name__
        randomized(model, rng)
        arrays = inputs_of(model, rng)
        given = {"x": arrays[0]} if name == "cells" else arrays if len(arrays) > 1 else arrays[0]
        outputs = model.predict(given, verbose=0, batch_size=3)
        flat = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        np.savez(
            folder / f"{name}.npz",
            **{f"x{i}": x for i, x in enumerate(arrays)},
            **{f"y{i}": np.asarray(y) for i, y in enumerate(flat)},
        )
        model.save(folder / f"{name}.h5")
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
    if MAJOR == 2:
        cudnn(folder)
    for path in sorted(folder.iterdir()):
        archive.write(path, path.name)


def cudnn(folder):
    """CuDNN layers cannot run here; their outputs are those of the layers that Keras converts them to."""
    from tensorflow.compat.v1.keras.layers import CuDNNGRU, CuDNNLSTM

    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(12)
    layers = keras.layers

    def stack(lstm, gru):
        x = keras.Input((4, 3))
        h = layers.Bidirectional(lstm(2, return_sequences=True), name="both")(x)
        return keras.Model(
            x, [lstm(3, name="one")(h), layers.Bidirectional(gru(2), name="two")(h), gru(3, name="three")(x)]
        )

    model, portable = stack(CuDNNLSTM, CuDNNGRU), stack(layers.LSTM, layers.GRU)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    for ending in ("h5", "keras", "weights.h5"):
        (model.save_weights if ending == "weights.h5" else model.save)(folder / f"cudnn.{ending}")
    model.save_weights(folder / "cudnn.legacy.hdf5", save_format="h5")
    portable.load_weights(folder / "cudnn.legacy.hdf5")
    x = rng.normal(size=(3, 4, 3)).astype("float32")
    outputs = portable.predict(x, verbose=0)
    np.savez(folder / "cudnn.npz", x0=x, **{f"y{i}": y for i, y in enumerate(outputs)})


if __name__ == "__main__":
    target = HERE / "fixtures" / f"keras{MAJOR}.zip"
    with (
        tempfile.TemporaryDirectory() as name,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        record(archive, pathlib.Path(name))
    print(target, target.stat().st_size, file=sys.stderr)
