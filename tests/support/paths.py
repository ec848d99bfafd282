"""This checkout, and a digit that lies in it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DIGIT = (ROOT / "docs" / "images" / "seven.png").read_bytes()
