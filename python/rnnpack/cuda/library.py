"""Finding and loading the plugin, and the devices it can use."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rnnpack import _core

_FILE = "librnnpack_cuda.so"
_PACKAGE = "rnnpack_cuda13"
_VARIABLE = "RNNPACK_CUDA_PLUGIN"
_FORKED = (
    "this process was forked from one that uses CUDA, which does not work in the copy: start workers with "
    'the "spawn" method, as multiprocessing.set_start_method("spawn") does'
)


@dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        index: N of `device="cuda:N"`.
        name: what its maker calls it.
        capability: compute capability, (9, 0) for example.
        multiprocessors: how many it has.
        memory: bytes.
    """

    index: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int


class _Loading:
    """The outcome of looking for the plugin: kept once it is loaded; else until the variable changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded = False
        self._process = 0  # that has loaded it
        self._asked: str | None = None  # the variable when it failed; "" where it was not set
        self._reason: str | None = None

    def reason(self) -> str | None:
        """Why the plugin cannot be used; None once it is loaded."""
        if self._loaded:
            return None if self.is_ours() else _FORKED
        with self._lock:
            asked = os.environ.get(_VARIABLE, "")
            if not self._loaded and self._asked != asked:
                self._reason = _load(asked)
                self._asked = asked
                self._process = os.getpid()
                self._loaded = self._reason is None
            return self._reason

    def is_ours(self) -> bool:
        """Whether it is this process that has loaded the plugin, and not one that it was forked from."""
        return self._process == os.getpid()


_loading = _Loading()


def is_available() -> bool:
    """Whether layers can run with `device="cuda"`."""
    return why_not() is None


def why_not() -> str | None:
    """Why layers cannot run with `device="cuda"`, in one line that says what to do; None if they can."""
    return _loading.reason() or _reason_against_devices()


def devices() -> list[Device]:
    """The GPUs that can be used; empty where `why_not()` has a reason."""
    if not is_available():
        return []
    count = _core.cuda_device_count()
    return [Device(index, *_core.cuda_device_info(index)) for index in range(count)]


def reason_against(number: int) -> str | None:
    """Why the GPU of this number cannot be used; None if it can."""
    reason = why_not()
    if reason is None and number >= _core.cuda_device_count():
        count = _core.cuda_device_count()
        reason = (
            f"there is no GPU cuda:{number}, the last one is cuda:{count - 1}: see rnnpack.cuda.devices()"
        )
    return reason


def require(number: int) -> None:
    """Loads the plugin where that has not been done yet.

    Raises:
        RuntimeError: the GPU of this number cannot be used, with the reason.
    """
    reason = reason_against(number)
    if reason is not None:
        raise RuntimeError(f"device: {reason}")


def release(number: int, address: int, stream: int) -> None:
    """Gives memory of a GPU back; in a forked process nothing, as the memory is the other's."""
    if _loading.is_ours():
        _core.cuda_release(number, address, stream)


def _load(asked: str) -> str | None:
    """Loads the plugin from the path asked for, or from where it is installed; the reason why that failed."""
    path = Path(asked) if asked else _installed()
    if path is None:
        return "the CUDA plugin is not installed: pip install rnnpack-cuda13"
    if not asked and not _has_driver():
        return "there is no NVIDIA driver (libcuda.so.1 cannot be loaded): install one, or use device='cpu'"
    try:
        _core.cuda_load(str(path))
    except (OSError, RuntimeError) as error:
        advice = (
            f"check {_VARIABLE}" if asked else "install the versions of both packages that belong together"
        )
        return f"the CUDA plugin {path} cannot be loaded: {_one_line(error)}: {advice}"
    return None


def _installed() -> Path | None:
    """The plugin beside the native module, or in its own distribution, which is not imported."""
    folders = [str(Path(_core.__file__).parent)]
    spec = find_spec(_PACKAGE)
    if spec is not None:
        folders += spec.submodule_search_locations or []
    found = (Path(folder) / _FILE for folder in folders)
    return next((path for path in found if path.is_file()), None)


def _has_driver() -> bool:
    import ctypes  # only here: most programs never ask

    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _reason_against_devices() -> str | None:
    try:
        _core.cuda_device_count()
    except RuntimeError as error:
        return f"no GPU can be used: {_one_line(error)}: see nvidia-smi and CUDA_VISIBLE_DEVICES"
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
