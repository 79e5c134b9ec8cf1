"""Where a layer computes: on the CPU, or on a GPU, which takes the package `rnnpack.cuda`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnpack import _core
from rnnpack.engine import nest, plan
from rnnpack.explain import Explanation
from rnnpack.layers.precision import PrecisionControl, check_precision

if TYPE_CHECKING:
    from rnnpack.layers.rnn import RNN

# DLPack's numbers for memory of a GPU: its own, and managed memory.
GPU_KINDS = (2, 13)
_WORD = re.compile(r"cpu|cuda(:[0-9]{1,4})?")


class DeviceControl(PrecisionControl):
    """What layers have that can compute on a GPU."""

    @property
    def device(self) -> str:
        """Where calls with NumPy arrays compute: "cpu", "cuda" (the first GPU) or "cuda:N"; may be set.

        Nothing is moved and no GPU looked for until the next call. Copies and pickles of the layer keep the
        device; configs and files do not. Where both directions of a Bidirectional differ, the words are
        joined by "+".

        Raises:
            ValueError: when it is set: another word, or a device that does not have the layer's precision.
                Nothing has changed then.
        """
        return "+".join(sorted({layer._device for layer in self._precision_layers()})) or "cpu"

    @device.setter
    def device(self, word: str) -> None:
        word = checked(word)
        layers = self._precision_layers()
        if not layers and word != "cpu":
            raise ValueError("There is no recurrent layer whose device could be set")
        for layer in layers:
            check_precision(layer, layer._precision, word)
        for layer in layers:
            layer._device = word
            for cell in plan.members_of(layer.cell):
                if getattr(cell, "_native_cache", None) is not None:
                    plan.forget(cell)  # the other device's weights need not stay

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles hold recorded states on the host, where any machine can read them."""
        attributes: Any = super().__getstate__()
        if "_states" in attributes:
            attributes["_states"] = on_host(attributes["_states"])
        return attributes  # type: ignore[no-any-return]


def checked(word: Any) -> str:
    """The word.

    Raises:
        ValueError: it is not "cpu", "cuda" or "cuda:N".
    """
    if not isinstance(word, str) or _WORD.fullmatch(word) is None:
        raise ValueError(f'`device` must be "cpu", "cuda" or "cuda:N" with the number of a GPU, got {word!r}')
    return word


def number_of(word: str) -> int:
    """The number of the GPU that a word other than "cpu" means."""
    return int(word.partition(":")[2] or 0)


def lives_on_gpu(value: Any) -> bool:
    """Whether this is an array in the memory of a GPU, of any library."""
    if isinstance(value, np.ndarray):
        return False
    asked = getattr(type(value), "__dlpack_device__", None)
    if asked is not None:
        return int(asked(value)[0]) in GPU_KINDS
    return hasattr(value, "__cuda_array_interface__")


def inputs_on_gpu(inputs: Any) -> bool:
    """Whether the inputs of a call, which may begin a list or tuple, live on a GPU."""
    if isinstance(inputs, (list, tuple)):
        return bool(inputs) and lives_on_gpu(inputs[0])
    return lives_on_gpu(inputs)


def call_on_gpu(layer: Any, *arguments: Any) -> Any:
    """A call of a recurrent layer whose inputs live on a GPU; see `rnnpack.cuda.calls.call`."""
    from rnnpack.cuda import calls

    return calls.call(layer, *arguments)


def on_host(states: Any) -> Any:
    """A nest of states with those on a GPU copied into NumPy arrays."""
    if states is None or not any(map(lives_on_gpu, nest.flatten(states))):
        return states
    from rnnpack.cuda.arrays import to_numpy

    return nest.map_structure(lambda one: to_numpy(one) if lives_on_gpu(one) else one, states)


def cells_of(layer: RNN) -> list[_core.PackedCell] | list[_core.CudaCell] | None:
    """Packed cells of a built layer on its device; None if it must run in Python.

    Raises:
        ValueError: reduced precision or a GPU was asked for, and the layer cannot run so.
        RuntimeError: the GPU cannot be used, with the reason.
    """
    if layer._device == "cpu":
        return plan.native_cells(layer.cell, layer._policy.compute_dtype, layer._precision)
    return cuda_cells(layer, number_of(layer._device))


def cuda_cells(layer: RNN, number: int) -> list[_core.CudaCell]:
    """Packed cells of a built layer on the GPU of this number; errors as for `cells_of`."""
    from rnnpack.cuda import library

    dtype = layer._policy.compute_dtype
    reason = plan.reason_against(layer.cell, dtype, "cuda")
    if reason is None:
        library.require(number)
        cells = plan.cuda_cells(layer.cell, dtype, layer._precision, number)
        if cells is not None:
            return cells
        reason = "its cells were changed during the call"
    raise ValueError(f"device: layer {layer.name} cannot run on cuda: {reason}; use device='cpu'")


def cells_for(layer: RNN, inputs: Any) -> list[_core.PackedCell] | list[_core.CudaCell] | None:
    """Packed cells for a call of the layer on these inputs; None if it must run in Python.

    Raises:
        ValueError: it must, and reduced precision or a GPU was asked for.
        RuntimeError: the GPU cannot be used, with the reason.
    """
    dtype = layer._policy.compute_dtype
    cells = cells_of(layer)
    given = getattr(inputs, "dtype", None)
    if given == dtype:
        return cells
    if layer._precision.reduced or layer._device != "cpu":
        raise ValueError(
            f"`inputs` must be {dtype} on device {layer._device} with precision {layer._precision.name}, "
            f"got {given or type(inputs).__name__}"
        )
    return None


def are_on_gpu(cells: list[Any]) -> bool:
    """Whether packed cells are in the memory of a GPU."""
    return type(cells[0]) is _core.CudaCell


def check_training(layer: RNN, training: bool) -> None:
    """Raises ValueError where dropout would apply to a call on a GPU."""
    if training and plan.drops(layer.cell):
        raise ValueError(
            f"device: layer {layer.name} cannot drop inputs or states on cuda: call it with training=False, "
            "or use device='cpu'"
        )


def check_stream(layer: RNN) -> None:
    """Raises ValueError for streams of a layer on a GPU."""
    if layer._device != "cpu":
        raise ValueError(
            f"device: a stream of layer {layer.name} runs on the CPU only: set its device to 'cpu', or give "
            "a stateful layer sequences of one timestep"
        )


def explain(layer: RNN) -> Explanation:
    """How a layer runs with NumPy arrays, built or not."""
    dtype, precision = layer._policy.compute_dtype, layer._precision
    if layer._device == "cpu":
        return plan.explain(layer.cell, dtype, precision)
    from rnnpack.cuda import library

    reason = plan.reason_against(layer.cell, dtype, "cuda") or library.reason_against(
        number_of(layer._device)
    )
    if reason is not None:
        return Explanation(False, "none", None, dtype.name, reason, precision.name, layer._device)
    major, minor = _core.cuda_device_info(number_of(layer._device))[1]
    kernel = plan.kernel_name(layer.cell)
    return Explanation(True, kernel, f"sm_{major}{minor}", dtype.name, None, precision.name, layer._device)
