"""A run that stops anywhere and goes on gives the same bytes as one that does not."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cli_files
import numpy as np
import pytest

from rnnpack.cli import job, main
from rnnpack.cli.journal import fingerprint
from rnnpack.datafiles import Computation
from rnnpack.datafiles.sink import PartialFile

KINDS = [".npy", ".npz", ".parquet", ".csv"]


def words(folder: Path, target: str, *more: str) -> list[str]:
    return [
        "run",
        str(folder / "last.safetensors"),
        str(folder / "x.npy"),
        "-o",
        str(folder / f"y{target}"),
        "--batch-size=5",
        "--chunk-rows=10",
        *more,
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cli_files.last_model_file(tmp_path)
    cli_files.rows_file(tmp_path / "x.npy")
    return tmp_path


def whole(folder: Path, target: str) -> bytes:
    """The output of a run that is not interrupted."""
    path = folder / f"whole{target}"
    arguments = words(folder, target, "-q")
    arguments[4] = str(path)
    assert main(arguments) == 0
    return path.read_bytes()


class Interrupting:
    """Raises at one of the calls of a method, after half of its work where it writes."""

    def __init__(self, method: Any, at: int, error: BaseException) -> None:
        self.method, self.left, self.error = method, at, error

    def __get__(self, owner: Any, kind: Any) -> Any:
        def call(data: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                if self.method is PartialFile_write:
                    self.method(owner, memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
                raise self.error
            return self.method(owner, data)

        return call


PartialFile_write = PartialFile.write
places = [(Computation, "compute"), (PartialFile, "write")]


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize(("owner", "method"), places)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_any_moment(
    owner: Any, method: str, error: BaseException, target: str, folder: Path, monkeypatch: Any, capsys: Any
) -> None:
    if target == ".parquet":
        pytest.importorskip("pyarrow")
    wanted = whole(folder, target)
    output = folder / f"y{target}"
    files = {"last.safetensors", "x.npy", f"whole{target}"}
    original = getattr(owner, method)
    for at in (1, 2, 3, 7, 11):
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        monkeypatch.setattr(owner, method, Interrupting(original, at, error))
        codes = [main(words(folder, target, "--resume", "-q"))]
        monkeypatch.setattr(owner, method, original)
        stopped = capsys.readouterr().err
        if codes == [code]:
            assert not output.exists()
            left = set(os.listdir(folder)) - files
            resumable = "--resume goes on" in stopped
            assert left == ({f"y{target}.partial", f"y{target}.partial.json"} if resumable else set())
            codes.append(main(words(folder, target, "--resume", "-q")))
        assert codes[-1] == 0
        assert output.read_bytes() == wanted
        assert set(os.listdir(folder)) == {*files, output.name}
        output.unlink()


def noted(journal: Path) -> int:
    """Tells one state of the journal from the next."""
    return journal.stat().st_mtime_ns if journal.exists() else 0


@pytest.mark.parametrize(
    ("target", "sent"),
    [(".npy", signal.SIGINT), (".npz", signal.SIGINT), (".csv", signal.SIGKILL), (".npz", signal.SIGKILL)],
)
def test_signals_at_random_moments(target: str, sent: int, folder: Path) -> None:
    wanted = whole(folder, target)
    output, journal = folder / f"y{target}", folder / f"y{target}.partial.json"
    chance = random.Random(target)
    codes: list[int] = []
    while 0 not in codes:
        before = noted(journal)
        running = cli_files.process(*words(folder, target, "--resume"))
        while running.poll() is None and noted(journal) == before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
        if len(codes) < 4:
            running.send_signal(sent)
        code, out, err = cli_files.finished(running)
        assert "Traceback" not in err and out == ""
        if not output.exists():
            assert code == (130 if sent == signal.SIGINT else -sent), err
        codes.append(0 if output.exists() else code)  # the signal may come when all is done
    assert len(codes) > 1
    assert output.read_bytes() == wanted


def test_ctrl_c_on_a_terminal(folder: Path) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, str(cli_files.SCRIPT), *words(folder, ".npy")]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PAUSE": "0.2"}
    running = subprocess.Popen(command, stderr=terminal, stdin=terminal, stdout=terminal, env=environment)
    os.close(terminal)
    shown = b""
    while b"rows/s" not in shown or not (folder / "y.npy.partial.json").exists():
        shown += os.read(controller, 1000)
    running.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # the terminal closes
        while piece := os.read(controller, 1000):
            shown += piece
    os.close(controller)
    assert running.wait(60) == 130
    assert b"the same command with --resume goes on" in shown


def interrupted(folder: Path, monkeypatch: Any, *more: str) -> None:
    """Leaves a run of which 35 rows are done."""
    monkeypatch.setattr(Computation, "compute", Interrupting(Computation.compute, 5, KeyboardInterrupt()))
    assert main(words(folder, ".npy", *more)) == 130
    monkeypatch.undo()
    journal = json.loads((folder / "y.npy.partial.json").read_text())
    assert journal["rows"] == 35 and journal["size"] == (folder / "y.npy.partial").stat().st_size


def refused(capsys: Any, arguments: list[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return str(err)


def test_another_model_input_or_option_is_refused(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    interrupted(folder, monkeypatch)
    assert "stopped after 35 rows: the same command with --resume goes on" in capsys.readouterr().err
    resume = words(folder, ".npy", "--resume")
    assert "an interrupted run is waiting" in refused(capsys, words(folder, ".npy"))
    assert "--batch-size 5, now it is 7" in refused(capsys, [*resume, "--batch-size=7"])
    assert "--columns not given, now it is ['values']" in refused(capsys, [*resume, "--columns=values"])
    assert "--precision full, now it is int8" in refused(capsys, [*resume, "--precision=int8"])
    os.utime(folder / "x.npy", ns=(0, 0))
    assert "had another input" in refused(capsys, resume)
    model = folder / "last.safetensors"
    saved = model.read_bytes()
    model.write_bytes(saved + b" ")
    assert "had another model" in refused(capsys, resume)
    model.write_bytes(saved)
    assert (folder / "y.npy.partial").exists()
    assert main(words(folder, ".npy", "--force", "-q")) == 0
    assert len(np.load(folder / "y.npy")) == 100


def test_resuming_computes_only_what_is_left(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    interrupted(folder, monkeypatch)
    counted: list[int] = []
    compute = Computation.compute

    def counting(self: Any, columns: Any) -> Any:
        counted.append(len(columns["values"]))
        return compute(self, columns)

    monkeypatch.setattr(Computation, "compute", counting)
    assert main(words(folder, ".npy", "--resume")) == 0
    assert counted == [10] * 6 + [5]
    assert "100 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "rnnpack run 1"}', "[" * 100_000, '{"format": 2}', "\udcff"]
)
def test_a_damaged_journal(text: str, folder: Path, monkeypatch: Any, capsys: Any) -> None:
    interrupted(folder, monkeypatch)
    (folder / "y.npy.partial.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "damaged, cannot resume; --force" in refused(capsys, words(folder, ".npy", "--resume"))


@pytest.mark.parametrize(("key", "value"), [("rows", -1), ("size", 0), ("chunk_rows", 0), ("columns", [1])])
def test_a_journal_of_nonsense(key: str, value: Any, folder: Path, monkeypatch: Any, capsys: Any) -> None:
    interrupted(folder, monkeypatch)
    path = folder / "y.npy.partial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert "damaged, cannot resume" in refused(capsys, words(folder, ".npy", "--resume"))


def test_a_partial_file_that_lost_its_end(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    interrupted(folder, monkeypatch)
    os.truncate(folder / "y.npy.partial", 100)
    assert "shorter than the" in refused(capsys, words(folder, ".npy", "--resume"))


def test_work_is_committed_from_time_to_time(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(job, "_COMMIT_EVERY", 0)
    states: list[int] = []
    write = job.Journal.write
    monkeypatch.setattr(
        job.Journal, "write", lambda self, at: (states.append(at.state.rows), write(self, at))
    )
    assert main(words(folder, ".npy", "-q")) == 0
    assert states == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 100, 100]


def test_an_interrupt_after_the_last_moment(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    def remove(self: Any) -> None:
        if not self.path.exists():
            return
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(job.Journal, "remove", remove)
    assert main(words(folder, ".npy")) == 130
    assert len(np.load(folder / "y.npy")) == 100


def test_fingerprints_tell_files_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen = set()
    for content in (b"", b"a", b"b", bytes(10**6), bytes(10**6 - 1) + b"x"):
        path.write_bytes(content)
        os.utime(path, ns=(0, 0))
        seen |= {fingerprint(path, True), fingerprint(path, False)}
    assert len(seen) == 10
