"""Layers: what has weights and can be called on arrays."""

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
from rnnpack.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from rnnpack.layers.attention import AdditiveAttention, Attention
from rnnpack.layers.base import InputSpec, Layer
from rnnpack.layers.bidirectional import Bidirectional
from rnnpack.layers.conv1d import Conv1D, DepthwiseConv1D, SeparableConv1D
from rnnpack.layers.dense import Dense
from rnnpack.layers.dropout import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D
from rnnpack.layers.embedding import Embedding
from rnnpack.layers.masking import Masking
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
from rnnpack.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnpack.layers.reshaping import (
    Cropping1D,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling1D,
    ZeroPadding1D,
)
from rnnpack.layers.rnn import RNN
from rnnpack.layers.same_shape import ActivityRegularization, Identity, Rescaling
from rnnpack.layers.serialization import deserialize, serialize
from rnnpack.layers.stream import Stream
from rnnpack.layers.time_distributed import TimeDistributed
from rnnpack.symbolic import Input

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
