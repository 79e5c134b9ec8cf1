"""Models as the commands need them."""

from __future__ import annotations

from rnnpack.datafiles.fitting import as_model
from rnnpack.formats import load
from rnnpack.models import Model
from rnnpack.threads import set_num_threads


def loaded(path: str, precision: str = "full", threads: int | None = None) -> Model:
    """A model from a file; a layer that was saved alone becomes a model of one layer.

    Args:
        path: the file.
        precision: "full", "bfloat16" or "int8".
        threads: that calls may use; None: as many as by default.

    Raises:
        FormatError: not a model file that can be read.
        ValueError: the model cannot compute in this precision, or does not know its inputs.
        OSError: the file cannot be read.
    """
    if threads is not None:
        set_num_threads(threads)
    model = as_model(load(path))
    if precision != "full":
        model.set_precision(precision)
    return model
