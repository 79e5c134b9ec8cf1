"""The values in a configuration: what JSON cannot say, and how deep it may go."""

from __future__ import annotations

from typing import Any

from rnnpack.formats.errors import FormatError

# A model inside a model inside a model takes about ten levels each.
_DEPTH = 100


def plain(value: Any, depth: int = 0) -> Any:
    """Copies a configuration with the wrappers of Keras 2.13 and later resolved into plain Python values.

    Raises:
        FormatError: code (a lambda) instead of data, or nested too deeply.
    """
    if depth > _DEPTH:
        raise FormatError(f"the configuration is nested more than {_DEPTH} levels deep")
    if isinstance(value, (list, tuple)):
        items = [plain(item, depth + 1) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name")
    if kind == "__tuple__":
        return tuple(plain(item, depth + 1) for item in _part(value, "items", list))
    if kind == "__lambda__":
        raise FormatError(
            "the configuration has a Lambda function: code in files is not run; save the model without"
        )
    if kind == "__numpy__" or kind == "__tensor__":
        return plain(_part(_part(value, "config", dict), "value", None), depth + 1)
    if kind == "__slice__":
        bounds = _part(value, "config", dict)
        return slice(*(plain(bounds.get(key), depth + 1) for key in ("start", "stop", "step")))
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "function" and isinstance(value.get("config"), str):
        return value["config"]
    return {str(key): plain(item, depth + 1) for key, item in value.items()}


def is_object(value: Any) -> bool:
    """Whether this is `{"class_name": ..., "config": ...}`."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def _part(value: dict[str, Any], key: str, kind: Any) -> Any:
    if key not in value or (kind is not None and not isinstance(value[key], kind)):
        raise FormatError(f"the configuration has a {value['class_name']} without {key!r}")
    return value[key]
