"""The project's documents, as tests read them: their fenced blocks and their inline code. Standard library only."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT

DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HEREDOC = re.compile(r"(?<!<)<<-?\s*(['\"]?)(\w+)\1")


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Attributes:
        document: the file's path from the root of the checkout.
        line: of the first fence.
        language: the word after it.
        text: lines, each with its end.
    """

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


class Statement(NamedTuple):
    """A command of a block of sh, with what belongs to it.

    Attributes:
        raw: its lines as they stand, a heredoc's included.
        command: the same as one line, without a comment and without a heredoc's text; empty if nothing is run.
    """

    raw: str
    command: str


def blocks(*languages: str) -> list[Block]:
    """The blocks of all documents, in their order; of these languages, if any are given."""
    found = [block for path in DOCUMENTS for block in blocks_of(path)]
    return [block for block in found if not languages or block.language in languages]


def inline(start: str) -> list[str]:
    """The inline code of all documents that begins with `start`, fenced blocks left out."""
    return [span for path in DOCUMENTS for span in inline_of(path) if span.startswith(start)]


def inline_of(path: Path) -> list[str]:
    """The inline code of one document, each as one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", path.read_text()))]


def statements(text: str) -> Iterator[Statement]:
    """Split a block of sh: a line that ends in a backslash goes with the next, a heredoc with its command."""
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        raw = line
        while raw.endswith("\\\n"):
            raw += next(lines, "")
        joined = raw.replace("\\\n", "").partition(" # ")[0].strip()
        if heredoc := HEREDOC.search(joined):
            raw += _through(lines, heredoc[2])
        yield Statement(raw, "" if joined.startswith("#") else joined)


def _through(lines: Iterator[str], end: str) -> str:
    """Take lines up to the one that is `end`, and that one."""
    taken = ""
    for line in lines:
        taken += line
        if line.strip() == end:
            break
    return taken


def commands(text: str) -> list[str]:
    """The commands of a block of sh, each as one line, without comments and heredocs."""
    return [each.command for each in statements(text) if each.command]


def blocks_of(path: Path) -> list[Block]:
    """The blocks of one document, in order."""
    text = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    return [Block(name, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in FENCED.finditer(text)]
