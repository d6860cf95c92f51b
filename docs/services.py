"""What each service says about itself: its tables, what it hears, how it says no, what its settings are."""

import inspect
from collections.abc import Iterable, Mapping
from enum import StrEnum
from importlib import import_module
from pkgutil import iter_modules
from types import CodeType, ModuleType
from typing import Any

from pydantic.fields import FieldInfo

from chassis.http import Problem
from chassis.inbox import Hear
from chassis.transitions import Table
from contracts.codes import Service
from contracts.events import Event
from contracts.labels import LABELS
from contracts.registry import EVENTS
from docs import glossary_table


def room(service: Service, name: str) -> ModuleType:
    """One room of a service, for example its `events`."""
    return import_module(f"services.{service}.{name}")


def tables(service: Service) -> Mapping[str, Table[Any]]:
    """Every table of a service by the name it has in the code, in lower case."""
    found: dict[str, Table[Any]] = {}
    for name, table in _named_tables(service):
        if not any(table is known for known in found.values()):
            found[name] = table
    return found


def _named_tables(service: Service) -> Iterable[tuple[str, Table[Any]]]:
    for module in _domain(service):
        for name, value in vars(module).items():
            match value:
                case Table():
                    yield name.lower(), value
                case Mapping():
                    yield from ((str(key), table) for key, table in value.items() if isinstance(table, Table))


def _domain(service: Service) -> Iterable[ModuleType]:
    domain = room(service, "domain")
    yield domain
    for module in iter_modules(getattr(domain, "__path__", ())):
        yield room(service, f"domain.{module.name}")


def states(table: Table[Any]) -> list[StrEnum]:
    """The states that occur in a table, in the order in which their lists have them."""
    used = [state for row in table.rows for state in (row.while_, row.then)]
    kinds = dict.fromkeys(type(state) for state in used)
    return [state for kind in kinds for state in kind if state in used]


def german(states_: Iterable[StrEnum]) -> Mapping[str, str]:
    """What people read for these states: the published label, else the glossary's German word."""
    words = glossary_table.german("States")
    return {str(state): LABELS.get(type(state), words).get(state.value, "") for state in states_}


def commands(table: Table[Any]) -> list[type[Any]]:
    """Everything the table has a row for, in its order."""
    return list(dict.fromkeys(row.on for row in table.rows))


def told_by(event: type[Event]) -> list[str]:
    """Which rows say it, as `<table>: <command>`; `<table>: always` where a change of state does."""
    found = []
    for name, table in tables(event.owner).items():
        found += [f"{name}: {row.on.__name__}" for row in table.rows if event in _named(row.tells)]
        found += [f"{name}: always"] if event in _named(table.always) else []
    return list(dict.fromkeys(found))


def _named(tellers: Iterable[Any]) -> set[Any]:
    """The event classes that these functions name, themselves or in what they were made from."""
    return {event for teller in tellers for event in _in(teller.__code__, inspect.getclosurevars(teller).nonlocals)}


def _in(code: CodeType, closed_over: Mapping[str, Any]) -> Iterable[Any]:
    names = set(code.co_names)
    yield from (event for event in EVENTS.values() if event.__name__ in names)
    yield from (value for value in closed_over.values() if value in EVENTS.values())
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _in(inner, {})


def hears(service: Service) -> tuple[Hear, ...]:
    """What the service listens to."""
    return tuple(room(service, "events").HEARS)


def problems(service: Service) -> Mapping[StrEnum, Problem]:
    """How the service says no."""
    found: Mapping[StrEnum, Problem] = room(service, "problems").PROBLEMS
    return found


def settings(service: Service) -> Mapping[str, FieldInfo]:
    """What the environment may say to the service, by the name of the field."""
    found: Mapping[str, FieldInfo] = room(service, "settings").Settings.model_fields
    return found


def said(what: object) -> str:
    """The first paragraph of a docstring, on one line and fit for a cell of a table."""
    paragraph = inspect.cleandoc(what.__doc__ or "").split("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")
