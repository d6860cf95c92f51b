"""One screen for whoever is called at night: how every service stands, and what of it needs a human."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from deploy.desk import ProblemError, read
from deploy.installation import SERVICES, Installation
from deploy.operating import ROLE
from deploy.tokens import access_token

UNSENT_SECONDS_MAX = 60.0
MISSING_SECONDS_MAX = 60.0  # it comes by itself, or it does not come
LAG_SECONDS_MAX = 60.0
OVERDUE_SECONDS_MAX = 300.0
UNDONE_SECONDS_MAX = 60.0  # ten rounds of what looks after it
WATCH_SECONDS = 2.0
COLUMNS = ("service", "ready", "relay", "unsent", "lag", "held lanes", "overdue", "errands", "needs a human")


@dataclass(frozen=True)
class Seen:
    """What one service answered; nothing where it did not."""

    principal: str
    ready: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs(self) -> Sequence[str]:
        """What a human must look at, in words; empty where all is well."""
        return _needs(self)


def _needs(seen: Seen) -> Sequence[str]:
    if not seen.found:
        return ["does not answer"]
    standing, brake = seen.found["standing"], seen.found["brake"] or {}
    unheard = [on["party"] for on in seen.found["unheard"]]
    undone = {what: age(seconds) for what, seconds in seen.found["undone"].items() if seconds > UNDONE_SECONDS_MAX}
    held = standing["lanes_human"] + standing["lanes_retrying"]  # one that fails on and on should be looked at, too
    asked = (
        (not seen.ready, "not ready"),
        (brake, f"consumer stopped by {brake.get('cause')}"),
        (unheard, f"{', '.join(unheard)} not heard"),
        (standing["oldest_unsent_seconds"] > UNSENT_SECONDS_MAX, "facts are not sent"),
        (standing["held_subjects"], f"{standing['held_subjects']} subject(s) can never be sent"),
        ((seen.found["live"]["lag_seconds"] or 0) > LAG_SECONDS_MAX, "what is heard does not become durable"),
        (held, f"{held} lane(s) held"),
        (standing["lanes_missing_seconds"] > MISSING_SECONDS_MAX, "an event is missing"),
        (standing["unreadable"], f"{standing['unreadable']} record(s) unreadable"),
        (standing["deadline_overdue_seconds"] > OVERDUE_SECONDS_MAX, "deadlines overdue"),
        (standing["errands_failing"], "errands fail"),
        (undone, "not carried out: " + ", ".join(f"{what} since {since}" for what, since in undone.items())),
    )
    return [words for needed, words in asked if needed]


async def look(installation: Installation, agency: str | None) -> list[Seen]:
    """Ask every service at once."""
    agencies = installation.agencies if agency is None else (agency,)
    async with httpx.AsyncClient(timeout=5.0) as client:
        asked = [_ask(client, installation, one, name) for one in agencies for name in SERVICES]
        return await asyncio.gather(*asked)


async def _ask(client: httpx.AsyncClient, installation: Installation, agency: str, name: str) -> Seen:
    url, principal = installation.url(agency, name), f"{agency}.{name}"
    token = access_token(installation, agency, name, [ROLE], ROLE)
    try:
        ready = (await client.get(f"{url}/ready")).is_success
        found = read(await client.get(f"{url}/status", headers={"authorization": f"Bearer {token}"}))
    except (httpx.TransportError, ProblemError):
        return Seen(principal)
    return Seen(principal, ready, found)


def screen(seen: Sequence[Seen]) -> Table:
    """One row per service."""
    table = Table(*COLUMNS)
    for one in seen:
        table.add_row(*_row(one), style="red" if one.needs else "")
    return table


def _row(seen: Seen) -> Iterator[str]:
    yield seen.principal
    if not seen.found:
        yield from ["no", *[""] * (len(COLUMNS) - 3), "; ".join(seen.needs)]
        return
    standing, live = seen.found["standing"], seen.found["live"]
    yield "yes" if seen.ready else "no"
    yield "leads" if live["leads"] else "follows"
    yield _waiting(standing["unsent"], standing["oldest_unsent_seconds"])
    yield "" if live["lag_records"] is None else _waiting(live["lag_records"], live["lag_seconds"])
    yield ", ".join(f"{lanes} {class_}" for class_, lanes in seen.found["held"].items())
    yield _waiting(standing["deadlines_overdue"], standing["deadline_overdue_seconds"])
    yield _waiting(standing["errands_failing"], standing["errand_failing_seconds"])
    yield "; ".join(seen.needs)


def _waiting(count: int, seconds: float) -> str:
    return f"{count}, {age(seconds)}" if count else ""


def age(seconds: float) -> str:
    """As people say it."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


async def show(installation: Installation, console: Console, agency: str | None, *, watch: bool) -> bool:
    """Print the screen, with `watch` again and again; whether nothing needs a human."""
    while True:
        seen = await look(installation, agency)
        if watch:
            console.clear()
        console.print(screen(seen))
        needed = [one for one in seen if one.needs]
        words = "nothing needs a human" if not needed else f"{len(needed)} of {len(seen)} services need a human"
        console.print(words)
        if not watch:
            return not needed
        await asyncio.sleep(WATCH_SECONDS)
