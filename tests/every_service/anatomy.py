"""Where the parts of a service are found, the same way in all four."""

from collections.abc import Iterator, Mapping
from enum import Enum, StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from chassis.transitions import Row, Table, as_matrix
from contracts.codes import Service
from contracts.labels import LABELS

ROOT = Path(__file__).parents[2]
SERVICES = tuple(str(service) for service in Service)
# A domain beyond about 250 lines is a package with one table per file; a long api, store or events may be one, too.
ROOMS = frozenset({"api", "app", "domain", "errands", "events", "migrations", "problems", "settings", "store"})
ROOMS_OF_ONE = {"consent": frozenset({"door"})}  # personal data leave an agency there and nowhere else


def folder(service: str) -> Path:
    """The folder of a service."""
    return ROOT / "services" / service


def files(service: str, room: str) -> tuple[Path, ...]:
    """The Python files of a room, be it a file or a package."""
    place = folder(service) / room
    return tuple(sorted(place.rglob("*.py"))) if place.is_dir() else (place.with_suffix(".py"),)


def tables(service: str) -> Mapping[str, Table[Any]]:
    """All tables of a service by the name under which its domain shows them."""
    return dict(_tables(vars(import_module(f"services.{service}.domain"))))


def _tables(names: Mapping[str, Any]) -> Iterator[tuple[str, Table[Any]]]:
    seen: set[int] = set()
    for name, value in names.items():
        held = value.items() if isinstance(value, Mapping) else [("", value)]
        for key, table in held:
            if isinstance(table, Table) and id(table) not in seen:
                seen.add(id(table))
                yield f"{name} {key}".strip(), table


def rows(service: str) -> Iterator[tuple[str, Row[Any]]]:
    """Every row of a service with what it is called in a test's report."""
    for name, table in tables(service).items():
        for row in table.rows:
            yield f"{name}: {row.while_} × {row.on.__name__}", row


def states(table: Table[Any]) -> tuple[StrEnum, ...]:
    """The states a table speaks of, in the order in which they are declared."""
    spoken = {state for row in table.rows for state in (row.while_, row.then)}
    return tuple(state for state in type(next(iter(spoken))) if state in spoken)


def reasons(service: str) -> type[StrEnum]:
    """The reasons of a service."""
    found: type[StrEnum] = import_module(f"services.{service}.domain").Reason
    return found


def matrix(service: str) -> str:
    """Every state against every command, for all tables of a service, with German labels where there are some."""
    parts = [f"# {service}: every state against every command\n\nAn empty cell is a refusal.\n"]
    for name, table in tables(service).items():
        labels = {str(state): label for state in states(table) if (label := _label(state))}
        parts.append(f"## {name}\n\n{as_matrix(table, states(table), labels)}")
    return "\n".join(parts)


def _label(state: StrEnum) -> str:
    """The label from the closed list whose codes are states of this kind, for people who read no code."""
    declared = {str(other) for other in type(state)}
    lists = [codes for codes in LABELS if codes.__name__.endswith("State") and _values(codes) <= declared]
    labels = [LABELS[codes].get(str(state)) for codes in lists]
    return next((label for label in labels if label), "")


def _values(codes: type[Enum]) -> set[str]:
    return {str(code.value) for code in codes}


def approved(service: str) -> Path:
    """Where the matrix stands that people have looked at."""
    return ROOT / "tests" / service / "matrix.approved.md"
