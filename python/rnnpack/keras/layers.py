"""`keras.layers`, with the functions that merge inputs and the older names of layers."""

from typing import Any

from rnnpack import layers

_OLDER = {
    "AvgPool1D": "AveragePooling1D",
    "Convolution1D": "Conv1D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "MaxPool1D": "MaxPooling1D",
    "SeparableConvolution1D": "SeparableConv1D",
}
_FUNCTIONS = ("add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract")

__all__ = [*layers.__all__, *_OLDER, *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    """Finds layers as `rnnpack.layers` does: some are imported when they are first asked for."""
    if name in _FUNCTIONS:
        from rnnpack.layers import merging

        return getattr(merging, name)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(layers, _OLDER.get(name, name))


def __dir__() -> list[str]:
    """All layers and functions, imported or not."""
    return sorted(__all__)
