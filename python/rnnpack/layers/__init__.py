"""Layers: what has weights and can be called on arrays."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnnpack.cells import (
    AbstractRNNCell,
    DeviceWrapper,
    DropoutRNNCellMixin,
    DropoutWrapper,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ResidualWrapper,
    SimpleRNNCell,
    StackedRNNCells,
)
from rnnpack.layers.base import InputSpec, Layer
from rnnpack.layers.bidirectional import Bidirectional
from rnnpack.layers.masking import Masking
from rnnpack.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnpack.layers.rnn import RNN
from rnnpack.layers.serialization import deserialize, serialize
from rnnpack.layers.stream import Stream
from rnnpack.symbolic import Input

if TYPE_CHECKING:
    from rnnpack.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
    from rnnpack.layers.attention import AdditiveAttention, Attention
    from rnnpack.layers.conv1d import Conv1D, DepthwiseConv1D, SeparableConv1D
    from rnnpack.layers.conv1d_transpose import Conv1DTranspose
    from rnnpack.layers.dense import Dense
    from rnnpack.layers.dropout import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D
    from rnnpack.layers.embedding import Embedding
    from rnnpack.layers.group_normalization import GroupNormalization
    from rnnpack.layers.merging import (
        Add,
        Average,
        Concatenate,
        Dot,
        Maximum,
        Minimum,
        Multiply,
        Subtract,
    )
    from rnnpack.layers.multi_head_attention import MultiHeadAttention
    from rnnpack.layers.normalization import BatchNormalization, LayerNormalization
    from rnnpack.layers.operation import Operation
    from rnnpack.layers.pooling import (
        AveragePooling1D,
        GlobalAveragePooling1D,
        GlobalMaxPooling1D,
        MaxPooling1D,
    )
    from rnnpack.layers.reshaping import (
        Cropping1D,
        Flatten,
        Permute,
        RepeatVector,
        Reshape,
        UpSampling1D,
        ZeroPadding1D,
    )
    from rnnpack.layers.same_shape import ActivityRegularization, Identity, Rescaling
    from rnnpack.layers.time_distributed import TimeDistributed

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "AbstractRNNCell",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Cropping1D",
    "Dense",
    "DepthwiseConv1D",
    "DeviceWrapper",
    "Dot",
    "Dropout",
    "DropoutRNNCellMixin",
    "DropoutWrapper",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputSpec",
    "LSTMCell",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Operation",
    "PReLU",
    "PeepholeLSTMCell",
    "Permute",
    "ProjectedLSTMCell",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "ResidualWrapper",
    "SeparableConv1D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "StackedRNNCells",
    "Stream",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling1D",
    "ZeroPadding1D",
    "deserialize",
    "serialize",
]

# Where the layers are that are imported when they are first asked for.
_MODULES = {
    "activation": ("ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"),
    "attention": ("AdditiveAttention", "Attention"),
    "conv1d": ("Conv1D", "DepthwiseConv1D", "SeparableConv1D"),
    "conv1d_transpose": ("Conv1DTranspose",),
    "dense": ("Dense",),
    "dropout": ("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D"),
    "embedding": ("Embedding",),
    "group_normalization": ("GroupNormalization",),
    "merging": ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"),
    "multi_head_attention": ("MultiHeadAttention",),
    "normalization": ("BatchNormalization", "LayerNormalization"),
    "operation": ("Operation",),
    "pooling": ("AveragePooling1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "MaxPooling1D"),
    "reshaping": (
        "Cropping1D", "Flatten", "Permute", "RepeatVector", "Reshape", "UpSampling1D",
        "ZeroPadding1D",
    ),
    "same_shape": ("ActivityRegularization", "Identity", "Rescaling"),
    "time_distributed": ("TimeDistributed",),
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a layer that has not been needed before."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    layer = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = layer
    return layer


def __dir__() -> list[str]:
    """All layers, imported or not."""
    return sorted({*globals(), *__all__})
