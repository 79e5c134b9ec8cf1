"""`rnnpack run`: a model on a file of rows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnpack.cli.job import Job
from rnnpack.cli.journal import Journal, Request, fingerprint
from rnnpack.cli.models import ready
from rnnpack.cli.terminal import note
from rnnpack.cli.version import version
from rnnpack.datafiles import SUFFIXES, Chunk, Computation, open_rows
from rnnpack.progress import progress


def command(options: Any) -> None:
    """Runs the model in this process or on a Ray cluster."""
    output = Path(options.output)
    for name in (options.input, options.output):
        if Path(name).suffix.lower() not in SUFFIXES:
            options.usage_error(f"{name}: expected a file that ends in {', '.join(SUFFIXES)}")
    if options.workers is not None and options.engine != "ray":
        options.usage_error("--workers is for --engine ray")
    if options.resume and options.force:
        options.usage_error("--resume goes on with what --force would replace: choose one")
    if options.engine == "ray" and find_spec("ray") is None:
        raise ImportError("--engine ray needs Ray: pip install rnnpack[ray]")
    if output.exists():
        if os.path.samefile(options.input, output):
            raise ValueError(f"{output} is the input")
        if not options.force:
            raise FileExistsError(f"{output} exists: --force replaces it")
    journal = Journal(output, _request(options))
    interrupted = journal.path.exists()
    if interrupted and not (options.resume or options.force):
        raise FileExistsError(
            f"{journal.path}: an interrupted run is waiting; --resume goes on with it, --force begins anew"
        )
    position = journal.read() if interrupted and options.resume else None
    model = ready(options.model, options.precision, options.threads)
    computation = Computation(model, options.batch_size, options.columns, options.output_columns)
    if position is None:
        journal.remove()
    with open_rows(options.input) as source:
        compute = partial(_compute, options, computation)
        _work(
            Job(source, computation, compute, output, journal, options.chunk_rows, position),
            source.rows,
            options,
        )


def _compute(options: Any, computation: Computation, chunks: Iterator[Chunk]) -> Iterable[Chunk]:
    """Computes chunks where the options want it."""
    if options.engine == "local":
        return map(computation.compute, chunks)
    from rnnpack.ray import ordered_map

    return ordered_map(computation, chunks, options.workers or 2, options.threads or 1)


def _request(options: Any) -> Request:
    return Request(
        version=version(),
        model=fingerprint(Path(options.model), whole=True),
        input=fingerprint(Path(options.input), whole=False),
        precision=options.precision,
        batch_size=options.batch_size,
        chunk_rows=options.chunk_rows,
        columns=options.columns,
        output_columns=options.output_columns,
    )


def _work(job: Job, rows: int | None, options: Any) -> None:
    """Shows how far the job is, and what became of it."""
    began = time.monotonic()
    left = None if rows is None else rows - job.rows
    try:
        with progress(left, Path(options.output).name, "rows", enabled=not options.quiet) as bar:
            job.run(bar)
    except BaseException:
        if job.resumable:
            note(f"stopped after {job.rows:,} rows: the same command with --resume goes on")
        raise
    if not options.quiet:
        seconds = max(time.monotonic() - began, 1e-9)
        speed = f"{job.computed_rows / seconds:,.0f} rows/s, {job.computed_bytes / seconds / 1e6:,.1f} MB/s"
        note(f"wrote {options.output}: {job.rows:,} rows in {seconds:.2f} s ({speed} of input)")
