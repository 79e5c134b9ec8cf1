"""The GPU plugin of rnnpack, which finds it by this package's name; there is nothing here to call."""

from importlib.metadata import version

__version__ = version("rnnpack-cuda13")
