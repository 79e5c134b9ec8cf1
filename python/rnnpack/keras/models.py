"""`keras.models`."""

from rnnpack.models import Model

__all__ = ["Model"]
