"""`keras.regularizers`."""

from rnnpack.regularizers import *  # noqa: F403
