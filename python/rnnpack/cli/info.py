"""`rnnpack info`: what is in a model and how it runs."""

from __future__ import annotations

import json
import math
from typing import Any

from rnnpack.cli.models import loaded
from rnnpack.formats import detect
from rnnpack.models import Model
from rnnpack.symbolic import SymbolicArray


def command(options: Any) -> None:
    """Prints a table or JSON."""
    model = loaded(options.model)
    if options.json:
        print(json.dumps({"format": detect(options.model), **description(model)}, indent=2))
        return
    print(f"{options.model}: {detect(options.model)}")
    model.summary()
    for title, symbols in (("Inputs", model.inputs), ("Outputs", model.outputs)):
        names = model.input_names if title == "Inputs" else model.output_names
        shapes = [
            f"{name} {symbol.shape} {symbol.dtype.name}" for name, symbol in zip(names, symbols, strict=True)
        ]
        print(f"{title}: {', '.join(shapes)}")


def description(model: Model) -> dict[str, Any]:
    """The model as plain values."""
    steps = model._built_graph().steps
    shapes = {id(step.layer): [symbol.shape for symbol in step.outputs] for step in reversed(steps)}
    return {
        "name": model.name,
        "inputs": _arrays(model.input_names, model.inputs),
        "outputs": _arrays(model.output_names, model.outputs),
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


def _arrays(names: list[str], symbols: list[SymbolicArray]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": symbol.shape, "dtype": symbol.dtype.name}
        for name, symbol in zip(names, symbols, strict=True)
    ]


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
