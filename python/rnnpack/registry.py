"""Custom objects by name, and the `{"class_name", "config"}` form in which objects are stored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

_T = TypeVar("_T")

_custom_objects: dict[str, Any] = {}
_registered_names: dict[Any, str] = {}
_scoped: ContextVar[Mapping[str, Any] | None] = ContextVar("rnnpack_custom_objects", default=None)


def get_custom_objects() -> dict[str, Any]:
    """Return the global name-to-object dict; changing it changes what every thread can load."""
    return _custom_objects


class CustomObjectScope:
    """Context manager that makes names known to `deserialize_keras_object` in its block, in this thread only.

    Args:
        *args: dicts of name to class or function.
    """

    def __init__(self, *args: Mapping[str, Any]) -> None:
        self._objects = args
        self._token: Token[Mapping[str, Any] | None] | None = None

    def __enter__(self) -> CustomObjectScope:
        """Add the names to those of the enclosing scope."""
        merged = dict(_scoped.get() or {})
        for objects in self._objects:
            merged.update(objects)
        self._token = _scoped.set(merged)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the enclosing scope."""
        if self._token is not None:
            _scoped.reset(self._token)


custom_object_scope = CustomObjectScope


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[_T], _T]:
    """Return a decorator that registers a class or function as `"package>name"`.

    Args:
        package: prefix that keeps projects apart.
        name: default the object's `__name__`.

    Raises:
        ValueError: (from the decorator) the name is taken, the object has another name already, or a class
            has no `get_config`.
    """

    def decorate(target: _T) -> _T:
        registered = f"{package}>{name or target.__name__}"  # type: ignore[attr-defined]
        if inspect.isclass(target) and not hasattr(target, "get_config"):
            raise ValueError(f"Cannot register {target.__name__}: the class has no get_config() method.")
        if registered in _custom_objects:
            raise ValueError(f"{registered} is already registered to {_custom_objects[registered]}.")
        if target in _registered_names:
            raise ValueError(f"{target} is already registered as {_registered_names[target]}.")
        _custom_objects[registered] = target
        _registered_names[target] = registered
        return target

    return decorate


def get_registered_name(target: Any) -> str:
    """Return the registered name of a class or function, or its `__name__`."""
    return _registered_names.get(target) or str(target.__name__)


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Return the object known by `name`, or None.

    Looked up in this order: `custom_objects`, the current scopes, the global dict, `module_objects`.
    """
    for names in (custom_objects, _scoped.get(), _custom_objects, module_objects):
        if names and name in names:
            return names[name]
    return None


def serialize_keras_object(target: Any) -> Any:
    """Return the storable form of an object.

    Returns:
        None for None, `{"class_name": ..., "config": ...}` for an object with `get_config`, the (registered)
        name for a function or class.

    Raises:
        ValueError: none of these.
        NotImplementedError: from the object's `get_config`.
    """
    if target is None:
        return None
    if hasattr(target, "get_config") and not inspect.isclass(target):
        return {"class_name": get_registered_name(type(target)), "config": target.get_config()}
    if hasattr(target, "__name__"):
        return get_registered_name(target)
    raise ValueError(f"Cannot serialize {target!r}: it has neither get_config() nor a name.")


def deserialize_keras_object(
    identifier: Any,
    module_objects: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """Return the object that a stored form describes.

    Args:
        identifier: None, a name (a class is then made without arguments), a `{"class_name", "config"}` dict,
            or a function, which is returned.
        module_objects: built-in names.
        custom_objects: names that win over all others, also inside nested configs.
        printable_module_name: what to call the thing in messages, such as "layer".

    Raises:
        ValueError: `"Unknown <printable_module_name>: ..."`, or a form that is none of the above.
    """
    if identifier is None or inspect.isfunction(identifier):
        return identifier
    if isinstance(identifier, str):
        target = _lookup((identifier,), custom_objects, module_objects, printable_module_name)
        return target() if inspect.isclass(target) else target
    if not isinstance(identifier, dict):
        raise ValueError(f"Could not interpret serialized {printable_module_name}: {identifier!r}.")
    if "class_name" not in identifier or "config" not in identifier:
        raise ValueError(f"Improper config format, class_name and config are needed: {identifier!r}.")
    # Newer files carry the registered name beside a bare class name.
    names = (identifier.get("registered_name"), identifier["class_name"])
    target = _lookup(names, custom_objects, module_objects, printable_module_name)
    return _from_config(target, identifier["config"], custom_objects)


def interpret(identifier: Any, deserialize: Callable[[Any], Any], printable_module_name: str) -> Any:
    """Return what a constructor argument such as `kernel_initializer` means.

    Args:
        identifier: None (gives None), a name or dict for `deserialize`, a class (an instance is made), or a
            callable.
        deserialize: of the module that asks.
        printable_module_name: what to call the thing in messages.

    Raises:
        ValueError: unknown name, or something else.
    """
    if identifier is None:
        return None
    if isinstance(identifier, (str, dict)):
        return deserialize(identifier)
    if callable(identifier):
        return identifier() if inspect.isclass(identifier) else identifier
    raise ValueError(f"Could not interpret {printable_module_name} identifier: {identifier!r}.")


def _lookup(
    names: tuple[str | None, ...],
    custom_objects: Mapping[str, Any] | None,
    module_objects: Mapping[str, Any] | None,
    printable_module_name: str,
) -> Any:
    for name in names:
        target = None if name is None else get_registered_object(name, custom_objects, module_objects)
        if target is not None:
            return target
    raise ValueError(
        f"Unknown {printable_module_name}: {names[-1]}. Name it in a custom_object_scope or in the "
        "`custom_objects` argument, or register it with register_keras_serializable."
    )


def _from_config(target: Any, config: Any, custom_objects: Mapping[str, Any] | None) -> Any:
    config = dict(config)  # from_config may take entries out
    if not hasattr(target, "from_config"):
        return target(**config)
    if "custom_objects" in inspect.signature(target.from_config).parameters:
        known = {**(_scoped.get() or {}), **(custom_objects or {})}
        return target.from_config(config, custom_objects=known)
    with CustomObjectScope(custom_objects or {}):
        return target.from_config(config)
