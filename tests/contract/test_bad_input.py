"""Bad input gets one clear exception and changes nothing; odd but legal arrays give the same numbers.

Every refusal is tried on a stateful layer with recorded states, and the states, the weights and the caller's
arrays must be what they were before.
"""

from __future__ import annotations

import numpy as np
import pytest
from contract_cells import LayerCell, bits, normal, randomise

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

B, T, F, U = 2, 5, 4, 6
MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1]], bool)

LAYERS = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([LSTMCell(2), GRUCell(U)], **k),
    "python": lambda **k: RNN(type("OwnLSTM", (LSTMCell,), {})(U), **k),
    "custom": lambda **k: RNN(LayerCell(U), **k),
    "bidirectional": lambda **k: Bidirectional(LSTM(U, **k)),
}
NAMES = list(LAYERS)


def flat(nest):
    """The leaves of a nest."""
    return [a for n in nest for a in flat(n)] if isinstance(nest, (list, tuple)) else [nest]


def recorded(layer):
    """The bytes of everything a stateful layer remembers."""
    layers = [layer.forward_layer, layer.backward_layer] if isinstance(layer, Bidirectional) else [layer]
    states = [bits(np.asarray(s)) for part in layers for s in flat(part.states)]
    return states + [bits(w) for w in layer.get_weights()]


def refused(layer, error, match, *args, **kwargs):
    """The call raises, with that text, and leaves states, weights and the arguments as they were."""
    before = recorded(layer)
    arrays = [a for a in flat([*args, *kwargs.values()]) if isinstance(a, np.ndarray) and a.dtype != object]
    contents = [bits(a) for a in arrays]
    with pytest.raises(error, match=match):
        layer(*args, **kwargs)
    assert recorded(layer) == before
    assert [bits(a) for a in arrays] == contents


def prepared(name):
    """A stateful layer with recorded states."""
    layer = LAYERS[name](stateful=True)
    layer(normal(B, T, F))
    return layer


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (F,), (T, F), (B, T, F, 1)], ids=str)
def test_wrong_rank(name, shape):
    refused(prepared(name), ValueError, r"ndim|rank|dimension|expected shape=", np.zeros(shape, "float32"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("features", [0, 1, F - 1, F + 1])
def test_wrong_feature_size(name, features):
    text = rf"expected shape=\(2, None, 4\), found shape=\(2, 5, {features}\)"
    refused(prepared(name), ValueError, text, np.zeros((B, T, features), "float32"))


@pytest.mark.parametrize("name", NAMES)
def test_no_timesteps(name):
    refused(prepared(name), ValueError, r"input.*\(2, 0, 4\)", np.zeros((B, 0, F), "float32"))


@pytest.mark.parametrize("name", ["lstm", "gru", "simple"])
def test_inputs_without_features_leave_the_recurrence_alone(name):
    """Legal, as in Keras: a new layer has zero biases apart from the forget gate's, so it stays at zero."""
    np.testing.assert_array_equal(LAYERS[name]()(np.zeros((B, T, 0), "float32")), np.zeros((B, U)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shape", [(B + 1, T), (B, T + 1), (B, T - 1), (1, T), (B, 1), (T,), (B * T,), (B, T, U), ()], ids=str
)
def test_wrong_mask_shape(name, shape):
    refused(prepared(name), ValueError, "mask", normal(B, T, F), mask=np.ones(shape, bool))


@pytest.mark.parametrize("name", NAMES)
def test_mask_error_says_what_was_expected_and_what_came(name):
    refused(
        prepared(name),
        ValueError,
        r"(?s)mask.*\(2, 5\).*\(2, 7\)",
        normal(B, T, F),
        mask=np.ones((B, 7), bool),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mask", [[[True] * T, [True]], [[1, 0], [1]], "mask"], ids=["bools", "ints", "str"])
def test_ragged_lists_and_strings_as_masks(name, mask):
    refused(prepared(name), (ValueError, TypeError), "mask", normal(B, T, F), mask=mask)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [object, "U4", complex, "datetime64[s]"])
def test_mask_dtypes_that_cannot_be_cast(name, dtype):
    mask = np.empty((B, T), object) if dtype is object else np.zeros((B, T), dtype)
    refused(prepared(name), (ValueError, TypeError), "mask", normal(B, T, F), mask=mask)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "bidirectional"])
def test_wrong_state_shapes_and_counts(name):
    layer = prepared(name)
    states = layer.states if name != "stack" else flat(layer.states)
    arrays = [np.zeros(np.shape(s), "float32") for s in states]
    pack = (lambda s: [list(s[:2]), *s[2:]]) if name == "stack" else list
    for wrong in (
        [*arrays[:-1], np.zeros((B, arrays[-1].shape[1] + 1), "float32")],
        [*arrays[:-1], np.zeros((B + 1, arrays[-1].shape[1]), "float32")],
        [*arrays[:-1], np.zeros((1, arrays[-1].shape[1]), "float32")],
        [*arrays[:-1], np.zeros((*arrays[-1].shape, 1), "float32")],
        [*arrays, arrays[-1]],
    ):
        refused(layer, ValueError, "state", normal(B, T, F), initial_state=pack(wrong))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("bidirectional", "stack")])
@pytest.mark.parametrize("dtype", [object, "U4", complex])
def test_state_dtypes_that_cannot_be_cast(name, dtype):
    layer = prepared(name)
    layer.reset_states()
    arrays = [
        np.full(np.shape(s), None) if dtype is object else np.zeros(np.shape(s), dtype) for s in layer.states
    ]
    refused(layer, (ValueError, TypeError), "state", normal(B, T, F), initial_state=arrays)


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "dtype", [object, "U4", "S4", complex, "complex64", "datetime64[s]", [("a", "f4")]], ids=str
)
def test_input_dtypes_that_cannot_be_cast(name, dtype, built):
    x = np.zeros((B, T, F), dtype)
    if built:
        refused(prepared(name), (ValueError, TypeError), r"input|dtype", x)
    else:
        with pytest.raises((ValueError, TypeError), match=r"input|dtype"):
            LAYERS[name]()(x)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, 3.5, "text", object(), {1, 2}], ids=lambda v: type(v).__name__)
def test_things_that_are_no_arrays(name, value):
    refused(prepared(name), (ValueError, TypeError), r"\w", value)
    with pytest.raises((ValueError, TypeError)):
        LAYERS[name]()(value)


@pytest.mark.parametrize("name", ["lstm", "custom"])
def test_a_failed_building_call_can_be_repeated_with_good_input(name):
    layer = LAYERS[name]()
    for bad in (np.zeros((B, 0, F), "float32"), np.zeros((B, F), "float32"), np.zeros((B, T, F), object)):
        with pytest.raises((ValueError, TypeError)):
            layer(bad)
    with pytest.raises(ValueError, match="mask"):
        layer(normal(B, T, F), mask=np.ones((B, T + 1), bool))
    assert layer(normal(B, T, F)).shape == (B, U)


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_building_call_leaves_the_layer_unbuilt(name):
    layer = LAYERS[name]()
    for kwargs in (
        {"mask": np.ones((B, T + 1), bool)},
        {"initial_state": [np.zeros((B, U + 1), "float32")] * 4},
    ):
        with pytest.raises(ValueError):
            layer(normal(B, T, F), **kwargs)
        assert layer.built is False
        assert layer.weights == []
    assert layer(normal(B, T, F + 3)).shape[0] == B


def huge(*shape):
    """An array of a given shape that costs no memory: all strides are zero."""
    return np.broadcast_to(np.float32(0), shape)


@pytest.mark.parametrize("name", ["lstm", "gru", "simple", "stack"])
def test_sizes_whose_product_overflows(name):
    """T * B * U exceeds what an int64 counts, or what the machine has: an exception, never a crash."""
    layer = LAYERS[name](return_sequences=True)
    layer(normal(B, T, F))
    for shape in ((2**31, 2**31, F), (2**40, 2**15, F)):
        with pytest.raises((ValueError, MemoryError, OverflowError)):
            layer(huge(*shape))
    assert layer(normal(B, T, F)).shape == (B, T, U)


def test_units_whose_weights_do_not_fit():
    with pytest.raises((ValueError, MemoryError, OverflowError)):
        LSTM(2**40).build((None, None, 2**20))


@pytest.mark.parametrize("thing", [LSTM, GRU, SimpleRNN, LSTMCell])
@pytest.mark.parametrize("units", [2.5, "7x", None])
def test_units_that_are_no_integer(thing, units):
    with pytest.raises((ValueError, TypeError)):
        thing(units)


def non_native(a):
    """The same numbers in the other byte order."""
    return a.astype(a.dtype.newbyteorder())


def negative_strides(a):
    """The same numbers, every axis stored backwards."""
    every = (slice(None, None, -1),) * a.ndim
    return a[every].copy()[every]


def misaligned(a):
    """The same numbers at an address that is one byte off."""
    buffer = np.empty(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a):
    """A read-only copy."""
    a = a.copy()
    a.setflags(write=False)
    return a


def fortran(a):
    """Column-major."""
    return np.asfortranarray(a)


def gaps(a):
    """Every second element of a larger array, on every axis."""
    big = np.full([2 * n for n in a.shape], 77, a.dtype)
    view = big[(slice(None, None, 2),) * a.ndim]
    view[...] = a
    return view


def subclass(a):
    """A subclass of ndarray."""
    return a.view(type("Sub", (np.ndarray,), {}))


ODD = {f.__name__: f for f in (non_native, negative_strides, misaligned, read_only, fortran, gaps, subclass)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_odd_inputs_give_the_same_numbers(name, odd, dtype):
    x = normal(B, T, F, dtype=dtype)
    kwargs = {"dtype": dtype} if name in ("lstm", "gru", "simple") else {}
    layer = LAYERS[name](return_sequences=True, **kwargs)
    want = layer(x)
    made = ODD[odd](x)
    contents = bits(made)
    assert bits(layer(made)) == bits(want)
    assert bits(made) == contents
    assert bits(layer(made, mask=ODD[odd](MASK.astype("int32")))) == bits(layer(x, mask=MASK))
    assert bits(layer(made, mask=ODD[odd](MASK))) == bits(layer(x, mask=MASK))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["lstm", "gru", "simple", "python", "custom"])
def test_odd_states_give_the_same_numbers(name, odd):
    layer = LAYERS[name](return_state=True)
    x = normal(B, T, F)
    count = 2 if name in ("lstm", "python") else 1
    states = [normal(B, U, seed=i) for i in range(count)]
    made = [ODD[odd](s) for s in states]
    contents = [bits(s) for s in made]
    for got, want in zip(layer(x, initial_state=made), layer(x, initial_state=states), strict=True):
        assert bits(got) == bits(want)
        assert got.dtype == np.dtype("float32")
        assert got.dtype.isnative
    assert [bits(s) for s in made] == contents


@pytest.mark.parametrize("odd", ODD)
def test_odd_weights_give_the_same_numbers(odd):
    layer = LSTM(U, return_sequences=True)
    x = normal(B, T, F)
    weights = randomise(layer, x.shape)
    want = layer(x)
    layer.set_weights([ODD[odd](w) for w in weights])
    assert bits(layer(x)) == bits(want)
    for variable, w in zip(layer.weights, weights, strict=True):
        variable.assign(ODD[odd](w))
    assert bits(layer(x)) == bits(want)


@pytest.mark.parametrize("odd", ODD)
def test_odd_recorded_states(odd):
    layer = GRU(U, stateful=True)
    x, h = normal(B, T, F), normal(B, U)
    layer(x)
    layer.reset_states(h)
    want = layer(x)
    layer.reset_states(ODD[odd](h))
    assert bits(layer(x)) == bits(want)
    layer.states = [ODD[odd](h)]
    assert bits(layer(x)) == bits(want)


@pytest.mark.parametrize(
    "flags",
    [{"time_major": True}, {"go_backwards": True}, {"time_major": True, "go_backwards": True}],
    ids=str,
)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_odd_inputs_with_flags(name, odd, flags):
    layer = LAYERS[name](return_sequences=True, **flags)
    x = normal(B, T, F)
    if "time_major" in flags:
        x = np.ascontiguousarray(x.swapaxes(0, 1))
    assert bits(layer(ODD[odd](x))) == bits(layer(x))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_zero_strides(name, axis):
    """A broadcast input: every sample, timestep or feature is the same memory."""
    shape = [B, T, F]
    shape[axis] = 1
    x = np.broadcast_to(normal(*shape), (B, T, F))
    assert x.strides[axis] == 0
    mask = np.broadcast_to(MASK[:1] if axis == 0 else np.array([[True], [False]]), (B, T))
    layer = LAYERS[name](return_sequences=True)
    assert bits(layer(x)) == bits(layer(x.copy()))
    assert bits(layer(x, mask=mask)) == bits(layer(x.copy(), mask=mask.copy()))


def test_zero_stride_states():
    layer = LSTM(U)
    x = normal(B, T, F)
    h = np.broadcast_to(normal(1, U), (B, U))
    c = np.broadcast_to(np.float32(0.5), (B, U))
    assert bits(layer(x, initial_state=[h, c])) == bits(layer(x, initial_state=[h.copy(), c.copy()]))


@pytest.mark.parametrize("name", NAMES)
def test_input_that_overlaps_itself(name):
    """A sliding window over one signal: overlapping memory, read only by design."""
    signal = normal(B * T * F)
    x = np.lib.stride_tricks.sliding_window_view(signal, F)[: B * T].reshape(B, T, F)
    windows = np.lib.stride_tricks.as_strided(
        signal, (B, T, F), (signal.itemsize * T, signal.itemsize, signal.itemsize)
    )
    layer = LAYERS[name](return_sequences=True)
    assert bits(layer(windows)) == bits(layer(windows.copy()))
    assert bits(layer(x)) == bits(layer(x.copy()))


@pytest.mark.parametrize("name", NAMES)
def test_variables_and_masked_layer_outputs_are_arrays_too(name):
    layer = LAYERS[name]()
    x = normal(B, T, F)
    assert bits(layer(rnnpack.Variable(x))) == bits(layer(x))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_plain_native_writable_arrays(name):
    layer = LAYERS[name](return_state=True, return_sequences=True)
    for a in flat(layer(non_native(normal(B, T, F)))):
        assert type(a) is np.ndarray
        assert a.dtype == np.float32
        assert a.dtype.isnative
        assert a.flags.writeable


def test_denormals_and_huge_values_do_not_change_the_floating_point_mode():
    layer = LSTM(U)
    tiny = np.full((B, T, F), np.finfo("float32").smallest_subnormal)
    layer(tiny)
    layer(np.full((B, T, F), np.finfo("float32").max))
    assert float(np.float32(1e-38) * np.float32(0.01)) > 0, "denormals are flushed in the caller's arithmetic"
