"""Recurrent layers with the contract of `tf.keras.layers.RNN`, without TensorFlow.

The built-in cells run in native code, cells of your own in a Python loop; `layer.explain()` says which.
"""

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
    "custom_object_scope",
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
]
