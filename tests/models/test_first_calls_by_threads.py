"""A Sequential model without an input, first called by several threads with different lengths."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from rnnpack import LSTM, Masking, Sequential

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads that are interrupted as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("way", ["__call__", "predict"])
@pytest.mark.usefixtures("hurried")
def test_no_thread_takes_the_graph_of_another_away(way: str) -> None:
    for _ in range(25):
        model = Sequential([Masking(), LSTM(2)])
        barrier = threading.Barrier(4)
        errors: list[Exception] = []

        def work(
            length: int,
            model: Sequential = model,
            barrier: threading.Barrier = barrier,
            errors: list[Exception] = errors,
        ) -> None:
            barrier.wait()
            try:
                for _ in range(3):
                    getattr(model, way)(X[:, :length])
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(length,)) for length in range(2, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
