"""`keras.initializers`."""

from rnnpack.initializers import *  # noqa: F403
