"""Reads the glossary: which words stand in which chapter."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "glossary.md"


def chapters(text: str | None = None) -> Mapping[str, tuple[str, ...]]:
    """The words of the first column, chapter by chapter, without asterisks and what is in brackets."""
    found: dict[str, tuple[str, ...]] = {}
    for part in re.split(r"^## ", text or FILE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        rows = [line for line in body.splitlines() if line.startswith("| ") and not line.startswith("| our word")]
        found[title] = tuple(word for row in rows for word in _words(row))
    return found


def german(chapter: str) -> Mapping[str, str]:
    """The German word of every word in a chapter that has one."""
    text = FILE.read_text("utf-8").partition(f"## {chapter}\n")[2].partition("\n## ")[0]
    return {word.strip("`"): said for word, said, *_ in cells(text) if said != "–"}


def cells(text: str | None = None) -> list[tuple[str, ...]]:
    """Every row, cell by cell."""
    lines = (text or FILE.read_text("utf-8")).splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| our word")]
    return [tuple(cell.strip() for cell in row.replace("\\|", " ").strip("|").split("|")) for row in rows]


def _words(row: str) -> list[str]:
    first = re.sub(r"\(.*?\)", "", row.split("|")[1]).strip().strip("*`")
    return [word.strip().strip("`") for word in first.split(",")]
