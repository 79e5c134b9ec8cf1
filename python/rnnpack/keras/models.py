"""`keras.models`."""

from rnnpack.models import Model, Sequential, model_from_config, model_from_json

__all__ = ["Model", "Sequential", "model_from_config", "model_from_json"]
