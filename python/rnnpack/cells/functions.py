"""Functions inside configs: named ones by name, lambdas as bytecode, with Keras' keys."""

from __future__ import annotations

import base64
import inspect
import marshal
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

from rnnpack.registry import deserialize_keras_object, get_registered_name
from rnnpack.restoring import is_restoring

# From version 3 on, bytes depend on how often objects are referenced: equal code would give unequal configs.
_MARSHAL_VERSION = 2


def function_to_config(key: str, function: Callable[..., Any] | None) -> dict[str, Any]:
    """Return the entries `key`, `key_type` and `key_module` that stand for a function; none for None.

    Raises:
        ValueError: not a Python function, or a lambda that uses variables of an enclosing function.
    """
    if function is None:
        return {}
    if not inspect.isfunction(function):
        raise ValueError(f"{key} must be a function or a lambda to be stored in a config; got {function!r}.")
    stored: Any = get_registered_name(function)
    is_lambda = stored == "<lambda>"
    if is_lambda:
        if function.__closure__:
            names = function.__code__.co_freevars
            raise ValueError(
                f"{key} is a lambda that uses the outer variables {names}: use a named function."
            )
        code = base64.b64encode(marshal.dumps(function.__code__, _MARSHAL_VERSION)).decode("ascii")
        stored = [code, list(function.__defaults__ or ())]
    return {
        key: stored,
        f"{key}_type": "lambda" if is_lambda else "function",
        f"{key}_module": function.__module__,
    }


def function_from_config(key: str, config: dict[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
    """Take the entries of a function out of `config` and return the function, None if there are none.

    The bytecode of a lambda runs with the rights of this process, and only in the Python version that
    wrote it: load only configs you trust. Those in model files are not trusted.

    Raises:
        ValueError: an unknown name, bytecode that cannot be read, or bytecode in a model file.
    """
    stored, kind = config.pop(key, None), config.pop(f"{key}_type", "function")
    module = sys.modules.get(config.pop(f"{key}_module", None) or "")
    if kind != "lambda":
        return deserialize_keras_object(stored, None, custom_objects, "function in wrapper")
    if is_restoring():
        raise ValueError(
            f"{key} holds a lambda, and code in a model file is never run: give the function a name before "
            "saving, and pass it in `custom_objects`"
        )
    try:
        code = marshal.loads(base64.b64decode(stored[0]))
        defaults = tuple(stored[1] or ())
    except (ValueError, TypeError, EOFError, LookupError) as error:
        raise ValueError(f"{key} holds a lambda that this Python cannot read: {error}") from None
    if not isinstance(code, CodeType):
        raise ValueError(f"{key} holds {type(code).__name__} where the code of a lambda is expected.")
    names = {"__builtins__": __builtins__, **(vars(module) if module else {}), **(custom_objects or {})}
    return FunctionType(code, names, "<lambda>", defaults)
