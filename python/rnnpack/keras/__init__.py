"""The package's names under Keras' module paths, so that a program changes its import lines only."""

from rnnpack.keras import activations, backend, constraints, initializers, layers, models, regularizers, utils
from rnnpack.models import Model
from rnnpack.symbolic import Input

__all__ = [
    "Input",
    "Model",
    "activations",
    "backend",
    "constraints",
    "initializers",
    "layers",
    "models",
    "regularizers",
    "utils",
]
