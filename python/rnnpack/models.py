"""Functional models: a recorded graph of layers, run on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnpack.engine import nest
from rnnpack.layers import masked
from rnnpack.layers.base import InputSpec, Layer
from rnnpack.layers.precision import PrecisionControl
from rnnpack.layers.recorded import states_kept_on_error
from rnnpack.layers.rnn import RNN
from rnnpack.symbolic import Node, SymbolicArray


class Model(PrecisionControl, Layer):
    """The computation from symbolic inputs to symbolic outputs as one layer.

    Args:
        inputs: one `Input`, or a nest of them.
        outputs: what layers returned for these inputs, or a nest of that.
        name: default "model", made unique.
        **kwargs: those of `Layer`.

    Raises:
        ValueError: an output depends on an `Input` that is not among `inputs`.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(name=name, **kwargs)
        self.inputs = inputs
        self.outputs = outputs
        self._nodes = _sorted_nodes(nest.flatten(inputs), nest.flatten(outputs))
        self.layers: list[Layer] = list({id(node.layer): node.layer for node in self._nodes}.values())
        self.input_spec = [InputSpec(shape=symbol.shape) for symbol in nest.flatten(inputs)]
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Runs the layers in order; masks travel with the arrays.

        Args:
            inputs: arrays in the structure of the model's inputs.
            training: mode of all layers that are not told otherwise.
            mask: None, or a mask or None for every input, in their structure.

        Raises:
            ValueError: there are masks, but not one for every input.
        """
        given = nest.flatten(inputs)
        if mask is not None and len(nest.flatten(mask)) != len(given):
            raise ValueError(f"`mask` must hold {len(given)} masks, got {len(nest.flatten(mask))}")
        pairs = zip(nest.flatten(self.inputs), nest.flatten(masked.attach(inputs, mask)), strict=True)
        values: dict[int, Any] = {id(symbol): value for symbol, value in pairs}

        def value_of(leaf: Any) -> Any:
            if not isinstance(leaf, SymbolicArray):
                return leaf
            if leaf.mask_of is not None:
                return getattr(values[id(leaf.mask_of)], "_keras_mask", None)
            return values[id(leaf)]

        with states_kept_on_error(self._flatten_layers()):
            for node in self._nodes:
                arguments = nest.map_structure(value_of, (node.inputs, *node.args))
                keywords = nest.map_structure(value_of, node.kwargs)
                results = nest.flatten(node.layer(*arguments, **keywords))
                values.update(
                    (id(symbol), result) for symbol, result in zip(node.outputs, results, strict=True)
                )
        return nest.map_structure(value_of, self.outputs)

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """Runs the model in inference mode, batch by batch.

        Args:
            x: arrays in the structure of the model's inputs, all with the same number of rows (at least one).
            batch_size: rows in a batch.

        Returns:
            The outputs for all rows, in the structure of the model's outputs.

        Raises:
            ValueError: the numbers of rows differ, or a stateful model would get a smaller last batch.
        """
        arrays = nest.map_structure(np.asarray, x)
        rows = {len(array) for array in nest.flatten(arrays)}
        if len(rows) != 1 or batch_size < 1:
            raise ValueError(
                f"`x` must have one number of rows and `batch_size` be positive, "
                f"got {sorted(rows)} and {batch_size}"
            )
        count = rows.pop()
        layers: list[Any] = self._flatten_layers()
        if count > batch_size and count % batch_size and any(layer.stateful for layer in layers):
            raise ValueError(f"A stateful model needs full batches: {count} rows, batch_size={batch_size}")
        with states_kept_on_error(layers):
            parts = [
                self(
                    nest.map_structure(lambda array, at=start: array[at : at + batch_size], arrays),
                    training=False,
                )
                for start in range(0, max(count, 1), batch_size)
            ]
        return nest.map_structure(lambda *pieces: np.concatenate(pieces), *parts)

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

    def reset_states(self) -> None:
        """Resets the recorded states of every stateful layer."""
        for layer in self.layers:
            if layer.stateful and hasattr(layer, "reset_states"):
                layer.reset_states()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The outputs' shapes as recorded."""
        return nest.map_structure(lambda symbol: symbol.shape, self.outputs)


def _sorted_nodes(inputs: list[Any], outputs: list[Any]) -> list[Node]:
    """The recorded calls between inputs and outputs, each after those it depends on."""
    if not all(isinstance(symbol, SymbolicArray) for symbol in (*inputs, *outputs)):
        raise ValueError(
            "`inputs` and `outputs` of a Model must be symbolic arrays, made by Input and by calling "
            "layers on them"
        )
    known = {id(symbol) for symbol in inputs}
    ordered: dict[int, Node] = {}
    for symbol in outputs:
        _visit(symbol, known, ordered)
    return list(ordered.values())


def _visit(leaf: Any, known: set[int], ordered: dict[int, Node]) -> None:
    """Adds the call that made `leaf`, after those it depends on."""
    if not isinstance(leaf, SymbolicArray) or id(leaf) in known:
        return
    if leaf.mask_of is not None:
        _visit(leaf.mask_of, known, ordered)
        return
    if leaf.node is None:
        raise ValueError(f"The outputs depend on {leaf!r}, which is not among the `inputs` of the Model")
    if id(leaf.node) in ordered:
        return
    for needed in nest.flatten((leaf.node.inputs, leaf.node.args, leaf.node.kwargs)):
        _visit(needed, known, ordered)
    ordered[id(leaf.node)] = leaf.node
