"""Chunks of rows computed by Ray actors, in order, whatever happens to the actors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import ray

import rnnpack
from rnnpack.datafiles.columns import Chunk
from rnnpack.datafiles.computing import Computation

# How often a chunk is computed again after its worker has died; one that always ends its worker ends the run.
RETRIES = 3
# Chunks that a worker has: the one that it computes and the next, so that it need not wait.
_AHEAD = 2
# Chunks in memory for each worker, those included that wait for an earlier one of a slow or replaced worker.
_HELD = 4


def ordered_map(
    computation: Computation, chunks: Iterable[Chunk], workers: int = 2, threads: int = 1
) -> Iterator[Chunk]:
    """Computes chunks of rows on Ray actors; the outputs come in the chunks' order, each exactly once.

    A worker that is killed is replaced, and what it had in hand is computed again. At most four chunks a
    worker are in memory. Ray is started on this machine unless `ray.init` has connected to a cluster before.
    The model is sent to the workers, so they need no file.

    Args:
        computation: the model and how its inputs are found.
        chunks: columns of rows.
        workers: actors, at least 1.
        threads: CPUs of each, at least 1.

    Yields:
        The outputs of each chunk.

    Raises:
        ValueError: `workers` or `threads` is out of range, or a chunk does not fit the model.
        RuntimeError: workers die at one chunk again and again.
    """
    for name, value in (("workers", workers), ("threads", threads)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}")
    started = not ray.is_initialized()
    if started:
        ray.init(num_cpus=workers * threads, include_dashboard=False, log_to_driver=False)
    try:
        shared = ray.put(computation)  # held until the end: a worker in place of a dead one asks for it again
        yield from _computed(_actors(shared, workers, threads), chunks)
    finally:
        if started:
            ray.shutdown()


class _Worker:
    """A process that computes chunks."""

    def __init__(self, shared: list[Any], threads: int) -> None:
        rnnpack.set_num_threads(threads)
        self._computation: Computation = ray.get(shared[0])

    def compute(self, chunk: Chunk) -> Chunk:
        return self._computation.compute(chunk)


def _actors(shared: Any, workers: int, threads: int) -> list[Any]:
    """Starts workers; the computation is behind the reference `shared`."""
    actor = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=RETRIES)(_Worker)
    return [actor.remote([shared], threads) for _ in range(workers)]


def _computed(actors: list[Any], chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Gives each chunk to the next actor with a free place; outputs that are early wait for those before."""
    places = deque(actors * _AHEAD)
    running: dict[Any, tuple[int, Any]] = {}  # reference -> the chunk's number, the actor that has it
    early: dict[int, Any] = {}
    numbered = enumerate(chunks)
    awaited = 0
    try:
        while True:
            while places and len(running) + len(early) < _HELD * len(actors):
                number, chunk = next(numbered, (0, None))
                if chunk is None:
                    break
                actor = places.popleft()
                running[actor.compute.remote(chunk)] = number, actor
            if not running:
                return
            (reference, *_), _ = ray.wait(list(running))
            number, actor = running.pop(reference)
            places.append(actor)
            early[number] = reference
            while awaited in early:
                yield _result(early.pop(awaited))
                awaited += 1
    finally:
        for actor in actors:
            ray.kill(actor)


def _result(reference: Any) -> Chunk:
    try:
        outputs: Chunk = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # what the computation itself has raised
    except ray.exceptions.RayActorError as error:
        raise RuntimeError(f"a worker died, and so did {RETRIES} in its place: {error}") from error
    return outputs
