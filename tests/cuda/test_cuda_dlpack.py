"""DLPack capsules, of others and for others."""

from __future__ import annotations

import ctypes
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fake_plugin import numbers

from rnnpack import _core


class Owner:
    """Something that can be seen to go."""


class Producer:
    """What NumPy takes a capsule of."""

    def __init__(self, capsule: Any) -> None:
        self.capsules = [capsule]

    def __dlpack__(self, **others: Any) -> Any:
        return self.capsules.pop()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def test_dlpack_capsules_keep_their_owner() -> None:
    values = numbers(2, 3)
    for consumed in (False, True):
        owner: Any = Owner()
        seen = weakref.ref(owner)
        capsule: Any = _core.make_dlpack(owner, values.ctypes.data, (2, 3), (2, 32), (1, 0))
        del owner
        gc.collect()
        assert seen() is not None
        address, *rest = _core.read_dlpack(capsule)
        assert address == values.ctypes.data
        assert rest == [(2, 3), (3, 1), (2, 32, 1), (1, 0)]
        if consumed:
            producer: Any = Producer(capsule)
            del capsule
            array = np.from_dlpack(producer)
            np.testing.assert_array_equal(array, values)
            assert seen() is not None
            with ThreadPoolExecutor(1) as thread:  # the last one to hold it
                gone = [array]
                del array
                thread.submit(gone.clear).result()
        else:
            del capsule
        gc.collect()
        assert seen() is None


def test_dlpack_capsules_of_others() -> None:
    values = numbers(4, 6)[::2, 1::3]
    address, shape, strides, kind, device = _core.read_dlpack(values.__dlpack__())
    assert (address, shape, strides) == (values.ctypes.data, (2, 2), (12, 3))
    assert (kind, device) == ((2, 32, 1), (1, 0))
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        versioned: Any = values.__dlpack__(max_version=(1, 0))
        assert "dltensor_versioned" in repr(versioned)
        assert _core.read_dlpack(versioned)[:3] == (values.ctypes.data, (2, 2), (12, 3))


class Tensor(ctypes.Structure):
    """Both kinds of a DLPack tensor: without and with what stands before it since version 1."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Versioned(ctypes.Structure):
    """A tensor of version 1."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


def capsule_of(content: ctypes.Structure, name: bytes | None) -> Any:
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make(ctypes.addressof(content), name, None)


def test_hostile_dlpack_capsules() -> None:
    def tensor(*shape: int, **changes: Any) -> Tensor:
        sizes = (ctypes.c_int64 * max(1, len(shape)))(*shape)
        fields = {"data": 64, "device_type": 2, "ndim": len(shape), "code": 2, "bits": 32, "lanes": 1}
        return Tensor(**{**fields, "shape": sizes, **changes})

    name = b"dltensor"
    good = tensor(2, 3, byte_offset=16, device_id=5)
    expected = (80, (2, 3), None, (2, 32, 1), (2, 5))
    assert _core.read_dlpack(capsule_of(good, name)) == expected
    scalar = tensor()
    assert _core.read_dlpack(capsule_of(scalar, name))[:3] == (64, (), None)
    empty = tensor(2, 0, data=None)
    assert _core.read_dlpack(capsule_of(empty, name))[:2] == (0, (2, 0))
    for version, fits in {(1, 0): True, (1, 9): True, (0, 8): False, (2, 0): False}.items():
        versioned = Versioned(*version, None, None, 0, good)
        capsule = capsule_of(versioned, b"dltensor_versioned")
        if fits:
            assert _core.read_dlpack(capsule) == expected
        else:
            with pytest.raises(ValueError, match=f"version 1, got {version[0]}"):
                _core.read_dlpack(capsule)
    for other in (b"used_dltensor", b"used_dltensor_versioned", b"dltensor2", b"\xff", b"", None):
        with pytest.raises(ValueError, match="nobody has consumed"):
            _core.read_dlpack(capsule_of(good, other))
    for thing in (None, 7, values := numbers(2), values.__dlpack__, [good]):
        with pytest.raises(TypeError, match="expected a DLPack capsule, got"):
            _core.read_dlpack(thing)
    for wrong in (
        tensor(2, ndim=-1),
        tensor(2, ndim=33),
        tensor(2, ndim=2**31 - 1),
        tensor(2, shape=None),
        tensor(-1),
        tensor(2, data=None),
        tensor(2**40, 2**40),
        tensor(2**62),
        tensor(0, 2**62, 2**62),
        tensor(2, byte_offset=2**64 - 1),
    ):
        with pytest.raises(ValueError, match=r"^(capsule|shape): expected"):
            _core.read_dlpack(capsule_of(wrong, name))


def test_made_capsules_are_checked() -> None:
    for shape in ((-1,), (1,) * 33, (2**40, 2**40)):
        with pytest.raises(ValueError, match="shape: expected"):
            _core.make_dlpack(None, 64, shape, (2, 32), (2, 0))
    with pytest.raises(ValueError, match="address: expected one, got 0"):
        _core.make_dlpack(None, 0, (2,), (2, 32), (2, 0))
    assert _core.read_dlpack(_core.make_dlpack(None, 0, (2, 0), (2, 32), (2, 0)))[1:3] == ((2, 0), (1, 1))
    scalar = _core.make_dlpack(None, 64, (), (4, 16), (2, 1))
    assert _core.read_dlpack(scalar) == (64, (), None, (4, 16, 1), (2, 1))
    with pytest.raises(TypeError):
        _core.make_dlpack(None, 64, (2,), (2, 256), (2, 0))
