"""Live modules of PyTorch, known by their classes' names: nothing here imports torch."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.pytorch import recurrent
from rnnpack.formats.pytorch.chain import Chain

_RECURRENT = ("LSTM", "GRU", "RNN")
_CELLS = ("LSTMCell", "GRUCell", "RNNCell")


def is_module(value: Any) -> bool:
    """Whether this is a module of PyTorch."""
    return any(
        cls.__module__ == "torch.nn.modules.module" and cls.__name__ == "Module"
        for cls in type(value).__mro__
    )


def load_module(module: Any, input_shape: tuple[int | None, ...] | None) -> Any:
    """What computes the same as a module in eval mode.

    Args:
        module: a module, or a Sequential of modules.
        input_shape: of the inputs of a Sequential, batch included; None where its first module tells.

    Raises:
        FormatError: a module that is not supported, which is named.
    """
    if kind_of(module, "the module") in _CELLS:
        return _cell(module, kind_of(module, "the module"))
    chain = _chain(module, type(module).__name__)
    return Chain(chain.layers, input_shape or chain.input_shape, chain.dtype).as_model()


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


def _chain(module: Any, where: str) -> Chain:
    """The layers of a module."""
    kind = kind_of(module, where)
    if kind in _RECURRENT:
        return _recurrent(module, where)
    raise FormatError(f"{where}: torch.nn.{kind} is not supported")


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


def _cell(module: Any, kind: str) -> Any:
    roles = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if module.bias else ()))
    options = recurrent.Options(nonlinearity=getattr(module, "nonlinearity", "tanh"))
    return recurrent.cell_of({role: getattr(module, role) for role in roles}, f"{kind}.", options)
