"""Functional models: a recorded graph of layers, run on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnpack import _core
from rnnpack.engine import nest
from rnnpack.explain import Explanation
from rnnpack.layers import masked
from rnnpack.layers.base import Layer
from rnnpack.layers.input_spec import as_shape, map_shapes
from rnnpack.layers.precision import PrecisionControl
from rnnpack.layers.recorded import states_kept_on_error, states_restorer
from rnnpack.layers.rnn import RNN
from rnnpack.models import configs, conforming, naming
from rnnpack.models.graph import Graph, graph_of
from rnnpack.symbolic import SymbolicArray
from rnnpack.variable import Variable


class Model(PrecisionControl, Layer):
    """The computation from symbolic inputs to symbolic outputs as one layer.

    Call arguments: arrays in the structure of the model's inputs, or a dict of them by the inputs' names;
    `mask`, None or a mask or None for every input in the same form; `training`, the mode of all layers that
    are not told otherwise. Arrays are cast to the dtypes of the inputs. Masks travel with the arrays.

    Args:
        inputs: one `Input`, or a nest of them.
        outputs: what layers returned for these inputs, or a nest of that.
        name: default "model", made unique.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: an output depends on an `Input` that is not among `inputs`, or two layers have one name.
    """

    _transient = Layer._transient | {"_stateful"}
    _unwatched = Layer._unwatched | {"_stateful"}
    # The stateful layers at an epoch of the checks that prepared calls depend on.
    _stateful: tuple[int, list[Any]] | None = None

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(name=name, **{"autocast": False, **kwargs})
        # Outputs carry masks already where their layers made them.
        self.supports_masking = False
        self._graph: Graph | None = graph_of(_alone(inputs), _alone(outputs))
        self.layers: list[Layer] = self._graph.layers
        self.built = True

    # The graph, seen from outside.

    def _built_graph(self) -> Graph:
        if self._graph is None:
            raise ValueError(
                f'Model "{self.name}" does not know its inputs yet: call it on arrays, or build it with '
                "their shape"
            )
        return self._graph

    @property
    def input(self) -> Any:
        """The symbolic inputs in their structure."""
        return self._built_graph().inputs

    @property
    def output(self) -> Any:
        """The symbolic outputs in their structure."""
        return self._built_graph().outputs

    @property
    def inputs(self) -> list[SymbolicArray]:
        """The symbolic inputs, flat."""
        return nest.flatten(self.input)

    @property
    def outputs(self) -> list[SymbolicArray]:
        """The symbolic outputs, flat."""
        return nest.flatten(self.output)

    @property
    def input_names(self) -> list[str]:
        """Names of the flat inputs."""
        return [symbol.name for symbol in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that make the flat outputs, made unique."""
        return naming.output_names(self._built_graph())

    @property
    def input_shape(self) -> Any:
        """Shapes of the inputs, None where a size is unknown, in their structure."""
        return nest.map_structure(lambda symbol: symbol.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """Shapes of the outputs, None where a size is unknown, in their structure."""
        return nest.map_structure(lambda symbol: symbol.shape, self.output)

    @property
    def input_spec(self) -> Any:
        """What the flat inputs must look like."""
        return None if self._graph is None else self._graph.spec

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """One of the model's layers.

        Args:
            name: of the layer.
            index: its place in `layers`, instead of the name.

        Raises:
            ValueError: neither or both are given, or there is no such layer.
        """
        if (name is None) == (index is None):
            raise ValueError("get_layer() needs either `name` or `index`")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"`index` must be below {len(self.layers)}, got {index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No layer is named {name!r}; there are {[layer.name for layer in self.layers]}")

    @property
    def weights(self) -> list[Variable]:
        """All variables, layer by layer, those of a layer as it orders them; each once."""
        owned = [*self._own(True), *self._own(False)]
        found = [variable for layer in self.layers for variable in layer.weights]
        return list({id(variable): variable for variable in [*found, *owned]}.values())

    # Calling.

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs the model; see the class for the arguments.

        Raises:
            ValueError: inputs or masks are not as many as the model's inputs, or do not fit them.
        """
        expected = self._built_graph().inputs
        mask = kwargs.get("mask")
        if mask is not None:
            kwargs["mask"] = conforming.matched(mask, expected, "masks", None)
        return super().__call__(conforming.arrays(inputs, expected), *args, **kwargs)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Runs the layers in order; arguments as for a call of the model, in the structure of its inputs."""
        graph = self._built_graph()
        with states_kept_on_error(self._stateful_layers()):
            return graph.run(masked.attach(inputs, mask))

    def _stateful_layers(self) -> list[Any]:
        """All stateful layers, looked for again where some layer has changed."""
        epoch = _core.epoch()
        if self._stateful is None or self._stateful[0] != epoch:
            layers: list[Any] = self._flatten_layers()
            self._stateful = epoch, [layer for layer in layers if layer.stateful]
        return self._stateful[1]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks that the outputs carry, in their structure; the model runs to find them."""
        restore = states_restorer(self._flatten_layers())
        try:
            outputs = self(inputs, mask=mask)
        finally:
            restore()
        return nest.map_structure(lambda output: getattr(output, "_keras_mask", None), outputs)

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs.get("mask") is not None:
            inputs = nest.map_structure(_with_mask, inputs, kwargs["mask"])
        return nest.map_structure(_fresh, self._built_graph().run(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shapes of the outputs for inputs of these shapes, in the structure of the outputs."""
        graph = self._built_graph()
        shapes: list[Any] = []
        map_shapes(shapes.append, input_shape)
        known = nest.flatten(graph.inputs)
        if len(shapes) != len(known):
            raise ValueError(f"`input_shape` must hold {len(known)} shapes, got {len(shapes)}")
        symbols = [
            SymbolicArray(as_shape(shape), symbol.dtype, symbol.name)
            for shape, symbol in zip(shapes, known, strict=True)
        ]
        outputs = graph.run(nest.pack_sequence_as(graph.inputs, symbols))
        return nest.map_structure(lambda symbol: symbol.shape, outputs)

    def predict(self, x: Any, batch_size: int | None = 32, verbose: Any = "auto") -> Any:
        """Runs the model in inference mode, batch by batch.

        Rows of different lengths are put into batches by length, so that padding costs next to nothing, and
        give what each gives alone. So do arrays whose padding a Masking or Embedding layer masks: where the
        layers are known to allow it, trailing padding is not computed. Stateful models keep the order.

        Args:
            x: arrays in the structure of the model's inputs, or a dict of them by the inputs' names, all with
                the same number of rows. An input may be a list of rows instead: arrays without batch axis,
                `(time, features)` or, for tokens, `(time,)`.
            batch_size: rows in a batch; None means 32.
            verbose: 1 for a progress line if stderr is a terminal, 0 for none; "auto" is 1 if there are
                several batches.

        Returns:
            The outputs for all rows, in the structure of the model's outputs; for lists of rows, outputs with
            an axis of unknown size are lists with an array for each row.

        Raises:
            ValueError: the numbers of rows differ, a row does not fit its input, or a stateful model would
                get a smaller last batch. Recorded states have not changed then.
        """
        from rnnpack.models.predicting import predict

        return predict(self, x, batch_size, verbose)

    # All layers at once.

    def _precision_layers(self) -> list[RNN]:
        layers: list[Any] = self._flatten_layers()
        return [layer for layer in layers if isinstance(layer, RNN)]

    def set_precision(self, precision: str, calibration: None = None) -> None:
        """Sets the precision of all recurrent layers, as `set_precision` of each of them does.

        Args:
            precision: "full", "bfloat16" or "int8".
            calibration: None; calibrate single layers on their own inputs.

        Raises:
            ValueError: as for a layer; or there is no recurrent layer. Nothing has changed then.
        """
        if calibration is not None:
            raise ValueError("`calibration` is for single layers, whose inputs it shows, not for a Model")
        super().set_precision(precision)

    def explain(self, training: bool | None = None) -> dict[str, Explanation]:
        """How each recurrent layer runs, by its name; those of nested models by "model/layer".

        Args:
            training: the mode asked about.
        """
        found: dict[str, Explanation] = {}
        for layer in self.layers:
            if isinstance(layer, Model):
                found.update({f"{layer.name}/{name}": one for name, one in layer.explain(training).items()})
            elif hasattr(layer, "explain"):
                found[layer.name] = layer.explain(training)
        return found

    def reset_states(self) -> None:
        """Resets the recorded states of every stateful layer."""
        for layer in self.layers:
            if isinstance(layer, Model) or (layer.stateful and hasattr(layer, "reset_states")):
                layer.reset_states()

    # Configurations.

    def get_config(self) -> dict[str, Any]:
        """The graph and its layers as plain values, in the form of Keras 2.15; without weights."""
        return configs.functional_config(self, self._built_graph())

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new model, without weights, from what `get_config` of this class or of Keras 2.15 returned.

        Args:
            config: of a functional model.
            custom_objects: classes and functions by name, for what is not built in.

        Raises:
            ValueError: something is missing, unknown or does not fit; the part is named.
        """
        from rnnpack.models import reading

        inputs, outputs = reading.graph_parts(config, custom_objects)
        model = cls(inputs, outputs, name=config.get("name"))
        model._trainable = bool(config.get("trainable", True))
        return model

    def to_json(self, **kwargs: Any) -> str:
        """Class and configuration as JSON, for `model_from_json`.

        Args:
            **kwargs: those of `json.dumps`.
        """
        return configs.as_json(self, **kwargs)

    def summary(self, print_fn: Callable[[str], Any] | None = None, line_length: int | None = None) -> None:
        """Prints a table of the layers.

        Args:
            print_fn: called with every line; default `print`.
            line_length: characters in a line; default as many as needed.
        """
        from rnnpack.models import table

        for line in table.lines(self, line_length):
            (print if print_fn is None else print_fn)(line)


def _alone(structure: Any) -> Any:
    """A list of one symbolic array as that array, as in Keras."""
    if isinstance(structure, list) and len(structure) == 1 and not nest.is_nested(structure[0]):
        return structure[0]
    return structure


def _fresh(symbol: Any) -> Any:
    """A symbolic array like another one, but made by nothing yet."""
    copy = SymbolicArray(symbol.shape, symbol.dtype, symbol.name)
    if symbol._keras_mask is not None:
        copy._keras_mask = SymbolicArray(
            symbol._keras_mask.shape, np.bool_, f"{copy.name}_mask", mask_of=copy
        )
    return copy


def _with_mask(symbol: Any, mask: Any) -> Any:
    """The symbolic array with another mask or none."""
    copy = SymbolicArray(symbol.shape, symbol.dtype, symbol.name)
    copy._keras_mask = mask
    return copy
