"""Trained models and weights, in and out: rnnpack's own files, Keras, PyTorch, ONNX, flax and haiku."""

from rnnpack.formats.errors import FormatError
from rnnpack.formats.loading import detect, load, load_weights, save, save_weights

__all__ = ["FormatError", "detect", "load", "load_weights", "save", "save_weights"]
