"""Constructor arguments and configs of the built-in cells."""

from __future__ import annotations

import inspect
import json

import pytest

from rnnpack import activations, constraints, initializers, regularizers
from rnnpack.cells import GRUCell, LSTMCell, PeepholeLSTMCell, SimpleRNNCell

COMMON = [
    *("kernel_initializer", "recurrent_initializer", "bias_initializer"),
    *("kernel_regularizer", "recurrent_regularizer", "bias_regularizer"),
    *("kernel_constraint", "recurrent_constraint", "bias_constraint"),
    *("dropout", "recurrent_dropout"),
]
GATED = ["units", "activation", "recurrent_activation", "use_bias"]
ORDERS = {
    SimpleRNNCell: ["units", "activation", "use_bias", *COMMON],
    GRUCell: [*GATED, *COMMON, "reset_after"],
    LSTMCell: [*GATED, *COMMON[:3], "unit_forget_bias", *COMMON[3:]],
    PeepholeLSTMCell: [*GATED, *COMMON[:3], "unit_forget_bias", *COMMON[3:]],
}
ARGUMENTS = {
    "activation": "relu",
    "use_bias": True,
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_uniform",
    "bias_initializer": "ones",
    "kernel_regularizer": "l1",
    "recurrent_regularizer": "l2",
    "bias_regularizer": "l1_l2",
    "kernel_constraint": "max_norm",
    "recurrent_constraint": "non_neg",
    "bias_constraint": "unit_norm",
    "dropout": 0.25,
    "recurrent_dropout": 0.5,
}


@pytest.mark.parametrize("cls", ORDERS)
def test_positional_order_is_that_of_keras(cls):
    names = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert names == ORDERS[cls]


@pytest.mark.parametrize("cls", ORDERS)
def test_config_round_trip(cls):
    cell = cls(4, **ARGUMENTS, name="mine", trainable=False, dtype="float64")
    config = cell.get_config()
    extra = {
        SimpleRNNCell: set(),
        GRUCell: {"recurrent_activation", "implementation", "reset_after"},
        LSTMCell: {"recurrent_activation", "implementation", "unit_forget_bias"},
        PeepholeLSTMCell: {"recurrent_activation", "implementation", "unit_forget_bias"},
    }[cls]
    assert set(config) == {"name", "trainable", "dtype", "units", *ARGUMENTS, *extra}
    assert (config["name"], config["trainable"], config["dtype"], config["units"]) == (
        "mine",
        False,
        "float64",
        4,
    )
    assert config["activation"] == "relu"
    assert config["kernel_initializer"] == {"class_name": "HeNormal", "config": {"seed": None}}
    assert config["bias_regularizer"] == {"class_name": "L1L2", "config": {"l1": 0.01, "l2": 0.01}}
    again = json.loads(json.dumps(config))
    assert cls.from_config(again).get_config() == config


@pytest.mark.parametrize("cls", ORDERS)
def test_attributes(cls):
    cell = cls(4, **ARGUMENTS)
    assert cell.activation is activations.relu
    assert isinstance(cell.kernel_initializer, initializers.HeNormal)
    assert isinstance(cell.recurrent_regularizer, regularizers.L2)
    assert isinstance(cell.bias_constraint, constraints.UnitNorm)
    cell.build((None, 3))
    assert [w.regularizer for w in cell.weights[:3]] == [
        cell.kernel_regularizer, cell.recurrent_regularizer, cell.bias_regularizer
    ]  # fmt: skip
    assert [w.constraint for w in cell.weights[:3]] == [
        cell.kernel_constraint, cell.recurrent_constraint, cell.bias_constraint
    ]  # fmt: skip
    assert len(cell.losses) == 3


@pytest.mark.parametrize("cls", [GRUCell, LSTMCell])
def test_implementation(cls):
    assert cls(3).implementation == 2
    assert cls(3, implementation=1).implementation == 1
    assert cls(3, implementation=0).implementation == 0
    assert cls(3, recurrent_dropout=0.1).implementation == 1
    assert cls(3, dropout=0.1).implementation == 2
    assert cls(3).recurrent_activation is activations.sigmoid


def test_simple_rnn_cell_has_no_implementation():
    assert not hasattr(SimpleRNNCell(3), "implementation")


@pytest.mark.parametrize("cls", ORDERS)
def test_rates_are_clipped_and_old_keywords_ignored(cls):
    cell = cls(3, dropout=1.5, recurrent_dropout=-0.5, enable_caching_device=True)
    assert (cell.dropout, cell.recurrent_dropout) == (1.0, 0.0)


def test_no_activation_means_linear():
    assert SimpleRNNCell(3, activation=None).get_config()["activation"] == "linear"
