"""Recurrent layers with the contract of `tf.keras.layers.RNN`, without TensorFlow.

The built-in cells run in native code, cells of your own in a Python loop; `layer.explain()` says which.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnnpack import activations, backend, constraints, initializers, keras, layers, regularizers
from rnnpack._core import available_isas
from rnnpack.engine.nest import TensorShape
from rnnpack.explain import Explanation
from rnnpack.formats import FormatError, load, load_weights, save, save_weights
from rnnpack.layers import (
    GRU,
    LSTM,
    RNN,
    AbstractRNNCell,
    Bidirectional,
    DeviceWrapper,
    DropoutRNNCellMixin,
    DropoutWrapper,
    GRUCell,
    Input,
    InputSpec,
    Layer,
    LSTMCell,
    Masking,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ResidualWrapper,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
    Stream,
)
from rnnpack.models import Model, Sequential
from rnnpack.random import set_seed
from rnnpack.registry import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    register_keras_serializable,
)
from rnnpack.symbolic import SymbolicArray
from rnnpack.threads import get_num_threads, set_num_threads
from rnnpack.variable import Variable

if TYPE_CHECKING:
    from rnnpack import cuda
    from rnnpack.formats.flax import from_flax
    from rnnpack.formats.haiku import from_haiku
    from rnnpack.formats.keras import from_keras
    from rnnpack.formats.pytorch import from_torch, to_torch_state_dict

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AbstractRNNCell",
    "Bidirectional",
    "CustomObjectScope",
    "DeviceWrapper",
    "DropoutRNNCellMixin",
    "DropoutWrapper",
    "Explanation",
    "FormatError",
    "GRUCell",
    "Input",
    "InputSpec",
    "LSTMCell",
    "Layer",
    "Masking",
    "Model",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "ResidualWrapper",
    "Sequential",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "Stream",
    "SymbolicArray",
    "TensorShape",
    "Variable",
    "activations",
    "available_isas",
    "backend",
    "constraints",
    "cuda",
    "custom_object_scope",
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_torch",
    "get_custom_objects",
    "get_num_threads",
    "initializers",
    "keras",
    "layers",
    "load",
    "load_weights",
    "register_keras_serializable",
    "regularizers",
    "save",
    "save_weights",
    "set_num_threads",
    "set_seed",
    "to_torch_state_dict",
]

# Converters of other frameworks' objects, and what GPUs need, are imported when they are asked for.
_CONVERTERS = {
    "from_flax": "flax",
    "from_haiku": "haiku",
    "from_keras": "keras",
    "from_torch": "pytorch",
    "to_torch_state_dict": "pytorch",
}


def __getattr__(name: str) -> Any:
    """Imports a converter, or the package `cuda`, on first use."""
    if name == "cuda":
        return import_module("rnnpack.cuda")
    if name not in _CONVERTERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"rnnpack.formats.{_CONVERTERS[name]}"), name)
