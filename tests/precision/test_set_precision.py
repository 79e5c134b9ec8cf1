"""What `set_precision` changes, leaves alone and refuses; how it is undone, copied and shared."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract.contract_cells import DoublingCell, bits, normal
from contract.contract_oracle import flatten
from precision.precision_cases import MAKE, PRECISIONS, all_bits, made, settle

from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, Input, LSTMCell, Model, SimpleRNN

B, T, F = 3, 4, 5
X = normal(B, T, F)
precisions = pytest.mark.parametrize("precision", PRECISIONS)


def bidirectional(**flags: Any) -> Any:
    """Both directions of a GRU."""
    return settle(Bidirectional(GRU(6, **flags)), F)


def model() -> Any:
    """Two recurrent layers and both directions of a third."""
    inputs = Input((None, F))
    layers = [
        settle(LSTM(6, return_sequences=True), F),
        settle(RNN([GRUCell(5), LSTMCell(4)], return_sequences=True), 6),
        settle(Bidirectional(SimpleRNN(3)), 4),
    ]
    symbols = inputs
    for layer in layers:
        symbols = layer(symbols)
    return Model(inputs, symbols)


ANY: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: settle(MAKE[name](), F) for name in MAKE},
    "bidirectional": bidirectional,
    "model": model,
}


@precisions
@pytest.mark.parametrize("name", ANY)
def test_full_brings_the_same_bits_back(name: str, precision: str) -> None:
    layer = ANY[name]()
    config = None if name == "model" else layer.get_config()
    weights, full = [bits(w) for w in layer.get_weights()], bits(layer(X))
    assert layer.precision == "full"
    assert layer.set_precision(precision) is None
    reduced = bits(layer(X))
    assert layer.precision == precision
    assert reduced != full
    assert [bits(w) for w in layer.get_weights()] == weights
    assert config is None or layer.get_config() == config
    layer.set_precision(precision)
    assert bits(layer(X)) == reduced
    other = next(p for p in PRECISIONS if p != precision)
    layer.set_precision(other)
    assert bits(layer(X)) not in (reduced, full)
    layer.set_precision("full")
    assert bits(layer(X)) == full
    assert layer.precision == "full"
    layer.set_precision(precision)
    assert bits(layer(X)) == reduced


@precisions
@pytest.mark.parametrize("name", [name for name in ANY if name != "model"])
def test_new_weights_count_from_the_next_call_on(name: str, precision: str) -> None:
    layer, fresh = ANY[name](), ANY[name]()
    layer.set_precision(precision)
    layer(X)
    new = [0.5 * w + 0.1 for w in layer.get_weights()]
    layer.set_weights(new)
    fresh.set_weights(new)
    fresh.set_precision(precision)
    assert bits(layer(X)) == bits(fresh(X))
    variable, other = layer.weights[0], fresh.weights[0]
    variable.assign(np.asarray(variable) * 2)
    other.assign(np.asarray(other) * 2)
    again = bits(layer(X))
    assert again == bits(fresh(X))


@precisions
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("name", [name for name in ANY if name != "model"])
def test_copies_have_the_precision_and_lives_of_their_own(name: str, copied: Any, precision: str) -> None:
    layer = ANY[name]()
    full = bits(layer(X))
    calibration = {"calibration": 0.5 * X} if precision == "int8" else {}
    layer.set_precision(precision, **calibration)
    want, twin = bits(layer(X)), copied(layer)
    assert twin.precision == precision
    assert bits(twin(X)) == want
    twin.set_precision("full")
    assert bits(twin(X)) == full
    assert bits(layer(X)) == want


@precisions
@pytest.mark.parametrize("name", [name for name in ANY if name != "model"])
def test_configs_know_nothing_of_it(name: str, precision: str) -> None:
    layer = ANY[name]()
    layer.set_precision(precision)
    assert type(layer).from_config(layer.get_config()).precision == "full"


@precisions
@pytest.mark.parametrize("name", [name for name in MAKE])
def test_a_layer_may_have_a_precision_before_it_is_built(name: str, precision: str) -> None:
    layer, built = MAKE[name](), made(name, precision)
    layer.set_precision(precision)
    assert layer.precision == precision
    layer(X)
    layer.set_weights(built.get_weights())
    assert bits(layer(X)) == bits(built(X))
    assert layer.explain().precision == precision


@precisions
def test_layers_that_share_a_cell_have_precisions_of_their_own(precision: str) -> None:
    cell = LSTMCell(6)
    first, second, third = settle(RNN(cell), F), RNN(cell, return_sequences=True), RNN([cell, GRUCell(3)])
    full = bits(second(X)[:, -1])
    third(X)
    stacked = bits(third(X))
    first.set_precision(precision)
    reduced = bits(first(X))
    assert (first.precision, second.precision, third.precision) == (precision, "full", "full")
    for _ in range(3):
        assert bits(first(X)) == reduced != full
        assert bits(second(X)[:, -1]) == full
        assert bits(third(X)) == stacked
    cell.set_weights([w * 0.5 for w in cell.get_weights()])
    fresh = RNN(LSTMCell(6), weights=cell.get_weights())
    assert bits(second(X)[:, -1]) == bits(fresh(X))
    fresh.set_precision(precision)
    assert bits(first(X)) == bits(fresh(X))


@precisions
def test_parts_of_a_model_may_differ(precision: str) -> None:
    whole = model()
    full = bits(whole(X))
    recurrent = [layer for layer in whole.layers if hasattr(layer, "set_precision")]
    recurrent[0].set_precision(precision)
    assert set(whole.precision.split("+")) == {precision, "full"}
    assert bits(whole(X)) != full
    whole.set_precision(precision)
    assert [layer.precision for layer in recurrent] == [precision] * len(recurrent)
    each = X
    for layer in recurrent:
        each = layer(each)
    assert bits(whole(X)) == bits(each) == bits(whole.predict(X, batch_size=2))
    both = bidirectional()
    both.backward_layer.set_precision(precision)
    assert set(both.precision.split("+")) == {precision, "full"}
    forward, backward = both.forward_layer(X), both.backward_layer(X)
    assert bits(both(X)) == bits(np.concatenate([forward, backward], axis=-1))


# What is refused ----------------------------------------------------------------------------------

OWN = type("OwnLSTM", (LSTMCell,), {})
PYTHON: dict[str, tuple[Callable[[], Any], str]] = {
    "a cell of one's own": (lambda: RNN(DoublingCell(3)), "DoublingCell"),
    "a subclass": (lambda: RNN(OWN(3)), "OwnLSTM"),
    "in a stack": (lambda: RNN([LSTMCell(3), OWN(3)]), "OwnLSTM"),
    "a callable": (lambda: GRU(3, activation=lambda a: a), "activation"),
    "softmax": (lambda: LSTM(3, recurrent_activation="softmax"), "softmax"),
    "float64": (lambda: LSTM(3, dtype="float64"), "float64"),
    "float16": (lambda: GRU(3, dtype="float16"), "float16"),
    "mixed": (lambda: GRU(3, dtype="mixed_float16"), "float16"),
    "a cell of float64": (lambda: RNN(GRUCell(3, dtype="float64"), dtype="float64"), "float64"),
}
NO_CONFIG = ("a cell of one's own", "a subclass", "in a stack", "a callable")


@precisions
@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize(
    ("reason", "wrapped"), [*((r, False) for r in PYTHON), *((r, True) for r in PYTHON if r not in NO_CONFIG)]
)
def test_layers_that_run_in_python_refuse_and_say_why(
    reason: str, built: bool, wrapped: bool, precision: str
) -> None:
    make, word = PYTHON[reason]
    layer = Bidirectional(make()) if wrapped else make()
    before = None
    if built:
        layer(X)
        before = bits(layer(X))
    with pytest.raises(ValueError, match=word):
        layer.set_precision(precision)
    assert layer.precision == "full"
    layer.set_precision("full")
    assert before is None or bits(layer(X)) == before


@precisions
def test_all_of_a_model_or_nothing(precision: str) -> None:
    inputs = Input((None, F))
    good, bad = LSTM(4, return_sequences=True), GRU(3, activation="softmax")
    whole = Model(inputs, bad(good(inputs)))
    want = bits(whole(X))
    with pytest.raises(ValueError, match="softmax"):
        whole.set_precision(precision)
    assert good.precision == whole.precision == "full"
    assert bits(whole(X)) == want


UNKNOWN = ["float32", "BFLOAT16", "bf16", "int4", "", None, 8, b"int8", ["int8"], "bfloat16 "]


@pytest.mark.parametrize("name", ["gru", "bidirectional", "model"])
@pytest.mark.parametrize("unknown", UNKNOWN, ids=repr)
def test_unknown_names(unknown: Any, name: str) -> None:
    layer = ANY[name]()
    layer.set_precision("int8")
    want = bits(layer(X))
    with pytest.raises(ValueError, match="precision"):
        layer.set_precision(unknown)
    assert layer.precision == "int8"
    assert bits(layer(X)) == want


NANS = np.where(X > 1, np.nan, X)
SAMPLES: dict[str, Any] = {
    "two axes": X[0],
    "four axes": X[None],
    "other features": normal(B, T, F + 1),
    "no rows": X[:0],
    "no steps": X[:, :0],
    "NaN": NANS,
    "infinity": np.where(X > 1, np.inf, X),
    "beyond float32": X.astype("float64") * 1e300,
    "text": "typical",
    "a list": X.tolist(),
    "complex": X + 1j,
    "a number": 3.0,
    "objects": X.astype(object),
    "a dict": {"x": X},
}


@pytest.mark.parametrize("name", ["gru", "stack"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_that_do_not_fit(sample: str, name: str) -> None:
    layer = made(name, "bfloat16")
    want = bits(layer(X))
    with pytest.raises(ValueError, match="calibration"):
        layer.set_precision("int8", calibration=SAMPLES[sample])
    assert layer.precision == "bfloat16"
    assert bits(layer(X)) == want


@pytest.mark.parametrize("precision", ["full", "bfloat16"])
def test_calibration_is_for_int8(precision: str) -> None:
    layer = made("gru", "int8")
    want = bits(layer(X))
    with pytest.raises(ValueError, match="calibration"):
        layer.set_precision(precision, calibration=X)
    assert layer.precision == "int8"
    assert bits(layer(X)) == want


def test_calibration_needs_weights() -> None:
    for layer in (GRU(3), RNN([LSTMCell(3), GRUCell(2)]), Bidirectional(GRU(3))):
        with pytest.raises(ValueError, match="built"):
            layer.set_precision("int8", calibration=X)
        assert layer.precision == "full"
        assert not layer.built


def test_a_model_takes_no_calibration() -> None:
    whole = model()
    with pytest.raises((TypeError, ValueError), match="calibration"):
        whole.set_precision("int8", calibration=X)
    assert whole.precision == "full"


@pytest.mark.parametrize("name", ["bidirectional", "stack"])
def test_both_directions_and_stacks_take_calibration(name: str) -> None:
    layer = ANY[name]()
    layer.set_precision("int8")
    own = bits(layer(X))
    layer.set_precision("int8", calibration=3 * X)
    assert bits(layer(X)) != own
    if name == "bidirectional":
        halves = [layer.forward_layer(X), layer.backward_layer(X)]
        assert bits(np.concatenate(halves, axis=-1)) == bits(layer(X))


def test_sums_that_int8_cannot_hold_are_refused() -> None:
    """Operands of 0 to 255 and weights of up to 127 have sums of 32 bits for 66,311 of them."""
    n = 66_312
    layer = SimpleRNN(1)
    layer.build((None, None, n))
    with pytest.raises(ValueError, match=str(n)):
        layer.set_precision("int8")
    assert layer.precision == "full"
    unbuilt = SimpleRNN(1)
    unbuilt.set_precision("int8")
    with pytest.raises(ValueError, match=str(n)):
        unbuilt(np.ones((1, 1, n), "f"))
    layer.set_precision("bfloat16")
    assert layer(np.ones((1, 1, n), "f")).shape == (1, 1)


@pytest.mark.parametrize("size", [66_311])
def test_sums_that_int8_can_just_hold(int8_isa: str, size: int) -> None:
    layer = SimpleRNN(1, activation=None, use_bias=False)
    layer.build((None, None, size))
    layer.set_weights([np.full((size, 1), 127.0), [[1.0]]])
    layer.set_precision("int8")
    x = np.full((1, 1, size), -127.0, "f")
    np.testing.assert_allclose(layer(x), [[-(127.0**2) * size]], rtol=1e-6)


def test_flat_states_are_the_same_number() -> None:
    """Precisions never change the structure of what is returned."""
    for name in MAKE:
        layer = settle(MAKE[name](return_state=True, return_sequences=True), F)
        shapes = [(a.shape, a.dtype) for a in flatten(layer(X))]
        for precision in PRECISIONS:
            layer.set_precision(precision)
            assert [(a.shape, a.dtype) for a in flatten(layer(X))] == shapes
            assert len(all_bits(layer(X))) == len(shapes)
