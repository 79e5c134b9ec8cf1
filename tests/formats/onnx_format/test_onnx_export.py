"""Models and layers written to ONNX: ONNX Runtime and this package's own reader agree with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnpack as rp
import rnnpack.formats.onnx as onnx_format
from rnnpack import layers as L
from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx import wire
from rnnpack.formats.onnx.export import OPSET, exported

BATCH, TIME, FEATURES = 3, 7, 4
F32 = np.float32
Make = Callable[[], Any]


def numbers(*shape: int, dtype: Any = F32) -> Any:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(dtype)


def randomized(model: Any) -> Any:
    """The model with weights of no pattern; those of variances positive."""
    random = np.random.default_rng(5)
    for variable in model.weights:
        low = 0.5 if "variance" in variable.name else -1
        variable.assign(random.uniform(low, 1, variable.shape))
    return model


def listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def on(function: Callable[..., Any], *arrays: Any, dtype: Any = None) -> Any:
    """The model of a function of symbolic inputs like these arrays: batch and, with 3 axes, time unknown."""
    inputs = [
        rp.Input(batch_shape=(None, None, *a.shape[2:]) if a.ndim > 2 else (None, *a.shape[1:]), dtype=dtype)
        for a in arrays
    ]
    outputs = function(*inputs)
    return randomized(rp.Model(inputs, list(outputs) if isinstance(outputs, tuple) else outputs))


def check(model: Any, *arrays: Any, tolerance: float = 3e-6) -> Any:
    """Writes the model, and compares what others compute with what it does."""
    want = listed(model(arrays[0] if len(arrays) == 1 else list(arrays)))
    data = wire.encode(exported(model))
    own = onnx_format.loads(data)
    assert own.opset == OPSET
    feeds = dict(zip(own.input_names, arrays, strict=True))
    results = [listed(own(feeds))]
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    results.append(session.run(None, feeds))
    for result in results:
        for got, expected in zip(result, want, strict=True):
            assert got.dtype == expected.dtype and got.shape == expected.shape
            # Sums of at most 40 products of numbers below 1, a few of them in a row: 2**-24 * 40.
            np.testing.assert_allclose(got, expected, 0, tolerance * (1 + np.abs(expected).max()))
    return own


RECURRENT: dict[str, Make] = {
    "lstm": lambda: L.LSTM(5),
    "lstm sequences": lambda: L.LSTM(5, return_sequences=True, return_state=True),
    "lstm backwards": lambda: L.LSTM(5, return_sequences=True, return_state=True, go_backwards=True),
    "lstm last of backwards": lambda: L.LSTM(5, go_backwards=True),
    "lstm activations": lambda: L.LSTM(5, activation="softsign", recurrent_activation="hard_sigmoid"),
    "lstm linear": lambda: L.LSTM(5, activation="linear", recurrent_activation="elu", use_bias=False),
    "gru": lambda: L.GRU(5, return_sequences=True, return_state=True),
    "gru before": lambda: L.GRU(5, reset_after=False),
    "gru no bias": lambda: L.GRU(5, use_bias=False),
    "rnn": lambda: L.SimpleRNN(5, activation="relu", return_state=True),
    "peepholes": lambda: L.RNN(L.PeepholeLSTMCell(5), return_sequences=True, return_state=True),
    "stack": lambda: L.RNN([L.LSTMCell(5), L.GRUCell(6), L.SimpleRNNCell(3)], return_sequences=True),
    "stack backwards": lambda: L.RNN([L.GRUCell(5), L.LSTMCell(6)], go_backwards=True),
    "both": lambda: L.Bidirectional(L.GRU(5)),
    "both stacked": lambda: L.Bidirectional(L.RNN([L.LSTMCell(5), L.GRUCell(6)], return_sequences=True)),
    "both of one cell": lambda: L.Bidirectional(L.RNN([L.LSTMCell(5)], return_sequences=True)),
    "both flipped": lambda: L.Bidirectional(L.LSTM(5, return_sequences=True, go_backwards=True)),
    "both unlike": lambda: L.Bidirectional(
        L.GRU(5, return_sequences=True),
        backward_layer=L.GRU(5, reset_after=False, go_backwards=True, return_sequences=True),
    ),
    **{
        f"both {mode}": lambda mode=mode: L.Bidirectional(
            L.LSTM(5, return_sequences=True, return_state=True), merge_mode=mode
        )
        for mode in ("concat", "sum", "mul", "ave", None)
    },
}
PLAIN: dict[str, Make] = {
    "dense": lambda: L.Dense(5),
    **{
        f"dense {name}": lambda name=name: L.Dense(5, activation=name)
        for name in (
            "elu", "exponential", "gelu", "hard_sigmoid", "relu", "selu", "sigmoid", "softmax", "softplus",
            "softsign", "swish", "tanh",
        )
    },
    "dense no bias": lambda: L.Dense(5, use_bias=False),
    "activation": lambda: L.Activation("tanh"),
    "relu": lambda: L.ReLU(max_value=0.5),
    "relu slope": lambda: L.ReLU(negative_slope=0.25, threshold=0.25),
    "leaky relu": lambda: L.LeakyReLU(0.25),
    "prelu": lambda: L.PReLU(shared_axes=[1]),
    "elu": lambda: L.ELU(0.5),
    "thresholded": lambda: L.ThresholdedReLU(0.25),
    "softmax": lambda: L.Softmax(axis=1),
    "dropout": lambda: L.Dropout(0.5),
    "noise": lambda: L.GaussianNoise(0.5),
    "identity": lambda: L.Identity(),
    "rescaling": lambda: L.Rescaling(2.0, offset=1.0),
    "layer norm": lambda: L.LayerNormalization(),
    "layer norm bare": lambda: L.LayerNormalization(center=False, scale=False),
    "batch norm": lambda: L.BatchNormalization(),
    "batch norm bare": lambda: L.BatchNormalization(center=False, scale=False),
    "conv": lambda: L.Conv1D(6, 3),
    "conv same": lambda: L.Conv1D(6, 4, padding="same", activation="relu"),
    "conv strides": lambda: L.Conv1D(6, 3, padding="same", strides=2, groups=2, use_bias=False),
    "conv causal": lambda: L.Conv1D(6, 3, padding="causal", dilation_rate=2),
    "depthwise": lambda: L.DepthwiseConv1D(3, depth_multiplier=2, padding="same"),
    "separable": lambda: L.SeparableConv1D(6, 3, depth_multiplier=2),
    "separable no bias": lambda: L.SeparableConv1D(6, 3, use_bias=False),
    "max pool": lambda: L.MaxPooling1D(2),
    "average pool": lambda: L.AveragePooling1D(3, strides=1, padding="same"),
    "average pool strides": lambda: L.AveragePooling1D(3, strides=2, padding="same"),
    "global max": lambda: L.GlobalMaxPooling1D(),
    "global average": lambda: L.GlobalAveragePooling1D(keepdims=True),
    "padding": lambda: L.ZeroPadding1D((1, 2)),
    "cropping": lambda: L.Cropping1D((1, 2)),
    "cropping left": lambda: L.Cropping1D((1, 0)),
    "up": lambda: L.UpSampling1D(3),
    "permute": lambda: L.Permute((2, 1)),
    "distributed": lambda: L.TimeDistributed(L.Dense(3, activation="tanh")),
}  # fmt: skip


@pytest.mark.parametrize("make", [pytest.param(m, id=name) for name, m in (RECURRENT | PLAIN).items()])
def test_layers_on_sequences(make: Make) -> None:
    x = numbers(BATCH, TIME, FEATURES)
    own = check(on(make(), x), x)
    # Batch and time are open.
    assert own(numbers(1, 9, FEATURES)) is not None
    assert own.inputs[0].shape == ("batch", f"{own.input_names[0]}_1", FEATURES)


@pytest.mark.parametrize(
    "make", [pytest.param(m, id=name) for name, m in RECURRENT.items() if "unlike" not in name]
)
def test_time_major(make: Make) -> None:
    layer = make()
    for one in [layer, *getattr(layer, "_directions", [])]:
        one.time_major = True
    x = numbers(TIME, BATCH, FEATURES)
    own = check(on(layer, x), x)
    assert own.inputs[0].shape == (f"{own.input_names[0]}_0", "batch", FEATURES)


@pytest.mark.parametrize(
    "make", [RECURRENT["lstm"], RECURRENT["gru before"], PLAIN["layer norm"], PLAIN["conv"]]
)
def test_float64(make: Make) -> None:
    x = numbers(BATCH, TIME, FEATURES, dtype=np.float64)
    before = rp.backend.floatx()
    rp.backend.set_floatx("float64")
    try:
        model = on(make(), x)
    finally:
        rp.backend.set_floatx(before)
    data = wire.encode(exported(model))
    np.testing.assert_allclose(onnx_format.loads(data)(x), model(x), rtol=0, atol=1e-14)


FIXED: dict[str, tuple[Make, tuple[int, ...]]] = {
    "flatten": (lambda: L.Flatten(), (BATCH, 3, 4)),
    "flatten first": (lambda: L.Flatten(data_format="channels_first"), (BATCH, 3, 4)),
    "reshape": (lambda: L.Reshape((2, -1)), (BATCH, 3, 4)),
    "repeat": (lambda: L.RepeatVector(3), (BATCH, 4)),
    "layer norm of two": (lambda: L.LayerNormalization(axis=[1, 2]), (BATCH, 3, 4)),
    "batch norm of two": (lambda: L.BatchNormalization(axis=[1, 2]), (BATCH, 3, 4)),
    "prelu": (lambda: L.PReLU(), (BATCH, 3, 4)),
    "conv first": (lambda: L.Conv1D(5, 2, data_format="channels_first"), (BATCH, 3, 4)),
    "pool first": (lambda: L.MaxPooling1D(2, data_format="channels_first"), (BATCH, 3, 4)),
    "global first": (lambda: L.GlobalMaxPooling1D(data_format="channels_first"), (BATCH, 3, 4)),
    "softmax list": (lambda: L.Softmax(axis=[-1]), (BATCH, 4)),
    "nested": (lambda: rp.Sequential([L.LSTM(4, return_sequences=True), L.Dense(2)]), (BATCH, 3, 4)),
}


@pytest.mark.parametrize("name", sorted(FIXED))
def test_layers_on_known_sizes(name: str) -> None:
    make, shape = FIXED[name]
    x = numbers(*shape)
    inputs = rp.Input(shape[1:])
    check(randomized(rp.Model(inputs, make()(inputs))), x)


ONE = numbers(BATCH, 5, FEATURES)
OTHER = numbers(BATCH, TIME, FEATURES)
STATE = numbers(BATCH, 5)
PAIRS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    **{
        kind.__name__: (lambda a, b, kind=kind: kind()([a, b]), OTHER, 2 * OTHER)
        for kind in (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate)
    },
    "concatenate time": (lambda a, b: L.Concatenate(axis=1)([a, b]), ONE, OTHER),
    "dot": (lambda a, b: L.Dot(2)([a, b]), ONE, OTHER),
    "cosine": (lambda a, b: L.Dot(1, normalize=True)([a, b]), ONE[:, 0], ONE[:, 1]),
    "attention": (lambda a, b: L.Attention(use_scale=True)([a, b], return_attention_scores=True), ONE, OTHER),
    "attention of keys": (lambda a, b: L.Attention()([a, b, b]), ONE, OTHER),
    "attention concat": (lambda a, b: L.Attention(use_scale=True, score_mode="concat")([a, b]), ONE, OTHER),
    "additive": (lambda a, b: L.AdditiveAttention()([a, b]), ONE, OTHER),
    "additive bare": (lambda a, b: L.AdditiveAttention(use_scale=False)([a, b]), ONE, OTHER),
    "heads": (lambda a, b: L.MultiHeadAttention(2, 3)(a, b, return_attention_scores=True), ONE, OTHER),
    "heads of sizes": (
        lambda a, b: L.MultiHeadAttention(2, 3, value_dim=5, use_bias=False, output_shape=(2, 3))(
            a, value=b, key=b
        ),
        ONE,
        OTHER,
    ),
    "states": (lambda a, b: L.LSTM(5)(a, initial_state=[b, b]), OTHER, STATE),
    "states in a list": (lambda a, b: L.LSTM(5, go_backwards=True)([a, b, b]), OTHER, STATE),
    "state": (lambda a, b: L.GRU(5, return_state=True)(a, initial_state=b), OTHER, STATE),
    "states of both": (
        lambda a, b: L.Bidirectional(L.LSTM(5, return_sequences=True))(a, initial_state=[b, b, b, b]),
        OTHER,
        STATE,
    ),
    "states of unlike ones": (
        lambda a, b: L.Bidirectional(
            L.GRU(5, return_sequences=True),
            backward_layer=L.GRU(5, reset_after=False, go_backwards=True, return_sequences=True),
        )(a, initial_state=[b, b]),
        OTHER,
        STATE,
    ),
    "states of a stack": (
        lambda a, b: L.RNN([L.GRUCell(5), L.LSTMCell(5)])(a, initial_state=[b, [b, b]]),
        OTHER,
        STATE,
    ),
    "peephole states": (lambda a, b: L.RNN(L.PeepholeLSTMCell(5))(a, initial_state=[b, b]), OTHER, STATE),
}


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_layers_on_two_inputs(name: str) -> None:
    function, one, other = PAIRS[name]
    check(on(function, one, other), one, other)


def test_a_whole_model_through_a_file(tmp_path: Path) -> None:
    tokens = rp.Input((None,), dtype="int32", name="tokens")
    x = L.Embedding(20, 6)(tokens)
    x = L.Bidirectional(L.LSTM(5, return_sequences=True))(x)
    x = L.Dropout(0.5)(x)
    attended = L.Attention()([x, x])
    pooled = L.Concatenate()([L.GlobalMaxPooling1D()(x), L.GlobalAveragePooling1D()(attended)])
    model = randomized(rp.Model(tokens, [L.Dense(3, activation="softmax", name="tags")(pooled), tokens]))
    inputs = np.random.default_rng(0).integers(0, 20, (BATCH, TIME)).astype(np.int32)
    own = check(model, inputs)
    rp_file = tmp_path / "model.onnx"
    onnx_format.save(model, rp_file)
    loaded = onnx_format.load(rp_file)
    assert loaded.output_names[0] == "tags" and len(set(loaded.output_names + loaded.input_names)) == 3
    np.testing.assert_array_equal(loaded(inputs)[0], own(inputs)[0])
    np.testing.assert_array_equal(loaded.predict(inputs, batch_size=2)[0], own(inputs)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_inputs_of_other_types_are_cast() -> None:
    x = np.arange(12, dtype=np.int64).reshape(3, 4)
    check(on(L.Dense(2), x, dtype="int64"), x, tolerance=1e-5)
    tokens = np.ones((BATCH, 3), np.int64)
    check(on(lambda a: L.Embedding(4, 2)(L.RepeatVector(2)(a)), tokens, dtype="int64"), tokens)
    halves = numbers(3, 4).astype(np.float64)
    check(on(lambda a: L.Concatenate()([a, L.Dense(2)(a)]), halves, dtype="float64"), halves)


def test_single_layers() -> None:
    x = numbers(BATCH, TIME, FEATURES)
    for make in (RECURRENT["lstm"], RECURRENT["both concat"], PLAIN["batch norm"]):
        layer = make()
        layer(x)
        check(randomized(layer), x)


class Odd(L.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def masked(function: Callable[[Any], Any]) -> Any:
    inputs = rp.Input((None, 4))
    return rp.Model(inputs, function(L.Masking()(inputs)))


def cell(*args: Any, **kwargs: Any) -> Any:
    return L.RNN(L.ProjectedLSTMCell(*args, **kwargs))


SEQUENCE: Any = OTHER
REFUSED: dict[str, tuple[Make, str]] = {
    "mask": (lambda: masked(L.LSTM(3)), "makes a mask"),
    "mask_zero": (lambda: rp.Sequential([rp.Input((4,)), L.Embedding(3, 2, mask_zero=True)]), "makes a mask"),
    "odd layer": (lambda: on(Odd(name="strange"), SEQUENCE), "'strange' .* no exporter for Odd"),
    "projection": (lambda: on(cell(4, 2), SEQUENCE), "no operator for the cell ProjectedLSTMCell"),
    "activation": (lambda: on(L.LSTM(3, activation="gelu"), SEQUENCE), "no activation 'gelu'"),
    "callable": (lambda: on(L.LSTM(3, activation=_Callable()), SEQUENCE), "no activation"),
    "dense callable": (lambda: on(L.Dense(3, activation=_Callable()), SEQUENCE), "is not known"),
    "softmax": (lambda: on(L.Softmax(axis=[1, 2]), SEQUENCE), "one axis"),
    "ranks": (lambda: on(lambda a: L.Add()([a, L.GlobalMaxPooling1D()(a)]), numbers(BATCH, 1, 3)), "ranks"),
    "causal": (lambda: on(lambda a: L.Attention(causal=True)([a, a]), SEQUENCE), "causal"),
    "causal call": (
        lambda: on(lambda a: L.Attention()([a, a], use_causal_mask=True), SEQUENCE),
        "use_causal_mask",
    ),
    "training": (lambda: on(lambda a: L.Dropout(0.5)(a, training=True), SEQUENCE), "training mode"),
    "half": (lambda: on(L.Dense(3, dtype="float16"), SEQUENCE), "computes in float16"),
    "stateful": (lambda: _stateful(), "stateful"),
    "integers": (lambda: on(lambda a: L.Add()([a, a]), numbers(BATCH, 3), dtype="int32"), "are integers"),
    "no rank": (lambda: _called(L.DepthwiseConv1D(2)), "alone: the shape of its inputs is not known"),
    "no layer": (lambda: 5, "got int"),
    "not built": (lambda: L.LSTM(3), "not known"),
    "reshape": (lambda: on(L.Reshape((0, 4)), numbers(BATCH, 0)), "size of 0"),
    "several axes": (
        lambda: on(lambda a: L.MultiHeadAttention(1, 2)(a, a), numbers(BATCH, 2, 3, 4)),
        "several axes",
    ),
}


class _Callable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, x: Any) -> Any:
        return x


def _called(layer: Any) -> Any:
    layer(SEQUENCE)
    return layer


def _stateful() -> Any:
    inputs = rp.Input(batch_shape=(2, None, 4))
    return rp.Model(inputs, L.LSTM(3, stateful=True)(inputs))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_expressed_is_named(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    model = make()
    with pytest.raises(FormatError, match=words):
        onnx_format.save(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
