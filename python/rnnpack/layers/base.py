"""The base class of everything that has weights and can be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rnnpack import backend, dtypes, regularizers, symbolic
from rnnpack.engine import nest
from rnnpack.layers import context, masked
from rnnpack.layers.building import all_or_nothing, build_cell, completing
from rnnpack.layers.input_spec import InputSpec, as_shape, check_inputs, map_shapes, shapes_of
from rnnpack.layers.recorded import states_restorer
from rnnpack.layers.weights import WeightOwner

__all__ = ["InputSpec", "Layer"]

_KEYWORDS = frozenset(
    [
        "input_dim",
        "input_shape",
        "batch_input_shape",
        "batch_size",
        "weights",
        "activity_regularizer",
        "autocast",
        "implementation",
    ]
)


class CallSignature(NamedTuple):
    """What a `call` method takes: named parameters, whether any keyword, the default of `training`."""

    parameters: tuple[str, ...]
    any_keyword: bool
    training_default: Any

    def names(self, parameter: str) -> bool:
        """Whether the parameter is named; a bare `**kwargs` does not count."""
        return parameter in self.parameters


@lru_cache(maxsize=1024)
def _signature_of(function: Callable[..., Any], skipped: int) -> CallSignature:
    parameters = list(inspect.signature(function).parameters.values())
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    any_keyword = any(p.kind is p.VAR_KEYWORD for p in parameters)
    defaults = {p.name: p.default for p in named if p.default is not p.empty}
    return CallSignature(tuple(p.name for p in named[skipped:]), any_keyword, defaults.get("training"))


def call_signature(call: Callable[..., Any]) -> CallSignature:
    """The signature of a (bound) `call` method, inputs left out; looked up once per function."""
    function = getattr(call, "__func__", None)
    return _signature_of(call, 1) if function is None else _signature_of(function, 2)


def to_array(value: Any, compute_dtype: np.dtype[Any] | None) -> Any:
    """Turns array-likes and numbers into arrays, floats into `compute_dtype`; leaves other objects alone."""
    if not (hasattr(value, "__array__") or isinstance(value, (bool, int, float))):
        return value
    value = np.asarray(value)
    if compute_dtype is not None and value.dtype.kind == "f" and value.dtype != compute_dtype:
        return value.astype(compute_dtype)
    return value


class Layer(WeightOwner):
    """A callable with weights, in the manner of `tf.keras.layers.Layer`.

    Subclasses create weights in `build(input_shape)` (or anywhere else, with `add_weight`) and compute in
    `call(inputs, ...)`. Calling the layer builds it on first use, casts float inputs to `compute_dtype`,
    checks `input_spec`, resolves `training` and carries masks along.

    Args:
        trainable: whether the weights count as trainable.
        name: default is the snake-case class name, made unique.
        dtype: dtype name, NumPy dtype or policy; default `backend.floatx()`.
        dynamic: accepted, without effect.
        **kwargs: `input_shape`, `batch_input_shape`, `batch_size`, `input_dim` (announce the input),
            `weights` (applied once after the first build), `activity_regularizer`, `autocast` (False leaves
            float inputs as they are), `implementation` (accepted for old configs).

    Raises:
        TypeError: any other keyword.
    """

    _transient = frozenset({"_native_cache", "_plain_call", "_lock"})
    input_spec: Any
    _native_cache: Any = None
    # Whether a call has succeeded; `built` alone may still be taken back.
    _ready = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Completes the class's own `build`."""
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = completing(cls.build)  # type: ignore[method-assign]

    def __init__(
        self,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
        dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        for key in kwargs:
            if key not in _KEYWORDS:
                raise TypeError("Keyword argument not understood:", key)
        super().__init__(trainable)
        self.name = (
            context.unique_name(context.snake_case(type(self).__name__)) if name is None else str(name)
        )
        self._policy = dtypes.resolve(dtype)
        self.built = False
        self.stateful = False
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self._set_input_spec(None)
        self.autocast = bool(kwargs.get("autocast", True))
        self.activity_regularizer = regularizers.get(kwargs.get("activity_regularizer"))
        self._initial_weights = kwargs.get("weights")
        self._announce_input(kwargs)

    def _set_input_spec(self, spec: Any) -> None:
        """Sets the spec unless a subclass computes it."""
        if not isinstance(getattr(type(self), "input_spec", None), property):
            self.input_spec = spec

    def _announce_input(self, kwargs: dict[str, Any]) -> None:
        if "input_dim" in kwargs and "input_shape" not in kwargs:
            kwargs = {**kwargs, "input_shape": (kwargs["input_dim"],)}
        if "batch_input_shape" in kwargs:
            self._batch_input_shape = as_shape(kwargs["batch_input_shape"])
        elif "input_shape" in kwargs:
            self._batch_input_shape = (kwargs.get("batch_size"), *as_shape(kwargs["input_shape"]))

    # Dtypes.

    @property
    def dtype(self) -> str:
        """Name of the dtype of the weights."""
        return self._policy.variable_dtype.name

    @property
    def variable_dtype(self) -> str:
        """The same as `dtype`."""
        return self._policy.variable_dtype.name

    @property
    def compute_dtype(self) -> str:
        """Name of the dtype computations run in."""
        return self._policy.compute_dtype.name

    @property
    def dtype_policy(self) -> dtypes.Policy:
        """Both dtypes as NumPy dtypes."""
        return self._policy

    # What subclasses override.

    @completing
    def build(self, input_shape: Any) -> None:
        """Creates the weights; `input_shape` is a tuple (None where unknown) or a nest of tuples."""

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs; the default returns the inputs."""
        return inputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs; the default passes the inputs' mask on if `supports_masking`.

        Raises:
            TypeError: there is a mask but the layer does not support masking.
        """
        if not self.supports_masking and any(one is not None for one in nest.flatten(mask)):
            raise TypeError(f"Layer {self.name} does not support masking, but was passed an input_mask")
        return mask if self.supports_masking else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shapes of the outputs for inputs of these shapes; the default raises NotImplementedError."""
        raise NotImplementedError(f"{type(self).__name__} has no compute_output_shape()")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values; subclasses with arguments of their own extend it.

        Raises:
            NotImplementedError: the class takes arguments this method does not know of.
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if hasattr(self, "_batch_input_shape"):
            config["batch_input_shape"] = self._batch_input_shape
        config["dtype"] = self._policy.serialize()
        parameters = inspect.signature(type(self).__init__).parameters.values()
        named = {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        extra = sorted(named - {"self", "name", "trainable", "dtype", "dynamic"})
        if extra and type(self).get_config is Layer.get_config:
            raise NotImplementedError(
                f"{type(self).__name__} takes the arguments {extra} in `__init__` and therefore "
                "must override `get_config()`."
            )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer from what `get_config` returned; without weights."""
        return cls(**config)

    # Calling.

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Builds on first use, prepares inputs, mask and training mode, and runs `call`.

        Args:
            inputs: array or nest of arrays; symbolic arrays give symbolic results.
            *args: passed to `call`.
            **kwargs: passed to `call`; `training` and `mask` are filled in where `call` names them.

        Raises:
            ValueError: the inputs do not fit `input_spec`.
            TypeError: `call` does not take one of the keywords.
        """
        signature = call_signature(self.call)
        for name in kwargs:
            if not (name == "training" or signature.any_keyword or signature.names(name)):
                raise TypeError(f"{type(self).__name__}.call() got an unexpected keyword argument {name!r}")
        if symbolic.any_symbolic((inputs, args, kwargs)):
            with all_or_nothing(self):
                return symbolic.call_layer(self, inputs, args, kwargs)
        mask = self._fill_mask(signature, inputs, args, kwargs)
        training = self._fill_training(signature, args, kwargs)
        inputs = self._prepare_inputs(inputs)
        self._clear_losses()
        with context.call_scope(training):
            check_inputs(self.input_spec, inputs, self.name)
            outputs = (self.call if self._ready else self._first_call)(inputs, *args, **kwargs)
            if self.activity_regularizer is not None:
                self._add_activity_loss(outputs)
        if not self.supports_masking or getattr(outputs, "_keras_mask", None) is not None:
            return outputs
        return masked.attach(outputs, self.compute_mask(inputs, mask))

    def _first_call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Builds where needed and runs `call`; if either fails the layer stays as it was."""
        with all_or_nothing(self):
            if not self._ready:
                build_cell(self, shapes_of(inputs))
                outputs = self.call(inputs, *args, **kwargs)
                # Last, as from now on other threads call without the lock.
                self._ready = True
                return outputs
        # Another thread was first; its inputs have fixed what is accepted.
        check_inputs(self.input_spec, inputs, self.name)
        return self.call(inputs, *args, **kwargs)

    def _prepare_inputs(self, inputs: Any) -> Any:
        """Array-likes as arrays, floats in the compute dtype (unless `autocast` is off)."""
        target = (
            self._policy.compute_dtype if self.autocast and self._policy.compute_dtype.kind == "f" else None
        )
        return nest.map_structure(lambda value: to_array(value, target), inputs)

    def _fill_mask(self, signature: CallSignature, inputs: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """The mask of this call: the one passed (None counts), else the one the inputs carry (passed on)."""
        if "mask" in signature.parameters[: len(args)]:
            return args[signature.parameters.index("mask")]
        if "mask" in kwargs:
            return kwargs["mask"]
        if not (self.supports_masking or signature.names("mask")):
            return None
        mask = masked.masks_of(inputs)
        if mask is not None and signature.names("mask"):
            kwargs["mask"] = mask
        return mask

    def _fill_training(self, signature: CallSignature, args: Any, kwargs: dict[str, Any]) -> bool:
        """The training mode of this call; passed on if `call` names it and it was not given by position."""
        expects = signature.names("training")
        if "training" in signature.parameters[: len(args)]:
            explicit = args[signature.parameters.index("training")]
            return context.resolve_training(explicit, signature.training_default, backend.learning_phase())
        explicit = kwargs.get("training")
        training = context.resolve_training(explicit, signature.training_default, backend.learning_phase())
        if expects:
            kwargs["training"] = training
        else:
            kwargs.pop("training", None)
        return training

    def _prepare_symbolic(self, inputs: Any, arguments: dict[str, Any]) -> None:
        """Checks the inputs of a symbolic call and builds."""
        check_inputs(self.input_spec, inputs, self.name)
        build_cell(self, shapes_of(inputs))

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Symbolic arrays in the structure in which `call` returns outputs."""
        if type(self).compute_output_shape is Layer.compute_output_shape:
            restore = states_restorer(self._flatten_layers())
            try:
                return symbolic.trial_outputs(self, inputs, args, kwargs)
            finally:
                restore()
        shapes = self.compute_output_shape(shapes_of(inputs))
        return map_shapes(lambda shape: symbolic.SymbolicArray(shape, self.compute_dtype, self.name), shapes)

    def _add_activity_loss(self, outputs: Any) -> None:
        """Adds the regularizer's value divided by the batch size, for each output."""
        for output in nest.flatten(outputs):
            self.add_loss(self.activity_regularizer(output) / max(len(output), 1))

    def __getstate__(self) -> dict[str, Any]:
        """Attributes without caches: copies and pickles pack their own weights."""
        attributes = dict(vars(self))  # in one step: a call in another thread may set one
        return {key: value for key, value in attributes.items() if key not in self._transient}

    def __repr__(self) -> str:
        """Class and name."""
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"
