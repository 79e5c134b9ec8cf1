"""Arrays that live on a GPU: calls in place give what calls with NumPy arrays give, in the caller's library."""

from __future__ import annotations

import copy
import gc
import pickle
import sys

import foreign_arrays
import numpy as np
import pytest
from contract.contract_cells import normal, randomise
from foreign_arrays import Exchanged, Foreign, Interfaced

from rnnpack import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SimpleRNN,
    _core,
    cuda,
)
from rnnpack.cuda import memory
from rnnpack.engine import nest
from rnnpack.layers import device

pytestmark = pytest.mark.usefixtures("cuda_plugin")

B, T, F, U = 3, 5, 4, 6
X = normal(B, T, F)
MASK = np.random.default_rng(1).random((B, T)) < 0.6
MAKE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "gru reset before": lambda **k: GRU(U, reset_after=False, **k),
    "simple_rnn": lambda **k: SimpleRNN(U, **k),
    "peephole": lambda **k: RNN(PeepholeLSTMCell(U), **k),
    "projected": lambda **k: RNN(ProjectedLSTMCell(U, 2), **k),
    "stack": lambda **k: RNN([LSTMCell(U), GRUCell(4)], **k),
}
LIBRARIES = ("own", "interface", "dlpack", "torch", "cupy")


class Own:
    """`rnnpack.cuda.Array`, made as the others are."""

    @staticmethod
    def holding(values, dtype=None):
        return Foreign.holding(values, dtype).base


@pytest.fixture(params=LIBRARIES)
def kind(request, monkeypatch):
    """A class of arrays on the GPU."""
    if request.param == "torch":
        torch = foreign_arrays.torch_module()
        monkeypatch.setitem(sys.modules, "torch", torch)
        return torch.Tensor
    if request.param == "cupy":
        cupy = foreign_arrays.cupy_module()
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        return cupy.ndarray
    return {"own": Own, "interface": Interfaced, "dlpack": Exchanged}[request.param]


@pytest.fixture
def torch(monkeypatch):
    """The stand-in for PyTorch."""
    module = foreign_arrays.torch_module()
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def result_type(kind):
    """What calls on arrays of this kind return."""
    return cuda.Array if kind in (Own, Interfaced) else kind


def host(result):
    """A nest of arrays on the GPU as NumPy arrays."""
    return nest.map_structure(lambda one: one if isinstance(one, np.ndarray) else one.numpy(), result)


def with_weights(make, shape=(B, T, F)):
    """Two layers with the same random weights: for NumPy arrays on the GPU, and for arrays in place."""
    weights = randomise(make(), shape, seed=3)
    return make(weights=weights, device="cuda"), make(weights=weights)


def assert_same(result, want, kind):
    """The same structure and values, in arrays of the kind's library."""
    got, want = nest.flatten(result), nest.flatten(want)
    assert type(result) is type(want) or not isinstance(result, list)
    assert all(type(one) is result_type(kind) for one in got)
    assert len(got) == len(want)
    for one, other in zip(host(got), want, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def no_copies(monkeypatch):
    """Calls that wait for the GPU fail."""

    def refuse(*args):
        raise AssertionError("a call waits for the GPU")

    def begin():
        monkeypatch.setattr(_core, "cuda_copy", refuse)

    yield begin
    monkeypatch.undo()


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_calls_in_place_give_the_bits_of_numpy_calls(kind, name, return_sequences, go_backwards, time_major):
    numpy_layer, layer = with_weights(
        lambda **k: MAKE[name](
            return_sequences=return_sequences,
            return_state=True,
            go_backwards=go_backwards,
            time_major=time_major,
            zero_output_for_mask=True,
            **k,
        ),
        (T, B, F) if time_major else (B, T, F),
    )
    x, mask = (X.swapaxes(0, 1), MASK.T) if time_major else (X, MASK)
    given = kind.holding(x)
    assert_same(layer(given), numpy_layer(x), kind)
    want = numpy_layer(x, mask=mask)
    assert_same(layer(given, mask=mask), want, kind)
    assert_same(layer(given, mask=kind.holding(mask)), want, kind)
    assert_same(layer(given, mask=kind.holding(mask[..., None])), want, kind)
    if kind not in (Own, Exchanged):
        assert_same(layer(kind.spread(x), mask=kind.spread(mask)), want, kind)


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("time_major", [False, True])
def test_both_directions_run_in_one_call(kind, mode, return_sequences, time_major):
    numpy_layer, layer = with_weights(
        lambda device="cpu", weights=None: Bidirectional(
            GRU(U, return_sequences=return_sequences, return_state=True, time_major=time_major),
            mode,
            device=device,
            weights=weights,
        ),
        (T, B, F) if time_major else (B, T, F),
    )
    x, mask = (X.swapaxes(0, 1), MASK.T) if time_major else (X, MASK)
    states = [normal(B, U, seed=5), normal(B, U, seed=6)]
    want = numpy_layer(x, mask=mask, initial_state=states)
    given = [kind.holding(one) for one in (x, *states)]
    assert_same(layer(given[0], mask=kind.holding(mask), initial_state=given[1:]), want, kind)
    assert_same(layer(given, mask=mask), want, kind)


@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_ragged_pairs(kind, name):
    lengths = np.array([4, 0, 6, 1])
    values = normal(11, F)
    for sequences in (False, True):
        numpy_layer, layer = with_weights(
            lambda sequences=sequences, **k: MAKE[name](return_sequences=sequences, return_state=True, **k)
        )
        want = numpy_layer((values, lengths))
        for given in (lengths, lengths.tolist()):
            output, *states = layer((kind.holding(values), given))
            if sequences:
                (output, row_lengths), want_output = output, want[0][0]
                np.testing.assert_array_equal(row_lengths, lengths)
            else:
                want_output = want[0]
            assert_same([output, *states], [want_output, *want[1:]], kind)
    both = Bidirectional(LSTM(U, return_sequences=True))
    expected = both((values, lengths))[0]
    np.testing.assert_allclose(host(both((kind.holding(values), lengths))[0]), expected, rtol=1e-5, atol=1e-5)


def test_first_states_of_either_kind(kind):
    numpy_layer, layer = with_weights(lambda **k: LSTM(U, return_state=True, **k))
    h, c = normal(B, U, seed=1), normal(B, U, seed=2)
    want = numpy_layer(X, initial_state=[h, c])
    x = kind.holding(X)
    assert_same(layer(x, initial_state=[h, c]), want, kind)
    assert_same(layer(x, initial_state=[kind.holding(h), kind.holding(c)]), want, kind)
    assert_same(layer([x, kind.holding(h), c]), want, kind)


@pytest.mark.parametrize(
    ("dtype", "precision", "element", "eps"),
    [
        ("float64", "full", "float64", 2.0**-52),
        ("float32", "tf32", "float32", 2.0**-11),
        ("float32", "bfloat16", "float32", 2.0**-8),
        ("float32", "bfloat16", "bfloat16", 2.0**-8),
        ("float32", "float16", "float32", 2.0**-11),
        ("float32", "float16", "float16", 2.0**-11),
        ("float16", "full", "float16", 2.0**-11),
    ],
)
def test_dtypes_and_precisions(kind, dtype, precision, element, eps):
    if kind is Interfaced and element == "bfloat16":
        pytest.skip("__cuda_array_interface__ has no bfloat16")
    exact = LSTM(U, dtype="float64", return_state=True, return_sequences=True)
    weights = randomise(exact, (B, T, F), seed=3)
    layer = LSTM(U, dtype=dtype, return_state=True, return_sequences=True, weights=weights, device="cuda")
    layer.set_precision(precision)
    want = exact(X.astype(np.float64))
    results = layer(kind.holding(X.astype(np.float64), element))
    for one, other in zip(results, want, strict=True):
        assert one.dtype in (
            element,
            np.dtype(element) if element != "bfloat16" else None,
            f"torch.{element}",
        )
        # Inputs, weights, states and outputs are rounded once a step: T steps, F + U products a gate.
        np.testing.assert_allclose(host(one), other, rtol=0, atol=4 * T * (F + U) * eps)
    states = [one.numpy() for one in results[1:]]  # of bfloat16 as float32
    again = layer(kind.holding(X, element), initial_state=states)
    same = layer(kind.holding(X, element), initial_state=results[1:])
    for one, other in zip(again, same, strict=True):
        np.testing.assert_array_equal(host(one), host(other))


def test_recorded_states_stay_on_the_gpu(kind):
    numpy_layer, layer = with_weights(lambda **k: LSTM(U, stateful=True, return_state=True, **k))
    x = kind.holding(X)
    for _ in range(2):
        result, want = layer(x), numpy_layer(X)
        assert_same(result, want, kind)
    assert all(device.lives_on_gpu(one) for one in layer.states)
    returned = result[1:]
    assert all(one is not other for one, other in zip(returned, layer.states, strict=True))
    layer.device = "cuda"
    np.testing.assert_array_equal(layer(X)[0], numpy_layer(X)[0])  # brings them over
    assert all(type(one) is np.ndarray for one in layer.states)
    assert_same(layer(x), numpy_layer(X), kind)  # and back
    kept = layer.states
    copied = copy.deepcopy(layer)
    layer(x)
    layer.states = kept
    np.testing.assert_array_equal(host(layer.states), host(kept))
    np.testing.assert_array_equal(layer(X)[0], numpy_layer(X)[0])
    np.testing.assert_array_equal(host(copied.states), host(kept))
    layer.reset_states()
    numpy_layer.reset_states()
    assert_same(layer(x), numpy_layer(X), kind)
    # Given states count only while the recorded ones are zero.
    given = [normal(B, U), normal(B, U)]
    assert_same(layer(x, initial_state=given), numpy_layer(X, initial_state=given), kind)
    for one in (layer, numpy_layer):
        one.reset_states()
    assert_same(layer(x, initial_state=given), numpy_layer(X, initial_state=given), kind)


def test_recorded_states_of_another_precision_are_brought_along(torch):
    layer = LSTM(U, stateful=True, device="cuda")
    layer.build((B, T, F))
    layer.set_precision("float16")
    layer(torch.Tensor.holding(X, "float16"))
    assert layer.states[0].dtype == "torch.float16"
    layer.set_precision("full")
    layer(torch.Tensor.holding(X))
    assert layer.states[0].dtype == "torch.float32"


def test_recorded_states_of_both_directions(kind):
    numpy_layer, layer = with_weights(
        lambda device="cpu", weights=None: Bidirectional(
            LSTM(U, stateful=True, return_state=True), device=device, weights=weights
        )
    )
    for _ in range(2):
        assert_same(layer(kind.holding(X)), numpy_layer(X), kind)


def test_plain_calls_in_place_wait_for_nothing(kind, no_copies):
    x, mask, state = kind.holding(X), kind.holding(MASK), [kind.holding(normal(B, U)) for _ in range(2)]
    layers = [LSTM(U), LSTM(U, return_sequences=True, return_state=True), Bidirectional(LSTM(U), "ave")]
    if kind not in (Own, Interfaced, Exchanged):
        layers.append(LSTM(U, stateful=True, return_state=True))
    for layer in layers:
        layer(x)  # packs the weights
    no_copies()
    for layer in layers:
        layer(x)
        layer(x, mask=mask)
    layers[0](x, initial_state=state)


def test_results_are_made_with_pytorchs_allocator_on_its_stream(torch):
    layer = LSTM(U, return_state=True)
    x = torch.Tensor.holding(X)
    layer(x)
    torch.asked.clear()
    layer(x)
    shapes = [one[1] for one in torch.asked if one[0] == "empty"]
    assert torch.asked.count("stream") == 1
    assert sorted(shapes[:3]) == [(B, U)] * 3
    assert torch.asked[-1][2] == "torch.uint8"  # the workspace
    assert {one[3] for one in torch.asked if one[0] == "empty"} == {"cuda:0"}


def test_gradients_are_not_dropped_silently(torch):
    x = torch.Tensor.holding(X)
    x.requires_grad = True
    layer = LSTM(U)
    with pytest.raises(ValueError, match=r"`inputs` requires gradients.*inputs.detach\(\)"):
        layer(x)
    torch.is_grad_enabled = lambda: False
    layer(x)
    x.layout = "sparse_coo"
    with pytest.raises(ValueError, match="dense tensor"):
        layer(x)


def test_the_first_call_builds_or_leaves_the_layer_as_it_was(kind):
    for make in (lambda: LSTM(U, stateful=True), lambda: Bidirectional(LSTM(U, stateful=True))):
        layer = make()
        with pytest.raises(ValueError, match="`mask` must have shape"):
            layer(kind.holding(X), mask=MASK[:1])
        assert not layer.built
        assert layer.weights == []
        layer(kind.holding(X))
        assert layer.built
        want = copy.deepcopy(layer)
        np.testing.assert_allclose(host(layer(kind.holding(X))), want(X), rtol=1e-5, atol=1e-6)


def test_an_empty_batch(kind):
    for layer in (LSTM(U, return_state=True), Bidirectional(LSTM(U, return_state=True), "sum")):
        layer(kind.holding(X))
        for result in layer(kind.holding(X[:0])):
            assert tuple(result.shape) == (0, U)
    layer = LSTM(U, return_sequences=True)
    values, lengths = layer(
        (kind.holding(X[0, :0]), []) if False else (kind.holding(X[0, :0]), np.zeros(0, int))
    )
    assert tuple(values.shape) == (0, U)
    assert len(lengths) == 0


def test_weights_are_uploaded_once_and_again_after_a_change():
    layer = GRU(U, device="cuda")
    layer(X)
    cells = device.cuda_cells(layer, 0)
    layer(Own.holding(X))
    assert device.cuda_cells(layer, 0)[0] is cells[0]
    layer.set_weights([0 * weight for weight in layer.get_weights()])
    assert device.cuda_cells(layer, 0)[0] is not cells[0]
    np.testing.assert_array_equal(layer(Own.holding(X)).numpy(), np.zeros((B, U)))
    layer.set_precision("float16")
    assert device.cuda_cells(layer, 0)[0].number_format == "float16"


def test_the_layers_device_and_the_arrays_must_agree():
    x = Own.holding(X)
    want = LSTM(U)(x).shape
    for word in ("cpu", "cuda", "cuda:0"):
        assert LSTM(U, device=word)(x).shape == want
    with pytest.raises(ValueError, match="is on cuda:1, but `inputs` are on cuda:0"):
        LSTM(U, device="cuda:1")(x)


def refusals():
    """Calls with arrays in place that are refused: a layer, arguments, and what the message says."""
    x, mask = Own.holding(X), Own.holding(MASK)
    state = Own.holding(normal(B, U))
    lstm, gru = LSTM(U), GRU(U)
    int8 = LSTM(U)
    int8.set_precision("int8")
    own_call = type("Mine", (LSTM,), {"call": lambda self, inputs: inputs})(U)
    yield LSTM(U, activation="softmax"), x, {}, "cannot run on cuda: activation 'softmax'"
    yield LSTM(U, dropout=0.5), x, {"training": True}, "cannot drop inputs or states on cuda"
    yield Bidirectional(LSTM(U, dropout=0.5)), x, {"training": True}, "cannot drop inputs or states"
    yield LSTM(U, activity_regularizer="l2"), x, {}, "activity regularizer"
    yield Bidirectional(LSTM(U), activity_regularizer="l2"), x, {}, "activity regularizer"
    yield own_call, x, {}, "methods that are not this package's"
    yield int8, x, {}, "its precision is int8"
    yield lstm, x, {"constants": [x]}, "takes `constants`"
    yield lstm, Own.holding(X, "float16"), {}, "must be float32 on a GPU.*got float16"
    yield lstm, Own.holding(X.astype("f8")), {}, "must be float32 on a GPU.*got float64"
    yield LSTM(U, dtype="float16"), x, {}, "must be float16 on a GPU.*got float32"
    yield lstm, Own.holding(X[0]), {}, "must have at least 3 axes"
    yield lstm, Own.holding(X[None]), {}, "expected ndim=3, found ndim=4"
    yield RNN(LSTMCell(U)), Own.holding(X[None]), {}, "must have 3 axes"
    yield lstm, Own.holding(X[:, :0]), {}, "at least one timestep"
    yield lstm, [Own.holding(X[0]), Own.holding(X[1])], {}, r"join the rows and pass a pair"
    yield lstm, (x, x), {}, "must be one array .*or a pair"
    yield lstm, (Own.holding(X[0]), Own.holding(np.array([2, 3]))), {}, "needs lengths on the host"
    yield lstm, (Own.holding(X[0]), [2, 2]), {}, "add up to the 5 timesteps"
    yield lstm, (Own.holding(X[0]), [6, -1]), {}, "integers of at least 0"
    yield lstm, (x, [2, 3]), {}, "values with 2 axes"
    yield lstm, (Own.holding(X[0]), [2, 3]), {"mask": MASK}, "`mask` must be None with ragged"
    yield LSTM(U, time_major=True), (Own.holding(X[0]), [2, 3]), {}, "need time_major=False"
    yield lstm, x, {"mask": Own.holding(MASK.astype("u1"))}, "must hold bools, got uint8"
    yield lstm, x, {"mask": Own.holding(MASK.T)}, "`mask` must have shape"
    yield lstm, x, {"mask": MASK.T}, "`mask` must have shape"
    yield lstm, x, {"mask": MASK.tolist()}, "`mask` must be an array"
    yield lstm, x, {"initial_state": [state]}, "Layer has 2 states but was passed 1"
    yield gru, x, {"initial_state": Own.holding(normal(B, U + 1))}, "not compatible with `cell.state_size`"
    yield gru, x, {"initial_state": normal(B + 1, U)}, "not compatible with `cell.state_size`"
    yield gru, x, {"initial_state": Own.holding(normal(B, U), "float64")}, "of the inputs' dtype float32"
    yield gru, x, {"initial_state": Interfaced.spread(normal(B, U))}, "must be contiguous"
    yield gru, x, {"initial_state": ["h"]}, "must hold arrays"
    yield Bidirectional(gru), x, {"initial_state": [state]}, "forward states and as many backward states"
    yield lstm, [x, state], {"initial_state": [state]}, "must not be passed as well"
    yield GRU(U, stateful=True, batch_input_shape=(2, T, F)), x, {}, "" if False else "`inputs`|expected"
    yield lstm, x, {"wrong": mask}, "unexpected keyword argument 'wrong'"


def test_what_does_not_fit_is_refused_and_nothing_changes():
    for layer, x, keywords, message in refusals():
        before = layer.built, len(layer.weights)
        with pytest.raises((ValueError, TypeError, AssertionError), match=message):
            layer(x, **keywords)
            pytest.fail(f"not refused: {message}")
        assert (layer.built, len(layer.weights)) == before


def test_features_that_the_weights_do_not_have_are_refused(kind):
    layer = LSTM(U)
    layer.build((None, None, F))
    for spec in (layer.input_spec, None):
        layer.input_spec = spec
        with pytest.raises(ValueError, match="expected shape|must have 4 features"):
            layer(kind.holding(normal(B, T, F + 1)))


def test_arrays_that_say_what_is_not_true_are_refused(torch):
    x = Interfaced.holding(X)
    good = x.__cuda_array_interface__

    class Lying:
        def __init__(self, **changes):
            self.__cuda_array_interface__ = {**good, **changes}

    on_host = np.zeros((B, T, F), np.float32)
    layer = LSTM(U)
    for changes, message in (
        ({"data": (on_host.__array_interface__["data"][0], False)}, "not lie in the memory of a GPU"),
        ({"data": (0, False)}, "not lie in the memory of a GPU"),
        ({"data": None}, "cannot be read"),
        ({"typestr": "nonsense"}, "cannot be read"),
        ({"typestr": ">f4"}, "foreign byte order"),
        ({"shape": (B, T)}, "do not belong together"),
        ({"shape": (-1, T, F)}, "do not belong together"),
        ({"strides": (80, 16, 3)}, "not of whole values"),
        ({"mask": x}, "has a mask"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(Lying(**changes))
    tensor = torch.Tensor.holding(X)
    tensor.data_ptr = lambda: on_host.__array_interface__["data"][0]
    with pytest.raises(ValueError, match="says that it is on cuda:0, but its address"):
        layer(tensor)
    with pytest.raises(ValueError, match="same library"):
        layer(x, mask=torch.Tensor.holding(MASK))
    with pytest.raises(ValueError, match="same library"):
        layer(x, initial_state=[torch.Tensor.holding(normal(B, U))] * 2)


def test_arrays_of_the_gpu_are_not_taken_for_numpys():
    layer = LSTM(U)
    layer(X)
    with pytest.raises(ValueError, match="memory of a GPU"):
        layer(X, initial_state=[Own.holding(normal(B, U))] * 2)
    with pytest.raises(TypeError, match=r"its method numpy\(\) copies it"):
        np.asarray(Own.holding(X))


# rnnpack.cuda.Array.


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64", "bool", "uint8"])
def test_an_array_comes_back_as_it_went(dtype):
    values = np.arange(24).reshape(2, 3, 4) % 2 if dtype == "bool" else np.arange(24).reshape(2, 3, 4)
    array = Own.holding(values.astype("f4" if dtype == "bfloat16" else dtype), dtype)
    np.testing.assert_array_equal(array.numpy(), values)
    assert (array.shape, array.ndim, array.size, len(array)) == ((2, 3, 4), 3, 24, 2)
    assert array.nbytes == 24 * memory.ITEM_SIZES[dtype]
    assert array.__dlpack_device__() == (2, 0)
    assert repr(array) == f"<rnnpack.cuda.Array {dtype} of shape (2, 3, 4) on cuda:0>"
    address, shape, strides, code, place = _core.read_dlpack(array.__dlpack__())
    assert (address, shape, place) == (array.address, (2, 3, 4), (2, 0))
    assert strides in (None, (12, 4, 1))
    assert code[1:] == (8 * memory.ITEM_SIZES[dtype], 1)
    if dtype == "bfloat16":
        assert not hasattr(array, "__cuda_array_interface__")
    else:
        interface = array.__cuda_array_interface__
        assert np.dtype(interface["typestr"]) == dtype
        assert (interface["data"], interface["stream"]) == ((array.address, False), 1)
    for copied in (copy.deepcopy(array), pickle.loads(pickle.dumps(array))):
        np.testing.assert_array_equal(copied, values)


def test_bfloat16_is_rounded_to_nearest_even():
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF, 0xFF800000, 0x7F800001, 1], np.uint32)
    got = memory._rounded_to_bfloat16(bits.view(np.float32))
    assert [hex(one) for one in got.tolist()] == [
        hex(one) for one in (0x3F80, 0x3F82, 0x3F81, 0x7F80, 0xFF80, 0x7FC0, 0)
    ]


def test_memory_goes_back_when_the_last_holder_is_gone(monkeypatch):
    released, release = [], _core.cuda_release

    def note(number, address, stream):
        released.append(address)
        release(number, address, stream)

    monkeypatch.setattr(_core, "cuda_release", note)
    array = cuda.Array((2, 3), "float32", 0)
    address = array.address
    capsule = array.__dlpack__()
    del array
    gc.collect()
    assert released == []
    del capsule
    gc.collect()
    assert released == [address]


def test_a_consumer_on_another_stream_waits(no_copies):
    array = Own.holding(X)
    array.__dlpack__(stream=7)
    no_copies()
    for same in (None, -1, 1, 0):
        array.__dlpack__(stream=same)
    with pytest.raises(AssertionError, match="waits"):
        array.__dlpack__(stream=7)
    for others in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError):
            array.__dlpack__(**others)


def test_results_reach_other_producers_by_their_own_from_dlpack():
    Exchanged.made.clear()
    result = LSTM(U)(Exchanged.holding(X))
    assert type(result) is Exchanged
    assert [type(one) for one in Exchanged.made] == [cuda.Array]
