"""A file of rows through a model, chunk by chunk, so that it can stop anywhere and go on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rnnpack.cli.journal import Journal, Position
from rnnpack.datafiles import Computation, RowSink, RowSource, SinkState, create_rows
from rnnpack.datafiles.columns import Chunk, chunk_rows, columns_of, nbytes
from rnnpack.formats import FormatError
from rnnpack.progress import Progress

# Inputs and outputs of a chunk, if its size is not given.
_CHUNK_BYTES = 8 << 20
# Seconds of work that a crash may cost.
_COMMIT_EVERY = 1.0


class _Size(NamedTuple):
    rows: int
    nbytes: int


class Job:
    """Reads rows, computes, writes, and keeps the journal.

    Args:
        source: the rows.
        computation: what is done with them.
        compute: does it with chunk after chunk, here or elsewhere, in their order.
        output: the file to write.
        journal: of the run.
        asked_rows: rows of a chunk, rounded up to whole batches; None: as many as take some megabytes.
        position: where to go on; None: from the beginning.

    Attributes:
        rows: written so far.
        computed_rows: of these, computed by this job.
        computed_bytes: of the input that it read.
        resumable: after an error, whether another job can go on with what this one leaves.
    """

    def __init__(
        self,
        source: RowSource,
        computation: Computation,
        compute: Callable[[Iterator[Chunk]], Iterable[Chunk]],
        output: Path,
        journal: Journal,
        asked_rows: int | None,
        position: Position | None,
    ) -> None:
        """See the class."""
        self._source, self._computation, self._compute = source, computation, compute
        self._output = output
        self._journal, self._asked_rows, self._position = journal, asked_rows, position
        self._names = computation.used(source.columns)
        self.rows = 0 if position is None else position.state.rows
        self.computed_rows = self.computed_bytes = 0
        self.resumable = False

    def run(self, bar: Progress) -> None:
        """Computes all rows that are left and completes the output.

        Raises:
            ValueError: the data do not fit the model, or the output's format.
            FormatError: the input is damaged, or has no rows.
            OSError: a file cannot be read or written.
        """
        position, first = self._position, None
        if position is None:
            first = self._first_batch()
            position = Position(columns_of(first[1]), self._chunk_rows(*first), SinkState(0, 0))
        sink = create_rows(self._output, position.columns, position.state)
        committed = time.monotonic()
        try:
            with closing(self._computed(position, first)) as computed:
                for given, results in computed:
                    sink.append(results)
                    self._count(given, bar)
                    if time.monotonic() - committed > _COMMIT_EVERY:
                        self._commit(sink, position)
                        committed = time.monotonic()
            self._commit(sink, position)
            sink.finish()
        except BaseException:
            self._leave(sink, position)
            raise
        self._journal.remove()

    def _first_batch(self) -> tuple[Chunk, Chunk]:
        """Shows what the outputs are like."""
        chunk = next(self._source.chunks(self._computation.batch_size, 0, self._names), None)
        if chunk is None:
            raise FormatError(f"{self._source.path}: has no rows")
        return chunk, self._computation.compute(chunk)

    def _chunk_rows(self, given: Chunk, results: Chunk) -> int:
        """Rows of a chunk, whole batches of them."""
        batch = self._computation.batch_size
        size = max((nbytes(given) + nbytes(results)) // chunk_rows(given), 1)
        return -(-(self._asked_rows or max(_CHUNK_BYTES // size, 1)) // batch) * batch

    def _computed(
        self, position: Position, first: tuple[Chunk, Chunk] | None
    ) -> Generator[tuple[_Size, Chunk], None, None]:
        start = position.state.rows
        if first is not None:
            yield _size(first[0]), first[1]
            start += chunk_rows(first[0])
        taken: deque[_Size] = deque()

        def chunks() -> Iterator[Chunk]:
            for chunk in self._source.chunks(position.chunk_rows, start, self._names):
                taken.append(_size(chunk))
                yield chunk

        for results in self._compute(chunks()):
            yield taken.popleft(), results

    def _count(self, given: _Size, bar: Progress) -> None:
        self.rows += given.rows
        self.computed_rows += given.rows
        self.computed_bytes += given.nbytes
        bar.advance(given.rows)

    def _commit(self, sink: RowSink, position: Position) -> None:
        self._journal.write(replace(position, state=sink.commit()))

    def _leave(self, sink: RowSink, position: Position) -> None:
        """After an error: what is written stays for another job, if there is anything."""
        if not sink.partial.exists():  # it has become the output
            self._journal.remove()
        elif sink.rows:
            with suppress(OSError):  # a full disk: the journal notes an earlier position
                self._commit(sink, position)
            sink.close()
        else:
            sink.discard()
            self._journal.remove()
        self.rows = sink.rows
        self.resumable = self._journal.path.exists()


def _size(chunk: Chunk) -> _Size:
    return _Size(chunk_rows(chunk), nbytes(chunk))
