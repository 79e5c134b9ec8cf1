"""Which values of a graph are right although rows were padded, or had their padding cut off.

The analysis follows every array that has the time axis of the rows through the layers that are known to keep
timesteps apart, or to obey masks. Where an array gets to any other layer, the answer is "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import layers
from rnnpack.engine import nest
from rnnpack.layers import masked
from rnnpack.layers.base import Layer, call_signature
from rnnpack.models import conforming
from rnnpack.models.graph import Graph, Ref, Step
from rnnpack.models.model import Model
from rnnpack.models.sequential import Sequential


@dataclass(frozen=True)
class Track:
    """What is known of an array whose second axis is the time of some rows.

    Attributes:
        group: which rows' time.
        rank: number of axes.
        masked: whether it carries a mask that is False behind each row's end.
        constant: whether all its timesteps behind the longest row's end are equal.
        raw: whether it is an input of the model as it was given.
    """

    group: int
    rank: int
    masked: bool
    constant: bool
    raw: bool = False


# The track of an array, or None for one without the time of the rows.
_Tracks = list["Track | None"]


@dataclass(frozen=True, eq=False)
class Plan:
    """A graph with the tracks of what its steps give.

    Attributes:
        graph: the graph.
        made: for each step the tracks of its outputs.
        inner: the plans of steps that are models, by the step's place.
        outputs: tracks of the flat outputs.
    """

    graph: Graph
    made: list[_Tracks]
    inner: dict[int, Plan]
    outputs: _Tracks

    def run(self, inputs: Any, masks: dict[int, NDArray[np.bool_]]) -> Any:
        """Runs the graph.

        Args:
            inputs: arrays in the structure of the graph's inputs.
            masks: for each group the mask (batch, time) that arrays with its time carry, besides their own;
                empty for none.
        """
        places = {id(step): place for place, step in enumerate(self.graph.steps)}

        def call(step: Step, arguments: Sequence[Any], keywords: dict[str, Any]) -> list[Any]:
            place = places[id(step)]
            if place in self.inner:
                nested = self.inner[place]
                given = conforming.arrays(arguments[0], nested.graph.inputs)
                return nest.flatten(nested.run(given, masks))
            results = nest.flatten(step.layer(*arguments, **keywords))
            return [
                _with_mask(result, masks.get(track.group)) if track else result
                for result, track in zip(results, self.made[place], strict=True)
            ]

        return self.graph.run(inputs, call)


def _with_mask(array: Any, mask: NDArray[np.bool_] | None) -> Any:
    """The array with the mask besides its own."""
    if mask is None:
        return array
    own = getattr(array, "_keras_mask", None)
    return masked.carrying(np.asarray(array), mask if own is None else np.logical_and(own, mask))


def plan_for(graph: Graph, inputs: _Tracks, injected: bool) -> Plan | None:
    """Follows the inputs through a graph.

    Args:
        graph: the graph.
        inputs: tracks of its flat inputs.
        injected: whether every array with the time of the rows will be given their mask.

    Returns:
        None if some array is not known to be right.
    """
    tracks = dict(enumerate(inputs))
    made: list[_Tracks] = []
    inner: dict[int, Plan] = {}
    for place, step in enumerate(graph.steps):
        leaves = nest.flatten(step.inputs)
        if not any(tracks[ref.slot] for ref in step.refs):
            results: _Tracks | None = [None] * len(step.slots)
        elif step.args or not all(isinstance(leaf, Ref) and not leaf.mask for leaf in leaves):
            return None
        elif isinstance(step.layer, Model) and type(step.layer) in (Model, Sequential) and not step.kwargs:
            nested = plan_for(step.layer._built_graph(), [tracks[leaf.slot] for leaf in leaves], injected)
            if nested is None:
                return None
            inner[place], results = nested, nested.outputs
        else:
            results = _followed(step, [tracks[leaf.slot] for leaf in leaves], tracks)
        if results is None:
            return None
        if injected:
            results = [track and replace(track, masked=True) for track in results]
        made.append(results)
        tracks.update(zip(step.slots, results, strict=True))
    return Plan(graph, made, inner, [tracks[ref.slot] for ref in nest.flatten(graph.results)])


def _followed(step: Step, given: _Tracks, tracks: dict[int, Track | None]) -> _Tracks | None:
    """The tracks of a layer's outputs; None where they are unknown."""
    rule = _RULES.get(type(step.layer))
    if rule is None or not vars(step.layer).keys().isdisjoint({"call", "compute_mask"}):
        return None
    keywords = dict(step.kwargs)
    if keywords.pop("training", None):  # what is drawn at random differs from step to step
        return None
    if "mask" in keywords:
        ref, first = keywords.pop("mask"), given[0]
        of = tracks[ref.slot] if isinstance(ref, Ref) and ref.mask else None
        if rule is not _recurrent or of is None or first is None or of.group != first.group:
            return None
        given = [replace(first, masked=of.masked), *given[1:]]
    if any(tracks[leaf.slot] for leaf in nest.flatten(keywords) if isinstance(leaf, Ref)):
        return None
    if rule is not _recurrent and not all(given):
        return None
    return rule(step, given)


def _pointwise(step: Step, given: _Tracks) -> _Tracks | None:
    """Layers that compute every timestep on its own."""
    layer: Any = step.layer
    track = _only(given)
    if track.rank < 3 or not _is_built_in(getattr(layer, "activation", None)):
        return None
    axes = getattr(layer, "axis", -1)
    if any(axis not in (-1, track.rank - 1) for axis in (axes if isinstance(axes, list) else [axes])):
        return None
    passes = layer.supports_masking and type(layer).compute_mask is Layer.compute_mask
    return [replace(track, masked=track.masked and passes, raw=False)]


def _only(given: _Tracks) -> Track:
    (track,) = given
    assert track is not None  # rules are asked about tracks only
    return track


def _is_built_in(activation: Any) -> bool:
    return activation is None or getattr(activation, "__module__", "").startswith("rnnpack.")


def _rescaling(step: Step, given: _Tracks) -> _Tracks | None:
    layer: Any = step.layer
    if np.ndim(layer.scale) > 1 or np.ndim(layer.offset) > 1:
        return None
    return _pointwise(step, given)


def _time_distributed(step: Step, given: _Tracks) -> _Tracks | None:
    inner: Any = step.layer.layer  # type: ignore[attr-defined]
    if not _is_built_in(type(inner)) or inner.stateful or type(inner).compute_mask is not Layer.compute_mask:
        return None
    if call_signature(inner.call).names("mask"):
        return None
    return [replace(_only(given), rank=len(step.outputs[0].shape), masked=False, raw=False)]


def _mask_maker(step: Step, given: _Tracks) -> _Tracks | None:
    """Masking and Embedding, whose mask replaces the one before."""
    track = _only(given)
    if len(step.outputs[0].shape) != 3:
        return None
    makes = getattr(step.layer, "mask_zero", True) and track.raw and track.constant
    return [replace(track, rank=3, masked=makes, raw=False)]


def _merged(step: Step, given: _Tracks) -> _Tracks | None:
    """Layers that put several arrays together, timestep by timestep."""
    tracks = [track for track in given if track]
    rank = tracks[0].rank
    if {(track.group, track.rank) for track in tracks} != {(tracks[0].group, rank)} or rank < 3:
        return None
    if getattr(step.layer, "axis", -1) not in (-1, rank - 1):
        return None
    some_masked = any(track.masked for track in tracks)
    return [Track(tracks[0].group, rank, some_masked, all(track.constant for track in tracks))]


def _average(step: Step, given: _Tracks) -> _Tracks | None:
    layer: Any = step.layer
    return [None] if _only(given).masked and layer.data_format == "channels_last" else None


def _recurrent(step: Step, given: _Tracks) -> _Tracks | None:
    """Recurrent layers: what is masked changes nothing, and comes out as the step before or as zeros."""
    layer: Any = step.layer
    track, *states = given
    directions = (
        (layer.forward_layer, layer.backward_layer) if type(layer) is layers.Bidirectional else (layer,)
    )
    if track is None or not track.masked or any(states) or (states and not isinstance(step.inputs, list)):
        return None
    if any(type(one) not in _RECURRENT or one.time_major for one in directions):
        return None
    if layer.return_sequences and directions[0].go_backwards:
        return None
    sequences = 2 if getattr(layer, "merge_mode", "concat") is None else 1
    return [
        Track(track.group, len(symbol.shape), True, True)
        if layer.return_sequences and place < sequences
        else None
        for place, symbol in enumerate(step.outputs)
    ]


_RECURRENT = (layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN)
_ELEMENTWISE = (
    layers.Dense,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.ThresholdedReLU,
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.AlphaDropout,
    layers.ActivityRegularization,
    layers.LayerNormalization,
    layers.BatchNormalization,
    layers.Identity,
)
_MERGES = (
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
    layers.Concatenate,
)
_Rule = Callable[[Step, _Tracks], "_Tracks | None"]
_RULES: dict[type, _Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _pointwise),
    **dict.fromkeys(_MERGES, _merged),
    **dict.fromkeys((*_RECURRENT, layers.Bidirectional), _recurrent),
    layers.Rescaling: _rescaling,
    layers.TimeDistributed: _time_distributed,
    layers.Masking: _mask_maker,
    layers.Embedding: _mask_maker,
    layers.GlobalAveragePooling1D: _average,
}


def mask_makers(graph: Graph, slot: int) -> list[Any]:
    """The layers that make a mask from an input as it is: Masking, and Embedding with `mask_zero`."""
    found: list[Any] = []
    for step in graph.steps:
        flat = nest.flatten(step.inputs)
        for place, leaf in enumerate(flat):
            if not isinstance(leaf, Ref) or leaf.slot != slot:
                continue
            if type(step.layer) is layers.Masking or (
                type(step.layer) is layers.Embedding and step.layer.mask_zero
            ):
                found.append(step.layer)
            elif isinstance(step.layer, Model) and type(step.layer) in (Model, Sequential):
                found.extend(mask_makers(step.layer._built_graph(), place))
    return found
