"""Trained modules of PyTorch as rnnpack layers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnpack.formats.errors import FormatError
from rnnpack.formats.pytorch import archive, modules
from rnnpack.formats.pytorch.export import export
from rnnpack.formats.pytorch.recurrent import Options
from rnnpack.formats.pytorch.state_dict import load_state_dict


def from_torch(
    obj: Any,
    *,
    prefix: str | None = None,
    batch_first: bool = False,
    nonlinearity: str = "tanh",
    input_shape: tuple[int | None, ...] | None = None,
    initial_state: bool = False,
) -> Any:
    """Converts a module of PyTorch, or the recurrent module in a state dict.

    The result computes what the module does in eval mode, so the dropout between the layers of an `nn.LSTM`,
    `GRU` or `RNN` is left out. Weights keep their dtype, float32 or float64; the two biases of an LSTM or RNN
    are added in it.

    - One layer in one direction becomes an `LSTM`, `GRU` or `SimpleRNN` layer, several layers an `RNN` of
      stacked cells. With `proj_size` the cells are `ProjectedLSTMCell`.
    - A bidirectional module becomes a `Bidirectional`, or a `Model` with one for each layer.
    - An `nn.LSTMCell`, `GRUCell` or `RNNCell` becomes an `LSTMCell`, `GRUCell` or `SimpleRNNCell`.
    - `nn.Linear`, `Embedding`, `LayerNorm`, `Dropout`, `Flatten` and most activations become layers, an
      `nn.Sequential` of all these a `Model`.

    Layers take (batch, time, features) with `batch_first`, else (time, batch, features), and return a list:
    the whole sequence, then the final states in PyTorch's order, layer by layer, forwards before backwards,
    for an LSTM h before c (of stacked cells: a list for each). Layers take initial states as `initial_state`,
    in the same form; a Model starts from zeros unless it is asked for initial states.

    Args:
        obj: an `nn.Module`, or a state dict: names such as `weight_ih_l0` to tensors or arrays.
        prefix: for a state dict with several recurrent modules, which one: what its names begin with.
        batch_first: for a state dict, whether inputs are to be (batch, time, features).
        nonlinearity: for a state dict of an RNN, "tanh" or "relu".
        input_shape: shape of the inputs of an `nn.Sequential`, batch included, None where unknown. By default
            (batch, features) as the first module tells them, with time where the last module is recurrent.
        initial_state: whether a Model takes initial states too: its inputs are then a list, the sequence and
            the states, in the order in which they come back.

    Returns:
        A layer, a cell or a `Model`, built, with its weights.

    Raises:
        FormatError: something is not supported, and is named; or weights are missing or do not fit together.
        TypeError: `obj` is neither a module nor a state dict.
    """
    if modules.is_module(obj):
        if prefix is not None or batch_first or nonlinearity != "tanh":
            raise FormatError(
                "`prefix`, `batch_first` and `nonlinearity` are for state dicts, modules have theirs"
            )
        return modules.load_module(obj, input_shape, initial_state)
    if isinstance(obj, Mapping):
        return load_state_dict(obj, prefix, Options(batch_first, nonlinearity), initial_state=initial_state)
    raise TypeError(f"`obj` must be a torch.nn.Module or a state dict, got {type(obj).__name__}")


def to_torch_state_dict(model: Any, prefix: str = "") -> dict[str, Any]:
    """A state dict that `load_state_dict` of PyTorch's `nn.LSTM`, `GRU` or `RNN` takes.

    The bias of an LSTM or RNN becomes `bias_ih`, and `bias_hh` zeros.

    Args:
        model: an `LSTM`, `GRU` (`reset_after=True`) or `SimpleRNN` layer, an `RNN` of their cells or of
            `ProjectedLSTMCell`, a `Bidirectional` of these with merge_mode "concat", or a `Model` that is a
            chain of these.
        prefix: put before each name, with its dot.

    Returns:
        Names to tensors with memory of their own.

    Raises:
        FormatError: PyTorch's modules cannot hold it; what is in the way is named.
        ImportError: torch is not installed.
    """
    torch = archive.torch_module()
    return {f"{prefix}{name}": torch.from_numpy(array) for name, array in export(model).arrays.items()}
