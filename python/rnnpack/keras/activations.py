"""`keras.activations`."""

from rnnpack.activations import *  # noqa: F403
