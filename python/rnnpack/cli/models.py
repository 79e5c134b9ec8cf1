"""Models as the commands need them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnpack.formats import detect, load, pytorch
from rnnpack.threads import set_num_threads


def loaded(path: str, format: str | None = None) -> Any:
    """A model, a layer or an ONNX graph from a file.

    State dicts of PyTorch do not say on which axis their module has the rows; here it is always the first.

    Args:
        path: the file.
        format: as for `rnnpack.load`.

    Raises:
        FormatError: not a model file that can be read.
        OSError: the file cannot be read.
    """
    if (format or detect(path)) == "pytorch":
        return pytorch.load(Path(path), batch_first=True)
    return load(path, format)


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
