"""Properties of the GPU's plugin as rnnpack-cuda13 ships it. They need no GPU; `make cuda` installs it."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

import rnnpack

ROOT = Path(__file__).parents[2]
DISTRIBUTION = "rnnpack-cuda13"
LIBRARY = "librnnpack_cuda.so"
MOST_BYTES = 16 << 20

# A multiprocessor's registers, and what __launch_bounds__ promise: threads of a block, blocks at once.
REGISTERS = 65536
LAUNCH_BOUNDS = {"split_product": (256, 2), "tall_product": (128, 2)}
MOST_REGISTERS = 255  # of one thread, on any card


def tool(name: str) -> str:
    """The path of a program of binutils."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def installed_file(distribution: str, name: str) -> Path:
    """Where a distribution has put the file of this name."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed: `make cuda` does that, where nvcc 13 is")
    return next(Path(str(file.locate())) for file in files if file.name == name)


@pytest.fixture(scope="module")
def plugin() -> Path:
    return installed_file(DISTRIBUTION, LIBRARY)


@pytest.fixture(scope="module")
def cuobjdump() -> Path:
    return installed_file("nvidia-cuda-cuobjdump", "cuobjdump")


class Kernel(NamedTuple):
    """What ptxas has given a kernel in the machine code of one architecture."""

    architecture: str
    name: str
    registers: int
    stack: int
    local: int

    def __str__(self) -> str:
        return f"{self.architecture} {self.name}: {self.registers} registers, {self.stack} bytes of stack"


@pytest.fixture(scope="module")
def kernels(plugin: Path, cuobjdump: Path) -> list[Kernel]:
    found = []
    architecture = name = ""
    for line in output_of(cuobjdump, "--dump-resource-usage", plugin).splitlines():
        if match := re.match(r"arch = (\w+)", line):
            architecture = match[1]
        elif match := re.match(r" Function (\w+):", line):
            name = match[1]
        elif match := re.match(r"  REG:(\d+) STACK:(\d+) .*LOCAL:(\d+) ", line):
            found.append(Kernel(architecture, name, *map(int, match.groups())))
    assert found, "cuobjdump's answer was not understood"
    return found


def test_machine_code_for_80_and_90a_and_ptx_for_all_others(plugin: Path, cuobjdump: Path) -> None:
    listing = output_of(cuobjdump, "--list-elf", "--list-ptx", plugin)
    files = re.findall(r"\.(sm_\w+)\.(cubin|ptx)$", listing, re.MULTILINE)
    assert set(files) == {("sm_80", "cubin"), ("sm_90a", "cubin"), ("sm_80", "ptx")}
    assert len({files.count(kind) for kind in set(files)}) == 1, "some source lacks an architecture"


def test_both_architectures_have_the_same_kernels(kernels: list[Kernel]) -> None:
    names = {
        architecture: sorted(kernel.name for kernel in kernels if kernel.architecture == architecture)
        for architecture in ("sm_80", "sm_90a")
    }
    assert names["sm_80"] == names["sm_90a"]
    for known in LAUNCH_BOUNDS:
        assert any(known in name for name in names["sm_80"])


def test_no_kernel_spills_or_has_a_stack(kernels: list[Kernel]) -> None:
    assert [str(kernel) for kernel in kernels if kernel.stack > 0 or kernel.local > 0] == []


def test_registers_allow_what_the_launch_bounds_promise(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        assert kernel.registers <= MOST_REGISTERS, kernel
        bounds = (bounds for known, bounds in LAUNCH_BOUNDS.items() if known in kernel.name)
        threads, blocks = next(bounds, (1, 1))
        assert kernel.registers * threads * blocks <= REGISTERS, kernel


def test_one_symbol_is_exported(plugin: Path) -> None:
    listing = output_of(tool("nm"), "--dynamic", "--defined-only", plugin)
    assert [line.split()[1:] for line in listing.splitlines()] == [["T", "rnnpack_cuda_plugin"]]


def test_it_needs_only_the_c_and_cpp_libraries(plugin: Path) -> None:
    """Neither libcudart, which is inside, nor libcuda, which cudart loads itself where there is one."""
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\.so", output_of(tool("readelf"), "--dynamic", plugin))
    allowed = {"libstdc++", "libgcc_s", "libc", "libm", "libdl", "librt", "libpthread", "ld-linux-x86-64"}
    assert "libc" in needed
    assert set(needed) <= allowed


def test_it_is_stripped_and_small(plugin: Path) -> None:
    sections = output_of(tool("readelf"), "--section-headers", "--wide", plugin)
    assert ".nv_fatbin" in sections
    assert ".symtab" not in sections
    assert ".debug" not in sections
    assert plugin.stat().st_size < MOST_BYTES


def test_the_wheel_holds_the_package_with_the_library_and_nothing_else(plugin: Path) -> None:
    installed = metadata.distribution(DISTRIBUTION)
    written_by_pip = {"INSTALLER", "REQUESTED", "direct_url.json"}
    names = {file.as_posix() for file in installed.files or [] if file.suffix != ".pyc"}
    names = {name for name in names if Path(name).name not in written_by_pip}
    information = f"rnnpack_cuda13-{installed.version}.dist-info"
    assert names == {
        "rnnpack_cuda13/__init__.py",
        f"rnnpack_cuda13/{LIBRARY}",
        *(f"{information}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")),
    }
    wheel = installed.read_text("WHEEL") or ""
    assert re.findall(r"^Tag: (.*)$", wheel, re.MULTILINE) == ["py3-none-linux_x86_64"]
    assert installed.requires is None


def test_its_version_is_that_of_rnnpack(plugin: Path) -> None:
    import rnnpack_cuda13  # type: ignore[import-not-found, unused-ignore]

    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert declared is not None
    assert metadata.version(DISTRIBUTION) == rnnpack_cuda13.__version__ == declared[1]


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def why_not(**environment: str) -> str | None:
    """`rnnpack.cuda.why_not()` of a new process."""
    program = "import json, rnnpack.cuda; print(json.dumps(rnnpack.cuda.why_not()))"
    unasked = {name: value for name, value in os.environ.items() if name != "RNNPACK_CUDA_PLUGIN"}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=unasked | environment, capture_output=True, text=True, check=True)
    answer: str | None = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(has_driver(), reason="says what is said without an NVIDIA driver, and there is one")
def test_without_a_driver_the_reason_is_the_driver(plugin: Path) -> None:
    reason = why_not()
    assert reason is not None
    assert "libcuda.so.1" in reason
    assert not rnnpack.cuda.is_available()


@pytest.mark.skipif(has_driver(), reason="says what is said without an NVIDIA driver, and there is one")
def test_the_plugin_loads_without_a_driver_and_knows_no_device(plugin: Path) -> None:
    """By its path it is loaded at once: linked as it should be, and of the core's interface version."""
    reason = why_not(RNNPACK_CUDA_PLUGIN=str(plugin))
    assert reason is not None
    assert "cannot be loaded" not in reason
    assert "driver" in reason


# How CMake is configured, without building anything.


@pytest.fixture(scope="module")
def cmake() -> list[str]:
    """The command that configures a project, with what pip's isolated builds would bring."""
    cmake = shutil.which(
        "cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if cmake is None or importlib.util.find_spec("pybind11") is None:
        pytest.skip("needs CMake and pybind11, which `make lint` installs")
    import pybind11

    return [cmake, f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]


def test_without_the_option_no_cuda_is_looked_for(cmake: list[str], tmp_path: Path) -> None:
    output_of(*cmake, "-S", ROOT, "-B", tmp_path)
    cache = (tmp_path / "CMakeCache.txt").read_text("utf-8")
    assert re.findall(r"^\w*CUDA\w*:.*$", cache, re.MULTILINE) == ["RNNPACK_CUDA:BOOL=OFF"]


@pytest.mark.parametrize("project", [ROOT, ROOT / "cuda13"], ids=["rnnpack", DISTRIBUTION])
def test_without_nvcc_one_message_says_what_to_do(project: Path, cmake: list[str], tmp_path: Path) -> None:
    folders = [*os.environ["PATH"].split(os.pathsep), "/usr/local/cuda/bin"]
    with_nvcc = ";".join(folder for folder in folders if (Path(folder) / "nvcc").exists())
    environment = {name: value for name, value in os.environ.items() if name not in ("CUDACXX", "CUDA_PATH")}
    command = [*cmake, f"-DCMAKE_CXX_COMPILER={tool('g++')}", f"-DCMAKE_IGNORE_PATH={with_nvcc}"]
    command += ["-DRNNPACK_CUDA=ON", "-S", str(project), "-B", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.count("CMake Error") == 1
    said = " ".join(done.stderr.split())
    assert "The CUDA plugin: expected nvcc 13, found none. Install the CUDA toolkit 13" in said
