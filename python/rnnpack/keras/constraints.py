"""`keras.constraints`."""

from rnnpack.constraints import *  # noqa: F403
