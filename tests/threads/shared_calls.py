"""Calls that threads share in each of the ways there are, for tests and for programs that tests run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnnpack
from rnnpack import RNN, Bidirectional, GRUCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell, SimpleRNNCell

HERE = Path(__file__).parent

CELLS: dict[str, Callable[..., Any]] = {
    "lstm": LSTMCell,
    "gru": lambda units, **more: GRUCell(units, reset_after=True, **more),
    "gru_reset_before": lambda units, **more: GRUCell(units, reset_after=False, **more),
    "simple_rnn": SimpleRNNCell,
    "peephole_lstm": PeepholeLSTMCell,
    "projected_lstm": lambda units, **more: ProjectedLSTMCell(units, 2 * units // 3, **more),
}


def cell(kind: str, units: int, **more: Any) -> Any:
    """A cell whose weights are soon drawn, orthogonal ones take their time; its biases are not zero."""
    return CELLS[kind](
        units, recurrent_initializer="glorot_uniform", bias_initializer="random_normal", **more
    )


def normal(*shape: int, dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def arrays(nest: Any) -> list[NDArray[Any]]:
    """All arrays of a result."""
    return [a for n in nest for a in arrays(n)] if isinstance(nest, list | tuple) else [np.asarray(nest)]


def same(got: list[NDArray[Any]], want: list[NDArray[Any]]) -> bool:
    """Whether arrays agree bit for bit."""
    return [(a.shape, a.dtype, a.tobytes()) for a in got] == [(a.shape, a.dtype, a.tobytes()) for a in want]


# Long enough to be shared, by the kind of split that is best for their shape. Weights are drawn from a seed,
# so two processes have the same ones.
SHAPES: dict[str, tuple[int, int]] = {
    "rows": (48, 16),
    "directions": (1, 16),
    "layers": (1, 16),
    "units": (1, 16),
}


def layer_for(split: str) -> Any:
    """A new layer whose calls on `SHAPES[split]` are best shared in this way."""
    rnnpack.set_seed(5)
    return {
        "rows": lambda: RNN(cell("gru", 96), return_state=True),
        "directions": lambda: Bidirectional(RNN(cell("gru_reset_before", 160))),
        "layers": lambda: RNN([cell("lstm", 160), cell("gru", 160), cell("lstm", 160)]),
        "units": lambda: RNN(cell("lstm", 512), return_state=True),
    }[split]()


def inputs_for(split: str, steps: int) -> NDArray[Any]:
    """Inputs of so many timesteps for `layer_for(split)`."""
    batch, features = SHAPES[split]
    return normal(batch, steps, features)


def alone(layer: Any, inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """What the calling thread computes by itself."""
    before = rnnpack.get_num_threads()
    rnnpack.set_num_threads(1)
    result = arrays(layer(inputs))
    rnnpack.set_num_threads(before)
    return result


def in_new_pool(work: Callable[[], str]) -> str:
    """What `work` returns in a forked child, whose pool has not learned yet that helpers do not pay.

    Raises:
        AssertionError: the child ended early, or hung.
    """
    if not hasattr(os, "fork"):
        return work()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a process with threads forks
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"=" + work().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        in_time = select.select([pipe], [], [], 60)[0]
        if not in_time:
            os.kill(child, signal.SIGKILL)
        text = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    assert in_time, "the child hung"
    assert text.startswith("="), f"the child ended with status {status}"
    return text[1:]


def own_threads() -> int:
    """The number of threads of this process."""
    return len(os.listdir("/proc/self/task"))


def run_program(program: str, timeout: float = 60, **environment: str) -> str:
    """What a program prints that must end by itself with exit code 0; it may import this module.

    Raises:
        AssertionError: it failed, or hung and was killed with all processes it had started.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=HERE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    hung = False
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        hung = True
    finally:
        # Also what a program has left behind: a forked child that hangs keeps the pipes open.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if hung:
        output, errors = process.communicate()
    assert not hung, f"hung for {timeout} s after\n{output}{errors}"
    assert process.returncode == 0, f"exit code {process.returncode} after\n{output}{errors}"
    return output
