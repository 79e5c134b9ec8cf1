"""Loading the plugin, and what becomes of its errors: by way of a fake one, in processes of their own."""

from __future__ import annotations

from pathlib import Path

import fake_plugin
import pytest


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = fake_plugin.build(tmp_path_factory.mktemp("fake plugin"))
    if library is None:
        pytest.skip("there is no C++ compiler to build a plugin with")
    return library


def test_files_that_are_no_plugin_are_refused(fake: Path, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    fake_plugin.run(
        fake,
        f"""
        import _ctypes, os, shutil
        folder = {str(tmp_path)!r}
        assert "no CUDA plugin has been loaded" in message(RuntimeError, _core.cuda_device_count)
        assert "no CUDA plugin has been loaded" in message(RuntimeError, cell)
        assert "missing.so" in message(OSError, _core.cuda_load, folder + "/missing.so")
        assert "text.so" in message(OSError, _core.cuda_load, folder + "/text.so")
        assert folder in message(OSError, _core.cuda_load, folder)
        assert "no plugin of rnnpack" in message(RuntimeError, _core.cuda_load, _ctypes.__file__)
        for change in ({{"version": told.version + 1}}, {{"refuses_version": 1}}):
            before = {{name: getattr(told, name) for name in change}}
            for name, value in change.items():
                setattr(told, name, value)
            assert "belongs to another version" in message(RuntimeError, load)
            for name, value in before.items():
                setattr(told, name, value)
        load()
        load()
        os.chdir(os.path.dirname(path))
        _core.cuda_load("./" + os.path.basename(path))
        copied = shutil.copy(path, folder + "/copy.so")
        text = message(RuntimeError, _core.cuda_load, copied)
        assert copied in text and f"already been loaded from {{path}}" in text, text
        assert _core.cuda_device_count() == 2
        name, capability, *_ = _core.cuda_device_info(0)
        assert name == "x" * 255 and capability == (9, 0)
        """,
    )


def test_each_error_of_the_plugin_has_its_exception(fake: Path) -> None:
    fake_plugin.run(
        fake,
        """
        load()
        made, one = cell(), call()
        x = np.zeros((1, 1, 3), "f4")
        functions = {
            "count": lambda: _core.cuda_device_count(),
            "info": lambda: _core.cuda_device_info(0),
            "cell": lambda: cell(),
            "call": lambda: one.run(4096, 0),
            "run": lambda: _core.cuda_run([made], x, None, None, False, False, False, False),
            "pair": lambda: _core.cuda_run_bidirectional(
                [made], [made], x, None, None, None, False, False, False, False, False
            ),
            "merge": lambda: _core.cuda_merge(0, "sum", "float32", 1, 4096, 4096, 4096, 0),
            "order": lambda: _core.cuda_order(0, 1, 2),
            "allocate": lambda: _core.cuda_allocate(0, 1, 0),
            "copy": lambda: _core.cuda_copy(0, 4096, 4096, 1, 0),
            "owner": lambda: _core.cuda_owner_of(4096),
        }
        for function in functions.values():
            function()
        # Numbers of results: 3 says interrupted, but no exception is pending.
        kinds = {1: MemoryError, 2: RuntimeError, 3: RuntimeError, 4: ValueError, 99: RuntimeError}
        for number, kind in kinds.items():
            told.next = number
            for name, function in functions.items():
                for told.names_nothing in (0, 1):
                    nothing = "the CUDA plugin failed and gave no reason"
                    want = nothing if told.names_nothing else "as ä test told \\ufffd"
                    assert message(kind, function) == want, name
        told.next = 0
        assert told.cells == 2
        del made, one, functions
        assert told.cells == 0
        """,
    )


def test_streams_that_are_one_need_no_order(fake: Path) -> None:
    fake_plugin.run(
        fake,
        """
        load()
        _core.cuda_order(0, 5, 5)
        assert told.orders == 0
        _core.cuda_order(0, 5, 6)
        assert told.orders == 1
        """,
    )


def test_sizes_that_no_memory_could_hold(fake: Path) -> None:
    fake_plugin.run(
        fake,
        """
        load()
        told.workspace = 2**64 - 1
        assert "no memory could hold" in message(MemoryError, call)
        assert told.cells == 0
        told.workspace = 2**64 - 256
        one = call()
        assert one.workspace_bytes == told.workspace
        assert "address of 18446744073709551360 bytes, got 0" in message(ValueError, one.run, 0, 0)
        assert "aligned to 256" in message(ValueError, one.run, 4097, 0)
        one.run(4096, 0)
        told.workspace = 2**64 - 1
        assert call(batch=0).workspace_bytes == 0
        """,
    )


def test_ctrl_c_stops_a_call(fake: Path) -> None:
    fake_plugin.run(
        fake,
        """
        import signal
        load()
        one, x = call(), np.zeros((1, 1, 3), "f4")
        told.interruptible = 1
        for run in (
            lambda: one.run(4096, 0),
            lambda: _core.cuda_run([cell()], x, None, None, False, False, False, False),
        ):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                run()
            except KeyboardInterrupt:
                continue
            raise AssertionError("not interrupted")
        """,
    )


def test_threads_are_in_the_plugin_at_the_same_time(fake: Path) -> None:
    """Calls, making and freeing give the interpreter lock up."""
    fake_plugin.run(
        fake,
        """
        import threading
        load()

        def together(work):
            told.most_inside = 0
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return told.most_inside

        one, held = call(), [[cell()] for _ in range(8)]
        told.milliseconds = 200
        assert together(lambda: one.run(4096, 0)) > 1
        assert together(lambda: held.append([cell()])) > 1
        assert together(lambda: held.pop().clear()) > 1
        told.milliseconds = 0
        del one
        held.clear()
        assert told.cells == 0, told.cells

        def hammer():
            for _ in range(300):
                call(cell(), cell(features=2)).run(4096, 0)

        together(hammer)
        assert told.cells == 0, told.cells
        """,
    )


def test_a_call_keeps_its_cells_alive(fake: Path) -> None:
    fake_plugin.run(
        fake,
        """
        load()
        cells = [cell()]
        one = call(*cells)
        cells.clear()
        assert told.cells == 1
        one.run(4096, 0)
        del one
        assert told.cells == 0
        """,
    )


@pytest.mark.parametrize("where", ["a global", "a thread at work"])
def test_cells_may_go_while_the_interpreter_ends(fake: Path, where: str) -> None:
    code = """
        import threading, time
        load()
        kept = cell()
        """
    if where == "a thread at work":
        code += """
        told.milliseconds = 300
        started = threading.Event()
        def free():
            cells = [cell() for _ in range(5)]
            started.set()
            cells.clear()
        threading.Thread(target=free, daemon=True).start()
        started.wait()
        """
    assert fake_plugin.run(fake, code + "print('end')\n") == "end\n"
