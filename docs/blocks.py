"""Marked blocks in documents that people write: what stands between the marks is made from code."""

import re
from collections.abc import Callable, Mapping

END = "<!-- end -->"


def mark(name: str) -> str:
    """The line a block begins after."""
    return f"<!-- generated: {name} -->"


def filled(path: str, text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """The document with every block as it must be. ValueError where one does not stand there exactly once."""
    for name, make in blocks.items():
        text, found = _filled(text, name, make())
        if found != 1:
            raise ValueError(f"{path}: {mark(name)} … {END} must stand there once, and stands there {found} times")
    return text


def _filled(text: str, name: str, content: str) -> tuple[str, int]:
    block = re.compile(rf"{re.escape(mark(name))}\n.*?{re.escape(END)}", re.DOTALL)
    return block.subn(lambda _: f"{mark(name)}\n{content.strip()}\n{END}", text)
