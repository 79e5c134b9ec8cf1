"""Chunks of columns through models: which column goes where, and rows of different lengths as if alone."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import rnnpack
from rnnpack.datafiles import Chunk, Column, Computation
from rnnpack.engine import nest

F4 = np.dtype("f4")
rng = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def seed() -> None:
    rnnpack.set_seed(7)


def sequence_model(timesteps: int | None = None) -> Any:
    """One input of 3 features; a sequence and a last state as outputs."""
    x = rnnpack.Input((timesteps, 3), name="x")
    sequence = rnnpack.LSTM(4, return_sequences=True, name="sequence")(x)
    return rnnpack.Model(x, [sequence, rnnpack.GRU(2, name="last")(sequence)])


def two_inputs() -> Any:
    a, b = rnnpack.Input((5, 2), name="a"), rnnpack.Input((5, 3), name="b")
    return rnnpack.Model(
        {"a": a, "b": b}, {"p": rnnpack.LSTM(2, name="p")(a), "q": rnnpack.GRU(3, name="q")(b)}
    )


def leaves(results: Any) -> list[np.ndarray]:
    return [np.asarray(one) for one in nest.flatten(results)]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_outputs_are_those_of_the_model(batch_size: int) -> None:
    model = sequence_model()
    x = rng.normal(size=(10, 6, 3)).astype("f4")
    wanted = leaves(model(x))
    got = Computation(model, batch_size, output_columns=["s", "l"]).compute({"anything": x})
    assert list(got) == ["s", "l"]
    for one, other in zip(got.values(), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_inputs_by_name_and_by_order() -> None:
    model = two_inputs()
    a, b = rng.normal(size=(7, 5, 2)).astype("f4"), rng.normal(size=(7, 5, 3)).astype("f4")
    wanted = leaves(model({"a": a, "b": b}))
    noise = np.zeros((7, 9), "f4")
    for computation, chunk in [
        (Computation(model, 3), {"noise": noise, "b": b, "a": a}),
        (Computation(model, 3), {"first": a, "second": b}),
        (Computation(model, 3, ["v", "w"]), {"noise": noise, "w": b, "v": a}),
    ]:
        for one, other in zip(computation.compute(chunk).values(), wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    assert computation.used([Column(name, F4, rows.shape[1:]) for name, rows in chunk.items()]) == ["v", "w"]


def test_columns_of_single_numbers_make_the_timesteps() -> None:
    model = sequence_model()
    x = rng.normal(size=(4, 5, 3)).astype("f4")
    wanted = leaves(model(x))
    flat = x.reshape(4, 15).astype("f8")
    chunk: Chunk = {f"t{index}": flat[:, index] for index in range(15)}
    for columns in (chunk, {"flat": flat}):
        for one, other in zip(Computation(model).compute(columns).values(), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def ragged(lengths: list[int], features: tuple[int, ...] = (3,)) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(sum(lengths), *features)).astype("f4"), np.array(lengths)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_rows_of_different_lengths_get_what_they_get_alone(batch_size: int) -> None:
    model = sequence_model()
    values, lengths = ragged([3, 1, 7, 3, 3, 1, 2])
    got = Computation(model, batch_size, output_columns=["s", "l"]).compute({"x": (values, lengths)})
    rows = np.split(values, np.cumsum(lengths)[:-1])
    wanted = [leaves(model(row[None])) for row in rows]
    sequences, got_lengths = got["s"]
    np.testing.assert_array_equal(got_lengths, lengths)
    np.testing.assert_array_equal(sequences, np.concatenate([one[0][0] for one in wanted]))
    np.testing.assert_array_equal(got["l"], np.concatenate([one[1] for one in wanted]))


def test_a_layer_alone_and_lists_of_plain_numbers() -> None:
    layer = rnnpack.LSTM(4, return_sequences=True, return_state=True, name="alone")
    values, lengths = ragged([2, 5, 2])
    wanted = layer((values, lengths))
    computation = Computation(layer)
    assert computation.inputs[0].shape == (None, 3)
    got = computation.compute({"x": (values.reshape(-1), lengths * 3)})
    assert list(got) == ["alone", "alone_1", "alone_2"]
    np.testing.assert_array_equal(got["alone"][0], wanted[0][0])
    np.testing.assert_array_equal(got["alone"][1], lengths)
    np.testing.assert_array_equal(got["alone_2"], wanted[2])
    dense = rng.normal(size=(3, 4, 3)).astype("f4")
    np.testing.assert_array_equal(computation.compute({"x": dense})["alone_1"], layer(dense)[1])


def test_rows_of_one_length_for_a_model_that_wants_it() -> None:
    model = sequence_model(4)
    values, lengths = ragged([4, 4])
    got = Computation(model, output_columns=["s", "l"]).compute({"x": (values, lengths)})
    np.testing.assert_array_equal(got["s"], leaves(model(values.reshape(2, 4, 3)))[0])
    with pytest.raises(ValueError, match="different lengths"):
        Computation(model).compute({"x": ragged([4, 5])})


def test_ragged_beside_dense_inputs() -> None:
    a, b = rnnpack.Input((None, 2), name="a"), rnnpack.Input((5, 3), name="b")
    model = rnnpack.Model([a, b], [rnnpack.LSTM(2, name="p")(a), rnnpack.GRU(3, name="q")(b)])
    rows, lengths = ragged([3, 1, 3, 2], (2,))
    dense = rng.normal(size=(4, 5, 3)).astype("f4")
    got = list(Computation(model, 2).compute({"a": (rows, lengths), "b": dense}).values())
    for index, row in enumerate(np.split(rows, np.cumsum(lengths)[:-1])):
        for one, other in zip(got, leaves(model([row[None], dense[index : index + 1]])), strict=True):
            np.testing.assert_array_equal(one[index], other[0])


def test_no_rows() -> None:
    got = Computation(sequence_model(), output_columns=["s", "l"]).compute({"x": np.zeros((0, 2, 3), "f4")})
    assert got["s"].shape == (0, 2, 4)


def test_whole_numbers() -> None:
    x = rnnpack.Input((2,), name="x", dtype="int32")
    model = rnnpack.Model(x, rnnpack.Layer()(x))
    (got,) = Computation(model).compute({"x": np.array([[1.0, 2.0]])}).values()
    assert got.dtype == np.int32
    for bad in (1.5, np.nan, 2.0**40, 2**40, -(2**40)):
        with pytest.raises(ValueError, match="whole numbers"):
            Computation(model).compute({"x": np.array([[1, bad]])})


def test_it_can_be_pickled() -> None:
    computation = Computation(sequence_model(), 2, ["x"])
    x = rng.normal(size=(3, 4, 3)).astype("f4")
    copy = pickle.loads(pickle.dumps(computation))
    for one, other in zip(
        copy.compute({"x": x}).values(), computation.compute({"x": x}).values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


X = np.zeros((2, 4, 3), "f4")


@pytest.mark.parametrize(
    ("chunk", "options", "message"),
    [
        ({"x": X[..., :2]}, {}, r"column 'x' has rows of shape \(4, 2\), the model takes x\(any, 3\)"),
        ({"x": X[..., 0]}, {}, "rows of shape"),
        ({"a": X, "b": X}, {}, "do not fit the model's inputs"),
        ({"a": X[:, 0, 0], "b": X[:, 0, 0]}, {}, "column 'a to b' has rows of shape"),
        ({"a": X}, {"columns": ["x"]}, "there is no column 'x': the data have a"),
        ({"x": X}, {"columns": ["x", "x"]}, "different names"),
        ({"x": X}, {"output_columns": []}, "different names"),
        ({"x": X}, {"output_columns": ["a"]}, "2 outputs, got 1 names: a"),
        ({"x": X}, {"batch_size": 0}, "`batch_size` must be positive"),
        ({"x": ragged([1, 2], (2,))}, {}, r"timesteps of shape \(2,\)"),
        ({"x": ragged([4], ())}, {}, "multiple of 3"),
        ({"x": ragged([2, 0, 1])}, {}, "no timesteps|at least one"),
        ({"x": (X[0], np.array([1, 1]))}, {}, "row lengths"),
    ],
)
def test_what_does_not_fit(chunk: Chunk, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Computation(sequence_model(), **options).compute(chunk)


def test_models_that_are_not_computed_row_by_row() -> None:
    with pytest.raises(ValueError, match="stateful"):
        Computation(rnnpack.LSTM(2, stateful=True))
    layer = rnnpack.LSTM(2, time_major=True)
    layer.build((None, None, 3))
    with pytest.raises(ValueError, match="time_major"):
        Computation(layer)


def test_layers_that_say_what_they_take_or_do_not() -> None:
    with pytest.raises(ValueError, match="does not say the shape of its inputs"):
        Computation(rnnpack.Layer(name="any"))
    layer = rnnpack.Layer(name="any")
    layer.input_spec = rnnpack.InputSpec(ndim=3, axes={-1: 5})
    (one,) = Computation(layer).inputs
    assert one.shape == (None, 5)
