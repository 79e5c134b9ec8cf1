"""Models as the commands need them."""

from __future__ import annotations

from typing import Any

from rnnpack.datafiles.fitting import inputs_of
from rnnpack.formats import FormatError, load
from rnnpack.models import Model
from rnnpack.symbolic import Input
from rnnpack.threads import set_num_threads


def loaded(path: str, precision: str = "full", threads: int | None = None) -> Model:
    """A model from a file; a layer that was saved alone becomes a model of one layer.

    Args:
        path: the file.
        precision: "full", "bfloat16" or "int8".
        threads: that calls may use; None: as many as by default.

    Raises:
        FormatError: not a model file that can be read, or a layer that does not say what it takes.
        ValueError: the model cannot compute in this precision.
        OSError: the file cannot be read.
    """
    if threads is not None:
        set_num_threads(threads)
    model = as_model(load(path), path)
    if precision != "full":
        model.set_precision(precision)
    return model


def as_model(loaded: Any, path: str) -> Model:
    """A model, or a layer as a model.

    Raises:
        FormatError: the layer does not say what it takes.
    """
    if isinstance(loaded, Model):
        return loaded
    (one,) = inputs_of(loaded)
    if one.shape is None:
        raise FormatError(f"{path}: layer {loaded.name} does not say the shape of its inputs")
    inputs = Input(one.shape, name=one.name, dtype=one.dtype)
    return Model(inputs, loaded(inputs), name=loaded.name)
