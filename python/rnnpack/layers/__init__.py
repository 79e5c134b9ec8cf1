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
from rnnpack.layers.base import InputSpec, Layer
from rnnpack.layers.bidirectional import Bidirectional
from rnnpack.layers.masking import Masking
from rnnpack.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnpack.layers.rnn import RNN
from rnnpack.layers.serialization import deserialize, serialize
from rnnpack.layers.stream import Stream
from rnnpack.symbolic import Input

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AbstractRNNCell",
    "Bidirectional",
    "DeviceWrapper",
    "DropoutRNNCellMixin",
    "DropoutWrapper",
    "GRUCell",
    "Input",
    "InputSpec",
    "LSTMCell",
    "Layer",
    "Masking",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "ResidualWrapper",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "Stream",
    "deserialize",
    "serialize",
]
