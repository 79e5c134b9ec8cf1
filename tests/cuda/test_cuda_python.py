"""Calls on arrays in place give what calls with NumPy arrays give, in arrays of the caller's library."""

from __future__ import annotations

import copy
import sys

import foreign_arrays
import numpy as np
import pytest
from contract.contract_cells import normal, randomise
from foreign_arrays import Exchanged, Interfaced, Own, refuse_copies, stand_in_torch

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
    if element == "bfloat16" and (kind is Interfaced or kind.__module__ == "cupy"):
        pytest.skip("this library has no bfloat16")
    exact = LSTM(U, dtype="float64", return_state=True, return_sequences=True)
    weights = randomise(exact, (B, T, F), seed=3)
    layer = LSTM(U, dtype=dtype, return_state=True, return_sequences=True, weights=weights, device="cuda")
    layer.set_precision(precision)
    want = exact(X.astype(np.float64))
    results = layer(kind.holding(X.astype(np.float64), element))
    for one, other in zip(results, want, strict=True):
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
    assert all(type(one) is np.ndarray for one in copied.states)
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


def test_recorded_states_of_another_precision_are_brought_along(monkeypatch):
    torch = stand_in_torch(monkeypatch)
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


def test_plain_calls_in_place_wait_for_nothing(kind, monkeypatch):
    x, mask, state = kind.holding(X), kind.holding(MASK), [kind.holding(normal(B, U)) for _ in range(2)]
    layers = [LSTM(U), LSTM(U, return_sequences=True, return_state=True), Bidirectional(LSTM(U), "ave")]
    if kind not in (Own, Interfaced, Exchanged):
        layers.append(LSTM(U, stateful=True, return_state=True))
    for layer in layers:
        layer(x)  # packs the weights
    refuse_copies(monkeypatch)
    for layer in layers:
        layer(x)
        layer(x, mask=mask)
    layers[0](x, initial_state=state)


def test_results_are_made_with_pytorchs_allocator_on_its_stream(monkeypatch):
    torch = stand_in_torch(monkeypatch)
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


def test_gradients_are_not_dropped_silently(monkeypatch):
    torch = stand_in_torch(monkeypatch)
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
    values, lengths = layer((kind.holding(X[0, :0]), np.zeros(0, int)))
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


def test_calls_belong_to_the_stream_that_the_producer_names(monkeypatch):
    streams = []

    def on_the_default_stream(name, position):
        """The core's function; its stream is noted and replaced by one that exists."""
        function = getattr(_core, name)

        def noted(*args):
            streams.append((name, args[position]))
            return function(*args[:position], 0, *args[position + 1 :])

        monkeypatch.setattr(_core, name, noted)

    class Call:
        made = _core.CudaCall

        def __init__(self, **arguments):
            self.call = Call.made(**arguments)
            self.workspace_bytes = self.call.workspace_bytes

        def run(self, workspace, stream):
            streams.append(("run", stream))
            self.call.run(workspace, 0)

    layer = Bidirectional(GRU(U, return_state=True), "sum")
    x, state = Interfaced.holding(X), Interfaced.holding(normal(B, U))
    want = host(layer(x, initial_state=[state, state]))
    monkeypatch.setattr(_core, "CudaCall", Call)
    for name, position in (("cuda_allocate", 2), ("cuda_copy", 4), ("cuda_merge", 7), ("cuda_release", 2)):
        on_the_default_stream(name, position)
    for named, handle in ((None, 0), (1, 0), (5, 5)):
        x.stream = state.stream = named
        streams.clear()
        results = layer(x, initial_state=[state, state])
        assert {name for name, _ in streams} >= {"cuda_allocate", "run", "cuda_merge"}
        assert "cuda_copy" not in {name for name, _ in streams}
        assert {stream for _, stream in streams} == {handle}
        for one, other in zip(host(results), want, strict=True):
            np.testing.assert_array_equal(one, other)
        del results  # whose memory is released on the same stream
        assert {stream for _, stream in streams} == {handle}
    state.stream = (
        9  # another one than that of the inputs: read after what it holds, before what it will hold
    )
    orders = []
    monkeypatch.setattr(_core, "cuda_order", lambda *streams: orders.append(streams))
    streams.clear()
    layer(x, initial_state=[state, state])
    assert orders == [(0, 9, 5), (0, 9, 5), (0, 5, 9)]
    assert "cuda_copy" not in {name for name, _ in streams}
