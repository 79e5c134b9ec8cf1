"""Rows of numbers in and out of .npy, .npz, .parquet and .csv files, in chunks, and models run on them."""

from rnnpack.datafiles.columns import Chunk, Column, Rows
from rnnpack.datafiles.computing import Computation
from rnnpack.datafiles.opening import SUFFIXES, create_rows, open_rows
from rnnpack.datafiles.sink import RowSink, SinkState
from rnnpack.datafiles.source import RowSource

__all__ = [
    "SUFFIXES",
    "Chunk",
    "Column",
    "Computation",
    "RowSink",
    "RowSource",
    "Rows",
    "SinkState",
    "create_rows",
    "open_rows",
]
