"""Attention: means of values, weighted by how well their keys go with a query."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import activations, random, symbolic
from rnnpack.layers.activation import very_small
from rnnpack.layers.base import Layer
from rnnpack.layers.checks import number, one_of
from rnnpack.layers.dropout import dropped
from rnnpack.layers.input_spec import is_one_shape
from rnnpack.layers.weight_options import as_floats, known_size, needs_floats, product
from rnnpack.variable import Variable


class BaseDenseAttention(Layer):
    """What the attention layers share.

    Args:
        dropout: part of the weights dropped in training, in [0, 1].
        **kwargs: `causal` (as `use_causal_mask` in every call), and those of `Layer`.

    Call:
        inputs: list `[query (batch, queries, features), value (batch, values, size), key (batch, values,
            features)]`; the value also serves as key where that is left out.
        mask: list `[query mask (batch, queries), value mask (batch, values)]` of masks and Nones. Masked
            values get weight 0; the outputs of masked queries are 0, and the outputs carry the query mask.
        training: whether weights are dropped.
        return_attention_scores: whether to return the weights as well.
        use_causal_mask: whether query `i` sees only the values up to `i`.

    Returns from a call: (batch, queries, size), with `return_attention_scores` a tuple of it and the weights
    (batch, queries, values).

    Raises:
        ValueError: `dropout` outside of [0, 1]; from a call, no such list or shapes that do not fit.
    """

    def __init__(self, dropout: float = 0.0, **kwargs: Any) -> None:
        """See the class."""
        self.causal = bool(kwargs.pop("causal", False))
        super().__init__(**kwargs)
        needs_floats(self)
        self.dropout = number("dropout", dropout, 0, 1)
        self.supports_masking = True

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """See the class."""
        query, value, *rest = (as_floats(self, array) for array in self._checked(inputs))
        key = rest[0] if rest else value
        self.compute_output_shape([query.shape, value.shape, key.shape])
        query_mask, value_mask = self._masks(inputs, mask)
        scores = self._scores(query, key)
        allowed = None if value_mask is None else value_mask[:, np.newaxis]
        if self.causal or use_causal_mask:
            causal = causal_mask(*scores.shape[-2:])
            allowed = causal if allowed is None else allowed & causal
        if allowed is not None:
            # Added, so that a query without any value keeps finite weights, as in Keras.
            lowest = scores.dtype.type(-65504) if scores.dtype == np.float16 else very_small(scores.dtype)
            scores = scores + np.where(allowed, scores.dtype.type(0), lowest)
        weights = activations.softmax(scores)
        if training and self.dropout > 0:
            weights = dropped(random.generator(), weights, self.dropout)
        result = product(weights, value)
        if query_mask is not None:
            result = np.where(query_mask[..., np.newaxis], result, result.dtype.type(0))
        return (result, weights) if return_attention_scores else result

    @abstractmethod
    def _scores(self, query: NDArray[Any], key: NDArray[Any]) -> NDArray[Any]:
        """How well keys go with queries: (batch, queries, values)."""
        ...

    def _checked(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(
                f'Layer "{self.name}" must be called on a list [query, value] or [query, value, key], got '
                + (f"{len(inputs)} inputs" if isinstance(inputs, (list, tuple)) else type(inputs).__name__)
            )
        return inputs

    def _masks(self, inputs: Any, mask: Any) -> list[Any]:
        """The masks of query and value as bools, or None."""
        if mask is None:
            return [None, None]
        if not isinstance(mask, (list, tuple)) or not 2 <= len(mask) <= len(inputs):
            raise ValueError(f"`mask` must be a list [query mask, value mask], got {type(mask).__name__}")
        found = []
        for name, array, one in zip(("query", "value"), inputs, mask, strict=False):
            if one is not None and tuple(one.shape) != tuple(array.shape[:2]):
                raise ValueError(f"`mask` of the {name} must have shape {array.shape[:2]}, got {one.shape}")
            found.append(None if one is None else np.asarray(one, np.bool_))
        return found

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The query's mask."""
        self._checked(inputs)
        return None if mask is None else mask[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, queries, size of a value)."""
        shapes = [] if is_one_shape(input_shape) else [tuple(shape) for shape in input_shape]
        if len(shapes) not in (2, 3) or any(len(shape) != 3 for shape in shapes):
            raise ValueError(
                f'Layer "{self.name}" needs [query, value] or [query, value, key] of 3 axes each, '
                f"got shapes {input_shape}"
            )
        query, value, key = (*shapes, shapes[1])[:3]
        pairs = [*((shape[0], query[0]) for shape in (value, key)), (query[2], key[2]), (value[1], key[1])]
        if any(a != b for a, b in pairs if None not in (a, b)):
            raise ValueError(
                f'Layer "{self.name}" got a query, value and key that do not fit: {query}, {value}, {key}'
            )
        return (*query[:2], value[2])

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result, and the weights where they are asked for."""
        result = super()._symbolic_outputs(inputs, args, kwargs)
        asked = args[2] if len(args) > 2 else kwargs.get("return_attention_scores", False)
        if not asked:
            return result
        shape = (*inputs[0].shape[:2], inputs[1].shape[1])
        return result, symbolic.SymbolicArray(shape, self.compute_dtype, self.name)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        causal = {"causal": True} if self.causal else {}
        return {**super().get_config(), "dropout": self.dropout, **causal}


class Attention(BaseDenseAttention):
    """Dot-product attention (Luong et al. 2015).

    Weights: `scale` () with `use_scale`, `concat_score_weight` () with `score_mode="concat"`.

    Args:
        use_scale: whether scores are multiplied by a learned number.
        score_mode: "dot", products of query and key, or "concat", sums of `tanh(query + key)`.
        **kwargs: `dropout`, and those of `Layer`.

    For calls see `BaseDenseAttention`.

    Raises:
        ValueError: another `score_mode`.
    """

    scale: Variable | None
    concat_score_weight: Variable | None

    def __init__(self, use_scale: bool = False, score_mode: str = "dot", **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.use_scale = use_scale
        self.score_mode = one_of("score_mode", score_mode, ("dot", "concat"))

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        self.compute_output_shape(input_shape)
        self.scale = self.add_weight("scale", (), initializer="ones") if self.use_scale else None
        self.concat_score_weight = (
            self.add_weight("concat_score_weight", (), initializer="ones")
            if self.score_mode == "concat"
            else None
        )

    def _scores(self, query: NDArray[Any], key: NDArray[Any]) -> NDArray[Any]:
        if self.concat_score_weight is not None:
            scale = 1 if self.scale is None else self.scale.operand
            sums = scale * (query[:, :, np.newaxis] + key[:, np.newaxis])
            return np.asarray(self.concat_score_weight.operand * np.tanh(sums).sum(axis=-1))
        scores = product(query, key.swapaxes(1, 2))
        return scores if self.scale is None else np.asarray(scores * self.scale.operand)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "use_scale": self.use_scale, "score_mode": self.score_mode}


class AdditiveAttention(BaseDenseAttention):
    """Additive attention (Bahdanau et al. 2015): scores are sums of `scale * tanh(query + key)`.

    Weights: `scale` (features,) with `use_scale`.

    Args:
        use_scale: whether there is a learned factor for each feature.
        **kwargs: `dropout`, and those of `Layer`.

    For calls see `BaseDenseAttention`.
    """

    scale: Variable | None

    def __init__(self, use_scale: bool = True, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(**kwargs)
        self.use_scale = use_scale

    def build(self, input_shape: Any) -> None:
        """Creates the weight."""
        self.compute_output_shape(input_shape)
        self.scale = None
        if self.use_scale:
            self.scale = self.add_weight("scale", (known_size(self, input_shape[-1]),))

    def _scores(self, query: NDArray[Any], key: NDArray[Any]) -> NDArray[Any]:
        sums = np.tanh(query[:, :, np.newaxis] + key[:, np.newaxis])
        return np.asarray(sums.sum(axis=-1)) if self.scale is None else sums @ self.scale.operand

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""
        return {**super().get_config(), "use_scale": self.use_scale}


def causal_mask(queries: int, values: int) -> NDArray[np.bool_]:
    """True where the value comes no later than the query: (queries, values)."""
    return np.tril(np.ones((queries, values), np.bool_))
