"""Arrays on a GPU that do not fit, or say what is not true, and layers that cannot run there."""

from __future__ import annotations

import numpy as np
import pytest
from contract.contract_cells import normal
from foreign_arrays import Interfaced, Own, stand_in_torch

from rnnpack import GRU, LSTM, RNN, Bidirectional, LSTMCell

pytestmark = pytest.mark.usefixtures("cuda_plugin")

B, T, F, U = 3, 5, 4, 6
X = normal(B, T, F)
MASK = np.random.default_rng(1).random((B, T)) < 0.6


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
    yield lstm, Own.holding(X[None]), {}, "must have 3 axes, found ndim=4"
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
    two_rows = GRU(U, stateful=True)
    two_rows.build((2, T, F))
    yield two_rows, x, {}, "expected shape"
    yield lstm, x, {"wrong": mask}, "unexpected keyword argument 'wrong'"


def test_what_does_not_fit_is_refused_and_nothing_changes():
    for layer, x, keywords, message in refusals():
        before = layer.built, len(layer.weights)
        with pytest.raises((ValueError, TypeError, AssertionError), match=message):
            layer(x, **keywords)
            pytest.fail(f"not refused: {message}")
        assert (layer.built, len(layer.weights)) == before


def test_features_that_the_weights_do_not_have_are_refused():
    layer = LSTM(U)
    layer.build((None, None, F))
    for spec in (layer.input_spec, None):
        layer.input_spec = spec
        with pytest.raises(ValueError, match=r"expected shape|must have 4 features"):
            layer(Own.holding(normal(B, T, F + 1)))


def test_arrays_that_say_what_is_not_true_are_refused(monkeypatch):
    torch = stand_in_torch(monkeypatch)
    x = Interfaced.holding(X)
    good = x.__cuda_array_interface__

    class Lying:
        def __init__(self, **changes):
            self.__cuda_array_interface__ = {**good, **changes}
            self.shape = self.__cuda_array_interface__["shape"]

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
    wide = Own.holding(np.zeros((B + 1, T, F), np.float32))
    for number in (1, 2, 3):
        with pytest.raises(ValueError, match=r"`inputs` must be aligned to its values of 4 bytes"):
            layer(Lying(data=(wide.address + number, False)))
        with pytest.raises(ValueError, match="`initial_state` must be aligned"):
            layer(
                x, initial_state=[Lying(data=(wide.address + number, False), shape=(B, U), strides=None)] * 2
            )
    layer(Lying(data=(wide.address + 4, False)))
    layer(x, mask=Lying(data=(wide.address + 1, False), shape=(B, T), strides=None, typestr="|b1"))
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
