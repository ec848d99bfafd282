import io
import sys

import pytest

from app.client.progress import showing


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(progress, stream, monkeypatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with showing(progress, "encoding", 4) as more:
        more(2)
        more(2)
    return stream.getvalue()


def test_a_bar_is_drawn_on_a_terminal_when_asked_for(monkeypatch):
    pytest.importorskip("rich")
    assert "encoding" in shown(True, Terminal(), monkeypatch)


def test_nothing_is_drawn_unasked_or_anywhere_else(monkeypatch):
    assert shown(False, Terminal(), monkeypatch) == ""
    assert shown(True, io.StringIO(), monkeypatch) == ""


def test_without_rich_there_is_no_bar(monkeypatch):
    for name in ("rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    assert shown(True, Terminal(), monkeypatch) == ""


def test_a_function_is_told_the_sum(monkeypatch):
    told = []
    shown(lambda done, total: told.append((done, total)), Terminal(), monkeypatch)
    assert told == [(2, 4), (4, 4)]
