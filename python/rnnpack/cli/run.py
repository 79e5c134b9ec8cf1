"""`rnnpack run`: a model on a file of rows."""

from __future__ import annotations

import os
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnpack.cli.job import Job
from rnnpack.cli.journal import Journal, Request, fingerprint, journal_path
from rnnpack.cli.models import ready
from rnnpack.cli.terminal import note
from rnnpack.cli.version import version
from rnnpack.datafiles import SUFFIXES, Computation, open_rows
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
    if output.exists():
        if os.path.samefile(options.input, output):
            raise ValueError(f"{output} is the input")
        if not options.force:
            raise FileExistsError(f"{output} exists: --force replaces it")
    if options.engine == "ray":
        _run_on_ray(options)
    else:
        _run_here(options, output)


def _run_here(options: Any, output: Path) -> None:
    request = Request(
        version=version(),
        model=fingerprint(Path(options.model), whole=True),
        input=fingerprint(Path(options.input), whole=False),
        precision=options.precision,
        batch_size=options.batch_size,
        chunk_rows=options.chunk_rows,
        columns=options.columns,
        output_columns=options.output_columns,
    )
    journal = Journal(output, request)
    interrupted = journal_path(output).exists()
    if interrupted and not (options.resume or options.force):
        raise FileExistsError(
            f"{journal.path}: an interrupted run is waiting; --resume goes on with it, --force begins anew"
        )
    position = journal.read() if interrupted and options.resume else None
    if position is None:
        journal.remove()
    model = ready(options.model, options.precision, options.threads)
    computation = Computation(model, options.batch_size, options.columns, options.output_columns)
    with open_rows(options.input) as source:
        job = Job(source, computation, output, journal, options.chunk_rows, position)
        began = time.monotonic()
        try:
            left = None if source.rows is None else source.rows - job.rows
            with progress(left, output.name, "rows", enabled=not options.quiet) as bar:
                job.run(bar)
        except BaseException:
            if job.resumable:
                note(f"stopped after {job.rows:,} rows: the same command with --resume goes on")
            raise
    if not options.quiet:
        seconds = max(time.monotonic() - began, 1e-9)
        speed = f"{job.computed_rows / seconds:,.0f} rows/s, {job.computed_bytes / seconds / 1e6:,.1f} MB/s"
        note(f"wrote {output}: {job.rows:,} rows in {seconds:.2f} s ({speed} of input)")


def _run_on_ray(options: Any) -> None:
    if options.resume:
        options.usage_error("--resume is for --engine local")
    if find_spec("ray") is None:
        raise ImportError("--engine ray needs Ray: pip install rnnpack[ray]")
    import_module("rnnpack.ray").run_file(
        options.model,
        options.input,
        options.output,
        batch_size=options.batch_size,
        columns=options.columns,
        output_columns=options.output_columns,
        precision=options.precision,
        threads=options.threads,
        workers=options.workers,
    )
