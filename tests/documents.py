"""The project's documents, as tests read them: their fenced blocks and their inline code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


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


def blocks(*languages: str) -> list[Block]:
    """The blocks of all documents, in their order; of these languages, if any are given."""
    found = [block for path in DOCUMENTS for block in _blocks(path)]
    return [block for block in found if not languages or block.language in languages]


def inline(start: str) -> list[str]:
    """The inline code of all documents that begins with `start`, fenced blocks left out."""
    found = [span for path in DOCUMENTS for span in re.findall(r"`([^`]+)`", FENCED.sub("", path.read_text()))]
    return [" ".join(span.split()) for span in found if span.startswith(start)]


def commands(text: str) -> list[str]:
    """The lines of a block of sh, a line that ends in a backslash joined with the next; without comments."""
    lines = (line.partition(" # ")[0].strip() for line in text.replace("\\\n", "").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _blocks(path: Path) -> list[Block]:
    text = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    return [Block(name, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in FENCED.finditer(text)]
