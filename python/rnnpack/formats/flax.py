"""Trained recurrent cells of flax.linen, from their parameters: no JAX is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnnpack
from rnnpack.formats.arrays import as_array, check_shape, some, with_weights
from rnnpack.formats.errors import FormatError

_Path = tuple[str, ...]

# The Dense modules of a cell: those of the inputs, then those of the state, gate by gate in rnnpack's order.
_CELLS = {
    "LSTMCell": ("ii", "if", "ig", "io", "hi", "hf", "hg", "ho"),
    "GRUCell": ("iz", "ir", "in", "hz", "hr", "hn"),
    "SimpleCell": ("i", "h"),
    "MGUCell": ("if", "in", "hf", "hn"),
    "ConvLSTMCell": ("ih", "hh"),
}
_LAYERS = {"LSTMCell": "LSTM", "OptimizedLSTMCell": "LSTM", "GRUCell": "GRU", "SimpleCell": "SimpleRNN"}

# Functions of jax.nn by the names they have here; jax.nn.gelu and hard_sigmoid, for two, are others.
_ACTIVATIONS = {
    **{name: name for name in ("tanh", "sigmoid", "relu", "elu", "selu", "softplus")},
    **{"silu": "swish", "soft_sign": "softsign"},
}
_DEPTH = 32


def from_flax(
    params: Mapping[str, Any], cell: Any = None, prefix: str | None = None, **arguments: Any
) -> Any:
    """Converts the parameters of a recurrent cell of flax.linen to a layer.

    `LSTMCell` and `OptimizedLSTMCell` become an `LSTM`, `GRUCell` a `GRU` (`reset_after=True`),
    `SimpleCell` a `SimpleRNN`, `nn.Bidirectional` a `Bidirectional`. Weights keep their dtype, float32 or
    float64. The formulas are those in flax's docstrings.

    Args:
        params: what `init` returned or training made of it: nested dicts of arrays, with or without "params"
            around them. What belongs to no recurrent cell is passed over.
        cell: the flax cell, if it was made with activations of its own or `residual`: parameters do not tell.
        prefix: where there are several cells, the path of one, or what leads to it, such as "encoder/cell".
        **arguments: of the layer, such as `return_state` or `time_major`. As in `nn.RNN` inputs are (batch,
            time, features), and the whole sequence is returned. States of an LSTM are h, c; in flax (c, h).

    Returns:
        The layer, built, with its weights.

    Raises:
        FormatError: no such cell, several, or one that is not supported; what was found is named.
    """
    trees = {path: tree for path, tree in _cells(params, ()) if prefix is None or _leads_to(prefix, path)}
    if not trees:
        raise FormatError(
            f"`params`: no recurrent cell of flax at {prefix or 'any path'!r}; there are {some(params)}"
        )
    backward = _backward_path(list(trees))
    if len(trees) > 1 and backward is None:
        paths = some(repr("/".join(path)) for path in trees)
        raise FormatError(f"`params`: several recurrent cells: pass `prefix`, one of {paths}")
    residual = bool(getattr(cell, "residual", False))
    ordered = sorted(trees, key=lambda path: path == backward)  # forwards first
    weights = [array for path in ordered for array in _weights(trees[path], "/".join(path), residual)]
    name = _kind(trees[ordered[0]])
    options = {**_activations(cell, name), "return_sequences": True, **arguments}
    layer = getattr(rnnpack, _LAYERS[name])(len(weights[1]), dtype=weights[0].dtype, **options)
    if backward is not None:
        layer = rnnpack.Bidirectional(layer, dtype=layer.dtype)
    return with_weights(layer, (None, None, len(weights[0])), weights)


def _cells(tree: Mapping[str, Any], path: _Path) -> Iterator[tuple[_Path, Mapping[str, Any]]]:
    """The parameters of all recurrent cells, by their paths."""
    if _kind(tree):
        yield path, tree
    elif len(path) < _DEPTH:
        for name, inner in tree.items():
            if isinstance(inner, Mapping):
                yield from _cells(inner, path if name == "params" and not path else (*path, str(name)))


def _kind(tree: Mapping[str, Any]) -> str:
    """The class of the cell that has these parameters, "" if it is none."""
    return next((name for name, gates in _CELLS.items() if set(gates) == set(tree)), "")


def _leads_to(prefix: str, path: _Path) -> bool:
    return f"{'/'.join(path)}/".startswith(f"{prefix.rstrip('/')}/")


def _backward_path(paths: list[_Path]) -> _Path | None:
    """The second of two paths that are those of `nn.Bidirectional`."""
    if len(paths) != 2:
        return None
    for forward, backward in (paths, paths[::-1]):
        differing = [pair for pair in zip(forward, backward, strict=False) if pair[0] != pair[1]]
        if len(forward) == len(backward) and differing == [("forward_rnn", "backward_rnn")]:
            return backward
    return None


def _weights(tree: Mapping[str, Any], where: str, residual: bool) -> list[NDArray[Any]]:
    """A cell's kernel, recurrent kernel and bias in rnnpack's layout."""
    name = _kind(tree)
    if name not in _LAYERS:
        raise FormatError(f"{where}: {name} of flax is not supported: LSTMCell, GRUCell and SimpleCell are")
    half = len(_CELLS[name]) // 2
    inputs, states = _CELLS[name][:half], _CELLS[name][half:]
    kernel, recurrent_kernel = _joined(tree, inputs, "kernel", where), _joined(tree, states, "kernel", where)
    units = len(recurrent_kernel)
    if name == "GRUCell":  # only the candidate has a second bias
        last = _joined(tree, states[-1:], "bias", where)
        first = _joined(tree, inputs, "bias", where)
        check_shape(first, (3 * units,), f"{where}: bias")
        check_shape(last, (units,), f"{where}/{states[-1]}/bias")
        bias = np.stack([first, np.concatenate([np.zeros(2 * units, last.dtype), last])])
    else:
        bias = _joined(tree, states if name == "LSTMCell" else inputs, "bias", where)
        check_shape(bias, (half * units,), f"{where}: bias")
    check_shape(recurrent_kernel, (units, half * units), f"{where}: recurrent kernel")
    check_shape(kernel, (len(kernel), half * units), f"{where}: kernel")
    if residual:  # h joins the sum before the activation: the identity joins the matrix
        recurrent_kernel = recurrent_kernel + np.eye(units, dtype=recurrent_kernel.dtype)
    return [kernel, recurrent_kernel, bias]


def _joined(tree: Mapping[str, Any], gates: _Path, role: str, where: str) -> NDArray[Any]:
    """The kernels or biases of some gates side by side."""
    arrays = []
    for gate in gates:
        name = f"{where}/{gate}/{role}"
        if not isinstance(tree[gate], Mapping) or role not in tree[gate]:
            raise FormatError(f"{name}: missing")
        array = as_array(tree[gate][role], name)
        if array.ndim != (2 if role == "kernel" else 1):
            raise FormatError(
                f"{name}: expected {'two axes' if role == 'kernel' else 'one axis'}, got {array.shape}"
            )
        arrays.append(array)
        check_shape(array, arrays[0].shape, name)
    return np.concatenate(arrays, axis=-1)


def _activations(cell: Any, name: str) -> dict[str, str]:
    """The layer's arguments for the activations of a live cell."""
    if cell is None:
        return {}
    if _LAYERS.get(type(cell).__name__) != _LAYERS[name]:
        raise FormatError(f"`cell`: expected a {name}, as the parameters are, got a {type(cell).__name__}")
    found = {}
    for attribute, argument in (("activation_fn", "activation"), ("gate_fn", "recurrent_activation")):
        if hasattr(cell, attribute):
            function = getattr(getattr(cell, attribute), "__name__", "")
            if function not in _ACTIVATIONS:
                raise FormatError(
                    f"`cell`: {attribute}={function or getattr(cell, attribute)!r} is not supported"
                )
            found[argument] = _ACTIVATIONS[function]
    return found
