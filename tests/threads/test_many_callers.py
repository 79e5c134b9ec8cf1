"""Several Python threads call at once: one gets the helpers, others work alone, all get the right bits."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from shared_calls import SHAPES, alone, arrays, inputs_for, layer_for, normal, run_program, same

import rnnpack
from rnnpack import LSTM, RNN

CALLERS = 8
STEPS = 60

splits = pytest.mark.parametrize("split", SHAPES)


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let threads alternate as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], Any], callers: int = CALLERS) -> list[Any]:
    """Results of `work(number)` of callers that begin at the same moment."""
    gate = threading.Barrier(callers)

    def one(number: int) -> Any:
        gate.wait(60)
        return work(number)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(one, range(callers)))


@splits
@pytest.mark.parametrize("threads", [2, 5])
def test_callers_of_one_layer(split: str, threads: int) -> None:
    layer = layer_for(split)
    inputs = [inputs_for(split, STEPS) * (n + 1) for n in range(CALLERS)]
    want = [alone(layer, x) for x in inputs]
    rnnpack.set_num_threads(threads)
    results = together(lambda n: [same(arrays(layer(inputs[n])), want[n]) for _ in range(8)])
    assert all(all(r) for r in results)


def test_callers_of_different_layers() -> None:
    work = [(layer_for(split), inputs_for(split, STEPS)) for split in SHAPES] * 2
    want = [alone(layer, x) for layer, x in work]
    rnnpack.set_num_threads(4)

    def run(n: int) -> bool:
        layer, x = work[n]
        return all(same(arrays(layer(x)), want[n]) for _ in range(8))

    assert all(together(run, len(work)))


def test_streams_beside_calls() -> None:
    rnnpack.set_num_threads(1)
    layer = RNN(rnnpack.GRUCell(700))
    x = normal(2, 30, 20)
    want = alone(layer, x)
    rnnpack.set_num_threads(3)

    def run(n: int) -> bool:
        if n % 2:
            return same(arrays(layer(x)), want)
        stream = layer.stream(2)
        for t in range(x.shape[1]):
            output = stream(x[:, t])
        return same([output], want)

    assert all(together(run, 4))


@splits
def test_the_number_may_change_while_calls_run(split: str) -> None:
    layer, x = layer_for(split), inputs_for(split, STEPS)
    want = alone(layer, x)
    done = threading.Event()

    def change() -> None:
        number = 0
        while not done.is_set():
            number = number % 16 + 1
            rnnpack.set_num_threads(number)
            done.wait(0.0005)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        results = together(lambda _: [same(arrays(layer(x)), want) for _ in range(10)], 3)
    finally:
        done.set()
        changer.join()
    assert all(all(r) for r in results)


@splits
def test_first_calls_of_a_layer_at_once(split: str) -> None:
    """One set of weights is made, whoever comes first."""
    x = inputs_for(split, STEPS)
    rnnpack.set_num_threads(4)
    for _ in range(3):
        layer = layer_for(split)
        results = together(lambda _, layer=layer: arrays(layer(x)))
        want = alone(layer, x)
        assert all(same(r, want) for r in results)


def test_first_calls_of_a_process_at_once() -> None:
    """The threads are started by one of several callers."""
    output = run_program("""
        import sys, threading
        import rnnpack
        from shared_calls import SHAPES, alone, arrays, inputs_for, layer_for, same
        sys.setswitchinterval(1e-5)
        work = [(layer_for(split), inputs_for(split, 200)) for split in SHAPES] * 2
        want = [alone(layer, x) for layer, x in work]  # with one thread, so nothing has been started
        rnnpack.set_num_threads(4)
        gate = threading.Barrier(len(work))
        right = []
        def run(n):
            gate.wait(60)
            right.append(same(arrays(work[n][0](work[n][1])), want[n]))
        threads = [threading.Thread(target=run, args=(n,)) for n in range(len(work))]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(right.count(True), len(right))
    """)
    assert output.split() == ["8", "8"]


def test_callers_that_come_and_go() -> None:
    """Helpers outlive the Python threads that made them start."""
    layer = LSTM(160)
    x = normal(24, 20, 16)
    want = alone(layer, x)
    rnnpack.set_num_threads(3)
    for _ in range(20):
        results: list[bool] = []
        thread = threading.Thread(target=lambda: results.append(same(arrays(layer(x)), want)))  # noqa: B023
        thread.start()
        thread.join()
        assert results == [True]
