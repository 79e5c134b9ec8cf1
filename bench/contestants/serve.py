"""A contestant's process: answers commands of the benchmark, one JSON object a line.

    python serve.py MODULE NAME THREADS [CPU ...]

The process pins itself before it imports the library, so that thread pools see the cores they may use.
Commands, from standard input:

* `prepare case task cell file precision`: builds the layer and its arguments from an .npz file, keeps them as
  `case`, and answers how the library says that it computes.
* `check case file`: calls once and saves the results as .npz, output first.
* `time case calls warmups`: answers the mean seconds of so many calls in a row after some untimed ones, and
  how much of the elapsed time the process was computing.
* `forget`: drops all cases.

An answer has an `error` when the command could not be done. The process waits on the pipe between commands
and costs no processor time there.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

MESSAGE_LENGTH = 200
Arrays = dict[str, NDArray[Any]]


class Case(NamedTuple):
    """A prepared call, and what makes arrays (output, then states, batch first) of its result.

    `path` is how the library says that it computes, where it says so.
    """

    call: Callable[[], Any]
    arrays: Callable[[Any], list[NDArray[Any]]]
    path: str = ""


class Contestant(Protocol):
    """What a module of this folder defines as its class `Contestant`."""

    def __init__(self, name: str, threads: int) -> None:
        """Sets the library up for so many threads."""

    def facts(self) -> dict[str, str]:
        """Versions and choices worth keeping with the figures."""

    def prepare(self, task: str, cell: str, arrays: Arrays, precision: str) -> Case:
        """Builds a call with the given weights and inputs; raises when the library cannot do it.

        Args:
            task: what to call; a module says which ones it has.
            cell: "lstm", "gru" or "simple_rnn".
            arrays: the problem's, in its dtype.
            precision: "full" for the dtype of the arrays, else "bfloat16" or "int8"; the results that
                `Case.arrays` makes have the dtype of the arrays all the same.
        """


def only_full(precision: str, library: str) -> None:
    """Raises when another precision is asked of a library that has none."""
    if precision != "full":
        raise NotImplementedError(f"{library} has no recurrent layers in {precision}")


def timed(call: Callable[[], Any], calls: int, warmups: int) -> dict[str, float]:
    """Mean time of a call, and processor time over all calls; no garbage collection, as in `timeit`."""
    for _ in range(warmups):
        call()
    gc.disable()
    try:
        busy, start = time.process_time(), time.perf_counter()
        for _ in range(calls):
            call()
        elapsed = time.perf_counter() - start
        return {"seconds": elapsed / calls, "elapsed": elapsed, "computed": time.process_time() - busy}
    finally:
        gc.enable()


def failure(error: Exception) -> dict[str, Any]:
    """The answer when something went wrong, on one line and of a length that fits a report."""
    return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE_LENGTH]}


class Server:
    """The commands."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.cases: dict[str, Case] = {}

    def prepare(self, case: str, task: str, cell: str, file: str, precision: str) -> dict[str, Any]:
        """Builds and keeps a case."""
        with np.load(file) as stored:
            arrays = dict(stored)
        self.cases[case] = self.contestant.prepare(task, cell, arrays, precision)
        return {"path": self.cases[case].path}

    def check(self, case: str, file: str) -> dict[str, Any]:
        """Saves the results of one call."""
        prepared = self.cases[case]
        results = [np.asarray(array) for array in prepared.arrays(prepared.call())]
        np.savez(file, *results)
        return {}

    def time(self, case: str, calls: int, warmups: int) -> dict[str, Any]:
        """Times a case."""
        return timed(self.cases[case].call, calls, warmups)

    def forget(self) -> dict[str, Any]:
        """Drops all cases."""
        self.cases.clear()
        gc.collect()
        return {}


def main() -> None:
    """Serves until standard input ends."""
    module, name, threads, *cpus = sys.argv[1:]
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cpus))
    # Libraries print; the pipe is for answers only.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(found: dict[str, Any]) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    try:
        contestant = importlib.import_module(module).Contestant(name, int(threads))
        answer(contestant.facts())
    except Exception as error:
        answer(failure(error))
        return
    server = Server(contestant)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer(getattr(server, command.pop("command"))(**command))
        except Exception as error:
            answer(failure(error))


if __name__ == "__main__":
    main()
