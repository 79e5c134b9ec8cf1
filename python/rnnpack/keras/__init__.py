"""The package's names under Keras' module paths, so that a program changes its import lines only."""

from rnnpack.keras import activations, backend, constraints, initializers, layers, models, regularizers, utils
from rnnpack.models import Model, Sequential
from rnnpack.symbolic import Input

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "constraints",
    "initializers",
    "layers",
    "models",
    "regularizers",
    "utils",
]
