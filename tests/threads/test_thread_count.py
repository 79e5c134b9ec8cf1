"""How many threads a call may use: setting, environment, affinity, cgroup."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_calls import run_program

import rnnpack
from rnnpack.threads import available_threads

PRINT = "import rnnpack; print(rnnpack.get_num_threads())"
BAD: list[Any] = [
    0,
    -1,
    1.5,
    True,
    False,
    "2",
    "",
    None,
    1025,
    10**9,
    2**64,
    -(2**64),
    float("nan"),
    [2],
    2.0,
]


def imported(**environment: str) -> subprocess.CompletedProcess[str]:
    """What a new process says that asks for the number of threads."""
    return subprocess.run(
        [sys.executable, "-c", PRINT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Setting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 16, 17, 1024, np.int64(5), np.uint8(7)])
def test_the_number_set_is_the_number_got(number: Any) -> None:
    rnnpack.set_num_threads(number)
    assert rnnpack.get_num_threads() == number
    assert type(rnnpack.get_num_threads()) is int


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_another_number_is_refused_and_changes_nothing(bad: Any) -> None:
    rnnpack.set_num_threads(3)
    with pytest.raises(ValueError, match=r"threads.* from 1 to 1024") as caught:
        rnnpack.set_num_threads(bad)
    assert repr(bad) in str(caught.value)
    assert rnnpack.get_num_threads() == 3


def test_the_number_is_one_for_all_python_threads() -> None:
    output = run_program("""
        import threading, rnnpack
        rnnpack.set_num_threads(5)
        seen = []
        def other():
            seen.append(rnnpack.get_num_threads())
            rnnpack.set_num_threads(6)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        print(seen, rnnpack.get_num_threads())
    """)
    assert output.strip() == "[5] 6"


# Environment --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("3", 3), ("1024", 1024)])
def test_the_environment_sets_the_number_at_import(text: str, number: int) -> None:
    done = imported(RNNPACK_NUM_THREADS=text)
    assert (done.returncode, done.stdout.strip()) == (0, str(number)), done.stderr


def test_an_empty_variable_is_none() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "RNNPACK_NUM_THREADS"}
    unset = subprocess.run(
        [sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert imported(RNNPACK_NUM_THREADS="").stdout == unset.stdout


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "1025", "9" * 5000], ids=lambda text: text[:9])
def test_a_bad_variable_stops_the_import_by_name(text: str) -> None:
    done = imported(RNNPACK_NUM_THREADS=text)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ValueError: ")
    assert "RNNPACK_NUM_THREADS" in last and "from 1 to 1024" in last


def test_a_number_set_later_wins_over_the_environment() -> None:
    output = run_program(
        "import rnnpack; rnnpack.set_num_threads(2); print(rnnpack.get_num_threads())",
        RNNPACK_NUM_THREADS="7",
    )
    assert output.strip() == "2"


# Default ------------------------------------------------------------------------------------------

affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks"
)


@affinity
def test_the_default_is_no_more_than_the_affinity_mask() -> None:
    output = run_program(
        f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); {PRINT}", RNNPACK_NUM_THREADS=""
    )
    assert output.strip() == "1"


@affinity
def test_the_default_is_what_the_process_may_use() -> None:
    output = run_program(
        "import rnnpack; from rnnpack.threads import available_threads;"
        "print(rnnpack.get_num_threads() == available_threads())",
        RNNPACK_NUM_THREADS="",
    )
    assert output.strip() == "True"


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose affinity mask has eight processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight")
class TestCgroup:
    """Quotas in fake trees of control files."""

    @staticmethod
    def write(root: Path, files: dict[str, str | bytes]) -> Path:
        """A tree with these files."""
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return root

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("max 100000\n", 8),
            ("200000 100000\n", 2),
            ("100000 100000\n", 1),
            ("100001 100000\n", 2),
            ("150000 100000", 2),
            ("1000 100000\n", 1),
            ("250000 50000\n", 5),
            ("6400000 100000\n", 8),
        ],
    )
    def test_version_2(self, tmp_path: Path, text: str, number: int) -> None:
        assert available_threads(self.write(tmp_path, {"cpu.max": text})) == number

    @pytest.mark.parametrize(
        ("quota", "period", "number"),
        [
            ("-1\n", "100000\n", 8),
            ("200000\n", "100000\n", 2),
            ("150000\n", "100000\n", 2),
            ("1000\n", "100000\n", 1),
            ("350000", "50000", 7),
            ("6400000\n", "100000\n", 8),
        ],
    )
    def test_version_1(self, tmp_path: Path, quota: str, period: str, number: int) -> None:
        files = {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": period}
        assert available_threads(self.write(tmp_path, files)) == number

    @pytest.mark.parametrize(
        "text", ["", "\n", "two", "max", "200000", "200000 0", "two 100000", "1.5 1", "1 2 3", b"\xff\xfe 1"]
    )
    def test_garbage_of_version_2_is_no_limit(self, tmp_path: Path, text: str | bytes) -> None:
        assert available_threads(self.write(tmp_path, {"cpu.max": text})) == 8

    @pytest.mark.parametrize(
        ("quota", "period"), [("", "100000"), ("two", "1"), ("5", "0"), ("5", ""), (b"\xff", "1")]
    )
    def test_garbage_of_version_1_is_no_limit(self, tmp_path: Path, quota: str | bytes, period: str) -> None:
        files: dict[str, str | bytes] = {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": period}
        assert available_threads(self.write(tmp_path, files)) == 8

    def test_a_quota_without_a_period_is_no_limit(self, tmp_path: Path) -> None:
        assert available_threads(self.write(tmp_path, {"cpu/cpu.cfs_quota_us": "100000"})) == 8

    def test_no_files_are_no_limit(self, tmp_path: Path) -> None:
        assert available_threads(tmp_path) == 8
        assert available_threads(tmp_path / "missing") == 8

    def test_a_folder_in_place_of_a_file_is_no_limit(self, tmp_path: Path) -> None:
        (tmp_path / "cpu.max").mkdir()
        assert available_threads(tmp_path) == 8

    def test_version_2_is_asked_first(self, tmp_path: Path) -> None:
        files: dict[str, str | bytes] = {
            "cpu.max": "300000 100000",
            "cpu/cpu.cfs_quota_us": "100000",
            "cpu/cpu.cfs_period_us": "100000",
        }
        assert available_threads(self.write(tmp_path, files)) == 3


def test_a_machine_without_affinity_masks_counts_processors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads(tmp_path) == 1


# What the number does -----------------------------------------------------------------------------

COUNT = """
    import os, time
    import rnnpack, shared_calls
    for split in shared_calls.SHAPES:
        layer, x = shared_calls.layer_for(split), shared_calls.inputs_for(split, 300)
        before = shared_calls.own_threads()
        rnnpack.set_num_threads({threads})
        for _ in range(5):
            layer(x)
        print(shared_calls.own_threads() - before)
        rnnpack.set_num_threads(1)
"""

linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")


@linux
def test_one_never_starts_a_thread() -> None:
    assert run_program(COUNT.format(threads=1)).split() == ["0"] * 4


@linux
@pytest.mark.skipif(available_threads() < 2, reason="one processor cannot gain from threads")
@pytest.mark.parametrize("threads", [2, 3])
def test_no_more_threads_are_started_than_asked_for(threads: int) -> None:
    first, *later = map(int, run_program(COUNT.format(threads=threads)).split())
    assert 1 <= first <= threads - 1
    assert first + sum(later) <= threads - 1


STREAM = """
    import rnnpack, shared_calls
    layer = rnnpack.RNN(shared_calls.cell("lstm", 1024))
    layer.build((None, None, 1024))
    rnnpack.set_num_threads(2)
    stream = layer.stream(1)
    rnnpack.set_num_threads({threads})
    before = shared_calls.own_threads()
    stream(shared_calls.normal(1, 1024))
    print(shared_calls.own_threads() - before)
"""


@linux
@pytest.mark.parametrize("threads", [1, 2])
def test_a_lower_number_counts_for_streams_that_are_there_already(threads: int) -> None:
    assert run_program(STREAM.format(threads=threads)).strip() == str(threads - 1)
