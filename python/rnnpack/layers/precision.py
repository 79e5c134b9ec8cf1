"""Asking for reduced precision: the same for a recurrent layer, both directions, or a whole model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.engine import plan
from rnnpack.engine.precision import CUDA_NAMES, FULL, NAMES, Precision
from rnnpack.layers import arguments

if TYPE_CHECKING:
    from rnnpack.layers.rnn import RNN


class PrecisionControl:
    """What layers have that can compute with fewer bits."""

    _precision = FULL
    _device = "cpu"

    def _precision_layers(self) -> list[Any]:
        """The recurrent layers that a setting is for."""
        return [self]

    @property
    def precision(self) -> str:
        """Name of the precision in use; several, joined by "+", where recurrent layers differ."""
        return "+".join(sorted({layer._precision.name for layer in self._precision_layers()}))

    def set_precision(self, precision: str, calibration: Any = None) -> None:
        """Sets what weights, and the rows they are multiplied with, are rounded to.

        The layer keeps its weights as they are: `get_weights()` returns them unrounded, and "full" undoes the
        setting. Gates, sums and states stay float32. Calls, streams and ragged rows follow from the next call
        on; `explain()` shows the precision. Copies and pickles of the layer have it too; configs do not,
        and so neither does a Bidirectional made from it.

        Args:
            precision: on the CPU "full", "bfloat16" or "int8". bfloat16 keeps 8 bits of every number. int8
                keeps whole numbers of -127 to 127: weights with a scale for each output column, states of
                cells whose activation stays within -1 and 1 with the scale 1/127, everything else with a
                scale for each row and step (rows below 1e-30 count as zeros). With `device="cuda"` "full",
                "tf32", "bfloat16" or "float16".
            calibration: for "int8", typical inputs `(batch, time, features)` (time first with `time_major`)
                of the built layer. Their largest magnitudes fix the scales of inputs, and of states that can
                grow, once; what is larger later counts as that magnitude.

        Raises:
            ValueError: a name that is unknown or that the layer's device does not have; a layer that does
                not run natively in float32, with the reason; a calibration that does not fit. Nothing has
                changed then.
        """
        if precision not in NAMES and precision not in CUDA_NAMES:
            raise ValueError(
                f"`precision` must be one of {NAMES}, or with device='cuda' one of {CUDA_NAMES}, "
                f"got {precision!r}"
            )
        if calibration is not None and precision != "int8":
            raise ValueError(f'`calibration` is for "int8" only, got it with {precision!r}')
        layers = self._precision_layers()
        if not layers:
            raise ValueError("There is no recurrent layer whose precision could be set")
        wanted = [
            Precision(precision, () if calibration is None else _ranges(layer, calibration))
            for layer in layers
        ]
        for layer, one in zip(layers, wanted, strict=True):
            check_precision(layer, one, layer._device)
        for layer, one in zip(layers, wanted, strict=True):
            layer._precision = one
            for cell in plan.members_of(layer.cell):
                plan.forget(cell)  # layers that share it pack again what they need


def check_precision(layer: RNN, precision: Precision, device: str) -> None:
    """Raises ValueError where the layer cannot compute so on this device; packs a built one's on the CPU."""
    on_cpu = device == "cpu"
    names = NAMES if on_cpu else CUDA_NAMES
    if precision.name not in names:
        raise ValueError(
            f"Layer {layer.name} cannot compute in {precision.name} on device {device}, which has the "
            f"precisions {names}: set_precision and the layer's `device` must fit together"
        )
    if not precision.reduced:
        return
    dtype = layer._policy.compute_dtype
    reason = plan.reason_against(layer.cell, dtype, "cpu" if on_cpu else "cuda")
    if reason is None and dtype != np.float32:
        reason = f"reduced precision is for float32 layers, not for {dtype.name}"
    if reason is not None:
        raise ValueError(f"Layer {layer.name} cannot compute in {precision.name}: {reason}")
    if layer.built and on_cpu:
        plan.native_cells(layer.cell, dtype, precision)


def _ranges(layer: RNN, calibration: Any) -> tuple[tuple[float, float], ...]:
    """The largest magnitudes of every cell's inputs and states on a sample."""
    dtype = layer._policy.compute_dtype
    cells = plan.native_cells(layer.cell, dtype, FULL) if layer.built else None
    if cells is None:
        raise ValueError(
            f"`calibration` needs a layer that is built and runs natively: call {layer.name} on inputs "
            f"before; explain() says: {layer.explain()}"
        )
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            values = arguments.prepared(calibration, dtype, True)
    except ValueError:
        values = None
    if not isinstance(values, np.ndarray) or values.ndim != 3 or values.size == 0:
        raise ValueError(
            "`calibration` must be an array (batch, time, features) of real numbers, got "
            f"{type(calibration).__name__} of shape {np.shape(calibration)}"
        )
    ranges: list[tuple[float, float]] = []
    for cell in cells:
        if values.shape[2] != cell.input_size:
            raise ValueError(
                f"`calibration` must have {cell.input_size} features, got shape {np.shape(calibration)}"
            )
        backwards = layer.go_backwards and not ranges  # what follows is in processing order
        outputs, _ = _core.run(
            [cell], values, None, None, layer.time_major, backwards, True, False
        )  # outputs are the states h
        ranges.append((_magnitude(values), _magnitude(outputs)))
        values = outputs
    return tuple(ranges)


def _magnitude(values: NDArray[Any]) -> float:
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        raise ValueError(f"`calibration` must give finite numbers, got {largest}")
    return largest
