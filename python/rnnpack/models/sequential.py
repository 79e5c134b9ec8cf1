"""Sequential: layers in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from rnnpack.engine import nest
from rnnpack.layers.base import Layer
from rnnpack.layers.building import all_or_nothing
from rnnpack.layers.input_spec import as_shape, is_one_shape
from rnnpack.models import configs
from rnnpack.models.graph import Graph, graph_of
from rnnpack.models.model import Model
from rnnpack.symbolic import Input, SymbolicArray

Named = Callable[[Layer], AbstractContextManager[None]]


def _unnamed(layer: Layer) -> AbstractContextManager[None]:
    return nullcontext()


class Sequential(Model):
    """A model whose layers are called one after the other, each on the output of the one before.

    Its input is given by an `Input` as the first item, by `input_shape` or `batch_input_shape` of the first
    layer, by `build`, or by the arrays of the first call; sizes that later calls show to differ are unknown
    from then on.

    Args:
        layers: layers, models, and an `Input` if it comes first.
        name: default "sequential", made unique.

    Raises:
        ValueError, TypeError: as from `add`.
    """

    def __init__(self, layers: Any = None, name: str | None = None) -> None:
        """See the class."""
        Layer.__init__(self, name=name, autocast=False)
        self.supports_masking = False
        self._graph: Graph | None = None
        self.layers: list[Layer] = []
        # Whether the input was given, or seen in a call and may turn out to be more general.
        self._inferred = False
        self._add_all([] if layers is None else layers)

    def add(self, layer: Any) -> None:
        """Adds a layer at the end, or the `Input` of an empty model.

        Raises:
            TypeError: not a layer.
            ValueError: an `Input` that does not come first, a name that is used already, or a layer that
                does not fit or has several outputs. The model is as before then.
        """
        self._add_all([layer])

    def _add_all(self, added: Iterable[Any], named: Named = _unnamed) -> None:
        """Adds layers; `named(layer)` surrounds what can fail because of one."""
        layers = list(added)
        with all_or_nothing(self), ExitStack() as kept:
            if layers and isinstance(layers[0], SymbolicArray) and layers[0].node is None:
                if self.layers or self._graph is not None:
                    raise ValueError("An Input must be the first that is added to a Sequential model")
                self._graph = graph_of(layers[0], layers[0])
                del layers[0]
            names = {layer.name for layer in self.layers}
            for layer in layers:
                _check(layer, names)
                kept.enter_context(all_or_nothing(layer))
            if self._graph is None and not self.layers and layers:
                start = self._own_input(layers[0])
                self._graph = None if start is None else graph_of(start, start)
            if self._graph is not None and layers:
                self._graph = _extended(self._graph, layers, named)
            self.layers = [*self.layers, *layers]
            self.built = self._graph is not None and bool(self.layers)

    def pop(self) -> None:
        """Takes away the last layer.

        Raises:
            TypeError: there is none.
        """
        if not self.layers:
            raise TypeError("There are no layers in the model")
        self.layers = self.layers[:-1]
        if self._graph is None:
            return
        start = self._graph.inputs
        if self.layers or not self._inferred:
            self._set_graph(start)
        else:
            self._graph, self._inferred, self.built = None, False, False

    @staticmethod
    def _own_input(layer: Layer) -> SymbolicArray | None:
        """The input that a first layer announces."""
        if isinstance(layer, Model):
            if layer._graph is None or nest.is_nested(layer._graph.inputs):
                return None
            symbol = layer._graph.inputs
            return Input(batch_shape=symbol.shape, dtype=symbol.dtype, name=f"{layer.name}_input")
        if not hasattr(layer, "_batch_input_shape"):
            return None
        return Input(batch_shape=layer._batch_input_shape, dtype=layer.dtype, name=f"{layer.name}_input")

    def _set_graph(self, start: SymbolicArray) -> None:
        self._graph = _extended(graph_of(start, start), self.layers, _unnamed)
        self.built = bool(self.layers)

    def build(self, input_shape: Any) -> None:
        """Builds all layers.

        Args:
            input_shape: of the input, batch included; None if the model knows it.

        Raises:
            ValueError: no shape, or one that does not fit the layers. The model is as before then.
        """
        if self._graph is None and input_shape is not None:
            if not is_one_shape(input_shape):
                raise ValueError(
                    f"`input_shape` of a Sequential model must be one shape, got {input_shape!r}"
                )
            self._infer(as_shape(input_shape))
        self._built_graph()

    def _infer(self, shape: tuple[int | None, ...]) -> None:
        """Makes the graph for inputs of this shape."""
        if not self.layers:
            raise ValueError(f'Sequential model "{self.name}" has no layers')
        first = self.layers[0]
        with all_or_nothing(self):
            self._inferred = True  # before other threads see the graph
            self._set_graph(Input(batch_shape=shape, dtype=first.dtype, name=f"{first.name}_input"))

    def _make_familiar(self, shape: tuple[int | None, ...]) -> None:
        """Makes the graph for an input shape where it does not fit; for the thread that holds the lock.

        Another thread may have made it since the caller looked, and what fits its calls must go on to fit.
        """
        wanted = self._unfamiliar(shape)
        if wanted is not None:
            self._infer(wanted)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs the model, and builds it first where that has not happened.

        Raises:
            ValueError: the inputs do not fit the layers. The model is as before then.
        """
        given = inputs[0] if isinstance(inputs, list) and len(inputs) == 1 else inputs
        shape = as_shape(given.shape) if hasattr(given, "shape") else None
        if shape is None or self._unfamiliar(shape) is None:
            return super().__call__(inputs, *args, **kwargs)
        with all_or_nothing(self):
            self._make_familiar(shape)
            return super().__call__(inputs, *args, **kwargs)

    def _unfamiliar(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...] | None:
        """The input shape that the graph must be made for before a call on this one; None if it fits."""
        graph = self._graph
        if graph is None:
            keep_batch = any(getattr(layer, "stateful", False) for layer in self._flatten_layers())
            return shape if keep_batch else (None, *shape[1:])
        known = graph.inputs.shape
        if not self._inferred or len(known) != len(shape):
            return None
        relaxed = tuple(a if a == b else None for a, b in zip(known, shape, strict=True))
        return None if relaxed == known else relaxed

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output for an input of this shape."""
        shape = input_shape
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def get_config(self) -> dict[str, Any]:
        """The layers as plain values, in the form of Keras 2.15; without weights."""
        entries = [configs.serialized(layer) for layer in self.layers]
        if self._graph is not None:
            entries = [configs.input_config(self._graph.inputs), *entries]
        return {"name": self.name, "layers": entries}

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """A new model, without weights, from what `get_config` of this class or of Keras 2.15 returned.

        Args:
            config: of a Sequential model, or only the list of its layers.
            custom_objects: classes and functions by name, for what is not built in.

        Raises:
            ValueError: something is missing, unknown or does not fit; the part is named.
        """
        from rnnpack.models import reading

        return reading.sequential(cls, config, custom_objects)


def _check(layer: Any, names: set[str]) -> None:
    """Raises unless this is a layer with a name of its own, which joins the names."""
    if isinstance(layer, SymbolicArray) and layer.node is None:
        raise ValueError("An Input must be the first that is added to a Sequential model")
    if not isinstance(layer, Layer):
        raise TypeError(f"A Sequential model takes layers, got {layer!r}")
    if layer.name in names:
        raise ValueError(f'The name "{layer.name}" is used twice in the Model; names must be unique')
    names.add(layer.name)


def _extended(graph: Graph, layers: list[Any], named: Named) -> Graph:
    """The graph with layers called one after the other on its output."""
    outputs = graph.outputs
    for layer in layers:
        with named(layer):
            outputs = layer(outputs)
            if not isinstance(outputs, SymbolicArray):
                raise ValueError(
                    f'Layers of a Sequential model must have one output, "{layer.name}" has {len(outputs)}'
                )
    return graph_of(graph.inputs, outputs)
