"""The judge finds each kind of wrong where it was planted, and nothing where all was well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.new_ids import new_id
from tests.crash.history import (
    Asked,
    Attempt,
    Copy,
    Grant,
    History,
    Line,
    Outcome,
    Parked,
    Passage,
    Retried,
    Shut,
    Use,
    Written,
    judge,
)
from tests.journeys.records import Said

CASE, PERSON, REF, ITEM = (str(new_id()) for _ in range(4))
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
HOME, CHANNEL = "jobcenter.intake.events", "musterland.jugendamt.to.jobcenter.handover"
GRANT = Grant("jugendamt", "stabilisation", frozenset({"school"}), NOON, NOON + timedelta(days=1), None)


def _said(topic: str, type_: str, key: str, number: int, id_: str = "") -> Said:
    headers = {"ce_id": (id_ or str(new_id())).encode(), "ce_type": f"staffel.{type_}.v1".encode()}
    return Said(topic, key.encode(), headers | {"ce_subjectseq": str(number).encode()}, b"{}")


def _asked(agency: str, service: str, path: str, status: int | None = 200, **about: str) -> Asked:
    body = f'{{"id": "{CASE}"}}'
    return Asked(agency, service, "POST", path, str(new_id()), about, [Attempt(status, body if status else "")])


def _calm() -> History:
    """A case that was registered, drafted, accepted and fetched."""
    said = [
        _said(HOME, "case.registered", CASE, 1),
        _said(HOME, "case.activated", CASE, 2),
        _said(CHANNEL, "handover.acceptance_declared", REF, 1),
    ]
    return History(
        asked=[
            _asked("jobcenter", "intake", "/cases", 201, mark="Zimtqvxwkaaa"),
            _asked("jobcenter", "intake", f"/cases/{CASE}/activation"),
            _asked("jobcenter", "handover", "/handovers", 201, case=CASE),
            _asked("jugendamt", "handover", f"/handovers/{REF}/acceptance"),
        ],
        said=said,
        written={
            "jobcenter.intake": [Written(each.id.decode(), HOME, CASE, each.number) for each in said[:2]],
            "jugendamt.handover": [Written(said[2].id.decode(), CHANNEL, REF, 1)],
        },
        lanes={"jobcenter.handover": {(HOME, CASE): 2, (CHANNEL, REF): 1}},
        heard_by={HOME: ["jobcenter.handover"], CHANNEL: ["jobcenter.handover"]},
        marks=["Zimtqvxwkaaa"],
        drafted=[CASE],
        copies={
            REF: [Copy("jobcenter", "stopped", "completed", False), Copy("jugendamt", "completed", "stopped", True)]
        },
        ends_told={("jugendamt", REF): ["accepting", "accepted", "completed", "completed"]},
        received=[(REF, ITEM)],
        lines=[Line(str(new_id()), ITEM, "school", "jugendamt", "stabilisation", NOON, (GRANT,))],
        passages=[Passage(REF, 200, 30_000), Passage(REF, 409, 200)],
        shut=[Shut("the answer", REF, {0: 30_000})],
        drained_after=3.0,
        before={"jobcenter.intake": Use(100, 12, 4, 2, 4)},
        after={"jobcenter.intake": Use(105, 14, 8, 22, 8)},
    )


def test_nothing_is_wrong_where_all_was_well() -> None:
    assert judge(_calm()) == []


def test_what_a_client_does_not_know_may_be_either() -> None:
    done, undone = _calm(), _calm()
    for history in (done, undone):
        history.asked[1].attempts = [Attempt()]
    undone.said = [undone.said[0], undone.said[2]]
    undone.written = {**undone.written, "jobcenter.intake": undone.written["jobcenter.intake"][:1]}
    undone.lanes["jobcenter.handover"][HOME, CASE] = 1  # type: ignore[index]  # a plain dict underneath
    assert judge(done) == judge(undone) == []


def test_a_no_after_a_cut_says_nothing_about_the_first_try() -> None:
    assert replace(_calm().asked[0], attempts=[Attempt(), Attempt(409, "")]).outcome is Outcome.UNKNOWN
    assert replace(_calm().asked[0], attempts=[Attempt(409, "")]).outcome is Outcome.REFUSED
    assert replace(_calm().asked[0], attempts=[Attempt(), Attempt(200, "")]).outcome is Outcome.ACKNOWLEDGED


def test_a_record_that_was_sent_again_is_one_record() -> None:
    history = _calm()
    history.said = [*history.said, history.said[2]]
    assert judge(history) == []


Plant = Callable[[History], object]


def _set(**changes: object) -> Plant:
    def plant(history: History) -> None:
        for name, value in changes.items():
            setattr(history, name, value)

    return plant


def _tell_again(history: History) -> None:
    history.said = [*history.said, _said(CHANNEL, "handover.acceptance_declared", REF, 2)]
    history.written = {}
    history.lanes = {"jobcenter.handover": {(HOME, CASE): 2, (CHANNEL, REF): 2}}


def _answer_otherwise(history: History) -> None:
    history.asked[0].attempts.append(Attempt(201, f'{{"id": "{new_id()}"}}'))


def _send_uncommitted(history: History) -> None:
    history.said = [*history.said, _said(CHANNEL, "handover.paused", str(new_id()), 1)]
    history.heard_by = {}


def _act_unasked(history: History) -> None:
    history.asked[3].attempts = [Attempt(409, "")]


def _ended_as(*states: str) -> Plant:
    return _set(ends_told={("jobcenter", REF): states})


def _two(one: Copy, other: Copy) -> Plant:
    return _set(copies={REF: [one, other]})


def _line(**changes: Any) -> Plant:
    return lambda history: setattr(history, "lines", [history.lines[0]._replace(**changes)])


def _retry(seen: bool, effects: int) -> Plant:
    return _set(retried=[Retried("jugendamt.handover", str(new_id()), seen, effects)])


WAITS = Parked(CHANNEL, REF, str(new_id()), "gap", "gap")
A_SIDE, B_SIDE = "jobcenter", "jugendamt"
PLANTED: list[tuple[str, str, Plant]] = [
    ("I1", "an acknowledged command without its fact", _set(said=[], written={}, lanes={"jobcenter.handover": {}})),
    ("I1", "nobody registered", _set(marks=[])),
    ("I1", "no handover", _set(drafted=[])),
    ("I1", "committed and never sent", lambda h: h.written["jugendamt.handover"].append(  # type: ignore[attr-defined]
        Written(str(new_id()), CHANNEL, REF, 2))),
    ("I1", "sent and never heard", _set(lanes={"jobcenter.handover": {(HOME, CASE): 2}})),
    ("I2", "the same fact anew", _tell_again),
    ("I2", "registered twice", _set(marks=["Zimtqvxwkaaa"] * 2)),
    ("I2", "drafted twice", _set(drafted=[CASE, CASE])),
    ("I2", "stored twice", _set(received=[(REF, ITEM)] * 2)),
    ("I3", "two answers to one key", _answer_otherwise),
    ("I4", "a gap", lambda h: setattr(h, "said", [h.said[0], _said(HOME, "case.activated", CASE, 3), h.said[2]])),
    ("I4", "a swap", lambda h: setattr(h, "said", [h.said[1], h.said[0], h.said[2]])),
    ("I4", "a fork", lambda h: setattr(h, "said", [*h.said, _said(HOME, "case.changed", CASE, 2)])),
    ("I5", "bytes after the answer", lambda h: setattr(h.passages[0], "read", 30_001)),
    ("I5", "a dossier begun after the answer", lambda h: h.passages.append(Passage(REF, 200, 10))),
    ("I5", "another recipient", _line(recipient="schule")),
    ("I5", "another purpose", _line(purpose="follow_up")),
    ("I5", "another category", _line(category="health")),
    ("I5", "after the consent's end", _line(opened_at=GRANT.valid_until)),
    ("I5", "before its beginning", _line(opened_at=NOON - timedelta(microseconds=1))),
    ("I5", "after its withdrawal", _line(grants=(GRANT._replace(withdrawn_at=NOON),))),
    ("I5", "no grant at all", _line(grants=())),
    ("I6", "a fact of a refused command", _act_unasked),
    ("I6", "somebody nobody has registered", _set(marks=["Zimtqvxwkaaa", "Zimtqvxwkaab"])),
    ("I6", "a handover nobody has drafted", _set(drafted=[CASE, PERSON])),
    ("I6", "a record its writer does not know", _send_uncommitted),
    ("I7", "not drained", _set(drained_after=None, waiting=["jobcenter.intake unsent"])),
    ("I7", "an errand that never comes back", _set(left=["jugendamt.intake errand fetch_dossier not_open"])),
    ("I7", "drained too late", _set(drained_after=60.5)),
    ("I9", "a name on a topic", _set(named=["case.registered on jobcenter.intake.events"])),
    ("I10", "parked without need", _set(parked={"x.handover": [WAITS]}, listed={"x.handover": [(CHANNEL, REF)]})),
    ("I10", "parked and unseen", _set(parked={"x.handover": [WAITS]}, parked_on_purpose={WAITS.id})),
    ("I10", "parked and gone", _set(parked_on_purpose={WAITS.id})),
    ("I10", "retried without effect", _retry(True, 0)),
    ("I10", "retried with two effects", _retry(True, 2)),
    ("I10", "never seen", _retry(False, 1)),
    ("I11", "two ends on one side", _ended_as("requested", "withdrawn", "expired")),
    ("I11", "an end on one side alone",
     _two(Copy(A_SIDE, "stopped", None, True), Copy(B_SIDE, "accepted", None, False))),
    ("I11", "crossed and not recorded",
     _two(Copy(A_SIDE, "stopped", None, False), Copy(B_SIDE, "completed", "stopped", True))),
    ("I11", "two lead", _two(Copy(A_SIDE, "active", None, True), Copy(B_SIDE, "active", None, True))),
    ("I12", "memory", _set(after={"jobcenter.intake": Use(111, 12, 4, 2, 4)})),
    ("I12", "files", _set(after={"jobcenter.intake": Use(100, 15, 4, 2, 4)})),
    ("I12", "broker", _set(after={"jobcenter.intake": Use(100, 12, 9, 2, 4)})),
    ("I12", "calls", _set(after={"jobcenter.intake": Use(100, 12, 4, 23, 4)})),
    ("I12", "database", _set(after={"jobcenter.intake": Use(100, 12, 4, 2, 9)})),
]


@pytest.mark.parametrize(("invariant", "plant"), [pytest.param(i, p, id=f"{i} {what}") for i, what, p in PLANTED])
def test_what_is_planted_is_found_and_called_by_its_invariant(invariant: str, plant: Plant) -> None:
    history = _calm()
    plant(history)
    assert invariant in {broken.invariant for broken in judge(history)}


def test_every_invariant_has_a_plant() -> None:
    assert {invariant for invariant, _, _ in PLANTED} == {f"I{n}" for n in range(1, 13)} - {"I8"}
