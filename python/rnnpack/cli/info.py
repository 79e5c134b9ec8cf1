"""`rnnpack info`: what is in a model and how it runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnpack.datafiles.loading import loaded
from rnnpack.datafiles.running import as_model
from rnnpack.formats import detect
from rnnpack.layers import Layer
from rnnpack.models import Model

if TYPE_CHECKING:
    from rnnpack.formats.onnx import OnnxModel


def command(options: Any) -> None:
    """Prints a table or JSON."""
    model, format = loaded(options.model), detect(options.model)
    if isinstance(model, Layer):
        model = as_model(model)
    if options.json:
        described = _model(model) if isinstance(model, Model) else _graph(model)
        print(json.dumps({"format": format, **described}, indent=2))
        return
    print(f"{options.model}: {format}")
    model.summary()
    if isinstance(model, Model):
        for title, arrays in (("Inputs", _arrays(model.inputs)), ("Outputs", _outputs(model))):
            texts = [f"{one['name']} {one['shape']} {one['dtype']}" for one in arrays]
            print(f"{title}: {', '.join(texts)}")


def _model(model: Model) -> dict[str, Any]:
    """A model of layers as plain values."""
    steps = model._built_graph().steps
    shapes = {id(step.layer): [symbol.shape for symbol in step.outputs] for step in reversed(steps)}
    return {
        "name": model.name,
        "inputs": _arrays(model.inputs),
        "outputs": _outputs(model),
        "parameters": _size(model),
        "layers": [
            {
                "name": layer.name,
                "class": type(layer).__name__,
                "output_shapes": shapes[id(layer)],
                "parameters": _size(layer),
                "weights": [{"name": w.name, "shape": w.shape, "dtype": w.dtype.name} for w in layer.weights],
                "runs": _runs(layer),
            }
            for layer in model.layers
        ],
    }


def _graph(model: OnnxModel) -> dict[str, Any]:
    """An ONNX graph as plain values; its layers are the recurrent nodes."""
    return {
        "name": model.name,
        "opset": model.opset,
        "inputs": _arrays(model.inputs),
        "outputs": _arrays(model.outputs),
        "parameters": model.count_params(),
        "layers": [{"name": name, "runs": str(one)} for name, one in model.explain().items()],
    }


def _arrays(specs: Iterable[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "shape": one.shape,
            "dtype": None if one.dtype is None else np.dtype(one.dtype).name,
        }
        for one in specs
    ]


def _outputs(model: Model) -> list[dict[str, Any]]:
    """The outputs under the names that they have in files."""
    pairs = zip(_arrays(model.outputs), model.output_names, strict=True)
    return [{**one, "name": name} for one, name in pairs]


def _size(layer: Any) -> int:
    return sum(math.prod(weight.shape) for weight in layer.weights)


def _runs(layer: Any) -> Any:
    """How the layer runs, in words; by layers for a model; None for what is not recurrent."""
    if not hasattr(layer, "explain"):
        return None
    explanation = layer.explain()
    if isinstance(explanation, dict):
        return {name: str(one) for name, one in explanation.items()}
    return str(explanation)
