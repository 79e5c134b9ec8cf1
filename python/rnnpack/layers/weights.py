"""The part of a layer that owns weights and sub-layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core, constraints, initializers, regularizers
from rnnpack.dtypes import Policy
from rnnpack.layers import context
from rnnpack.restoring import initial_value
from rnnpack.variable import Variable

_IGNORED = frozenset(
    [
        "use_resource",
        "synchronization",
        "aggregation",
        "collections",
        "experimental_autocast",
        "caching_device",
        "getter",
        "layout",
        "experimental_enable_variable_lifting",
    ]
)


def _unique(items: Iterator[Any]) -> list[Any]:
    """Items in order, each object once."""
    return list({id(item): item for item in items}.values())


def _find(value: Any, wanted: type | tuple[type, ...]) -> Iterator[Any]:
    """Objects of the wanted types in an attribute's value, also inside lists, tuples and dicts."""
    if isinstance(value, wanted):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _find(item, wanted)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _find(item, wanted)


class WeightOwner:
    """Creates weights, finds those of sub-layers, and reads and writes them as lists of arrays.

    Weights and sub-layers are found by looking through the attributes, in the order in which they were first
    set, so nothing has to be registered and attributes may be set before `__init__` runs.
    """

    name: str
    built: bool
    _policy: Policy
    # Attributes that are caches: never copied or pickled.
    _transient: ClassVar[frozenset[str]] = frozenset()
    # Attributes whose weights are not this layer's.
    _untracked: ClassVar[frozenset[str]] = frozenset()
    # Most programs never add a loss and are spared the search for losses to clear in every call.
    _losses_exist: ClassVar[bool] = False

    # Attributes that no prepared call depends on: what a call itself sets.
    _unwatched: ClassVar[frozenset[str]] = frozenset(
        {"_states", "_native_cache", "_plain_call", "_call_losses"}
    )

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets the attribute; prepared calls check themselves again."""
        super().__setattr__(name, value)
        if name not in self._unwatched:
            _core.touch()

    def __delattr__(self, name: str) -> None:
        """Deletes the attribute; prepared calls check themselves again."""
        super().__delattr__(name)
        _core.touch()

    def __init__(self, trainable: bool) -> None:
        """Starts without weights."""
        self._trainable = bool(trainable)
        self._own_weights: list[Variable] = []
        self._call_losses: list[Any] = []

    def add_weight(
        self,
        name: str | None = None,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = None,
        constraint: Any = None,
        **ignored: Any,
    ) -> Variable:
        """Creates a weight that belongs to this layer.

        Args:
            name: shown in messages and weight names.
            shape: of the weight; None means a scalar.
            dtype: default is the layer's variable dtype.
            initializer: name, config or callable; default glorot_uniform for floats, zeros for the rest.
            regularizer: name, config or callable; its value appears in `losses`.
            trainable: default True.
            constraint: name, config or callable, kept for optimizers.
            **ignored: TensorFlow's placement arguments, accepted without effect.

        Raises:
            TypeError: unknown keyword.
        """
        for key in ignored:
            if key not in _IGNORED:
                raise TypeError("Unknown keyword argument:", key)
        stored = np.dtype(self._policy.variable_dtype if dtype is None else dtype)
        if initializer is None:
            initializer = "glorot_uniform" if stored.kind == "f" else "zeros"
        dims = () if shape is None else tuple(int(size) for size in shape)
        autocast = stored.kind == "f" and stored == self._policy.variable_dtype
        full_name = f"{self.name}/{name}" if name else self.name
        variable = Variable(
            initial_value(initializers.get(initializer), dims, stored, full_name),
            name=full_name,
            dtype=stored,
            trainable=True if trainable is None else bool(trainable),
            constraint=constraints.get(constraint),
            regularizer=regularizers.get(regularizer),
            compute_dtype=self._policy.compute_dtype if autocast else None,
        )
        if variable.shape != dims:
            raise ValueError(
                f"The initializer of {variable.name} gave shape {variable.shape} instead of {dims}"
            )
        self._own_weights.append(variable)
        return variable

    def _attribute_values(self) -> Iterator[Any]:
        # Copied in one step: other threads may set an attribute for the first time, and garbage collection
        # lets them run even while a list of items is made.
        return (value for key, value in dict(vars(self)).items() if key not in self._untracked)

    def _sublayers(self) -> list[WeightOwner]:
        """Direct sub-layers, each once, in the order in which the attributes were set."""
        return _unique(found for value in self._attribute_values() for found in _find(value, WeightOwner))

    def _flatten_layers(self) -> list[WeightOwner]:
        """This layer and all below it, depth first, each once."""
        found: dict[int, WeightOwner] = {}
        # No inner function that names itself: it would keep the layers until the garbage collector runs.
        pending: list[WeightOwner] = [self]
        while pending:
            layer = pending.pop()
            if id(layer) not in found:
                found[id(layer)] = layer
                pending.extend(reversed(layer._sublayers()))
        return list(found.values())

    def _own(self, trainable: bool) -> Iterator[Variable]:
        """This layer's own variables with the given flag: those of add_weight, then other attributes."""
        attributes = (found for value in self._attribute_values() for found in _find(value, Variable))
        return (v for v in _unique(iter([*self._own_weights, *attributes])) if v.trainable == trainable)

    @property
    def trainable(self) -> bool:
        """Whether optimizers may change the weights; setting it sets all sub-layers too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._flatten_layers():
            layer._trainable = bool(value)

    @property
    def trainable_weights(self) -> list[Variable]:
        """Trainable variables of this layer, then of its sub-layers."""
        if not self.trainable:
            return []
        children = (v for layer in self._sublayers() for v in layer.trainable_weights)
        return _unique(iter([*self._own(True), *children]))

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """All other variables; all of them when the layer itself is frozen."""
        if self.trainable:
            children = [v for layer in self._sublayers() for v in layer.non_trainable_weights]
            return _unique(iter([*self._own(False), *children]))
        children = [v for layer in self._sublayers() for v in layer.weights]
        return _unique(iter([*self._own(True), *self._own(False), *children]))

    @property
    def weights(self) -> list[Variable]:
        """Trainable variables, then the others; each once."""
        return _unique(iter([*self.trainable_weights, *self.non_trainable_weights]))

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all weights, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces all weights; either all of them change or, with ValueError, none.

        They change one after the other: a call in another thread may meanwhile see some old, some new.

        Args:
            weights: arrays in the order and with the shapes of `weights`; cast to the weights' dtypes.
        """
        variables = self.weights
        if len(weights) != len(variables):
            raise ValueError(
                f'You called `set_weights(weights)` on layer "{self.name}" with a weight list of length '
                f"{len(weights)}, but the layer was expecting {len(variables)} weights."
            )
        # A throw-away Variable applies the rules of `assign` before anything is changed.
        checked = [
            Variable(value, name=variable.name, dtype=variable.dtype)
            for variable, value in zip(variables, weights, strict=True)
        ]
        for variable, new in zip(variables, checked, strict=True):
            if variable.shape != new.shape:
                raise ValueError(
                    f'Layer "{self.name}": weight shape {variable.shape} of {variable.name} is not '
                    f"compatible with provided weight shape {new.shape}."
                )
        for variable, new in zip(variables, checked, strict=True):
            variable.assign(new.value)

    def count_params(self) -> int:
        """Number of scalars in the weights; ValueError before the layer is built."""
        if not self.built:
            raise ValueError(f'count_params() was called on layer "{self.name}", but the layer is not built.')
        return sum(math.prod(variable.shape) for variable in self.weights)

    @property
    def losses(self) -> list[Any]:
        """Penalties, layer by layer: of the last call (activities, `add_loss`), then of weights."""
        found: list[Any] = []
        for layer in self._flatten_layers():
            found.extend(loss() if callable(loss) else loss for loss in layer._call_losses)
            found.extend(v.regularizer(v.value) for v in layer._own_weights if v.regularizer is not None)
        return found

    def add_loss(self, losses: Any) -> None:
        """Adds one penalty or a list (scalars, or callables without arguments), kept until the next call."""
        WeightOwner._losses_exist = True
        _core.touch()
        self._call_losses.extend(losses if isinstance(losses, (list, tuple)) else [losses])

    def _clear_losses(self) -> None:
        """Forgets the losses of the call before, unless this call is part of an enclosing one."""
        if not WeightOwner._losses_exist or context.depth():
            return
        for layer in self._flatten_layers():
            if layer._call_losses:
                layer._call_losses = []

    def _has_call_losses(self) -> bool:
        """Whether there are losses that the next call clears."""
        return WeightOwner._losses_exist and any(layer._call_losses for layer in self._flatten_layers())

    def _restorer(self) -> Callable[[], None]:
        """Remembers the attributes of this layer and all below it; the result puts them back."""
        saved = [(layer, dict(vars(layer)), list(layer._own_weights)) for layer in self._flatten_layers()]

        def restore() -> None:
            for layer, attributes, own_weights in saved:
                present = vars(layer)
                # In this order, so that no attribute is missing meanwhile.
                present.update(attributes, _own_weights=own_weights)
                for added in present.keys() - attributes.keys() - {"_lock"}:
                    del present[added]
            _core.touch()

        return restore
