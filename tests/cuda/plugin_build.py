"""Builds the CUDA plugin for the CPU: the very same sources, against the emulator in ``emulator/``.

What was built stays under ``build/cuda_emulator``, named after a hash of everything that it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = Path(__file__).resolve().parent / "emulator"
SOURCES = ROOT / "csrc"
BUILT = ROOT / "build" / "cuda_emulator"
OLDEST_GCC = 12

# No fortified longjmp: it refuses to go from one fiber's stack to another's.
FLAGS = ("-std=c++20", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-pthread", "-U_FORTIFY_SOURCE")
LINK_FLAGS = ("-shared", "-pthread", "-Wl,--no-undefined", "-Wl,-Bsymbolic")
# These make of some errors in kernels what they are on a GPU; see emulator/engine/sanitizer.cpp.
KERNEL_FLAGS = ("-x", "c++", "-fsanitize=alignment,bounds,null,integer-divide-by-zero")
# Every access to memory is looked at, several times slower; see emulator/engine/accesses.h.
CHECK_FLAGS = ("-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0")


class CannotBuild(RuntimeError):
    """This machine has not what it takes to build the plugin; the text says what."""


def emulated_plugin(checked: bool = False) -> Path:
    """Build the plugin, unless that was done before.

    Args:
        checked: Whether each access of a kernel to memory is checked, for its bounds and for races.

    Returns:
        The shared library.

    Raises:
        CannotBuild: There is no compiler, or no source tree beside the tests.
        RuntimeError: The compiler fails.
    """
    kernels = sorted((SOURCES / "cuda").glob("*.cu"))
    if not kernels:
        raise CannotBuild(f"there are no sources of the CUDA plugin in {SOURCES / 'cuda'}")
    return emulated_library("rnnpack_cuda", kernels, checked)


def emulated_library(name: str, kernels: Sequence[Path], checked: bool = False) -> Path:
    """Build a library of kernels and the emulator.

    Args:
        name: What the library is called.
        kernels: The .cu files.
        checked: As for ``emulated_plugin``.

    Returns:
        The shared library.

    Raises:
        CannotBuild: There is no compiler.
        RuntimeError: The compiler fails.
    """
    compiler = _compiler()
    # The engine first: of functions that both have, the linker takes those that are not instrumented.
    engine = sorted((EMULATOR / "engine").glob("*.cpp"))
    kernel_flags = (*FLAGS, *KERNEL_FLAGS, *(CHECK_FLAGS if checked else ()))
    flags_of = dict.fromkeys(engine, FLAGS) | dict.fromkeys(kernels, kernel_flags)
    common = _hash_of_headers(compiler)
    objects = [
        BUILT / f"{one.stem}-{_hash(common, repr(flags).encode(), one.read_bytes())}.o"
        for one, flags in flags_of.items()
    ]
    library = BUILT / f"lib{name}-{_hash(*(one.name.encode() for one in objects))}.so"
    BUILT.mkdir(parents=True, exist_ok=True)
    with _lock(BUILT / "lock"):
        if not library.exists():
            includes = ("-I", str(EMULATOR), "-I", str(SOURCES))
            missing = [
                ([compiler, *flags, *includes, "-c", str(one)], to)
                for (one, flags), to in zip(flags_of.items(), objects, strict=True)
                if not to.exists()
            ]
            with ThreadPoolExecutor(2) as workers:
                list(workers.map(lambda job: _run(*job), missing))
            _run([compiler, *LINK_FLAGS, *map(str, objects), "-ldl"], library)
            _remove_old_files()
        library.touch()
    return library


def _compiler() -> str:
    if platform.libc_ver()[0] != "glibc":
        raise CannotBuild("CUDA is emulated only where there is glibc, which has the fibers")
    wanted = os.environ.get("CXX", "c++")
    found = shutil.which(wanted)
    if found is None:
        raise CannotBuild(f"there is no C++ compiler {wanted!r} to build the emulated CUDA plugin with")
    if "Free Software Foundation" not in _version(found):
        raise CannotBuild(f"CUDA is emulated with GCC only, and {wanted!r} is another compiler")
    release = subprocess.run([found, "-dumpversion"], check=True, capture_output=True, text=True).stdout
    if int(release.split(".")[0]) < OLDEST_GCC:
        raise CannotBuild(
            f"CUDA is emulated with GCC {OLDEST_GCC} or newer, and {wanted!r} is {release.strip()}"
        )
    return found


def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout


def _hash(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return whole.hexdigest()[:16]


def _hash_of_headers(compiler: str) -> bytes:
    """Everything but the sources themselves that may change an object file."""
    headers = [path for folder in (EMULATOR, SOURCES) for path in sorted(folder.rglob("*.h"))]
    parts = [part for path in headers for part in (str(path).encode(), path.read_bytes())]
    return _hash(_version(compiler).encode(), repr(LINK_FLAGS).encode(), *parts).encode()


def _run(command: list[str], to: Path) -> None:
    """Run the compiler; the file appears as a whole or not at all."""
    unfinished = to.with_suffix(".unfinished")
    done = subprocess.run([*command, "-o", str(unfinished)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    unfinished.replace(to)


def _remove_old_files() -> None:
    """Forget what nobody used for a week."""
    for path in BUILT.iterdir():
        if path.stat().st_mtime < time.time() - 7 * 24 * 3600:
            path.unlink()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One builder at a time, whatever the number of test processes."""
    import fcntl  # not on Windows, where nothing is emulated

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
