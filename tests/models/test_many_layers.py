"""A configuration with absurdly many layers is refused before any of them is made."""

from __future__ import annotations

from typing import Any

import pytest

import rnnpack
from rnnpack import layers
from rnnpack.models import reading

START = {
    "class_name": "InputLayer",
    "name": "x",
    "config": {"batch_input_shape": [None, 2], "name": "x"},
    "inbound_nodes": [],
}


class Counted(layers.Layer):
    """Counts how often it is made."""

    made = 0

    def __init__(self, **kwargs: Any) -> None:
        type(self).made += 1
        super().__init__(**kwargs)


@pytest.mark.parametrize("kind", [rnnpack.Sequential, rnnpack.Model])
def test_too_many_layers_are_not_made(kind: Any) -> None:
    entry = {"class_name": "Counted", "name": "one", "config": {}, "inbound_nodes": []}
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["x", 0, 0]]}
    config = {"name": "model", "layers": [START, *[entry] * reading.MAX_CALLS], **ends}
    Counted.made = 0
    with pytest.raises(ValueError, match="more than 10000"):
        kind.from_config(config, custom_objects={"Counted": Counted})
    assert Counted.made == 0
