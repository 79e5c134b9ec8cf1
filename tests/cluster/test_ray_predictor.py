"""The predictor alone, as Ray calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")

import rnnpack  # noqa: E402
from rnnpack.formats.safetensors import read_safetensors, write_safetensors  # noqa: E402
from rnnpack.ray import Predictor  # noqa: E402


@pytest.fixture(autouse=True)
def threads_as_before() -> Any:
    """A predictor sets the threads of its process."""
    before = rnnpack.get_num_threads()
    yield
    rnnpack.set_num_threads(before)


@pytest.fixture
def model() -> Any:
    """All states of a GRU."""
    rnnpack.set_seed(1)
    x = rnnpack.Input((None, 3), name="x")
    return rnnpack.Model(x, rnnpack.GRU(4, return_sequences=True, name="states")(x))


def batch(rows: int) -> dict[str, Any]:
    """Inputs and a number for each row."""
    return {"x": np.random.default_rng(0).normal(size=(rows, 6, 3)).astype("float32"), "id": np.arange(rows)}


def test_outputs_come_beside_what_is_kept(model: Any, tmp_path: Path) -> None:
    rnnpack.save(model, tmp_path / "model.safetensors")
    given = batch(50)
    made = Predictor(tmp_path / "model.safetensors", batch_size=16, keep=["id"])(given)
    assert list(made) == ["id", "states"]
    np.testing.assert_array_equal(made["id"], given["id"])
    np.testing.assert_array_equal(made["states"], model(given["x"]))


def test_rows_of_different_lengths_come_back_as_such(model: Any) -> None:
    x = batch(5)["x"]
    rows = np.empty(5, object)
    rows[:] = [x[i, : i + 2] for i in range(5)]
    made = Predictor(model)({"x": rows})["states"]
    assert made.dtype == object and [len(row) for row in made] == [2, 3, 4, 5, 6]
    for i in range(5):
        np.testing.assert_array_equal(made[i], model(x[i : i + 1, : i + 2])[0])


def test_one_thread_outside_of_a_cluster_unless_told(model: Any) -> None:
    Predictor(model)
    assert rnnpack.get_num_threads() == 1
    Predictor(model, threads=3)
    assert rnnpack.get_num_threads() == 3


def test_precision_is_set(model: Any) -> None:
    Predictor(model, precision="bfloat16")
    assert model.layers[-1].precision == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ({"keep": "id"}, batch(2), "`keep` must be a list of columns, got 'id'"),
        ({"keep": ["row"]}, batch(2), r"`keep` names \['row'\], but the batch has"),
        ({"keep": ["states"]}, {**batch(2), "states": np.ones(2)}, "as the model's outputs are called"),
        ({"batch_size": 0}, batch(2), "`batch_size` must be positive, got 0"),
        ({}, {"x": np.array([None, {}], object)}, "column 'x': rows must be arrays of numbers"),
    ],
)
def test_what_does_not_fit_is_named(model: Any, arguments: Any, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        if "id" in given and "keep" not in arguments:
            given = {"x": given["x"]}
        Predictor(model, **arguments)(
            {k: v for k, v in given.items() if k != "id" or "id" in arguments["keep"]}
        )


def test_a_state_dict_of_pytorch_has_its_rows_first(tmp_path: Path) -> None:
    layer = rnnpack.LSTM(4, return_sequences=True)
    x = batch(5)["x"]
    wanted = layer(x)
    path = tmp_path / "module.safetensors"
    rnnpack.save(layer, path, format="pytorch")
    write_safetensors(path, read_safetensors(path)[0], {})  # PyTorch notes nothing beside the arrays
    made = Predictor(path)({"x": x})
    # The biases are stored as two that are added again, which may round.
    np.testing.assert_allclose(next(iter(made.values())), wanted, atol=1e-6)
