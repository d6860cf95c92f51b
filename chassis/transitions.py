"""The law of one kind of subject as a table of rows, and the pure function that reads it.

    while · on · then · tells · provided · because

What is not in the table is refused. A repeat that is allowed is a row of its own. Domains import this module and no
other of the chassis: nothing here knows a clock, chance, or the network; time and new ids are arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable
from uuid import UUID


@runtime_checkable
class Fact(Protocol):
    """Something that has happened and is told: an event class of the contracts."""

    type: ClassVar[str]

    @property
    def key(self) -> UUID:
        """What must stay in order: the subject whose lane this fact belongs to."""
        ...

    def model_dump_json(self) -> str:
        """The fact as the JSON that goes onto the wire."""
        ...


class Subject(Protocol):
    """What a decision is about; saved whole, `version` counts its saved changes from 1 (0: not saved yet)."""

    @property
    def id(self) -> UUID:
        """Whose subject it is, for ever."""
        ...

    @property
    def version(self) -> int:
        """How many changes have been saved."""
        ...

    @property
    def state(self) -> StrEnum:
        """What the table's rows are about."""
        ...


S = TypeVar("S", bound=Subject)


@dataclass(frozen=True, slots=True, order=True)
class Reservation:
    """A rule across subjects as a row that only one of them can hold (`name`, `key`), for example one per case."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may know besides subject and command: the database's time and the reservations it was granted."""

    now: datetime
    granted: frozenset[Reservation] = frozenset()


@dataclass(frozen=True, slots=True)
class Tell:
    """A fact on its way: on the service's own topic, or (`to`) on the channel to another party.

    `scope` names the agreement area of a channel (its topics, its version); required with `to`, and for facts that
    everybody of an area hears.
    """

    fact: Fact
    to: str | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """Set (or move) the subject's deadline of this kind: at `due`, database time, the command of that kind is run."""

    kind: str
    due: datetime


@dataclass(frozen=True, slots=True)
class Disarm:
    """The subject's deadline of this kind no longer matters."""

    kind: str


@dataclass(frozen=True, slots=True)
class Errand:
    """Work that needs the network, run after the commit with retries; `about` holds ids and codes, never content.

    An errand is known by (subject, name, `key`): the same again replaces the one that waits.
    """

    name: str
    about: Mapping[str, str]
    key: str = ""


@dataclass(frozen=True)
class Decided(Generic[S]):
    """Yes: the subject as it is from now on, and everything that goes with it in the same transaction."""

    subject: S
    tells: tuple[Tell, ...] = ()
    deadlines: tuple[Arm | Disarm, ...] = ()
    errands: tuple[Errand, ...] = ()
    frees: tuple[Reservation, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """No, because `reason`; with the present state and what is possible in it. Ids and codes only.

    `unknown` is the id nobody here has heard of (yet); `unknown` refusals may be asked again a moment later.
    """

    reason: StrEnum
    state: str | None = None
    allowed: tuple[str, ...] = ()
    unknown: UUID | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A fact this service said in a later life of its database.

    `scope` is the agreement area of the channel it went to. `answers` is the event it was said because of, where that
    still lies on a topic; `heard` is everything on the topics the service hears that has the same key, in order.
    """

    id: UUID
    topic: str
    at: datetime
    scope: str
    fact: Any
    answers: Any | None = None
    heard: tuple[tuple[UUID, Any], ...] = ()


@dataclass(frozen=True)
class Remembered(Generic[S]):
    """The subject as it must have been after that fact, and what goes with it.

    `heard` are ids of events whose effect is in the subject now. `lost` are codes for what cannot be known again.
    """

    subject: S
    deadlines: tuple[Arm | Disarm, ...] = ()
    errands: tuple[Errand, ...] = ()
    holds: tuple[Reservation, ...] = ()
    frees: tuple[Reservation, ...] = ()
    heard: tuple[UUID, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One command on one subject. `expected_version` is the caller's If-Match."""

    kind: str
    subject: UUID
    command: object
    expected_version: int | None = None


@dataclass(frozen=True)
class Condition(Generic[S]):
    """A named question about subject, command and context, and the reason given for a no."""

    asks: Callable[[S, Any, Context], bool]
    reason: StrEnum


Teller = Callable[[S, Any, Context], Tell]
Effect = Callable[[S, Any, Context], S]
Consequence = Callable[[S, Any, Context], Arm | Disarm | Errand | Reservation]


@dataclass(frozen=True)
class Row(Generic[S]):
    """One line of the law: *while* in this state, *on* this command, *then* in that state.

    `does` changes the subject (in order), `tells` makes the facts from the changed subject, `also` arms deadlines,
    writes errands or frees reservations. `because` cites the law or says why in one sentence.
    """

    while_: StrEnum
    on: type[Any]
    then: StrEnum
    tells: tuple[Teller[S], ...] = ()
    provided: tuple[Condition[S], ...] = ()
    because: str = ""
    does: tuple[Effect[S], ...] = ()
    also: tuple[Consequence[S], ...] = ()


@dataclass(frozen=True)
class Table(Generic[S]):
    """All rows of one kind of subject. `not_now` is the reason for what no row allows.

    `always` is added to every row that changes the state: what a change of state tells at home, for example.
    `by_people` are the commands people give (None: all); clocks and heard facts are nothing one could be told to try.
    """

    rows: tuple[Row[S], ...]
    not_now: StrEnum
    always: tuple[Callable[[S, S, Any, Context], tuple[Tell, ...]], ...] = ()
    by_people: frozenset[type[Any]] | None = None
    _index: Mapping[tuple[StrEnum, type[Any]], Row[S]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[tuple[StrEnum, type[Any]], Row[S]] = {}
        for row in self.rows:
            if (row.while_, row.on) in index:
                raise ValueError(f"two rows for {row.while_} × {row.on.__name__}")
            index[row.while_, row.on] = row
        object.__setattr__(self, "_index", index)

    def allowed(self, state: StrEnum) -> tuple[str, ...]:
        """Names of the commands people may give in this state, in the order of the table."""
        given = (row.on for row in self.rows if row.while_ == state)
        asked = (on for on in given if self.by_people is None or on in self.by_people)
        return tuple(dict.fromkeys(on.__name__ for on in asked))

    def row(self, state: StrEnum, command: type[Any]) -> Row[S] | None:
        """The row for this command in this state, if there is one."""
        return self._index.get((state, command))

    def decide(self, subject: S, command: object, context: Context) -> Decided[S] | Refused:
        """Apply the one row there is; refuse with the table's `not_now` where there is none."""
        row = self._index.get((subject.state, type(command)))
        if row is None:
            return Refused(self.not_now, subject.state, self.allowed(subject.state))
        for condition in row.provided:
            if not condition.asks(subject, command, context):
                return Refused(condition.reason, subject.state, self.allowed(subject.state))
        return self._apply(row, subject, command, context)

    def _apply(self, row: Row[S], subject: S, command: object, context: Context) -> Decided[S]:
        after = subject
        for effect in row.does:
            after = effect(after, command, context)
        if row.then != after.state:
            after = dataclasses.replace(after, state=row.then)  # type: ignore[type-var]  # subjects are frozen dataclasses
        tells = tuple(tell(after, command, context) for tell in row.tells)
        for home in self.always:
            tells += home(subject, after, command, context)
        return _with_consequences(after, tells, (also(after, command, context) for also in row.also))


def _with_consequences(
    subject: S, tells: tuple[Tell, ...], consequences: Iterable[Arm | Disarm | Errand | Reservation]
) -> Decided[S]:
    deadlines: list[Arm | Disarm] = []
    errands: list[Errand] = []
    frees: list[Reservation] = []
    for consequence in consequences:
        match consequence:
            case Arm() | Disarm():
                deadlines.append(consequence)
            case Errand():
                errands.append(consequence)
            case Reservation():
                frees.append(consequence)
    return Decided(subject, tells, tuple(deadlines), tuple(errands), tuple(frees))


def as_matrix(table: Table[Any], states: Sequence[StrEnum], labels: Mapping[str, str] | None = None) -> str:
    """Every state against every command as a Markdown table; an empty cell is a refusal."""
    said = labels or {}
    commands = list(dict.fromkeys(row.on for row in table.rows))
    lines = ["| while \\ on | " + " | ".join(command.__name__ for command in commands) + " |"]
    lines.append("|---" * (len(commands) + 1) + "|")
    for state in states:
        cells = (table.row(state, command) for command in commands)
        words = (" " if row is None else ("stays" if row.then == state else str(row.then)) for row in cells)
        lines.append(f"| **{state}** {said.get(state, '')}".rstrip() + " | " + " | ".join(words) + " |")
    return "\n".join(lines) + "\n"


def as_mermaid(table: Table[Any]) -> str:
    """The rows that change the state, as a Mermaid state diagram."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        if row.then != row.while_:
            arrows.setdefault((row.while_, row.then), []).append(row.on.__name__)
    lines = [f"    {before} --> {after}: {', '.join(names)}" for (before, after), names in arrows.items()]
    return "stateDiagram-v2\n" + "\n".join(lines) + "\n"
