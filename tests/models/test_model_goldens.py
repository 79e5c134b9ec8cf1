"""Models that a live Keras 2.15 made load, and give what they gave there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rnnpack.engine import nest
from rnnpack.models import Model, Sequential, model_from_json

STORE = np.load(Path(__file__).parent / "goldens" / "models.npz")
CASES = sorted({key.split("/")[0] for key in STORE.files})


class Golden:
    def __init__(self, name):
        self.json = str(STORE[f"{name}/json"])
        self.facts = json.loads(str(STORE[f"{name}/facts"]))
        self.weights, self.inputs, self.outputs = (
            self.several(name, r) for r in ("weight", "input", "output")
        )

    @staticmethod
    def several(name, role):
        count = sum(key.startswith(f"{name}/{role}") for key in STORE.files)
        return [STORE[f"{name}/{role}{place}"] for place in range(count)]

    def model(self):
        model = model_from_json(self.json)
        model.set_weights(self.weights)
        return model

    def call(self, model):
        return nest.flatten(model(nest.pack_sequence_as(model.input, self.inputs)))


@pytest.fixture(params=CASES)
def golden(request):
    return Golden(request.param)


def check(got, want):
    """Equal up to rounding.

    Both add up, in orders of their own, at most 64 products of numbers of about 1 in each of at most 8 layers
    in a row, whose slopes are about 1: every sum errs by at most 64 * eps / 2.
    """
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=8 * 32 * np.finfo("f").eps)


def test_outputs(golden):
    check(golden.call(golden.model()), golden.outputs)


def test_names_and_sizes(golden):
    model, facts = golden.model(), golden.facts
    assert model.input_names == facts["input_names"]
    assert model.output_names == facts["output_names"]
    assert model.count_params() == facts["parameters"]
    assert [list(symbol.shape) for symbol in model.outputs] == facts["output_shape"]
    assert [array.shape for array in model.get_weights()] == [array.shape for array in golden.weights]


def test_the_configuration_comes_back_with_layers_in_the_order_of_keras(golden):
    model = golden.model()
    config = model.get_config()
    assert [layer["config"]["name"] for layer in config["layers"]] == golden.facts["layers"]
    if not isinstance(model, Sequential):
        assert config["input_layers"] == golden.facts["input_layers"]
    again = type(model).from_config(config)
    assert again.get_config() == config
    again.set_weights(model.get_weights())
    for one, other in zip(golden.call(again), golden.call(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_models_are_of_the_right_class(golden):
    assert (
        type(golden.model())
        is {"Functional": Model, "Sequential": Sequential}[json.loads(golden.json)["class_name"]]
    )


def test_predict_gives_the_same(golden):
    model = golden.model()
    packed = nest.pack_sequence_as(model.input, golden.inputs)
    stateful = any(layer.stateful for layer in model.layers)
    check(nest.flatten(model.predict(packed, batch_size=3 if stateful else 2)), golden.outputs)
