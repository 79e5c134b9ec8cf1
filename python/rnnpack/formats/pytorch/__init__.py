"""PyTorch: live modules, state dicts, and their files."""

from rnnpack.formats.pytorch.api import from_torch, to_torch_state_dict
from rnnpack.formats.pytorch.files import SUFFIXES, detect, load, save

__all__ = ["SUFFIXES", "detect", "from_torch", "load", "save", "to_torch_state_dict"]
