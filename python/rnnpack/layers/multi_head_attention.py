"""Multi-head attention: several attentions side by side on projections of the inputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import activations, initializers, symbolic
from rnnpack.layers.activation import very_small
from rnnpack.layers.attention import causal_mask
from rnnpack.layers.checks import size
from rnnpack.layers.dropout import Dropout
from rnnpack.layers.input_spec import as_shape
from rnnpack.layers.weight_options import OptionsLayer, as_floats, known_size, needs_floats, product
from rnnpack.variable import Variable

_OPTIONS = (
    "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer",
    "kernel_constraint", "bias_constraint",
)  # fmt: skip


class HeadProjection(OptionsLayer):
    """The last axes of the inputs times a kernel that turns them into other axes.

    Weights: `kernel` (input axes, output axes), `bias` (output axes).

    Args:
        summed: how many last axes are summed over.
        output_axes: sizes of the axes that take their place.
        use_bias: whether there is a bias.
        **kwargs: the options of `kernel` and `bias`, and those of `Layer`.
    """

    bias: Variable | None

    def __init__(self, summed: int, output_axes: Sequence[int], use_bias: bool, **kwargs: Any) -> None:
        """See the class."""
        options = {name: kwargs.pop(name) for name in _OPTIONS}
        super().__init__(**kwargs)
        self._set_options(**options)
        self.summed = summed
        self.output_axes = tuple(output_axes)
        self.use_bias = use_bias

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        sizes = [known_size(self, input_shape, axis) for axis in range(-self.summed, 0)]
        self.kernel = self._add("kernel", (*sizes, *self.output_axes))
        self.bias = self._add("bias", self.output_axes) if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        """One matrix product."""
        free, kernel = inputs.shape[: -self.summed], self.kernel.operand
        width = math.prod(kernel.shape[: self.summed])
        outputs = product(inputs.reshape(math.prod(free), width), kernel.reshape(width, -1))
        if self.bias is not None:
            outputs += self.bias.operand.reshape(-1)
        return outputs.reshape(*free, *self.output_axes)


class MultiHeadAttention(OptionsLayer):
    """Multi-head attention (Vaswani et al. 2017).

    Weights: kernel and bias of the projections of query, key and value, (features, heads, size) and (heads,
    size), then those of the output's, (heads, value_dim, features) and (features,).

    Args:
        num_heads: number of heads.
        key_dim: size of a head's queries and keys.
        value_dim: size of a head's values, default `key_dim`.
        dropout: part of the weights dropped in training.
        use_bias: whether the projections have biases.
        output_shape: size, or sizes, of the outputs' last axes; default that of the query.
        attention_axes: axes of the inputs over which is attended, counted with the batch; default all but the
            first and the last.
        kernel_initializer: of the kernels.
        bias_initializer: of the biases.
        kernel_regularizer: of the kernels.
        bias_regularizer: of the biases.
        activity_regularizer: of the outputs.
        kernel_constraint: of the kernels.
        bias_constraint: of the biases.
        **kwargs: those of `Layer`.

    Call:
        query: (batch, queries, features).
        value: (batch, values, features).
        key: (batch, values, features), default the value.
        attention_mask: bools that broadcast to (batch, queries, values), True where a query sees a value.
        return_attention_scores: whether to return the weights as well.
        training: whether weights are dropped.
        use_causal_mask: whether query `i` sees only the values up to `i`.
        mask: the query's mask, by default the one it carries.

    The masks that query, value and key carry, (batch, queries) or (batch, values), count as well; the
    outputs carry the query's.

    Returns from a call: (batch, queries, features), with `return_attention_scores` a tuple of it and the
    weights (batch, heads, queries, values).

    Raises:
        ValueError: a size that is not a positive integer; from a call, shapes that do not fit.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        super().__init__(**kwargs)
        needs_floats(self)
        self.num_heads = size("num_heads", num_heads)
        self.key_dim = size("key_dim", key_dim)
        self.value_dim = size("value_dim", value_dim) if value_dim else self.key_dim
        self.use_bias = use_bias
        self._output_shape = output_shape
        if attention_axes is not None:
            given = attention_axes if isinstance(attention_axes, (list, tuple)) else [attention_axes]
            attention_axes = tuple(size("attention_axes", axis) for axis in given)
        self.attention_axes: tuple[int, ...] | None = attention_axes
        self._set_options(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self._dropout_layer = Dropout(dropout, dtype=self.dtype_policy)
        self._shapes: tuple[Any, Any, Any] | None = None
        self.supports_masking = True

    def _build_from_signature(self, query: Any, value: Any, key: Any) -> None:
        """Creates the projections for inputs of these shapes."""
        if self._shapes is not None:
            return
        shapes = (as_shape(query), as_shape(value), as_shape(key))
        self.attention_axes = self._attended(len(shapes[0]))
        self.compute_output_shape(*shapes)
        outputs = self._output_axes(shapes[0])
        self._query_dense = self._projection("query", shapes[0], 1, (self.num_heads, self.key_dim))
        self._key_dense = self._projection("key", shapes[2], 1, (self.num_heads, self.key_dim))
        self._value_dense = self._projection("value", shapes[1], 1, (self.num_heads, self.value_dim))
        heads = (None, self.num_heads, self.value_dim)
        self._output_dense = self._projection("attention_output", heads, 2, outputs)
        self._shapes = shapes
        self.built = True

    def _projection(self, name: str, shape: Any, summed: int, output_axes: Sequence[int]) -> HeadProjection:
        options = {option: getattr(self, option) for option in _OPTIONS}
        for option in ("kernel_initializer", "bias_initializer"):
            # Their own, or seeded initializers would make all kernels alike where Keras does not.
            options[option] = initializers.get(initializers.serialize(options[option]))
        layer = HeadProjection(
            summed, output_axes, self.use_bias, name=name, dtype=self.dtype_policy, **options
        )
        layer.trainable = self.trainable
        layer.build(shape)
        return layer

    def _output_axes(self, query_shape: Any) -> tuple[int, ...]:
        if self._output_shape:
            given = self._output_shape
            axes = given if isinstance(given, (list, tuple)) else [given]
            return tuple(size("output_shape", one) for one in axes)
        return (known_size(self, query_shape),)

    def call(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
        mask: Any = None,
    ) -> Any:
        """See the class."""
        if value is None:
            raise ValueError(f'Layer "{self.name}" must be called with a query and a value')
        key = value if key is None else key
        masks = [mask, getattr(value, "_keras_mask", None), getattr(key, "_keras_mask", None)]
        query, value, key = (as_floats(self, self._prepare_inputs(array)) for array in (query, value, key))
        self._build_from_signature(query.shape, value.shape, key.shape)
        self.compute_output_shape(query.shape, value.shape, key.shape)
        seen = _seen(query, value, masks, attention_mask, use_causal_mask)
        result, weights = _attend(
            self._query_dense(query) * query.dtype.type(1 / math.sqrt(self.key_dim)),
            self._key_dense(key),
            self._value_dense(value),
            self._attended(query.ndim),
            seen,
            lambda weights: self._dropout_layer(weights, training=bool(training)),
        )
        result = self._output_dense(result)
        return (result, weights) if return_attention_scores else result

    def _attended(self, rank: int) -> tuple[int, ...]:
        """The axes over which is attended, for inputs of this rank."""
        axes = range(1, rank - 1) if self.attention_axes is None else self.attention_axes
        if rank < 3 or any(not 1 <= axis < rank - 1 for axis in axes) or len(set(axes)) < len(axes):
            raise ValueError(
                f'Layer "{self.name}" cannot attend over the axes {axes} of inputs of {rank} axes'
            )
        return tuple(axes)

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        """The query's shape with the output's last axes."""
        value_shape = query_shape if value_shape is None else value_shape
        query, value, key = map(as_shape, (query_shape, value_shape, key_shape or value_shape))
        attended = self._attended(len(query))
        same = [
            (a, b) for axis, (a, b) in enumerate(zip(query[:-1], value, strict=False)) if axis not in attended
        ]
        same += zip(value[:-1], key, strict=False)
        if len({len(query), len(value), len(key)}) > 1 or any(a != b for a, b in same if None not in (a, b)):
            raise ValueError(
                f'Layer "{self.name}" got a query, value and key that do not fit: {query}, {value}, {key}'
            )
        return (*query[:-1], *self._output_axes(query))

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result, and the weights where they are asked for; builds."""
        given = dict(zip(("value", "key", "attention_mask", "return_attention_scores"), args, strict=False))
        given.update(kwargs)
        if given.get("value") is None:
            raise ValueError(f'Layer "{self.name}" must be called with a query and a value')
        query, value = inputs.shape, given["value"].shape
        key = value if given.get("key") is None else given["key"].shape
        self._build_from_signature(query, value, key)
        shape = self.compute_output_shape(query, value, key)
        result = symbolic.SymbolicArray(shape, self.compute_dtype, self.name)
        if not given.get("return_attention_scores", False):
            return result
        axes = self._attended(len(query))
        others = [query[axis] for axis in range(len(query) - 1) if axis not in axes]
        weights = (*others, self.num_heads, *(query[axis] for axis in axes), *(value[axis] for axis in axes))
        return result, symbolic.SymbolicArray(weights, self.compute_dtype, self.name)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values, and the shapes of the inputs once they are known."""
        shapes = zip(("query_shape", "value_shape", "key_shape"), self._shapes or (None,) * 3, strict=True)
        names = ("num_heads", "key_dim", "value_dim", "use_bias", "attention_axes")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "dropout": self._dropout_layer.rate,
            "output_shape": self._output_shape,
            **dict(shapes),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MultiHeadAttention:
        """A new layer from what `get_config` returned; with new weights if the shapes are in it."""
        config = dict(config)
        shapes = [config.pop(name, None) for name in ("query_shape", "value_shape", "key_shape")]
        # Older files hold shapes as objects with "items".
        shapes = [shape.get("items") if isinstance(shape, dict) else shape for shape in shapes]
        layer = cls(**config)
        if None not in shapes:
            layer._build_from_signature(*shapes)
        return layer


def _seen(query: Any, value: Any, masks: Sequence[Any], attention_mask: Any, causal: bool) -> Any:
    """Where a query sees a value: bools that fit (batch, queries, values), or None for everywhere."""
    parts = [] if attention_mask is None else [np.asarray(attention_mask, np.bool_)]
    for name, mask, array, axis in zip(
        ("query", "value", "key"), masks, (query, value, value), (2, 1, 1), strict=True
    ):
        if mask is not None:
            if tuple(mask.shape) != array.shape[:2]:
                raise ValueError(f"`mask` of the {name} must have shape {array.shape[:2]}, got {mask.shape}")
            parts.append(np.expand_dims(np.asarray(mask, np.bool_), axis))
    if causal:
        parts.append(causal_mask(query.shape[1], value.shape[1])[np.newaxis])
    try:
        return functools.reduce(np.logical_and, parts) if parts else None
    except ValueError:
        shapes = [part.shape for part in parts]
        raise ValueError(f"`attention_mask` must fit (batch, queries, values), got masks {shapes}") from None


def _attend(
    query: NDArray[Any],
    key: NDArray[Any],
    value: NDArray[Any],
    axes: tuple[int, ...],
    seen: Any,
    dropout: Callable[[Any], Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Attention over some axes of arrays (batch, ..., heads, size); all other axes stay apart.

    Returns:
        The means of values in the query's shape, and the weights (others, heads, query axes, value axes).
    """
    rank, count = query.ndim, len(axes)
    others = [axis for axis in range(rank - 1) if axis not in axes]
    order = (*others, *axes, rank - 1)
    query, key, value = (array.transpose(order) for array in (query, key, value))
    apart, asking, asked = (
        query.shape[: len(others)],
        query.shape[-count - 1 : -1],
        key.shape[-count - 1 : -1],
    )

    def flat(array: NDArray[Any]) -> NDArray[Any]:
        return array.reshape(*apart, math.prod(array.shape[-count - 1 : -1]), array.shape[-1])

    scores = product(flat(query), flat(key).swapaxes(-1, -2)).reshape(*apart, *asking, *asked)
    if seen is not None:
        # Added, so that a query that sees nothing keeps finite weights, as in Keras.
        scores = scores + np.where(_fitted(seen, scores.shape, 2 * count), 0, very_small(scores.dtype))
    weights = activations.softmax(scores, axis=tuple(range(-count, 0)))
    used = dropout(weights).reshape(*apart, math.prod(asking), math.prod(asked))
    means = product(used, flat(value)).reshape(*apart, *asking, value.shape[-1])
    return means.transpose(np.argsort(order)), weights


def _fitted(seen: NDArray[Any], shape: tuple[int, ...], kept: int) -> NDArray[Any]:
    """Bools for the last `kept` axes, and maybe some leading ones, with the axes in between put in."""
    leading = max(seen.ndim - kept, 0)
    added = (1,) * (len(shape) - seen.ndim)
    try:
        return np.broadcast_to(seen.reshape(*seen.shape[:leading], *added, *seen.shape[leading:]), shape)
    except ValueError:
        raise ValueError(f"`attention_mask` must fit scores of shape {shape}, got {seen.shape}") from None
