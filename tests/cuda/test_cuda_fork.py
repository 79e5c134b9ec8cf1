"""After a fork the child is told that it cannot use CUDA; it does not hang, or touch its parent's arrays."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract.contract_cells import normal
from foreign_arrays import Own

from rnnpack import LSTM, cuda

pytestmark = pytest.mark.usefixtures("cuda_plugin")

X = normal(3, 5, 4)


def _in_a_fork(work: Callable[[], Any]) -> Any:
    """What work returns in a forked process."""
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    child = fork.Process(target=lambda: results.put(work()))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    return results.get()


def _error(function: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(RuntimeError) as caught:
        function(*arguments)
    return str(caught.value)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_told_to_spawn() -> None:
    layer, stateful = LSTM(6, device="cuda"), LSTM(6, stateful=True)
    array = Own.holding(X)
    want = layer(X)
    stateful(array)

    def work() -> tuple[list[str], np.ndarray]:
        texts = [str(cuda.why_not()), str(layer.explain())]
        texts += [_error(layer, X), _error(layer, array), _error(array.numpy), _error(array.__dlpack__)]
        texts += [_error(stateful.__getstate__), _error(cuda.Array, (1,), "float32", 0)]
        assert not cuda.is_available()
        assert cuda.devices() == []
        layer.device = "cpu"
        return texts, layer(X)

    texts, on_cpu = _in_a_fork(work)
    for text in texts:
        assert 'start workers with the "spawn" method' in text
    np.testing.assert_allclose(on_cpu, want, rtol=1e-5, atol=1e-6)
    assert cuda.why_not() is None
    np.testing.assert_array_equal(layer(array).numpy(), want)
