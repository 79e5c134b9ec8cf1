"""From the named arrays of a recurrent module of PyTorch to layers and cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rnnpack
from rnnpack.formats.arrays import as_array, check_shape, some, with_weights
from rnnpack.formats.errors import FormatError
from rnnpack.formats.pytorch import layout
from rnnpack.formats.pytorch.chain import Chain

# weight_ih_l0, bias_hh_l1_reverse, weight_hr_l0; of cells weight_ih, bias_hh, ...
NAME = re.compile(r"((?:weight|bias)_(?:ih|hh|hr))(?:_l([0-9]{1,3})(_reverse)?)?")


@dataclass(frozen=True)
class Options:
    """What the arrays do not tell.

    Attributes:
        batch_first: whether inputs are (batch, time, features), not (time, batch, features).
        nonlinearity: "tanh" or "relu", of RNN and RNNCell.
    """

    batch_first: bool = False
    nonlinearity: str = "tanh"

    def __post_init__(self) -> None:
        """Raises FormatError for a nonlinearity that PyTorch has not."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise FormatError(f"`nonlinearity` must be 'tanh' or 'relu', got {self.nonlinearity!r}")


@dataclass(frozen=True)
class Part:
    """One layer in one direction: its sizes and its weights in rnnpack's order."""

    kind: str
    features: int
    units: int
    projection: int | None
    weights: list[layout.Array]
    use_bias: bool

    @property
    def dtype(self) -> str:
        """The dtype's name."""
        return self.weights[0].dtype.name

    @property
    def output_size(self) -> int:
        """Size of the output and of the state h."""
        return self.units if self.projection is None else self.projection

    def arguments(self, options: Options) -> dict[str, Any]:
        """Of the cell, and of the layer that makes its own cell."""
        arguments = {
            "units": self.units,
            "use_bias": self.use_bias,
            "dtype": self.dtype,
            # The weights replace these, and an orthogonal matrix takes long to make.
            "kernel_initializer": "zeros",
            "recurrent_initializer": "zeros",
        }
        if self.kind == "RNN":
            arguments["activation"] = options.nonlinearity
        if self.projection is not None:
            arguments["projection_units"] = self.projection
        return arguments

    def cell(self, options: Options) -> Any:
        """A cell without its weights."""
        name = {"LSTM": "LSTMCell", "GRU": "GRUCell", "RNN": "SimpleRNNCell"}[self.kind]
        if self.projection is not None:
            name = "ProjectedLSTMCell"
        return getattr(rnnpack, name)(**self.arguments(options))

    def layer(self, options: Options) -> Any:
        """A layer without its weights that returns sequences and states."""
        flags = _flags(options, self.dtype)
        if self.projection is not None:
            return rnnpack.RNN(self.cell(options), **flags)
        name = {"LSTM": "LSTM", "GRU": "GRU", "RNN": "SimpleRNN"}[self.kind]
        return getattr(rnnpack, name)(**{**self.arguments(options), **flags})


def _flags(options: Options, dtype: str) -> dict[str, Any]:
    return {
        "return_sequences": True,
        "return_state": True,
        "time_major": not options.batch_first,
        "dtype": dtype,
    }


def chain_of(arrays: Mapping[str, Any], where: str, options: Options) -> Chain:
    """The layers that compute what the module with these arrays does.

    Args:
        arrays: PyTorch's names, such as `weight_ih_l0`, to arrays or tensors; other names are passed over.
        where: where the arrays are, for messages.
        options: what the arrays do not tell.

    Returns:
        A single layer: for one layer an LSTM, GRU or SimpleRNN (RNN with a projection), for several an RNN
        of stacked cells; for bidirectional ones a Bidirectional each. All return sequences and final states.

    Raises:
        FormatError: arrays are missing, or do not fit together.
    """
    layers = _parts(arrays, where)
    first = layers[0][0]
    if len(layers) > 1 and len(layers[0]) == 1:
        cells = [part.cell(options) for (part,) in layers]
        made = [(rnnpack.RNN(cells, **_flags(options, first.dtype)), [part for (part,) in layers])]
    else:
        made = [(_layer(parts, options), parts) for parts in layers]
    return Chain(
        [
            with_weights(
                layer, (None, None, parts[0].features), [array for part in parts for array in part.weights]
            )
            for layer, parts in made
        ],
        (None, None, first.features),
        first.dtype,
    )


def _layer(parts: list[Part], options: Options) -> Any:
    """The layer of one direction or both, without weights."""
    layer = parts[0].layer(options)
    return layer if len(parts) == 1 else rnnpack.Bidirectional(layer, dtype=parts[0].dtype)


def cell_of(arrays: Mapping[str, Any], where: str, options: Options) -> Any:
    """The cell with these arrays (`weight_ih`, `weight_hh`, ...), built, with its weights.

    Raises:
        FormatError: arrays are missing, or do not fit together.
    """
    part = _part({role: as_array(value, f"{where}{role}") for role, value in arrays.items()}, "", where)
    return with_weights(part.cell(options), (None, part.features), part.weights)


def _parts(arrays: Mapping[str, Any], where: str) -> list[list[Part]]:
    """For each layer its one or two directions."""
    found: dict[tuple[int, str], dict[str, layout.Array]] = {}
    for name, value in arrays.items():
        matched = NAME.fullmatch(name)
        if matched and matched[2] is not None:
            place = int(matched[2]), matched[3] or ""
            found.setdefault(place, {})[matched[1]] = as_array(value, f"{where}{name}")
    directions = ["", "_reverse"] if any(direction for _, direction in found) else [""]
    count = 1 + max(number for number, _ in found)
    for number in range(count):
        for direction in directions:
            if (number, direction) not in found:
                raise FormatError(f"{where}weight_ih_l{number}{direction}: missing; there are {some(arrays)}")
    layers = [
        [_part(found[number, direction], f"_l{number}{direction}", where) for direction in directions]
        for number in range(count)
    ]
    _check_agreement(layers, where)
    return layers


def _part(found: dict[str, layout.Array], suffix: str, where: str) -> Part:
    """One layer in one direction, its shapes checked."""
    use_bias = "bias_ih" in found or "bias_hh" in found
    for role in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if use_bias else ())):
        if role not in found:
            raise FormatError(f"{where}{role}{suffix}: missing")
    for role in ("weight_ih", "weight_hh", "weight_hr"):
        if role in found and found[role].ndim != 2:
            raise FormatError(f"{where}{role}{suffix}: expected two axes, got shape {found[role].shape}")
    features = found["weight_ih"].shape[1]
    rows, output_size = found["weight_hh"].shape
    units = found["weight_hr"].shape[1] if "weight_hr" in found else output_size
    gates = rows // units if units and rows % units == 0 else 0
    if gates not in ((4,) if "weight_hr" in found else layout.KIND):
        raise FormatError(
            f"{where}weight_hh{suffix}: expected 4 (LSTM), 3 (GRU) or 1 (RNN) blocks of {units} rows, only 4 "
            f"with a weight_hr, got {rows} rows"
        )
    expected = {
        "weight_ih": (rows, features),
        "weight_hh": (rows, output_size),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
        "weight_hr": (output_size, units),
    }
    for role, array in found.items():
        check_shape(array, expected[role], f"{where}{role}{suffix}")
    if len({array.dtype for array in found.values()}) != 1:
        raise FormatError(f"{where}weight_ih{suffix}: its dtype differs from those of the arrays beside it")
    kind = layout.KIND[gates]
    projection = output_size if "weight_hr" in found else None
    return Part(kind, features, units, projection, layout.from_torch(kind, found), use_bias)


def _check_agreement(layers: list[list[Part]], where: str) -> None:
    """Raises FormatError unless all parts are of one kind and each layer takes what the one before gives."""
    first = layers[0][0]
    features = first.features
    for number, parts in enumerate(layers):
        for part in parts:
            expected = (first.kind, features, first.units, first.projection, first.use_bias, first.dtype)
            got = (part.kind, part.features, part.units, part.projection, part.use_bias, part.dtype)
            if got != expected:
                raise FormatError(
                    f"{where}weight_ih_l{number}: expected (kind, inputs, units, projection, bias, dtype) "
                    f"{expected}, got {got}"
                )
        features = first.output_size * len(parts)
