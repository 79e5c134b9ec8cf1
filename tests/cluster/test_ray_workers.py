"""Ray on a local cluster of several processes: workers that die lose, double and disorder nothing."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("cluster")]

import ray  # noqa: E402

import rnnpack  # noqa: E402
from rnnpack.datafiles import Computation  # noqa: E402
from rnnpack.ray import Predictor, ordered_map, workers  # noqa: E402

ROWS, STEPS, FEATURES, CHUNK = 600, 12, 5, 10


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Eight CPUs: reading a dataset needs some beside those of the actors."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model() -> Any:
    """An LSTM behind an input with a name."""
    rnnpack.set_seed(0)
    x = rnnpack.Input((None, FEATURES), name="x")
    return rnnpack.Model(x, rnnpack.LSTM(16, name="summary")(x))


@pytest.fixture(scope="module")
def rows() -> Any:
    """Inputs of all rows."""
    return np.random.default_rng(0).normal(size=(ROWS, STEPS, FEATURES)).astype("float32")


def chunks(rows: Any) -> list[dict[str, Any]]:
    """The rows in pieces."""
    return [{"x": rows[at : at + CHUNK]} for at in range(0, len(rows), CHUNK)]


class _Slow(Computation):
    """Leaves time to be killed, and notes which process computes what."""

    def __init__(self, model: Any, notes: Path) -> None:
        super().__init__(model)
        self.notes = notes

    def compute(self, columns: Any) -> Any:
        outputs = super().compute(columns)
        with (self.notes / str(os.getpid())).open("a") as file:
            file.write("chunk\n")
        time.sleep(0.01)
        return outputs


def _kill_one(notes: Path, killed: list[int]) -> None:
    """Kills a worker that has computed some chunks."""
    until = time.monotonic() + 60
    while time.monotonic() < until and not killed:
        for note in notes.iterdir():
            if note.read_text().count("chunk") >= 3:
                os.kill(int(note.name), signal.SIGKILL)
                killed.append(int(note.name))
                return
        time.sleep(0.005)


def test_a_killed_worker_loses_no_row_and_doubles_none(model: Any, rows: Any, tmp_path: Path) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=_kill_one, args=(tmp_path, killed))
    killer.start()
    parts = [part["summary"] for part in ordered_map(_Slow(model, tmp_path), chunks(rows), workers=3)]
    killer.join()
    assert len(killed) == 1
    assert len(list(tmp_path.iterdir())) >= 4  # the three workers, and the one that took the place
    np.testing.assert_array_equal(np.concatenate(parts), model(rows))


def test_each_worker_takes_part(model: Any, rows: Any, tmp_path: Path) -> None:
    list(ordered_map(_Slow(model, tmp_path), chunks(rows), workers=2))
    assert sorted(int(note.read_text().count("chunk")) > 5 for note in tmp_path.iterdir()) == [True, True]


class _Deadly(Computation):
    """Ends the process at one chunk, whoever computes it."""

    def compute(self, columns: Any) -> Any:
        if columns["x"][0, 0, 0] == 7:
            os._exit(1)
        return super().compute(columns)


def test_a_chunk_that_always_kills_ends_the_run_after_the_chunks_before(
    model: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RETRIES", 1)
    poisoned = rows[: 4 * CHUNK].copy()
    poisoned[2 * CHUNK, 0, 0] = 7
    results = ordered_map(_Deadly(model), chunks(poisoned), workers=1)
    done = [next(results), next(results)]
    np.testing.assert_array_equal(np.concatenate([one["summary"] for one in done]), model(rows[: 2 * CHUNK]))
    with pytest.raises(RuntimeError, match="a worker died, and so did 1 in its place"):
        next(results)


def test_an_error_of_the_model_is_raised_as_it_is(model: Any, rows: Any) -> None:
    with pytest.raises(ValueError, match="column 'x'"):
        list(ordered_map(Computation(model), [{"x": rows[:3, :, :2]}], workers=1))


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads": 0}])
def test_numbers_of_workers_and_threads_are_checked(model: Any, rows: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        list(ordered_map(Computation(model), chunks(rows), **wrong))


def test_a_run_that_is_given_up_leaves_no_worker(model: Any, rows: Any) -> None:
    results = ordered_map(Computation(model), chunks(rows), workers=2)
    next(results)
    results.close()
    until = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < 8 and time.monotonic() < until:
        time.sleep(0.1)
    assert ray.available_resources()["CPU"] == 8


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_dataset_keeps_its_index_beside_the_outputs(
    model: Any, rows: Any, tmp_path: Path, cpus: int
) -> None:
    path = tmp_path / "model.safetensors"
    rnnpack.save(model, path)

    class Telling(Predictor):
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            threads = np.full(len(batch["id"]), rnnpack.get_num_threads())
            return {**super().__call__(batch), "threads": threads}

    dataset = ray.data.from_numpy(rows).rename_columns({"data": "x"}).zip(ray.data.range(ROWS))
    done = dataset.map_batches(
        Telling,
        fn_constructor_kwargs={"model": str(path), "keep": ["id"]},
        batch_format="numpy",
        batch_size=64,
        concurrency=2,
        num_cpus=cpus,
    ).take_all()
    assert sorted(int(row["id"]) for row in done) == list(range(ROWS))
    assert {int(row["threads"]) for row in done} == {cpus}
    done.sort(key=lambda row: int(row["id"]))
    np.testing.assert_array_equal(np.stack([row["summary"] for row in done]), model(rows))


def test_a_dataset_survives_the_death_of_an_actor(model: Any, rows: Any, tmp_path: Path) -> None:
    class Dying(Predictor):
        """The first one to be at its third batch is killed."""

        calls = 0

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            self.calls += 1
            if self.calls == 3 and not any(tmp_path.iterdir()):
                (tmp_path / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(batch)

    dataset = ray.data.from_items([{"id": i, "x": row} for i, row in enumerate(rows)])
    done = dataset.map_batches(
        Dying,
        fn_constructor_kwargs={"model": model, "keep": ["id"]},
        batch_format="numpy",
        batch_size=20,
        concurrency=2,
        num_cpus=1,
    ).take_all()
    assert (tmp_path / "killed").exists()
    assert sorted(int(row["id"]) for row in done) == list(range(ROWS))
    done.sort(key=lambda row: int(row["id"]))
    np.testing.assert_array_equal(np.stack([row["summary"] for row in done]), model(rows))
