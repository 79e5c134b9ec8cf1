"""`CuDNNLSTM` and `CuDNNGRU`: the same layers as `LSTM` and `GRU`, restricted to what cuDNN computes."""

from __future__ import annotations

from typing import Any

CLASSES = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}


def portable(class_name: str, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The portable layer that a CuDNN layer stands for; other layers unchanged."""
    if class_name not in CLASSES:
        return class_name, config
    fixed = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    if class_name == "CuDNNGRU":
        fixed["reset_after"] = True
    return CLASSES[class_name], {**config, **fixed}
