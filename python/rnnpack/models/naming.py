"""Names of what a graph makes."""

from __future__ import annotations

from rnnpack.engine import nest
from rnnpack.models.graph import Graph


def producers(graph: Graph) -> dict[int, tuple[str, int, int]]:
    """For each slot the input or layer that fills it: name, number of the call, place among the outputs."""
    found = {slot: (symbol.name, 0, 0) for slot, symbol in enumerate(nest.flatten(graph.inputs))}
    for step in graph.steps:
        for place, slot in enumerate(step.slots):
            found[slot] = (step.layer.name, step.call, place)
    return found


def output_names(graph: Graph) -> list[str]:
    """A name for every flat output: that of its layer, with a number where it is taken."""
    made = producers(graph)
    names: list[str] = []
    for ref in nest.flatten(graph.results):
        base = name = made[ref.slot][0]
        number = 0
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names
