"""Threads of the engine beside the life of a process: fork, exit, signals."""

from __future__ import annotations

import os
import sys

import pytest
from shared_calls import SHAPES, run_program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

splits = pytest.mark.parametrize("split", SHAPES)

BEGIN = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start with Ctrl-C ignored
import rnnpack
from shared_calls import SHAPES, alone, arrays, inputs_for, layer_for, own_threads, same

rnnpack.set_num_threads(4)

def prepared(split, steps=300):
    layer, x = layer_for(split), inputs_for(split, steps)
    return layer, x, alone(layer, x)

def right(work, times=3):
    layer, x, want = work
    return all(same(arrays(layer(x)), want) for _ in range(times))

def joined(child):
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"status {status} of the child"

def long_call(split, steps=2_000_000):
    # Takes minutes. One timestep repeated: the inputs need no memory.
    import numpy as np
    shape = inputs_for(split, 1).shape
    return lambda layer: layer(np.broadcast_to(inputs_for(split, 1), (shape[0], steps, shape[2])))
"""


def run(program: str, timeout: float = 60) -> list[str]:
    """Words that a program prints which begins with the definitions above."""
    return run_program(BEGIN + program, timeout).split()


# Fork ---------------------------------------------------------------------------------------------


def test_a_child_makes_threads_of_its_own() -> None:
    output = run("""
works = [prepared(split) for split in SHAPES]
assert all(map(right, works))
child = os.fork()
if child == 0:
    answers = all(map(right, works))
    os._exit(0 if answers else 3)
joined(child)
assert all(map(right, works))
print("end")
""")
    assert output == ["end"]


def test_a_child_of_a_child_that_ends_as_processes_do() -> None:
    """Exit handlers and destructors run in each of them."""
    output = run("""
work = prepared("rows")
assert right(work)
for generation in range(3):
    child = os.fork()
    if child:
        joined(child)
        break
    assert right(work)
else:
    print("end")
""")
    assert output == ["end"]


def test_a_child_that_only_ends() -> None:
    """It has none of the threads that its parent's exit waits for."""
    output = run("""
works = [prepared(split) for split in SHAPES]
for _ in range(5):
    assert all(right(work, 1) for work in works)
    child = os.fork()
    if child == 0:
        sys.exit(0)
    joined(child)
print("end")
""")
    assert output == ["end"]


@splits
def test_fork_while_another_thread_is_in_a_call(split: str) -> None:
    """At moments when helpers work, the pool's state is that of a call which the child never finishes."""
    output = run(f"""
work = prepared({split!r})
assert right(work)
layer = layer_for({split!r})
threading.Thread(target=long_call({split!r}), args=(layer,), daemon=True).start()
for moment in range(5):
    time.sleep(0.02 + 0.003 * moment)
    child = os.fork()
    if child == 0:
        os._exit(0 if right(work, 2) else 3)
    joined(child)
assert right(work, 1)
print("end", flush=True)
os._exit(0)
""")
    assert output == ["end"]


def test_a_pool_of_forked_processes() -> None:
    output = run("""
import multiprocessing
works = {split: prepared(split) for split in SHAPES}
assert all(map(right, works.values()))
def answer(split):
    return right(works[split])
with multiprocessing.get_context("fork").Pool(2) as pool:
    answers = pool.map_async(answer, list(works) * 3, chunksize=1).get(50)
assert all(map(right, works.values()))
print(answers.count(True))
""")
    assert output == ["12"]


# Exit ---------------------------------------------------------------------------------------------


@splits
@pytest.mark.parametrize("pause", [0, 0.1], ids=["at once", "later"])
def test_exit_after_a_call(split: str, pause: float) -> None:
    """Helpers still look for work, or sleep."""
    output = run(f"""
assert right(prepared({split!r}))
time.sleep({pause})
print("end")
""")
    assert output == ["end"]


@splits
def test_exit_while_a_daemon_thread_is_in_a_call(split: str) -> None:
    output = run(
        f"""
layer = layer_for({split!r})
layer(inputs_for({split!r}, 300))
threading.Thread(target=long_call({split!r}), args=(layer,), daemon=True).start()
time.sleep(0.2)
print("end")
""",
        timeout=20,
    )
    assert output == ["end"]


# Signals ------------------------------------------------------------------------------------------


@splits
@pytest.mark.parametrize("threads", [2, 16])
def test_ctrl_c_ends_a_call(split: str, threads: int) -> None:
    output = run(
        f"""
rnnpack.set_num_threads({threads})
work = prepared({split!r})
assert right(work)
began = []
def press():
    began.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
for _ in range(2):
    threading.Timer(0.15, press).start()
    try:
        long_call({split!r})(work[0])
    except KeyboardInterrupt:
        print(time.monotonic() - began.pop())
    assert right(work)
""",
        timeout=30,
    )
    assert len(output) == 2, "the call has ended by itself"
    # Members that share a processor wait for each other.
    assert max(map(float, output)) < (2 if threads == 2 else 5)


@splits
def test_handlers_run_in_the_main_thread_during_a_call(split: str) -> None:
    """They may call layers themselves, also the one that is being called; then there are no helpers left."""
    output = run(
        f"""
work, other = prepared({split!r}, 100), prepared("rows", 50)
class Enough(Exception): pass
seen = []
def handler(*_):
    seen.append((threading.current_thread() is threading.main_thread(), right(work, 1), right(other, 1)))
    if len(seen) == 5:
        raise Enough
    signal.setitimer(signal.ITIMER_REAL, 0.03)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.03)
try:
    long_call({split!r})(work[0])
except Enough:
    print(len(seen), all(map(all, seen)), right(work))
""",
        timeout=60,
    )
    assert output == ["5", "True", "True"]


@pytest.mark.skipif(
    not hasattr(__import__("signal"), "sigtimedwait"), reason="this system has no sigtimedwait"
)
def test_helpers_leave_signals_to_the_threads_of_the_program() -> None:
    """One that took a signal would end the process: the main thread holds it back to wait for it."""
    output = run("""
assert right(prepared("rows"), 10)
before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
got = []
for number in [signal.SIGUSR1, signal.SIGTERM] * 5:
    os.kill(os.getpid(), number)
    info = signal.sigtimedwait([number], 5)
    got.append(info is not None and info.si_signo == number)
print(own_threads() > 1, before, got.count(True))
""")
    assert output[-1] == "10"
    assert "set()" in output, "calls do not change what the calling thread blocks"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_helpers_of_a_child_are_new(tmp_path: object) -> None:
    """The child has the forking thread alone, then as many helpers as it asks for."""
    output = run("""
work = prepared("rows", 2000)
assert right(work)
child = os.fork()
if child == 0:
    before = own_threads()
    assert right(work)
    print(before, own_threads(), flush=True)
    os._exit(0)
joined(child)
""")
    before, after = map(int, output)
    assert before == 1
    assert 2 <= after <= 4
