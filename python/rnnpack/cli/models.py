"""Models as the commands need them."""

from __future__ import annotations

from typing import Any

from rnnpack.datafiles.loading import loaded
from rnnpack.threads import set_num_threads


def ready(path: str, precision: str, threads: int | None) -> Any:
    """A model from a file, to be run.

    Args:
        path: the file.
        precision: "full", "bfloat16" or "int8".
        threads: that calls may use; None: as many as by default.

    Raises:
        FormatError: not a model file that can be read.
        ValueError: the model cannot compute in this precision.
        OSError: the file cannot be read.
    """
    if threads is not None:
        set_num_threads(threads)
    model = loaded(path)
    if precision != "full":
        model.set_precision(precision)
    return model
