"""`keras.layers`."""

from rnnpack.layers import *  # noqa: F403
