"""The plugin's C interface (``csrc/api/cuda.h``) for tests, without the package between."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_bool,
    c_char,
    c_int32,
    c_size_t,
    c_ssize_t,
    c_void_p,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
KINDS = ("simple_rnn", "lstm", "gru", "gru_reset_before", "peephole_lstm", "projected_lstm")
ACTIVATIONS = ("linear", "tanh", "sigmoid", "hard_sigmoid", "relu", "elu", "selu", "softplus", "softsign")
FORMATS = ("float32", "tf32", "bfloat16", "float16", "float64")
ELEMENTS = ("float32", "float64", "bfloat16", "float16")
RESULTS = ("ok", "out_of_memory", "failed", "interrupted", "invalid")


class Failure(Structure):
    _fields_ = (("text", c_char * 512),)


class CellWeights(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("kind", "format", "activation", "recurrent_activation")),
        *((name, c_size_t) for name in ("input_size", "units", "outputs")),
        *((name, c_void_p) for name in ("kernel", "recurrent_kernel", "bias", "peepholes", "projection")),
    )


class Direction(Structure):
    _fields_ = (
        ("cells", c_void_p),
        ("cell_count", c_size_t),
        ("inputs", c_void_p),
        *((name, c_ssize_t) for name in ("inputs_time", "inputs_batch", "inputs_feature")),
        *((name, c_void_p) for name in ("initial_states", "final_states", "outputs")),
        *((name, c_ssize_t) for name in ("outputs_time", "outputs_batch")),
        *((name, c_bool) for name in ("go_backwards", "turn_outputs")),
    )


class Call(Structure):
    _fields_ = (
        *((name, c_size_t) for name in ("batch", "timesteps")),
        ("element", c_int32),
        *((name, c_void_p) for name in ("row_splits", "mask")),
        *((name, c_ssize_t) for name in ("mask_time", "mask_batch")),
        *((name, c_bool) for name in ("return_sequences", "zero_output_for_mask")),
        ("directions", POINTER(Direction)),
        ("direction_count", c_size_t),
    )


class Interruption(Structure):
    _fields_ = (("keep_going", CFUNCTYPE(c_bool, c_void_p)), ("context", c_void_p))


UNINTERRUPTED = Interruption(Interruption._fields_[0][1](lambda _context: True), None)


class Functions(Structure):
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("count_devices", CFUNCTYPE(c_int32, POINTER(c_int32), POINTER(Failure))),
        ("describe_device", c_void_p),
        ("make_cell", CFUNCTYPE(c_int32, c_int32, POINTER(CellWeights), POINTER(c_void_p), POINTER(Failure))),
        ("free_cell", CFUNCTYPE(None, c_void_p)),
        ("cell_bytes", CFUNCTYPE(c_size_t, c_void_p)),
        ("workspace_bytes", CFUNCTYPE(c_size_t, POINTER(Call))),
        (
            "run",
            CFUNCTYPE(c_int32, POINTER(Call), c_void_p, c_void_p, POINTER(Interruption), POINTER(Failure)),
        ),
        ("run_on_host_arrays", CFUNCTYPE(c_int32, POINTER(Call), POINTER(Interruption), POINTER(Failure))),
    )


@dataclass
class Cell:
    """Weights in Keras' layout, as ``reference.py`` takes them."""

    kind: str
    kernel: NDArray[Any]
    recurrent_kernel: NDArray[Any]
    bias: NDArray[Any] | None
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    peepholes: NDArray[Any] | None = None
    projection_kernel: NDArray[Any] | None = None


class Plugin:
    """A loaded plugin; functions that fail raise RuntimeError with the plugin's text."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.rnnpack_cuda_plugin.restype = POINTER(Functions)
        self.functions = self.library.rnnpack_cuda_plugin(VERSION).contents

    def check(self, name: str, *arguments: Any) -> None:
        why = Failure()
        result = getattr(self.functions, name)(*arguments, byref(why))
        if result != 0:
            raise RuntimeError(f"{RESULTS[result]}: {why.text.decode()}")

    def make_cell(self, cell: Cell, number_format: str = "float32", device: int = 0) -> c_void_p:
        dtype = np.float64 if number_format == "float64" else np.float32
        arrays = [
            None if array is None else np.ascontiguousarray(array, dtype)
            for array in (
                cell.kernel,
                cell.recurrent_kernel,
                cell.bias,
                cell.peepholes,
                cell.projection_kernel,
            )
        ]
        outputs = cell.recurrent_kernel.shape[0]
        units = outputs if cell.projection_kernel is None else cell.projection_kernel.shape[0]
        weights = CellWeights(
            KINDS.index(cell.kind),
            FORMATS.index(number_format),
            ACTIVATIONS.index(cell.activation),
            ACTIVATIONS.index(cell.recurrent_activation),
            cell.kernel.shape[0],
            units,
            outputs,
            *(None if array is None else array.ctypes.data for array in arrays),
        )
        made = c_void_p()
        self.check("make_cell", device, byref(weights), byref(made))
        return made

    def run(
        self,
        cells: Sequence[c_void_p],
        inputs: NDArray[Any],
        units: int,
        states: Sequence[NDArray[Any]],
        mask: NDArray[np.bool_] | None = None,
        return_sequences: bool = True,
        go_backwards: bool = False,
        zero_output_for_mask: bool = False,
    ) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        """Run one direction on host arrays: (B, T, F) to (B, T, U) or (B, U), and the final states."""
        batch, steps, _ = inputs.shape
        initial = [np.ascontiguousarray(state, inputs.dtype) for state in states]
        final = [np.full_like(state, np.nan) for state in initial]
        outputs = np.full((batch, steps, units) if return_sequences else (batch, units), np.nan, inputs.dtype)
        call = one_direction(cells, inputs, units, return_sequences, zero_output_for_mask, go_backwards)
        direction = call.directions[0]
        direction.inputs, direction.outputs = inputs.ctypes.data, outputs.ctypes.data
        direction.initial_states, direction.final_states = _addresses(initial), _addresses(final)
        if mask is not None:
            call.mask, call.mask_time, call.mask_batch = mask.ctypes.data, mask.strides[1], mask.strides[0]
        self.check("run_on_host_arrays", byref(call), byref(UNINTERRUPTED))
        return outputs, final


def one_direction(
    cells: Sequence[c_void_p],
    inputs: NDArray[Any],
    units: int,
    return_sequences: bool = True,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
) -> Call:
    """A call without addresses for inputs of this shape, with contiguous outputs."""
    batch, steps, _ = inputs.shape
    direction = Direction(
        cells=ctypes.cast((c_void_p * len(cells))(*cells), c_void_p),
        cell_count=len(cells),
        inputs_time=inputs.strides[1] // inputs.itemsize,
        inputs_batch=inputs.strides[0] // inputs.itemsize,
        inputs_feature=inputs.strides[2] // inputs.itemsize,
        outputs_time=units if return_sequences else 0,
        outputs_batch=steps * units if return_sequences else units,
        go_backwards=go_backwards,
    )
    return Call(
        batch=batch,
        timesteps=steps,
        element=ELEMENTS.index(str(inputs.dtype)),
        return_sequences=return_sequences,
        zero_output_for_mask=zero_output_for_mask,
        directions=ctypes.pointer(direction),
        direction_count=1,
    )


def _addresses(arrays: Sequence[NDArray[Any]]) -> c_void_p:
    return ctypes.cast((c_void_p * len(arrays))(*(array.ctypes.data for array in arrays)), c_void_p)
