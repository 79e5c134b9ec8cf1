"""Arguments of layers that may be left out: they change nothing, or not at the value that is stored."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError

ANY: Any = object()
"""For arguments that change nothing when a trained model runs, whatever their value."""


def without(class_name: str, config: dict[str, Any], harmless: dict[str, Any]) -> dict[str, Any]:
    """The configuration without arguments that change nothing.

    Args:
        class_name: for messages.
        config: of a layer.
        harmless: for each such argument the values at which it changes nothing, or ANY.

    Raises:
        FormatError: one of them has another value.
    """
    for key, values in harmless.items():
        if key in config and values is not ANY and config[key] not in values:
            raise FormatError(f"{class_name}: the option {key}={config[key]!r} is not supported")
    return {key: value for key, value in config.items() if key not in harmless}
