"""Modules of PyTorch that are not recurrent, as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnpack import layers
from rnnpack.formats.arrays import as_array, with_weights
from rnnpack.formats.errors import FormatError
from rnnpack.formats.pytorch.chain import Chain

_ACTIVATIONS = {
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "ReLU": "relu",
    "SELU": "selu",
    "SiLU": "swish",
    "Softsign": "softsign",
    "Softplus": "softplus",
    "GELU": "gelu",
}


def feedforward(module: Any, kind: str, where: str, dtype: str) -> Chain:
    """The layer of a module of torch.nn that is not recurrent.

    Args:
        module: the module.
        kind: name of its class in torch.nn.
        where: the module's place, for messages.
        dtype: that the model computes in.

    Raises:
        FormatError: there is no layer that does this.
    """
    if kind in _ACTIVATIONS:
        _only(where, kind, module, approximate="none", beta=1, threshold=20)
        return Chain([layers.Activation(_ACTIVATIONS[kind], dtype=dtype)])
    if kind not in _MODULES:
        raise FormatError(f"{where}: torch.nn.{kind} is not supported")
    return _MODULES[kind](module, where, dtype)


def _only(where: str, kind: str, module: Any, **expected: Any) -> None:
    """Raises FormatError where an attribute that the module has is another than expected."""
    for name, value in expected.items():
        found = getattr(module, name, value)
        if found != value:
            raise FormatError(
                f"{where}: torch.nn.{kind} is supported with {name}={value!r} only, got {found!r}"
            )


def _linear(module: Any, where: str, dtype: str) -> Chain:
    kernel = as_array(module.weight, f"{where}.weight").T
    weights = [kernel, *([] if module.bias is None else [as_array(module.bias, f"{where}.bias")])]
    features, units = kernel.shape
    layer = layers.Dense(units, use_bias=module.bias is not None, kernel_initializer="zeros", dtype=dtype)
    return Chain([with_weights(layer, (None, features), weights)], (None, features), dtype)


def _embedding(module: Any, where: str, dtype: str) -> Chain:
    _only(where, "Embedding", module, max_norm=None)  # would change the rows that a call reads
    table = as_array(module.weight, f"{where}.weight")
    rows, length = table.shape
    layer = layers.Embedding(rows, length, embeddings_initializer="zeros", dtype=dtype)
    return Chain([with_weights(layer, (None, None), [table])], (None, None), "int64")


def _layer_norm(module: Any, where: str, dtype: str) -> Chain:
    shape = tuple(module.normalized_shape)
    weights = [
        as_array(getattr(module, name), f"{where}.{name}")
        for name in ("weight", "bias")
        if getattr(module, name) is not None
    ]
    layer = layers.LayerNormalization(
        axis=list(range(-len(shape), 0)),
        epsilon=module.eps,
        scale=module.weight is not None,
        center=module.bias is not None,
        weights=weights,  # set when the number of axes is known
        dtype=dtype,
    )
    return Chain([layer], (None, *shape), dtype)


def _dropout(module: Any, where: str, dtype: str) -> Chain:
    return Chain([layers.Dropout(module.p, dtype=dtype)])


def _flatten(module: Any, where: str, dtype: str) -> Chain:
    _only(where, "Flatten", module, start_dim=1, end_dim=-1)
    return Chain([layers.Flatten(dtype=dtype)])


def _softmax(module: Any, where: str, dtype: str) -> Chain:
    if module.dim is None:
        raise FormatError(f"{where}: torch.nn.Softmax is supported with a `dim` only, got None")
    return Chain([layers.Softmax(module.dim, dtype=dtype)])


def _leaky_relu(module: Any, where: str, dtype: str) -> Chain:
    layer = layers.LeakyReLU(module.negative_slope, dtype=dtype)
    layer.alpha = module.negative_slope  # the constructor rounds to float32
    return Chain([layer])


def _elu(module: Any, where: str, dtype: str) -> Chain:
    layer = layers.ELU(module.alpha, dtype=dtype)
    layer.alpha = module.alpha  # the constructor rounds to float32
    return Chain([layer])


def _relu6(module: Any, where: str, dtype: str) -> Chain:
    return Chain([layers.ReLU(6.0, dtype=dtype)])


def _identity(module: Any, where: str, dtype: str) -> Chain:
    return Chain([layers.Identity(dtype=dtype)])


_MODULES: dict[str, Callable[[Any, str, str], Chain]] = {
    "Linear": _linear,
    "Embedding": _embedding,
    "LayerNorm": _layer_norm,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Softmax": _softmax,
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "ReLU6": _relu6,
    "Identity": _identity,
}
