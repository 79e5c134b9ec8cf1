"""Live modules of PyTorch, known by their classes' names: nothing here imports torch."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.arrays import as_array
from rnnpack.formats.errors import FormatError
from rnnpack.formats.pytorch import recurrent
from rnnpack.formats.pytorch.chain import Chain
from rnnpack.formats.pytorch.feedforward import feedforward

_RECURRENT = ("LSTM", "GRU", "RNN")
_CELLS = ("LSTMCell", "GRUCell", "RNNCell")


def is_module(value: Any) -> bool:
    """Whether this is a module of PyTorch."""
    return any(
        cls.__module__ == "torch.nn.modules.module" and cls.__name__ == "Module"
        for cls in type(value).__mro__
    )


def load_module(
    module: Any, input_shape: tuple[int | None, ...] | None = None, initial_state: bool = False
) -> Any:
    """What computes the same as a module in eval mode.

    Args:
        module: a module, or a Sequential of modules.
        input_shape: of the inputs of a Sequential, batch included; None where its first module tells.
        initial_state: whether a Model has initial states as inputs.

    Raises:
        FormatError: a module that is not supported, which is named.
    """
    if kind_of(module, "module") in _CELLS:
        return _cell(module)
    chain = _chain(module, "module", _dtype(module))
    if input_shape is None and chain.input_shape is not None:
        recurrent_last = getattr(chain.layers[-1], "return_sequences", False)
        missing = 3 - len(chain.input_shape) if recurrent_last and chain.dtype != "int64" else 0
        input_shape = (*[None] * missing, *chain.input_shape)
    return Chain(chain.layers, input_shape, chain.dtype).as_model(initial_state)


def kind_of(module: Any, where: str) -> str:
    """The name of the class in torch.nn that computes this module's output.

    Raises:
        FormatError: it is of another class, changed by a subclass or hooks, quantised, or TorchScript.
    """
    name = type(module).__name__
    origins = [f"{cls.__module__}.{cls.__name__}" for cls in type(module).__mro__]
    if any(origin.startswith("torch.jit.") for origin in origins):
        raise FormatError(
            f"{where}: {name} is TorchScript: pass the module it was made from, or its state_dict()"
        )
    if any(".quant" in origin for origin in origins):
        raise FormatError(f"{where}: {name} is quantised: pass the float module it was made from")
    base = next((cls for cls in type(module).__mro__ if cls.__module__.startswith("torch.nn.modules.")), None)
    if base is None or base.__name__ in ("Module", "RNNBase", "RNNCellBase"):
        children = [name for name, _ in getattr(module, "named_children", list)()]
        advice = f": convert its children {', '.join(children)}" if children else ""
        raise FormatError(f"{where}: a module of class {name} cannot be converted as a whole{advice}")
    if type(module).forward is not getattr(base, "forward", None):
        raise FormatError(f"{where}: {name} has a forward() of its own, not that of torch.nn.{base.__name__}")
    if getattr(module, "_forward_hooks", None) or getattr(module, "_forward_pre_hooks", None):
        raise FormatError(f"{where}: {name} has forward hooks, which cannot be converted: remove them first")
    return base.__name__


def _dtype(module: Any) -> str:
    """The dtype that a module computes in: that of its first parameter."""
    first = next(iter(module.parameters()), None)
    return "float32" if first is None else as_array(first, "module: the first parameter").dtype.name


def _chain(module: Any, where: str, dtype: str) -> Chain:
    """The layers of a module."""
    kind = kind_of(module, where)
    if kind == "Sequential":
        return _sequential(module, where, dtype)
    if kind in _RECURRENT:
        return _recurrent(module, where)
    return feedforward(module, kind, where, dtype)


def _sequential(module: Any, where: str, dtype: str) -> Chain:
    chains = [_chain(inner, f"{where}[{index}]", dtype) for index, inner in enumerate(module)]
    if not chains:
        raise FormatError(f"{where}: has no modules")
    for index, chain in enumerate(chains[:-1]):
        if getattr(chain.layers[-1], "return_state", False):
            raise FormatError(
                f"{where}[{index}]: a recurrent module must be the last of a Sequential: the next one would "
                "get a tuple, output and states, in PyTorch too"
            )
    first = chains[0]
    return Chain([layer for chain in chains for layer in chain.layers], first.input_shape, first.dtype)


def _recurrent(module: Any, where: str) -> Chain:
    directions = ("", "_reverse") if module.bidirectional else ("",)
    roles = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    roles += ["weight_hr"] if getattr(module, "proj_size", 0) else []
    names = [
        f"{role}_l{number}{direction}"
        for number in range(module.num_layers)
        for direction in directions
        for role in roles
    ]
    options = recurrent.Options(bool(module.batch_first), getattr(module, "nonlinearity", "tanh"))
    return recurrent.chain_of({name: getattr(module, name) for name in names}, f"{where}.", options)


def _cell(module: Any) -> Any:
    roles = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if module.bias else ()))
    options = recurrent.Options(nonlinearity=getattr(module, "nonlinearity", "tanh"))
    return recurrent.cell_of({role: getattr(module, role) for role in roles}, "module.", options)
