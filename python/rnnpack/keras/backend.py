"""`keras.backend`."""

from rnnpack.backend import *  # noqa: F403
from rnnpack.layers.context import reset_names as reset_uids  # noqa: F401
