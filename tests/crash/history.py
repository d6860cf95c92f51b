"""What happened, as seen from outside the services, and the judge of it: pure, and linear in what happened.

The clients' own record says what was asked and answered; a reader of our own says what is on the topics; the databases
say how it ended; a proxy says which bytes came through the door and when. From these the invariants are judged:

    I1  an acknowledged command has its effect           I7  what is said is sent when nothing fails any more
    I2  no effect happens twice                          I9  nobody is named where nobody may be named
    I3  one Idempotency-Key is one command               I10 what is parked is visible, and retried once, exactly
    I4  a subject's numbers on a topic are 1, 2, 3 …     I11 a handover has one end per side; crossed ends know of
    I5  no byte after "withdrawn" or the consent's end,      each other
        none that the named grant does not cover         I12 memory, files and connections come back to where they were
    I6  no effect without a command

An outcome that the client does not know (cut, timed out) may be either.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from contracts.codes import END_STATES
from tests.journeys.records import Said, disorder

DRAIN_SECONDS_MAX = 60.0  # I7
GROWTH_MAX = 1.1  # I12, of memory
# I12, of all else, one process compared with another: most have died since, and what one has not needed yet the other
# has opened. So each kind has a limit of its own: under one for all, a leak of files would hide behind resting calls.
MORE_MAX = {
    "files": 2,
    "broker": 4,  # the client that looks at topics is made when it is first asked, and has two
    "calls": 20,  # as many resting ones a pool of httpx keeps until it is used again; it was nine when all else was one
    "database": 4,  # as many as the engine opens beyond those it keeps
}
ENDS = {str(state) for state in END_STATES}


class Effect(NamedTuple):
    """What a command must have led to: one fact of this type about this subject, told by this agency."""

    teller: str
    type: str
    key: str


class Outcome(Enum):
    """What a client knows of its command."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Attempt:
    """The command was sent; what came back, if anything did. Written down before it is sent."""

    status: int | None = None
    body: str = ""
    replayed: bool = False


@dataclass
class Asked:
    """One command of a client, sent under one key until it is answered or the client gives up."""

    agency: str
    service: str
    method: str
    path: str
    key: str
    about: Mapping[str, str] = field(default_factory=dict)
    """Of the body what tells commands apart: `mark` of the person, `case`, `person`."""
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """A yes counts, whatever was unknown before it; a no counts only where nothing was unknown."""
        said = [attempt.status for attempt in self.attempts]
        if any(status is not None and status < 300 for status in said):
            return Outcome.ACKNOWLEDGED
        if all(status is not None and 400 <= status < 500 for status in said):
            return Outcome.REFUSED
        return Outcome.UNKNOWN

    @property
    def answers(self) -> set[str]:
        """Every body that said yes."""
        return {attempt.body for attempt in self.attempts if attempt.status is not None and attempt.status < 300}


class Written(NamedTuple):
    """One row of a service's event log."""

    id: str
    topic: str
    key: str
    number: int


class Parked(NamedTuple):
    """One event that waits for a human."""

    topic: str
    key: str
    id: str
    error_class: str
    reason: str


class Retried(NamedTuple):
    """An event that a lane was held for and that went through after what was missing had come."""

    principal: str
    id: str
    seen: bool
    """Whether an operator could see it while it waited, with its class."""
    effects: int
    """How often it has had its effect since."""


class Copy(NamedTuple):
    """One side of a handover at the end."""

    agency: str
    state: str
    recorded: str | None
    lead: bool


class Grant(NamedTuple):
    """What a consent allows to whom, and in which time."""

    recipient: str
    purpose: str
    categories: frozenset[str]
    valid_from: datetime
    valid_until: datetime
    withdrawn_at: datetime | None


class Line(NamedTuple):
    """One item that left through the door, with the release it left by."""

    release: str
    item: str
    category: str
    recipient: str
    purpose: str
    opened_at: datetime
    grants: tuple[Grant, ...]
    """The grants it names as its basis."""


@dataclass
class Passage:
    """One answer of the door as it came along the line."""

    handover: str
    status: int | None = None
    read: int = 0


class Shut(NamedTuple):
    """From this moment on nothing about this handover may come: bytes that had arrived by then, passage by passage."""

    why: str
    handover: str
    arrived: Mapping[int, int]


class Use(NamedTuple):
    """What a process needs: bytes of memory, open files that lead nowhere else, connections by where they lead."""

    memory: int
    files: int
    broker: int
    calls: int
    database: int


@dataclass
class History:
    """Everything there is to judge."""

    asked: list[Asked] = field(default_factory=list)
    said: Sequence[Said] = ()
    strangers: set[str] = field(default_factory=set)
    """Topics that no service of this town writes."""
    written: Mapping[str, Sequence[Written]] = field(default_factory=dict)
    lanes: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    """Per service what it has heard last of (topic, key)."""
    heard_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Per topic the services of this town that hear it."""
    marks: Sequence[str] = ()
    """One for every registered person."""
    drafted: Sequence[str] = ()
    """The case of every handover at the sender."""
    copies: Mapping[str, Sequence[Copy]] = field(default_factory=dict)
    ends_told: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    """Per agency and handover the states told at home, in order."""
    received: Sequence[tuple[str, str]] = ()
    """(handover, item of the sender) for every item that the receiver keeps."""
    lines: Sequence[Line] = ()
    passages: list[Passage] = field(default_factory=list)
    shut: list[Shut] = field(default_factory=list)
    parked: Mapping[str, Sequence[Parked]] = field(default_factory=dict)
    listed: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """(topic, key) of the lanes an operator is shown."""
    parked_on_purpose: set[str] = field(default_factory=set)
    """Ids of the events that no service of this town can hear."""
    retried: list[Retried] = field(default_factory=list)
    drained_after: float | None = None
    waiting: Sequence[str] = ()
    left: Sequence[str] = ()
    """Errands that have not come back, long after."""
    named: Sequence[str] = ()
    """Where somebody is named although nobody may be."""
    before: Mapping[str, Use] = field(default_factory=dict)
    after: Mapping[str, Use] = field(default_factory=dict)


class Broken(NamedTuple):
    """An invariant that does not hold, and where."""

    invariant: str
    where: str


def judge(history: History) -> list[Broken]:
    """Everything that is wrong."""
    return [
        Broken(name, where)
        for name, judged in (
            ("I1", _lost(history)), ("I2", _twice(history)), ("I3", _two_commands(history)),
            ("I4", disorder(_our_own(history))), ("I5", _leaked(history)), ("I6", _unasked(history)),
            ("I7", _stuck(history)), ("I9", history.named), ("I10", _mishandled(history)), ("I11", _ends(history)),
            ("I12", _grown(history)),
        )
        for where in judged
    ]


def _our_own(history: History) -> Iterator[Said]:
    """What the services of this town have said; a stranger may speak in disorder."""
    return (each for each in history.said if each.topic not in history.strangers)


# --- effects of commands ----------------------------------------------------------------------------------------------

_ID = "([0-9a-f-]{36})"
_RULES: Sequence[tuple[str, str, str, str]] = (
    # method and path                        service    fact told at home or (to:) on the channel   its key
    (rf"POST /cases/{_ID}/activation",       "intake",   "case.activated",                   "path"),
    (r"POST /cases",                         "intake",   "case.registered",                  "answer"),
    (r"POST /consents",                      "consent",  "consent.given",                    "person"),
    (rf"POST /consents/{_ID}/withdrawal",    "consent",  "consent.withdrawn",                "person"),
    (rf"POST /handovers/{_ID}/request",      "handover", "handover.proposed",                "path"),
    (rf"POST /handovers/{_ID}/acceptance",   "handover", "to: handover.acceptance_declared", "path"),
    (rf"POST /handovers/{_ID}/rejection",    "handover", "to: handover.rejected",            "path"),
    (rf"POST /handovers/{_ID}/withdrawal",   "handover", "to: handover.withdrawn",           "path"),
    (rf"POST /handovers/{_ID}/first-contact", "handover", "to: handover.first_contact_made", "path"),
    (rf"POST /handovers/{_ID}/give-back",    "handover", "to: handover.given_back",          "path"),
    (rf"POST /handovers/{_ID}/completion",   "handover", "to: handover.completed",           "path"),
)  # fmt: skip
COMMANDED = {fact.removeprefix("to: ") for _, _, fact, _ in _RULES}
CHANNEL = re.compile(r"[a-z]+\.([a-z]+)\.to\.([a-z]+)\.([a-z]+)")


def effect_of(asked: Asked) -> Effect | None:
    """The fact this command leads to; None where it tells none, or where its subject is not known to the client."""
    for pattern, service, fact, key_in in _RULES:
        found = re.fullmatch(pattern, f"{asked.method} {asked.path}")
        if found is None or service != asked.service:
            continue
        if key_in == "answer":
            ids = {_id_in(body) for body in asked.answers}
            return Effect(asked.agency, fact, next(iter(sorted(ids)))) if ids else None
        key = asked.about["person"] if key_in == "person" else found[1]
        return Effect(asked.agency, fact.removeprefix("to: "), key)
    return None


def _id_in(body: str) -> str:
    found = re.search(rf'"id":\s*"{_ID}"', body)
    return "" if found is None else found[1]


def writer_of(topic: str) -> str:
    """The agency that alone writes a topic."""
    channel = CHANNEL.fullmatch(topic)
    return channel[1] if channel else topic.split(".", maxsplit=1)[0]


def _told(history: History) -> Counter[Effect]:
    """How often each fact was told, a record that was sent again counted once."""
    ids: dict[Effect, set[bytes]] = defaultdict(set)
    for each in history.said:
        if each.type in COMMANDED:
            ids[Effect(writer_of(each.topic), each.type, each.key.decode())].add(each.id)
    return Counter({effect: len(found) for effect, found in ids.items()})


def _lost(history: History) -> Iterator[str]:
    """I1: commands without their effect, facts that were committed and not sent, facts that were sent and not heard."""
    told = _told(history)
    marks, drafted = Counter(history.marks), Counter(history.drafted)
    for asked in history.asked:
        if asked.outcome is not Outcome.ACKNOWLEDGED:
            continue
        effect = effect_of(asked)
        if effect is not None and not told[effect]:
            yield f"{asked.method} {asked.path}: acknowledged, {effect.type} was never told"
        if _registers(asked) and not marks[asked.about["mark"]]:
            yield f"{asked.path}: acknowledged, nobody is registered"
        if _drafts(asked) and not drafted[asked.about["case"]]:
            yield f"{asked.path}: acknowledged, there is no such handover"
    on_topics = {each.id.decode() for each in history.said}
    for principal, rows in history.written.items():
        yield from (f"{principal} said {row.id}: not on {row.topic}" for row in rows if row.id not in on_topics)
    yield from _unheard(history)


def _unheard(history: History) -> Iterator[str]:
    last: dict[tuple[str, str], int] = {}
    for each in history.said:
        place = each.topic, each.key.decode()
        last[place] = max(last.get(place, 0), each.number)
    held = {(principal, row.topic, row.key) for principal, rows in history.parked.items() for row in rows}
    for (topic, key), number in last.items():
        for principal in history.heard_by.get(topic, ()):
            heard = history.lanes[principal].get((topic, key), 0)
            if heard < number and (principal, topic, key) not in held:
                yield f"{principal} has heard {heard} of {number} on {topic} about {key}"


def _registers(asked: Asked) -> bool:
    return (asked.service, asked.method, asked.path) == ("intake", "POST", "/cases")


def _drafts(asked: Asked) -> bool:
    return (asked.service, asked.method, asked.path) == ("handover", "POST", "/handovers")


def _twice(history: History) -> Iterator[str]:
    """I2: the same fact told anew, the same person registered again, the same item kept again."""
    yield from (f"{count} × {effect}" for effect, count in _told(history).items() if count > 1)
    yield from (f"{count} × registered: {mark}" for mark, count in Counter(history.marks).items() if count > 1)
    yield from (f"{count} × handover of case {case}" for case, count in Counter(history.drafted).items() if count > 1)
    yield from (f"{count} × item {item}" for item, count in Counter(history.received).items() if count > 1)


def _two_commands(history: History) -> Iterator[str]:
    """I3: one key, two different yeses."""
    answers: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for asked in history.asked:
        answers[asked.agency, asked.service, asked.key] |= asked.answers
    yield from (f"{key}: {len(bodies)} answers" for key, bodies in answers.items() if len(bodies) > 1)


def _unasked(history: History) -> Iterator[str]:
    """I6: facts, people and handovers that nobody may have asked for."""
    may: set[Effect] = set()
    judged: set[tuple[str, str]] = set()
    marks, cases, registered = set(), set(), Counter[str]()
    for asked in history.asked:
        effect = effect_of(asked)
        judged |= set() if effect is None else {(effect.teller, effect.type)}
        if asked.outcome is Outcome.REFUSED:
            continue
        may |= set() if effect is None else {effect}
        marks |= {asked.about["mark"]} if _registers(asked) else set()
        cases |= {asked.about["case"]} if _drafts(asked) else set()
        registered[asked.agency] += _registers(asked)
    told = [effect for effect in _told(history) if (effect.teller, effect.type) in judged]
    news = Counter(effect.teller for effect in told if effect.type == "case.registered")
    yield from (f"{agency}: {count} registered, {registered[agency]} asked for" for agency, count in news.items()
                if count > registered[agency])
    yield from (f"told unasked: {effect}" for effect in told if effect not in may and effect.type != "case.registered")
    yield from (f"registered unasked: {mark}" for mark in set(history.marks) - marks)
    yield from (f"drafted unasked: a handover of case {case}" for case in set(history.drafted) - cases)
    known = {row.id for rows in history.written.values() for row in rows}
    ours = {topic for rows in history.written.values() for topic in {row.topic for row in rows}}
    for each in history.said:
        if each.topic in ours and each.id.decode() not in known:
            yield f"{each.type} {each.id.decode()} is on {each.topic} and its writer does not know it"


# --- the door ---------------------------------------------------------------------------------------------------------


def _leaked(history: History) -> Iterator[str]:
    """I5: bytes after the answer "withdrawn" or the end of a consent; items that no grant of that moment covers."""
    of: dict[str, list[int]] = defaultdict(list)
    for number, passage in enumerate(history.passages):
        of[passage.handover].append(number)
    for shut in history.shut:
        for number in of[shut.handover]:
            passage = history.passages[number]
            later = passage.read - shut.arrived.get(number, 0)
            if later > 0 and passage.status == 200:
                yield f"{shut.handover}: {later} bytes after {shut.why}"
    for line in history.lines:
        if not any(_covers(grant, line) for grant in line.grants):
            yield f"release {line.release}: item {line.item} ({line.category}) is covered by no grant it names"


def _covers(grant: Grant, line: Line) -> bool:
    still = grant.withdrawn_at is None or line.opened_at < grant.withdrawn_at
    about = (grant.recipient, grant.purpose) == (line.recipient, line.purpose) and line.category in grant.categories
    return about and still and grant.valid_from <= line.opened_at < grant.valid_until


# --- what waits -------------------------------------------------------------------------------------------------------


def _stuck(history: History) -> Iterator[str]:
    """I7: what waits when nothing fails any more."""
    if history.drained_after is None or history.drained_after > DRAIN_SECONDS_MAX:
        yield f"not drained within {DRAIN_SECONDS_MAX:.0f} s: {', '.join(history.waiting) or 'late'}"
    yield from (f"never came back: {errand}" for errand in history.left)


def _mishandled(history: History) -> Iterator[str]:
    """I10: parked without need or unseen; retried and without effect, or with two."""
    for principal, rows in history.parked.items():
        shown = set(history.listed.get(principal, ()))
        for row in rows:
            if row.id not in history.parked_on_purpose:
                yield f"{principal} has parked {row}"
            if (row.topic, row.key) not in shown or not row.reason:
                yield f"{principal} does not show {row}"
    there = {row.id for rows in history.parked.values() for row in rows}
    yield from (f"{id_} was to be parked and is not" for id_ in sorted(history.parked_on_purpose - there))
    for each in history.retried:
        if not each.seen:
            yield f"{each.principal}: nobody could see {each.id} while it waited"
        if each.effects != 1:
            yield f"{each.principal}: {each.id} was retried and has had {each.effects} effects"


# --- ends -------------------------------------------------------------------------------------------------------------


def _ends(history: History) -> Iterator[str]:
    """I11: an end is an end, both sides have one or none, and where two crossed each knows the other's."""
    for (agency, handover), states in history.ends_told.items():
        ends = [state for state in states if state in ENDS]
        if len(set(ends)) > 1:
            yield f"{handover} has ended at {agency} as {' and '.join(ends)}"
    for handover, copies in history.copies.items():
        yield from (f"{handover}: {problem}" for problem in _of_two(copies))


def _of_two(copies: Sequence[Copy]) -> Iterator[str]:
    if len(copies) != 2:
        return  # never asked: nobody but the sender knows of it
    one, other = copies
    leading = [copy.agency for copy in copies if copy.lead]
    if len(leading) > 1:
        yield f"{' and '.join(leading)} lead"
    if (one.state in ENDS) != (other.state in ENDS):
        yield f"{one.state} at {one.agency}, {other.state} at {other.agency}"
    elif one.state in ENDS and one.state != other.state and (one.recorded, other.recorded) != (other.state, one.state):
        yield f"{one.state} and {other.state} crossed; recorded are {one.recorded} and {other.recorded}"


# --- use --------------------------------------------------------------------------------------------------------------


def _grown(history: History) -> Iterator[str]:
    """I12: what is not given back."""
    for principal, before in history.before.items():
        after = history.after[principal]
        for name in Use._fields:
            first, last = getattr(before, name), getattr(after, name)
            if last > (first * GROWTH_MAX if name == "memory" else first + MORE_MAX[name]):
                yield f"{principal} {name}: {first} before, {last} after"


# --- counting for the table -------------------------------------------------------------------------------------------


def count(broken: Iterable[Broken], *invariants: str) -> int:
    """How often these were broken."""
    return sum(each.invariant in invariants for each in broken)
