"""`keras.layers`, with the functions that merge inputs and the older names of layers."""

from rnnpack.layers import *  # noqa: F403
from rnnpack.layers import (
    AveragePooling1D,
    Conv1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
    SeparableConv1D,
)
from rnnpack.layers.merging import (  # noqa: F401
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)

Convolution1D = Conv1D
SeparableConvolution1D = SeparableConv1D
MaxPool1D = MaxPooling1D
AvgPool1D = AveragePooling1D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalAvgPool1D = GlobalAveragePooling1D
