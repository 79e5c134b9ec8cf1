"""`read_dlpack` and `make_dlpack`: what is shown, what hostile capsules are told, and who is freed when."""

from __future__ import annotations

import ctypes
import gc
import weakref
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_void_p,
    py_object,
)
from typing import Any

import numpy as np
import pytest

from rnnpack import _core


class Tensor(Structure):
    _fields_ = (
        ("data", c_void_p),
        *((name, c_int32) for name in ("device_type", "device_id", "ndim")),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Managed(Structure):
    pass


Managed._fields_ = (("tensor", Tensor), ("manager", c_void_p), ("deleter", CFUNCTYPE(None, POINTER(Managed))))


class Versioned(Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", c_void_p),
        ("deleter", c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


_api = ctypes.pythonapi
_api.PyCapsule_New.restype, _api.PyCapsule_New.argtypes = py_object, (c_void_p, c_char_p, c_void_p)
_api.PyCapsule_GetPointer.restype, _api.PyCapsule_GetPointer.argtypes = c_void_p, (py_object, c_char_p)
_api.PyCapsule_SetName.argtypes = (py_object, c_char_p)


def tensor(shape: Any = (2, 3), strides: Any = None, address: int = 4096, **changes: int) -> Tensor:
    """A description of float32 on the second GPU."""
    given = {"device_type": 2, "device_id": 1, "code": 2, "bits": 32, "lanes": 1, "ndim": len(shape or ())}
    lists = [None if one is None else (c_int64 * len(one))(*one) for one in (shape, strides)]
    made = Tensor(data=address, **{**given, **changes})
    made.shape, made.strides = (ctypes.cast(one, POINTER(c_int64)) for one in lists)
    made.kept = lists
    return made


def capsule(held: Structure, name: bytes | None) -> Any:
    return _api.PyCapsule_New(ctypes.addressof(held), name, None)


def shown(one: Tensor, version: int = 0) -> Any:
    """What is read of a capsule with this description."""
    if version:
        held: Structure = Versioned(major=version, minor=7, tensor=one)
        return _core.read_dlpack(capsule(held, b"dltensor_versioned"))
    held = Managed(tensor=one)
    return _core.read_dlpack(capsule(held, b"dltensor"))


@pytest.mark.parametrize("version", [0, 1])
def test_what_a_capsule_shows(version: int) -> None:
    assert shown(tensor(), version) == (4096, (2, 3), None, (2, 32, 1), (2, 1))
    spread = tensor((2, 3), (-7, 0), byte_offset=5, code=4, bits=16, device_type=13, device_id=0)
    assert shown(spread, version) == (4101, (2, 3), (-7, 0), (4, 16, 1), (13, 0))
    assert shown(tensor((), lanes=4), version) == (4096, (), None, (2, 32, 4), (2, 1))
    assert shown(tensor((3, 0), address=0), version)[:2] == (0, (3, 0))
    assert shown(tensor((1,) * 32), version)[1] == (1,) * 32


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    ("held", "message"),
    [
        (tensor(None, ndim=2), "expected a shape, got none"),
        (tensor(ndim=-1), "expected 0 to 32 axes, got -1"),
        (tensor(ndim=100), "expected 0 to 32 axes, got 100"),
        (tensor(ndim=2**31 - 1), "expected 0 to 32 axes"),
        (tensor(address=0), "expected the address of"),
        (tensor((2, -3)), "sizes of at least 0, got -3"),
        (tensor((2**62, 2**62)), "that memory can hold"),
        (tensor((2**63 - 1,)), "that memory can hold"),
        (tensor((0, 2**62, 2**62)), "that memory can hold"),
        (tensor((2**50,), bits=255, lanes=65535), "that memory can hold"),
        (tensor(byte_offset=2**64 - 1), "offset inside memory"),
    ],
)
def test_descriptions_that_make_no_sense(version: int, held: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shown(held, version)


def test_other_capsules() -> None:
    held = Managed(tensor=tensor())
    for name in (b"used_dltensor", b"used_dltensor_versioned", b"", b"dltensor2", b"\xff\xfe", None):
        with pytest.raises(ValueError, match="named dltensor or dltensor_versioned"):
            _core.read_dlpack(capsule(held, name))
    for version in (2, 2**32 - 1):
        with pytest.raises(ValueError, match="expected DLPack of version 1, got"):
            shown(tensor(), version)
    for other in (None, 5, b"dltensor", np.zeros(3)):
        with pytest.raises(TypeError, match="expected a DLPack capsule"):
            _core.read_dlpack(other)


@pytest.mark.parametrize("shape", [(), (5,), (0,), (2, 0, 3), (2, 3, 4), (1,) * 32])
def test_what_is_made_reads_the_same(shape: tuple[int, ...]) -> None:
    made = _core.make_dlpack(None, 4096, shape, (4, 16), (2, 3))
    address, got, strides, code, device = _core.read_dlpack(made)
    assert (address, got, code, device) == (4096, shape, (4, 16, 1), (2, 3))
    if 0 not in shape:
        assert (strides or ()) == tuple(one // 8 for one in np.empty(shape).strides)


def test_what_cannot_be_made() -> None:
    for arguments, message in (
        ((0, (2,)), "address: expected one, got 0"),
        ((4096, (-1,)), "sizes of at least 0, got -1"),
        ((4096, (2**62, 4)), "that memory can hold"),
        ((4096, (1,) * 33), "at most 32 axes, got 33"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.make_dlpack(None, *arguments, (2, 32), (2, 0))
    for code_bits in ((256, 32), (2, -1), (2,)):
        with pytest.raises(TypeError):
            _core.make_dlpack(None, 4096, (2,), code_bits, (2, 0))


class Owner:
    pass


def exported() -> tuple[Any, weakref.ref[Owner]]:
    owner = Owner()
    return _core.make_dlpack(owner, 4096, (2,), (2, 32), (2, 0)), weakref.ref(owner)


def consumed(made: Any) -> Managed:
    """The managed tensor, taken over as a consumer does."""
    managed = ctypes.cast(_api.PyCapsule_GetPointer(made, b"dltensor"), POINTER(Managed)).contents
    _api.PyCapsule_SetName(made, b"used_dltensor")
    return managed


def test_the_owner_goes_with_a_capsule_that_nobody_consumes() -> None:
    made, owner = exported()
    _core.read_dlpack(made)
    gc.collect()
    assert owner() is not None
    del made
    assert owner() is None


def test_the_owner_stays_until_the_consumer_is_done() -> None:
    made, owner = exported()
    managed = consumed(made)
    with pytest.raises(ValueError, match="nobody has consumed, got 'used_dltensor'"):
        _core.read_dlpack(made)
    del made
    gc.collect()
    assert owner() is not None
    managed.deleter(byref(managed))  # ctypes has given the lock up
    assert owner() is None


def test_owners_that_are_exported_often_go_once() -> None:
    gone = []
    owner = Owner()
    weakref.finalize(owner, gone.append, 1)
    capsules = [_core.make_dlpack(owner, 4096, (2,), (2, 32), (2, 0)) for _ in range(5)]
    taken = [consumed(one) for one in capsules[:2]]
    del owner, capsules
    gc.collect()
    assert gone == []
    for one in taken:
        one.deleter(byref(one))
    assert gone == [1]


def test_numpy_consumes_a_capsule_of_the_hosts_memory() -> None:
    """Another implementation of the protocol takes what is made, and reads the values."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)

    class Shown:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

        def __dlpack__(self, **others: Any) -> Any:
            return _core.make_dlpack(values, values.ctypes.data, (2, 3), (2, 32), (1, 0))

    got = np.from_dlpack(Shown())
    np.testing.assert_array_equal(got, values)
    assert np.shares_memory(got, values)
    address, shape, _, code, device = _core.read_dlpack(values.__dlpack__())
    assert (address, shape, code, device) == (values.ctypes.data, (2, 3), (2, 32, 1), (1, 0))
