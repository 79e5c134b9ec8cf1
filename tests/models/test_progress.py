"""The progress line: on terminals only, with or without rich, one at a time."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from rnnpack import progress as module
from rnnpack.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=["plain", "rich"])
def terminal(request, monkeypatch):
    if request.param == "rich":
        pytest.importorskip("rich")
    else:
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    stream = Terminal()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=stream))
    return stream


def test_a_terminal_shows_label_count_and_rate(terminal):
    with progress(40, "predict", "rows") as shown:
        for _ in range(4):
            shown.advance(10)
    text = terminal.getvalue()
    assert "predict" in text and "40/40" in text and "rows/s" in text


def test_without_a_total_only_the_count_is_shown(terminal):
    with progress(None, "read", "rows") as shown:
        shown.advance(7)
    assert "7" in terminal.getvalue() and "rows" in terminal.getvalue()


def test_a_failing_body_ends_the_line(terminal):
    with pytest.raises(KeyError), progress(3, "predict", "rows") as shown:
        shown.advance(1)
        raise KeyError
    assert terminal.getvalue().rstrip("\x1b[?25h").endswith("\n")
    with progress(1, "again", "rows") as shown:
        shown.advance(1)
    assert "again" in terminal.getvalue()


def test_an_inner_line_is_silent(terminal):
    with progress(1, "outer", "files"), progress(1, "inner", "rows") as inner:
        inner.advance(1)
    assert "outer" in terminal.getvalue() and "inner" not in terminal.getvalue()


def test_nothing_is_drawn_where_it_is_not_wanted(terminal):
    with progress(3, "predict", "rows", enabled=False) as shown:
        shown.advance(3)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_nothing_is_drawn_on_what_is_no_terminal(stream, monkeypatch):
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=stream))
    with progress(3, "predict", "rows") as shown:
        shown.advance(3)
    assert stream is None or stream.getvalue() == ""


def test_the_plain_line_is_drawn_at_most_ten_times_a_second(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    clock = iter(i * 0.001 for i in range(10_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress(1000, "predict", "rows") as shown:
        for _ in range(1000):
            shown.advance(1)
    assert 5 <= stream.getvalue().count("\r") <= 25
