"""State dicts: finding the recurrent modules among named arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rnnpack.formats.arrays import some
from rnnpack.formats.errors import FormatError
from rnnpack.formats.pytorch import recurrent

# Names in checkpoints, dicts of dicts, are joined; longer ones are passed over.
_LONGEST = 1000


def load_state_dict(
    state_dict: Mapping[str, Any],
    prefix: str | None,
    options: recurrent.Options,
    where: str = "",
    initial_state: bool = False,
) -> Any:
    """The layer, model or cell of the one recurrent module in a state dict.

    Args:
        state_dict: names to arrays or tensors, or a checkpoint: a dict that holds such dicts. What belongs to
            no recurrent module is passed over.
        prefix: what the names of the module's arrays begin with, with or without the last dot; None if there
            is only one module.
        options: what the arrays do not tell.
        where: file or argument, for messages.
        initial_state: whether a Model has initial states as inputs.

    Raises:
        FormatError: no recurrent module, several and no prefix, none with this prefix, or it is damaged.
    """
    modules = _modules(state_dict)
    if not modules:
        raise FormatError(
            f"{where}no weights of a recurrent module (weight_ih_l0, ...) among the {len(state_dict)} "
            f"entries {some(name for name, _ in leaves(state_dict))}"
        )
    known = some(map(repr, modules))
    if prefix is None:
        if len(modules) > 1:
            raise FormatError(f"{where}several recurrent modules: pass `prefix`, one of {known}")
        (prefix,) = modules
    elif prefix not in modules:
        if f"{prefix}." not in modules:
            raise FormatError(
                f"{where}no recurrent module has the prefix {prefix!r}: expected one of {known}"
            )
        prefix = f"{prefix}."
    arrays = modules[prefix]
    if all(recurrent.NAME.fullmatch(name)[2] is None for name in arrays):  # type: ignore[index]
        return recurrent.cell_of(arrays, where + prefix, options)
    return recurrent.chain_of(arrays, where + prefix, options).as_model(initial_state)


def _modules(state_dict: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each prefix the arrays with names of recurrent modules."""
    modules: dict[str, dict[str, Any]] = {}
    for key, value in leaves(state_dict):
        start = key.rfind(".") + 1
        if recurrent.NAME.fullmatch(key[start:]):
            modules.setdefault(key[:start], {})[key[start:]] = value
    return modules


def leaves(values: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values; those of inner dicts, each of which is looked at once, with a prefix."""
    pending: list[tuple[str, Mapping[Any, Any]]] = [("", values)]
    seen = {id(values)}
    for prefix, mapping in pending:
        for key, value in mapping.items():
            if not isinstance(key, str) or len(prefix) + len(key) > _LONGEST:
                continue
            if not isinstance(value, Mapping):
                yield prefix + key, value
            elif id(value) not in seen:
                seen.add(id(value))
                pending.append((f"{prefix}{key}.", value))
