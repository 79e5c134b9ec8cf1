"""Recurrent cells: what users subclass, the built-in ones, stacks and wrappers."""

# Layers run cells and cells are layers; loading the layers first makes either import order work.
import rnnpack.layers as _layers  # noqa: F401
from rnnpack.cells.base import AbstractRNNCell
from rnnpack.cells.dropout import DropoutRNNCellMixin
from rnnpack.cells.gru import GRUCell
from rnnpack.cells.lstm import LSTMCell
from rnnpack.cells.peephole_lstm import PeepholeLSTMCell
from rnnpack.cells.projected_lstm import ProjectedLSTMCell
from rnnpack.cells.simple_rnn import SimpleRNNCell
from rnnpack.cells.stacked import StackedRNNCells
from rnnpack.cells.wrappers import DeviceWrapper, DropoutWrapper, ResidualWrapper

__all__ = [
    "AbstractRNNCell",
    "DeviceWrapper",
    "DropoutRNNCellMixin",
    "DropoutWrapper",
    "GRUCell",
    "LSTMCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "ResidualWrapper",
    "SimpleRNNCell",
    "StackedRNNCells",
]
