"""Every line that a service logs at WARNING or above stands on a page, with what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/look-up-a-log-line.md").read_text("utf-8")
LOUD = {"warning", "error", "exception", "critical", "log"}


def lines_of(folder: str) -> Iterator[str]:
    """What the code of a folder may log, as far as it stands in the call or is a constant of the same file."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            match call.func:
                case ast.Attribute(value=ast.Name(id="log"), attr=level) if level in LOUD:
                    said = call.args[1 if level == "log" else 0]
                    found = list(_texts(said, constants))
                    assert found, f"{file.name}:{call.lineno}: a line that nobody can look up"
                    yield from found


def _texts(said: ast.expr, constants: Mapping[str, str]) -> Iterator[str]:
    match said:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) if name in constants:
            yield constants[name]
        case ast.IfExp():
            yield from _texts(said.body, constants)
            yield from _texts(said.orelse, constants)


def test_every_line_that_a_service_logs_loudly_can_be_looked_up() -> None:
    said = {line for folder in ("chassis", "services") for line in lines_of(folder)}
    assert len(said) > 40  # the test finds them
    listed = set(re.findall(r"(?m)^\| (`+)(.+?)\1 \|", PAGE))
    assert sorted(said - {line for _, line in listed}) == []
