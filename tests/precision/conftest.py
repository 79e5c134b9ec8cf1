"""Tests of this folder run once for each instruction set that they ask for with the name of an argument."""

from __future__ import annotations

import pytest
from precision.precision_cases import ways


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`way` is each precision with each of its instruction sets; the others are those of one precision."""
    for name, precision in (("way", None), ("bfloat16_isa", "bfloat16"), ("int8_isa", "int8")):
        if name in metafunc.fixturenames:
            chosen = [w for w in ways() if precision in (None, w[0])]
            metafunc.parametrize(name, chosen, indirect=True, ids="-".join)


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """`(precision, instruction set)`; the instruction set is forced."""
    precision, isa = request.param
    monkeypatch.setenv("RNNPACK_ISA", isa)
    return precision, isa


@pytest.fixture
def bfloat16_isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An instruction set with kernels for bfloat16; it is forced."""
    monkeypatch.setenv("RNNPACK_ISA", request.param[1])
    return str(request.param[1])


@pytest.fixture
def int8_isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An instruction set with kernels for int8; it is forced."""
    monkeypatch.setenv("RNNPACK_ISA", request.param[1])
    return str(request.param[1])
