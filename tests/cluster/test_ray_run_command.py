"""`rnnpack run --engine ray`: the bytes of a local run, also when it is interrupted and goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("cluster")]

import ray  # noqa: E402

import rnnpack  # noqa: E402
from rnnpack.cli import main  # noqa: E402
from rnnpack.datafiles.npy import NpySink  # noqa: E402


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_the_same_bytes_as_here(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    rnnpack.set_seed(3)
    layers = [rnnpack.Input((None, 3)), rnnpack.LSTM(4, return_sequences=True), rnnpack.layers.Dense(2)]
    rnnpack.save(rnnpack.Sequential(layers), "m.safetensors")
    np.save("x.npy", np.random.default_rng(0).normal(size=(300, 7, 3)).astype("f4"))
    words = ["run", "m.safetensors", "x.npy", "--chunk-rows", "32", "-q", "-o"]
    on_ray = ["--engine", "ray", "--workers", "2"]
    assert main([*words, "here.npy"]) == 0
    assert main([*words, "ray.npy", *on_ray]) == 0
    assert Path("ray.npy").read_bytes() == Path("here.npy").read_bytes()

    append = NpySink.append
    left = [4]

    def interrupted(self: Any, chunk: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        append(self, chunk)

    monkeypatch.setattr(NpySink, "append", interrupted)
    assert main([*words, "both.npy", *on_ray]) == 130
    monkeypatch.setattr(NpySink, "append", append)
    assert main([*words, "both.npy", "--resume"]) == 0
    assert Path("both.npy").read_bytes() == Path("here.npy").read_bytes()
