"""Every word the code has for a state, a command, an event or a reason: what the glossary must know."""

from collections.abc import Iterable, Mapping
from enum import Enum

from chassis.http.problems import TROUBLES
from contracts import codes
from contracts.codes import Service
from contracts.registry import EVENTS
from docs import services


def states() -> Mapping[str, str]:
    """Every state of every table and of every published list of states, with where it is from."""
    found = {
        str(state): f"services.{service}.domain"
        for service in Service
        for table in services.tables(service).values()
        for state in services.states(table)
    }
    published = (codes.HandoverState, codes.ConsentState, codes.OfferState)
    return found | {str(state): "contracts.codes" for kind in published for state in kind}


def commands() -> Mapping[str, str]:
    """Everything a table has a row for, with the first paragraph of what it says of itself."""
    return {
        command.__name__: services.said(command)
        for service in Service
        for table in services.tables(service).values()
        for command in services.commands(table)
    }


def events() -> Mapping[str, str]:
    """Every event by its short name, with the first paragraph of what it says of itself."""
    return {type_.removeprefix("staffel.").rsplit(".", 1)[0]: services.said(event) for type_, event in EVENTS.items()}


def reasons() -> Mapping[str, str]:
    """Every reason for a no, with its title; and every code that says why somebody did what they did."""
    no = {str(reason): row.title for service in Service for reason, row in services.problems(service).items()}
    everywhere = {str(reason): row.title for reason, row in TROUBLES.items()}
    return everywhere | no | {code: f"contracts.codes.{kind.__name__}" for kind, code in _coded_reasons()}


def _coded_reasons() -> Iterable[tuple[type[Enum], str]]:
    for kind in vars(codes).values():
        if isinstance(kind, type) and issubclass(kind, Enum) and kind.__name__.endswith("Reason"):
            yield from ((kind, str(code.value)) for code in kind)
