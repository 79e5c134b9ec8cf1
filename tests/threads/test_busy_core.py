"""Processors in use by others, or too few: calls are right, and not much slower than with one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from shared_calls import SHAPES, alone, arrays, inputs_for, layer_for, run_program, same

import rnnpack

splits = pytest.mark.parametrize("split", SHAPES)


@pytest.fixture(scope="module")
def busy_processors() -> Iterator[None]:
    """A process for every processor that never gives it away."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    yield
    for other in others:
        other.kill()
    for other in others:
        other.wait()


@pytest.mark.usefixtures("busy_processors")
@splits
@pytest.mark.parametrize("threads", [2, 4])
def test_short_calls_beside_busy_processes(split: str, threads: int) -> None:
    layer, x = layer_for(split), inputs_for(split, 20)
    want = alone(layer, x)
    rnnpack.set_num_threads(threads)
    began = time.monotonic()
    for _ in range(200):
        assert same(arrays(layer(x)), want)
    # A call takes about a millisecond, and may lose a few turns of some milliseconds each.
    assert time.monotonic() - began < 30


# Prints how many times as long calls take with four threads as with one, in the best of several rounds.
RATIO = """
    import os, sys, time
    processor = [min(os.sched_getaffinity(0))]
    {early}
    import rnnpack
    from shared_calls import alone, arrays, inputs_for, layer_for, same
    layer, x = layer_for("{split}"), inputs_for("{split}", 100)
    want = alone(layer, x)
    rnnpack.set_num_threads(4)
    for _ in range(10):
        assert same(arrays(layer(x)), want)
    {late}
    def seconds(threads):
        rnnpack.set_num_threads(threads)
        began = time.perf_counter()
        for _ in range(5):
            assert same(arrays(layer(x)), want)
        return time.perf_counter() - began
    rounds = [(seconds(1), seconds(4)) for _ in range(5)]
    print(min(four for _, four in rounds) / min(one for one, _ in rounds))
"""
EARLY = "os.sched_setaffinity(0, processor)"
LATE = "[os.sched_setaffinity(int(thread), processor) for thread in os.listdir('/proc/self/task')]"


@pytest.mark.skipif(sys.platform != "linux", reason="sets affinity masks")
@splits
@pytest.mark.parametrize("when", ["before the import", "after first calls"])
def test_four_threads_on_one_processor(split: str, when: str) -> None:
    early, late = (EARLY, "pass") if when == "before the import" else ("pass", LATE)
    assert float(run_program(RATIO.format(split=split, early=early, late=late))) < 20


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_calls_go_on_where_no_thread_can_be_started() -> None:
    """A thread needs some megabytes of address space for its stack; here are none."""
    output = run_program("""
        import resource, rnnpack
        from pathlib import Path
        from shared_calls import alone, arrays, inputs_for, layer_for, same
        work = [(layer_for(s), inputs_for(s, 100)) for s in ("rows", "units")]
        want = [alone(*w) for w in work]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 20), -1))
        rnnpack.set_num_threads(4)
        for _ in range(3):
            print([same(arrays(layer(x)), w) for (layer, x), w in zip(work, want)])
    """)
    assert output.splitlines() == ["[True, True]"] * 3


def test_the_most_threads_there_may_be() -> None:
    output = run_program("""
        import rnnpack
        from shared_calls import alone, arrays, inputs_for, layer_for, same
        layer, x = layer_for("rows"), inputs_for("rows", 300)
        want = alone(layer, x)
        for number in (1024, 1, 1024, 17, 2):
            rnnpack.set_num_threads(number)
            print(all(same(arrays(layer(x)), want) for _ in range(3)))
    """)
    assert output.split() == ["True"] * 5
