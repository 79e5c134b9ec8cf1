"""rnnpack's own files: whole models come back to the bit, and everything else is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rnnpack
from rnnpack import layers
from rnnpack.engine import nest
from rnnpack.formats import FormatError, native
from rnnpack.formats.safetensors import read_safetensors, write_safetensors
from rnnpack.formats.weight_names import weight_paths

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(2, 5, 3)).astype(np.float32)


class OwnCell(rnnpack.AbstractRNNCell):
    """A cell with weights without a name, in attributes, and below it."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.inner = layers.LSTMCell(units)
        self.scale = rnnpack.Variable(np.ones(units, np.float32), name="own/scale:0")

    @property
    def state_size(self) -> Any:
        return self.inner.state_size

    def build(self, input_shape: Any) -> None:
        self.first = self.add_weight(shape=(input_shape[-1], self.units))
        self.second = self.add_weight(shape=(self.units,), trainable=False)
        self.inner.build((None, self.units))

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        return self.inner(inputs @ self.first + self.second * self.scale, states)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Composite(layers.Layer):
    """Layers in attributes, lists and dicts, built when they are first called."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = layers.LSTM(3, return_sequences=True)
        self.rest = [layers.Dense(2), {"last": layers.GRU(2)}]
        self.again = self.first

    def call(self, inputs: Any) -> Any:
        return self.rest[1]["last"](self.rest[0](self.first(inputs)))


class Tied(layers.Layer):
    """A weight that belongs to two layers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = layers.Dense(3)

    def build(self, input_shape: Any) -> None:
        self.first.build(input_shape)
        self.tied = self.first.kernel

    def call(self, inputs: Any) -> Any:
        return self.first(inputs) @ self.tied


def graph() -> Any:
    """A layer called twice, a model inside a model that is used twice, two inputs and outputs."""
    first, second = rnnpack.Input((5, 3), name="first"), rnnpack.Input((5, 3), name="second")
    inner_input = rnnpack.Input((5, 3))
    inner = rnnpack.Model(
        inner_input, layers.Bidirectional(layers.GRU(2), name="both")(inner_input), name="inner"
    )
    shared = layers.Dense(3, name="shared")
    one, other = inner(shared(first)), inner(shared(shared(second)))
    return rnnpack.Model([first, second], [layers.Add()([one, other]), one], name="graph")


MODELS: dict[str, tuple[Callable[[], Any], Any]] = {
    "lstm": (lambda: layers.LSTM(4), X),
    "gru": (lambda: layers.GRU(4, reset_after=False, use_bias=False, return_state=True), X),
    "float64": (lambda: layers.SimpleRNN(4, dtype="float64"), X),
    "float16": (lambda: layers.SimpleRNN(4, dtype="float16"), X),
    "frozen": (lambda: layers.LSTM(4, trainable=False), X),
    "stack": (lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True), X),
    "residual": (lambda: layers.RNN(layers.ResidualWrapper(layers.GRUCell(3))), X),
    "bidirectional": (lambda: layers.Bidirectional(layers.GRU(4, return_sequences=True)), X),
    "two layers": (
        lambda: layers.Bidirectional(layers.LSTM(4), backward_layer=layers.LSTM(4, go_backwards=True)),
        X,
    ),
    "own cell": (lambda: layers.RNN(OwnCell(4)), X),
    "composite": (Composite, X),
    "sequential": (
        lambda: rnnpack.Sequential(
            [layers.Embedding(9, 4, mask_zero=True), layers.Bidirectional(layers.LSTM(3)), layers.Dense(2)]
        ),
        np.array([[1, 2, 3, 0], [8, 0, 0, 0]]),
    ),
    "normalization": (lambda: rnnpack.Sequential([layers.BatchNormalization(), layers.GRU(2)]), X),
    "graph": (graph, [X, X[::-1]]),
}
CUSTOM = {"OwnCell": OwnCell, "Composite": Composite}


def made(name: str) -> tuple[Any, Any]:
    """A built model with random weights, and inputs."""
    make, inputs = MODELS[name]
    model = make()
    model(inputs)
    model.set_weights([GENERATOR.uniform(0.1, 0.9, weight.shape) for weight in model.get_weights()])
    return model, inputs


def assert_same(one: Any, other: Any) -> None:
    for left, right in zip(nest.flatten(one), nest.flatten(other), strict=True):
        assert left.dtype == right.dtype and left.tobytes() == right.tobytes()


class TestRoundTrip:
    @pytest.mark.parametrize("name", MODELS)
    def test_outputs_weights_and_configuration(self, tmp_path: Path, name: str) -> None:
        model, inputs = made(name)
        path = tmp_path / "model.safetensors"
        rnnpack.save(model, path)
        loaded = rnnpack.load(path, custom_objects=CUSTOM)
        assert type(loaded) is type(model)
        assert loaded.name == model.name
        assert_same(model(inputs), loaded(inputs))
        assert_same(model.get_weights(), loaded.get_weights())
        assert [weight.trainable for weight in model.weights] == [one.trainable for one in loaded.weights]
        plain = json.loads(json.dumps([model.get_config(), loaded.get_config()]))
        assert plain[0] == plain[1]
        rnnpack.save(loaded, tmp_path / "again.safetensors")
        assert read_safetensors(path)[0].keys() == read_safetensors(tmp_path / "again.safetensors")[0].keys()

    def test_special_numbers(self, tmp_path: Path) -> None:
        model, _ = made("lstm")
        bits = np.array([0x7FC12345, 0xFF800000, 0x80000000, 1], np.uint32).view(np.float32)
        model.set_weights([np.resize(bits, weight.shape) for weight in model.get_weights()])
        native.save(model, tmp_path / "a")
        assert_same(model.get_weights(), native.load(tmp_path / "a").get_weights())

    def test_a_cell_alone(self, tmp_path: Path) -> None:
        cell = layers.StackedRNNCells([layers.LSTMCell(2), layers.LSTMCell(3)])
        cell.build((None, 4))
        native.save(cell, tmp_path / "a")
        assert_same(cell.get_weights(), native.load(tmp_path / "a").get_weights())

    def test_a_stateful_layer_keeps_its_batch_size(self, tmp_path: Path) -> None:
        layer = layers.LSTM(2, stateful=True)
        layer(X)
        native.save(layer, tmp_path / "a")
        loaded = native.load(tmp_path / "a")
        layer.reset_states()
        loaded.reset_states()
        assert_same([layer(X), layer(X)], [loaded(X), loaded(X)])

    def test_initializers_do_not_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        model, _ = made("sequential")
        native.save(model, tmp_path / "a")

        def fail(*arguments: Any, **keywords: Any) -> None:
            raise AssertionError("an initializer ran")

        for name in ("GlorotUniform", "Orthogonal", "RandomUniform", "Zeros"):
            monkeypatch.setattr(getattr(rnnpack.initializers, name), "__call__", fail)
        assert_same(model.get_weights(), native.load(tmp_path / "a").get_weights())


class TestNames:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("lstm", "kernel recurrent_kernel bias"),
            (
                "stack",
                "cells/0/kernel cells/0/recurrent_kernel cells/0/bias "
                "cells/1/kernel cells/1/recurrent_kernel cells/1/bias",
            ),
            (
                "bidirectional",
                "forward_layer/kernel forward_layer/recurrent_kernel forward_layer/bias "
                "backward_layer/kernel backward_layer/recurrent_kernel backward_layer/bias",
            ),
            (
                "own cell",
                "weight scale weight_1 inner/kernel inner/recurrent_kernel inner/bias",
            ),
            (
                "composite",
                "first/kernel first/recurrent_kernel first/bias rest/0/kernel rest/0/bias "
                "rest/1/last/kernel rest/1/last/recurrent_kernel rest/1/last/bias",
            ),
            (
                "graph",
                "shared/kernel shared/bias "
                + " ".join(
                    f"inner/both/{way}_layer/{one}"
                    for way in ("forward", "backward")
                    for one in ("kernel", "recurrent_kernel", "bias")
                ),
            ),
        ],
    )
    def test_paths(self, name: str, expected: str) -> None:
        model, _ = made(name)
        assert list(weight_paths(model)) == expected.split()

    def test_a_weight_in_two_places_has_the_first_name(self, tmp_path: Path) -> None:
        layer = Tied()
        layer(X)
        assert list(weight_paths(layer)) == ["kernel", "first/bias"]
        native.save(layer, tmp_path / "a")
        assert_same(layer(X), native.load(tmp_path / "a", {"Tied": Tied})(X))

    def test_every_weight_has_one_name(self) -> None:
        for name in MODELS:
            model, _ = made(name)
            assert {id(one) for one in weight_paths(model).values()} == {id(one) for one in model.weights}


class TestPrecision:
    def test_of_a_whole_model(self, tmp_path: Path) -> None:
        model, inputs = made("graph")
        model.set_precision("bfloat16")
        native.save(model, tmp_path / "a")
        loaded = native.load(tmp_path / "a")
        assert loaded.precision == "bfloat16"
        assert_same(model(inputs), loaded(inputs))

    def test_of_a_stack_with_calibrated_ranges(self, tmp_path: Path) -> None:
        model, inputs = made("stack")
        model.set_precision("int8", calibration=inputs)
        native.save(model, tmp_path / "a")
        loaded = native.load(tmp_path / "a")
        assert loaded._precision == model._precision
        assert_same(model(inputs), loaded(inputs))

    @pytest.mark.parametrize(
        ("stored", "message"),
        [
            ([], "not a JSON object"),
            ({"other": ["int8", []]}, "there is no recurrent layer 'other'"),
            ({"": ["int7", []]}, "layer '': `precision` must be one of"),
            ({"": ["int8"]}, "layer ''"),
            ({"": ["int8", 3]}, "layer ''"),
            ({"": ["int8", [["a", 1]]]}, "layer ''"),
            ({"": ["int8", [[1, 1], [1, 1]]]}, "are no ranges of its cells"),
            ({"": ["bfloat16", [[1, 1]]]}, "are no ranges of its cells"),
            ({"": ["int8", [[-1, 1]]]}, "are no ranges of its cells"),
            ({"": ["int8", [[1e39, 1]]]}, "are no ranges of its cells"),
        ],
    )
    def test_damaged(self, tmp_path: Path, stored: Any, message: str) -> None:
        model, _ = made("lstm")
        native.save(model, tmp_path / "a")
        tensors, metadata = read_safetensors(tmp_path / "a")
        write_safetensors(tmp_path / "a", tensors, {**metadata, "precision": json.dumps(stored)})
        with pytest.raises(FormatError, match=f"precision: .*{message}"):
            native.load(tmp_path / "a")


class TestWeightsAlone:
    def test_into_a_model_made_again(self, tmp_path: Path) -> None:
        """Layers that are named automatically have other names then."""
        model, inputs = made("sequential")
        again, _ = made("sequential")
        assert list(weight_paths(model)) != list(weight_paths(again))
        rnnpack.save_weights(model, tmp_path / "a.safetensors")
        rnnpack.load_weights(again, tmp_path / "a.safetensors")
        assert_same(model(inputs), again(inputs))

    def test_from_the_file_of_a_model(self, tmp_path: Path) -> None:
        model, inputs = made("graph")
        again, _ = made("graph")
        rnnpack.save(model, tmp_path / "a.safetensors")
        rnnpack.load_weights(again, tmp_path / "a.safetensors")
        assert_same(model(inputs), again(inputs))

    def test_floats_are_cast(self, tmp_path: Path) -> None:
        model = layers.SimpleRNN(4, dtype="float64")
        model(X)
        native.save_weights(model, tmp_path / "a")
        half = layers.SimpleRNN(4, dtype="float16")
        half(X)
        native.load_weights(half, tmp_path / "a")
        assert_same([weight.astype(np.float16) for weight in model.get_weights()], half.get_weights())

    @pytest.mark.parametrize(
        ("tensors", "message"),
        [
            ({"kernel": np.zeros((3, 16))}, "weights that are missing: bias, recurrent_kernel"),
            (
                {
                    "kernel": np.zeros((3, 16)),
                    "recurrent_kernel": np.zeros((4, 16)),
                    "bias": np.zeros(16),
                    **{f"more{index}": np.zeros(1) for index in range(7)},
                },
                "weights that are not in the model: more0, more1, more2, more3, more4, ...",
            ),
            (
                {"kernel": np.zeros((3, 16)), "recurrent_kernel": np.zeros((4, 15)), "bias": np.zeros(16)},
                r"weight recurrent_kernel has shape \(4, 15\), expected \(4, 16\)",
            ),
            (
                {
                    "kernel": np.zeros((3, 16)),
                    "recurrent_kernel": np.zeros((4, 16)),
                    "bias": np.zeros(16, "i4"),
                },
                "weight bias is int32, expected float32",
            ),
            (
                {"kernel": np.zeros((16, 3)), "recurrent_kernel": np.zeros((4, 16)), "bias": np.zeros(16)},
                r"weight kernel has shape \(16, 3\), expected \(3, 16\)",
            ),
        ],
    )
    def test_weights_of_another_model(self, tmp_path: Path, tensors: Any, message: str) -> None:
        model, _ = made("lstm")
        before = model.get_weights()
        write_safetensors(tmp_path / "a", tensors, {"format": "rnnpack", "format_version": "1"})
        with pytest.raises(FormatError, match=message):
            rnnpack.load_weights(model, tmp_path / "a")
        assert_same(before, model.get_weights())

    def test_layers_that_are_not_built(self, tmp_path: Path) -> None:
        for save in (native.save, native.save_weights):
            with pytest.raises(FormatError, match="built"):
                save(layers.LSTM(3), tmp_path / "a")
        assert not (tmp_path / "a").exists()


class TestRefusals:
    def change(self, path: Path, **metadata: str) -> Path:
        """A saved LSTM with other metadata."""
        model, _ = made("lstm")
        native.save(model, path)
        tensors, known = read_safetensors(path)
        write_safetensors(path, tensors, {**known, **metadata})
        return path

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ({"format": "pt"}, "expected format 'rnnpack' of version 1, got 'pt'"),
            ({"format_version": "2"}, "got 'rnnpack' of version '2'"),
            ({"model": "{"}, "model: not valid JSON"),
            ({"model": "[]"}, "model: A model's configuration must be a dict"),
            ({"model": '{"class_name": "LSTM", "config": {}}'}, "model: .*units"),
            ({"model": '{"class_name": "Nothing", "config": {}}'}, "model: Unknown layer: Nothing"),
            ({"model": '{"class_name": "serialize", "config": {"layer": null}}'}, "not a layer but None"),
            ({"model": '{"class_name": "LSTM", "config": {"units": 1000000}}'}, "would take"),
            ({"model": '{"class_name": "LSTM", "config": {"units": 3}}'}, "kernel has shape"),
            ({"model": '{"class_name": "GRU", "config": {"units": 4}}'}, "shape"),
            ({"model": '{"class_name": "Dropout", "config": {"rate": 0.5}}'}, "that are not in the model"),
            ({"built_for": "3"}, "model: "),
            ({"built_for": '"a"'}, "model: "),
            ({"built_for": "null"}, "weights that are not in the model: bias, kernel"),
            ({"built_for": '[null, null, "x"]'}, "model: "),
        ],
    )
    def test_damaged_descriptions(self, tmp_path: Path, metadata: dict[str, str], message: str) -> None:
        with pytest.raises(FormatError, match=message) as caught:
            native.load(self.change(tmp_path / "a", **metadata))
        assert str(caught.value).startswith(str(tmp_path / "a"))
        assert "\n" not in str(caught.value)

    def test_missing_parts(self, tmp_path: Path) -> None:
        write_safetensors(tmp_path / "a", {}, {"format": "rnnpack", "format_version": "1"})
        with pytest.raises(FormatError, match="model: not valid JSON"):
            native.load(tmp_path / "a")

    def test_custom_objects_must_be_named(self, tmp_path: Path) -> None:
        model, _ = made("own cell")
        native.save(model, tmp_path / "a")
        with pytest.raises(FormatError, match="OwnCell"):
            native.load(tmp_path / "a")

    def test_configurations_that_are_no_json(self, tmp_path: Path) -> None:
        class Strange(layers.Layer):
            def get_config(self) -> dict[str, Any]:
                return {"function": print}

        layer = Strange()
        layer(X)
        with pytest.raises(FormatError, match=r"the configuration of .* cannot be saved"):
            native.save(layer, tmp_path / "a")
        assert not (tmp_path / "a").exists()

    def test_detection(self, tmp_path: Path) -> None:
        path = self.change(tmp_path / "a")
        assert native.detect(path, path.read_bytes()[:4096])
        assert rnnpack.formats.detect(path) == "native"
        other = self.change(tmp_path / "b", format="pt")
        assert not native.detect(other, other.read_bytes()[:4096])
        assert not native.detect(path, b"PK\3\4")
        path.write_bytes(path.read_bytes()[:-1])
        assert not native.detect(path, path.read_bytes()[:4096])


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a JSON value."""
    keys: Any = (
        value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [path, *(found for key in keys for found in nodes(value[key], (*path, key)))]


class TestHostileConfigurations:
    """Any value of a configuration may be anything: a model or FormatError, quickly."""

    VALUES = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, -1, 1, 2, 3, 1 << 31, 1 << 62, 1 << 70, -(1 << 63), 1e300, float("nan")]),
        st.sampled_from(
            ["", "LSTM", "GRU", "relu", "float16", "bool", "None", "first", "inner", "__tuple__"]
        ),
        st.just([]),
        st.just({}),
        st.just([[["first", 0, 0, {}]]]),
        st.just({"class_name": "GRU", "config": {"units": 2}}),
    )

    @settings(max_examples=150, deadline=10_000, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_changed_values(self, tmp_path_factory: Any, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(["graph", "stack", "sequential", "bidirectional"]))
        folder = tmp_path_factory.getbasetemp()
        path = folder / f"{name}.safetensors"
        if not path.exists():
            native.save(made(name)[0], path)
        tensors, metadata = read_safetensors(path)
        config = copy.deepcopy(json.loads(metadata["model"]))
        for _ in range(data.draw(st.integers(1, 3))):
            places = nodes(config)[1:]
            if not places:
                break
            *above, last = data.draw(st.sampled_from(places))
            parent = config
            for key in above:
                parent = parent[key]
            if data.draw(st.booleans()):
                parent[last] = copy.deepcopy(data.draw(self.VALUES))
            else:
                del parent[last]
        changed = folder / "changed.safetensors"
        write_safetensors(changed, tensors, {**metadata, "model": json.dumps(config)})
        with suppress(FormatError):
            native.load(changed)
