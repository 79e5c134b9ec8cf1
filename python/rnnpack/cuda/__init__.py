"""Recurrent layers on NVIDIA GPUs, by way of a plugin library; `device="cuda"` on a layer asks for them."""

from rnnpack.cuda.array import Array
from rnnpack.cuda.library import Device, devices, is_available, why_not

__all__ = ["Array", "Device", "devices", "is_available", "why_not"]
