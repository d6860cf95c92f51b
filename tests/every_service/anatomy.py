"""Where the parts of a service are found, the same way in all four."""

from collections.abc import Iterator, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from enum import Enum, StrEnum
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from chassis.transitions import Row, Table, as_matrix
from contracts.codes import Service
from contracts.labels import LABELS
from docs import services as described
from docs.services import states

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
    """All tables of a service by name."""
    return described.tables(Service(service))


def rows(service: str) -> Iterator[tuple[str, Row[Any]]]:
    """Every row of a service with what it is called in a test's report."""
    for name, table in tables(service).items():
        for row in table.rows:
            yield f"{name}: {row.while_} × {row.on.__name__}", row


def blanks(service: str) -> set[str]:
    """The states in which subjects begin: what a blank is, by default, and `none`."""
    package = import_module(f"services.{service}.domain")
    inside = (f"{package.__name__}.{found.name}" for found in iter_modules(getattr(package, "__path__", ())))
    modules = [package, *map(import_module, inside)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    fields = (field for kind in classes if is_dataclass(kind) for field in dataclass_fields(kind))
    defaults = {field.default for field in fields if field.name == "state"}
    return {"none"} | {state for state in defaults if isinstance(state, StrEnum)}


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
    return Path(__file__).parent / "approved" / f"{service}.md"
