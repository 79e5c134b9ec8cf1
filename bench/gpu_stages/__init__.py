"""The stages of `bench/gpu.py`."""
