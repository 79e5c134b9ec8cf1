"""Names as Keras makes them."""

from __future__ import annotations

import re


def snake_case(class_name: str) -> str:
    """The name of a class in these files: `SimpleRNN` is `simple_rnn`, `CuDNNLSTM` is `cu_dnnlstm`."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
