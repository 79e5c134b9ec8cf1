"""Configurations of all Keras versions, translated into the form of Keras 2.15 that `from_config` reads."""

from rnnpack.formats.keras.dialects.translate import keras_2_15

__all__ = ["keras_2_15"]
