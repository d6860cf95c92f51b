"""Domains know no clock, no chance and no I/O: time and ids come as arguments."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.every_service.anatomy import SERVICES, files

IMPURE = {
    "asyncio", "ctypes", "http", "io", "locale", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib",
}  # fmt: skip
OURS = ("chassis.transitions", "contracts")
CALLS = {"new_id", "now", "open", "print", "input", "today", "utcnow", "uuid1", "uuid4"}
METHODS = {"now", "today", "utcnow", "uuid1", "uuid4"}  # others may be called like a built-in: a transmission is opened


def imports(file: Path) -> Iterator[str]:
    """Every module a file imports, relative ones as `.`."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else str(node.module)


def impure_calls(code: str) -> Iterator[str]:
    """Every call in that code whose answer is not in its arguments."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(func=ast.Name(name)) if name in CALLS:
                yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(_, name)) if name in METHODS:
                yield ast.unparse(node)


def allowed(module: str, service: str) -> bool:
    """Whether a domain of that service may import that module."""
    if module in {".", f"services.{service}.domain"} or module.startswith(f"services.{service}.domain."):
        return True
    if any(module == ours or module.startswith(f"{ours}.") for ours in OURS):
        return module != "contracts.new_ids"  # it has the clock and the dice
    root = module.partition(".")[0]
    return root in sys.stdlib_module_names and root not in IMPURE


@pytest.mark.parametrize("service", SERVICES)
def test_a_domain_imports_pure_things_contracts_and_transitions_only(service: str) -> None:
    found = [f"{file.name}: {module}" for file in files(service, "domain") for module in imports(file)]
    assert [line for line in found if not allowed(line.partition(": ")[2], service)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_domain_asks_neither_clock_nor_chance(service: str) -> None:
    codes = {file.name: file.read_text("utf-8") for file in files(service, "domain")}
    assert [f"{name}: {call}" for name, code in codes.items() for call in impure_calls(code)] == []


@pytest.mark.parametrize(
    "code", ["datetime.now(UTC)", "date.today()", "uuid.uuid4()", "uuid4()", "new_id()", "open('x')"]
)
def test_a_call_of_clock_chance_or_file_is_found(code: str) -> None:
    assert list(impure_calls(code)) == [code]


@pytest.mark.parametrize(
    ("module", "may"),
    [
        ("dataclasses", True),
        ("contracts.codes", True),
        ("chassis.transitions", True),
        ("services.offers.domain", True),
        ("random", False),
        ("os.path", False),
        ("sqlalchemy", False),
        ("chassis.http", False),
        ("contracts.new_ids", False),
        ("services.intake.domain", False),
        ("services.offers.store", False),
    ],
)
def test_the_rule_itself_can_say_no(module: str, may: bool) -> None:
    assert allowed(module, "offers") is may
