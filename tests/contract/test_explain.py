"""`explain()`: users never guess which path ran."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from contract_cells import DoublingCell, LayerCell, bits, normal

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ResidualWrapper,
    SimpleRNN,
    SimpleRNNCell,
    _core,
    activations,
)

BEST = _core.available_isas()[0]
B, T, F = 2, 3, 4


@pytest.mark.parametrize(
    ("layer", "kernel"),
    [
        (LSTM(3), "lstm"),
        (GRU(3), "gru"),
        (SimpleRNN(3), "simple_rnn"),
        (RNN(LSTMCell(3)), "lstm"),
        (RNN([LSTMCell(3), GRUCell(2)]), "lstm+gru"),
        (RNN([SimpleRNNCell(3)]), "simple_rnn"),
        (RNN(PeepholeLSTMCell(3)), "peephole_lstm"),
        (RNN([ProjectedLSTMCell(3, 2), GRUCell(4)]), "projected_lstm+gru"),
    ],
    ids=["lstm", "gru", "simple", "rnn", "stack", "stack of one", "peephole", "projected"],
)
def test_native_layers_before_and_after_the_build(layer, kernel, monkeypatch):
    monkeypatch.delenv("RNNPACK_ISA", raising=False)
    for _ in range(2):
        found = layer.explain()
        assert found.native is True
        assert found.reason is None
        assert found.kernel == kernel
        assert found.isa == BEST
        assert found.dtype == "float32"
        assert str(found) == f"native: {kernel}/{BEST}/float32"
        layer(normal(B, T, F))


def test_both_gru_kinds_are_native():
    assert GRU(3, reset_after=False).explain().native is True
    assert "gru" in GRU(3, reset_after=False).explain().kernel


def test_dtype_is_shown():
    assert LSTM(3, dtype="float64").explain().dtype == "float64"
    assert str(LSTM(3, dtype="float64").explain()).endswith("/float64")


def test_the_forced_instruction_set_is_shown(isa):
    layer = LSTM(3)
    layer(normal(B, T, F))
    assert layer.explain().isa == isa
    assert layer.explain().native is True


@pytest.mark.parametrize("name", ["no_such", "AVX9"])
def test_an_unknown_instruction_set_is_an_error(name, monkeypatch):
    layer = LSTM(3)
    monkeypatch.setenv("RNNPACK_ISA", name)
    with pytest.raises(ValueError, match=name):
        layer(normal(B, T, F))


class OwnLSTMCell(LSTMCell):
    """A subclass, which might compute anything."""


class OwnLSTM(LSTM):
    """A subclass of the layer that uses the built-in cell."""


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (RNN(OwnLSTMCell(3)), "OwnLSTMCell"),
        (RNN([GRUCell(3), OwnLSTMCell(3)]), "OwnLSTMCell"),
        (RNN(DoublingCell()), "DoublingCell"),
        (RNN(LayerCell(3)), "LayerCell"),
        (RNN(ResidualWrapper(GRUCell(F))), "ResidualWrapper"),
        (LSTM(3, activation="softmax"), "softmax"),
        (GRU(3, recurrent_activation="softmax"), "softmax"),
        (LSTM(3, activation=lambda x: x), "activation"),
        (LSTM(3, dtype="float16"), "float16"),
        (GRU(3, dtype="mixed_float16"), "float16"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_python_layers_name_the_reason(layer, word):
    found = layer.explain()
    assert found.native is False
    assert word in found.reason
    assert str(found) == f"python: {found.reason}"
    layer(normal(B, T, F))
    assert layer.explain() == found


@pytest.mark.parametrize("name", sorted(f.__name__ for f in activations.NATIVE_NAMES))
def test_every_element_wise_activation_is_native(name):
    assert LSTM(3, activation=name).explain().native is True
    assert GRU(3, recurrent_activation=name).explain().native is True


def test_all_element_wise_activations_are_listed():
    want = [
        "elu",
        "selu",
        "softplus",
        "softsign",
        "swish",
        "relu",
        "gelu",
        "tanh",
        "sigmoid",
        "exponential",
        "hard_sigmoid",
        "linear",
    ]
    assert sorted(f.__name__ for f in activations.NATIVE_NAMES) == sorted(want)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"use_bias": False},
        {"unroll": True},
        {"stateful": True},
        {"go_backwards": True},
        {"time_major": True},
        {"return_sequences": True, "return_state": True},
        {"zero_output_for_mask": True},
        {"dropout": 0.5, "recurrent_dropout": 0.5},
        {"kernel_regularizer": "l2"},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_flags_do_not_leave_the_native_path(make, kwargs):
    assert make(3, **kwargs).explain().native is True


def test_both_modes_are_native_with_and_without_dropout():
    for kwargs in ({}, {"dropout": 0.5}, {"recurrent_dropout": 0.5}):
        for training in (None, False, True):
            assert LSTM(3, **kwargs).explain(training=training).native is True
    assert RNN([GRUCell(3), LSTMCell(3, dropout=0.1)]).explain(training=True).native is True


def test_bidirectional_covers_both_directions():
    both = Bidirectional(LSTM(3)).explain()
    assert both.native is True
    assert both.isa == BEST
    mixed = Bidirectional(LSTM(3), backward_layer=RNN(OwnLSTMCell(3), go_backwards=True)).explain()
    assert mixed.native is False
    assert "OwnLSTMCell" in mixed.reason
    assert "OwnLSTMCell" in str(mixed)


def test_the_answer_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LSTM(3).explain().native = False


def test_nested_inputs_of_a_built_in_cell_say_so_or_fail_clearly():
    with pytest.raises((ValueError, TypeError)):
        RNN(GRUCell(3))((normal(B, T, F), normal(B, T, F)))


def test_explain_does_not_build_and_does_not_change_numbers():
    layer = GRU(3)
    layer.explain()
    assert layer.built is False
    assert layer.weights == []
    x = normal(B, T, F)
    want = layer(x)
    layer.explain(training=True)
    np.testing.assert_array_equal(layer(x), want)


def test_changes_of_the_cell_are_followed():
    layer = LSTM(3)
    layer(normal(B, T, F))
    layer.cell.activation = activations.softmax
    assert layer.explain().native is False
    layer.cell.activation = activations.tanh
    assert layer.explain().native is True


def test_model_layers_can_be_explained_one_by_one():
    x = rnnpack.Input((None, F))
    model = rnnpack.Model(x, GRU(2)(LSTM(3, return_sequences=True)(x)))
    found = [layer.explain().kernel for layer in model.layers if hasattr(layer, "explain")]
    assert found == ["lstm", "gru"]


def test_another_instruction_set_takes_effect_on_a_layer_that_has_run(monkeypatch):
    """Kernels with and without FMA differ in their bits: no layer may keep weights packed for another."""
    layer = LSTM(37, return_sequences=True)
    x = normal(5, 9, 23)
    layer(x)
    fresh = {}
    for isa in _core.available_isas():
        monkeypatch.setenv("RNNPACK_ISA", isa)
        twin = LSTM(37, return_sequences=True)
        twin.build(x.shape)
        twin.set_weights(layer.get_weights())
        fresh[isa] = bits(twin(x))
    if len(set(fresh.values())) == 1:
        pytest.skip("the kernels of this machine agree bit for bit")
    for isa, want in fresh.items():
        monkeypatch.setenv("RNNPACK_ISA", isa)
        assert bits(layer(x)) == want
