"""PyTorch: live modules, state dicts, and their files."""

from rnnpack.formats.pytorch.api import from_torch, to_torch_state_dict

__all__ = ["from_torch", "to_torch_state_dict"]
