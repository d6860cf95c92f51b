"""The screen for the night: what needs a human is said in words, and nothing else is."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from chassis.http.operations import Live, Status
from chassis.standing import Standing
from deploy.status import Seen, age, screen

SINCE = "2026-11-22T03:00:00Z"
WELL = dict.fromkeys(Standing.model_fields, 0)


def seen(ready: bool = True, *, standing: dict[str, Any] | None = None, **more: Any) -> Seen:
    """As a service answers that is well but for this."""
    live = Live(leads=True, lag_records=0, lag_seconds=0, queued=0)
    brakes: dict[str, Any] = {"brake": None, "unheard": []}
    well: dict[str, Any] = {"standing": WELL | (standing or {}), "undone": {"withdrawal": 0, "release": 2}, "held": {}}
    found = well | brakes | {"live": live} | more
    return Seen("jobcenter.intake", ready, Status.model_validate(found).model_dump(mode="json"))


def test_a_service_that_is_well_needs_nobody() -> None:
    assert seen().needs == []
    assert seen(standing={"unsent": 5000, "oldest_unsent_seconds": 2}).needs == []
    assert seen(standing={"lanes_missing": 3, "lanes_missing_seconds": 2}, held={"gap": 3}).needs == []


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Seen("jobcenter.intake"), "does not answer"),
        (seen(ready=False), "not ready"),
        (seen(standing={"unsent": 1, "oldest_unsent_seconds": 61}), "facts are not sent"),
        (seen(standing={"held_subjects": 1}), "1 subject(s) can never be sent"),
        (seen(standing={"unreadable": 2}), "2 record(s) unreadable"),
        (seen(standing={"deadlines_overdue": 1, "deadline_overdue_seconds": 301}), "deadlines overdue"),
        (seen(standing={"errands_failing": 1}), "errands fail"),
        (seen(undone={"withdrawal": 150, "release": 2}), "not carried out: withdrawal since 2 min"),
        (seen(standing={"lanes_retrying": 2, "lanes_human": 1}), "3 lane(s) held"),
        (seen(standing={"lanes_missing": 1, "lanes_missing_seconds": 61}), "an event is missing"),
        (seen(live=Live(lag_records=500, lag_seconds=61)), "what is heard does not become durable"),
        (seen(brake={"cause": "KeyError", "lanes": 21, "since": SINCE}), "consumer stopped by KeyError"),
        (seen(unheard=[{"cause": "gap", "lanes": 21, "since": SINCE, "party": "schule"}]), "schule not heard"),
    ],
)
def test_whatever_is_not_well_is_said_and_shown(one: Seen, words: str) -> None:
    assert one.needs == [words]
    console = Console(width=220, record=True, file=StringIO())
    console.print(screen([seen(), one]))
    assert words in console.export_text()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (119, "119 s"), (150, "2 min"), (9000, "2 h"), (2e6, "23 d")]
)
def test_ages_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert age(seconds) == said
