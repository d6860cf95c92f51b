"""Marked blocks in documents that people write: what stands between the marks is made from code."""

import re
from collections.abc import Callable, Mapping

END = "<!-- end -->"


def mark(name: str) -> str:
    """The line a block begins after."""
    return f"<!-- generated: {name} -->"


def filled(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """The document with every block as it must be. ValueError where one of them, or a mark's end, is missing."""
    for name, make in blocks.items():
        text = _filled(text, name, make())
    return text


def _filled(text: str, name: str, content: str) -> str:
    block = re.compile(rf"{re.escape(mark(name))}\n.*?{re.escape(END)}", re.DOTALL)
    filled_in, found = block.subn(lambda _: f"{mark(name)}\n{content.strip()}\n{END}", text)
    if found != 1:
        raise ValueError(f"{mark(name)} … {END} must stand there once, and stands there {found} times")
    return filled_in
