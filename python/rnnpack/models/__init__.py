"""Models: layers that are joined by a graph or in a row, run on arrays, and go to and from configurations."""

from rnnpack.models.model import Model
from rnnpack.models.sequential import Sequential
from rnnpack.models.serialization import model_from_config, model_from_json

__all__ = ["Model", "Sequential", "model_from_config", "model_from_json"]
