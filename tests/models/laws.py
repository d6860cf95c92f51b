"""Two laws the explorer can run: the table of the protocol, and the decisions of the handover service itself.

The service keeps state, lead, recorded end, the word awaited and the reservation. What is owed about data is consent's
and what is held is intake's, so under either law those two columns are read from the table.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple, Protocol

from chassis.transitions import Context, Decided
from contracts.codes import Side
from services.handover import domain
from services.handover.domain import Handover, State, commands
from services.handover.domain.commands import Command, Source
from tests.handover.builders import ITEMS, MUSTERLAND, NOW, a_command, a_handover, denies, nothing_yet
from tests.models.protocol import ENDS, HALTED, UNDECIDED, WORDS, ProtocolRow, of_the_protocol

REPEATABLE = frozenset({"Answer", "RequestCancel", "Ask", "DenyCancel", "Pause", "Resume", "CaseClosed"})
NOT_THE_SERVICES = frozenset({"ReadDossier", "StoreDossier", "AnswerOnData", "DataAnswered", "ConsentEnded"})


class Broken(Exception):
    """A promise does not hold; `path` is how it came to that."""

    path: list[object]


class SenderCopy(NamedTuple):
    """`asked`: a cancel request is unanswered (a ghost); `awaits`: whether somebody was met is not known.

    `baton` is kept by the service alone; the table has no column for it.
    """

    state: str
    lead: bool
    duty: str
    recorded: str
    asked: bool
    awaits: bool
    baton: bool = False


class ReceiverCopy(NamedTuple):
    """`holds`: nothing, the preview or the dossier."""

    state: str
    lead: bool
    duty: str
    recorded: str
    holds: str


Copy = SenderCopy | ReceiverCopy


class Act(NamedTuple):
    """One thing a copy can do, or hear: which row, what is told, the copies it can become, the baton taken or freed."""

    row: tuple[str, str, str]
    guard: str | None
    tells: tuple[str, ...]
    after: tuple[Copy, ...]
    takes: bool = False
    frees: bool = False

    @property
    def on(self) -> str:
        return self.row[2]


class Law(Protocol):
    """What a copy can do by itself, and what it does on hearing a fact."""

    case_lead_is_shared: bool
    begins: SenderCopy

    def acts(self, side: str, copy: Copy) -> Sequence[Act]: ...
    def hears(self, side: str, copy: Copy, fact: str) -> Act | None: ...
    def opens(self, copy: Copy) -> Act | None: ...
    def stores(self, copy: Copy) -> Act | None: ...


def moved(copy: Copy, row: ProtocolRow) -> bool:
    """Whether the copy leads after this row."""
    if row.lead == "unchanged":
        return copy.lead
    if copy.lead == (row.lead == "takes"):
        raise Broken(f"a row that moves no lead: {row.key}")
    return not copy.lead


def held(copy: ReceiverCopy, row: ProtocolRow) -> Iterable[str]:
    """What the receiver may hold after this row (two possibilities where it may keep or erase)."""
    ways: Mapping[str, set[str]] = {
        "preview": {"preview"}, "store": {"dossier"}, "purge": {"nothing"}, "keep_or_purge": {"nothing", copy.holds},
    }
    return sorted(ways.get(row.data, {copy.holds}))


def unanswered(copy: SenderCopy, on: str, tells: tuple[str, ...]) -> bool:
    """The ghost of I10: a cancel request that nobody has answered."""
    return "CancelRequested" in tells or (copy.asked and on not in {"CancelDenied", "CancelConfirmed"})


class TableLaw:
    """What the rows say, and nothing else."""

    case_lead_is_shared = True
    begins = SenderCopy("draft", True, "none", "-", False, False)

    def __init__(self, rows: Iterable[ProtocolRow]) -> None:
        self._facts: dict[tuple[str, str, str], ProtocolRow] = {}
        self._does: dict[tuple[str, str], list[ProtocolRow]] = {}
        self._door: dict[tuple[str, str], ProtocolRow] = {}
        for row in rows:
            if row.from_ == "door":
                self._door[row.on, row.while_] = row
            elif row.kind == "fact":
                self._facts[row.key] = row
            else:
                self._does.setdefault((row.side, row.while_), []).append(row)

    def acts(self, side: str, copy: Copy) -> Sequence[Act]:
        return [self._act(copy, row) for row in self._does.get((side, copy.state), ())]

    def hears(self, side: str, copy: Copy, fact: str) -> Act | None:
        row = self._facts.get((side, copy.state, fact))
        return None if row is None else self._act(copy, row)

    def opens(self, copy: Copy) -> Act | None:
        row = self._door.get(("ReadDossier", copy.state))
        return None if row is None or row.data != "serve" else self._act(copy, row)

    def stores(self, copy: Copy) -> Act | None:
        row = self._door.get(("StoreDossier", copy.state))
        return None if row is None or row.data != "store" else self._act(copy, row)

    @staticmethod
    def _act(copy: Copy, row: ProtocolRow) -> Act:
        lead, duty = moved(copy, row), copy.duty if row.duty == "unchanged" else row.duty
        recorded = row.records or copy.recorded
        if isinstance(copy, ReceiverCopy):
            after = tuple(ReceiverCopy(row.then, lead, duty, recorded, holds) for holds in held(copy, row))
            return Act(row.key, row.guard, row.tells, after)
        awaits = (copy.state in UNDECIDED and row.then in HALTED) or (copy.awaits and row.on not in WORDS)
        then = SenderCopy(row.then, lead, duty, recorded, unanswered(copy, row.on, row.tells), awaits)
        takes = (copy.state, then.state) == ("draft", "requested")
        return Act(row.key, row.guard, row.tells, (then,), takes, then.state in ENDS and not awaits)


class DomainLaw:
    """What `services.handover.domain` decides on real handovers; duty and data by the rows of the table."""

    case_lead_is_shared = False
    begins = SenderCopy("draft", True, "none", "-", False, False)

    def __init__(self, rows: Iterable[ProtocolRow]) -> None:
        rows = tuple(rows)
        self._rows = {row.key: row for row in rows}
        self._others = TableLaw(row for row in rows if row.on in NOT_THE_SERVICES)
        # A copy has few values, and a run asks millions of times.
        self._known_acts, self._known_hears = cache(self._acts), cache(self._hears)

    def acts(self, side: str, copy: Copy) -> Sequence[Act]:
        return self._known_acts(side, copy)

    def hears(self, side: str, copy: Copy, fact: str) -> Act | None:
        return self._known_hears(side, copy, fact)

    def opens(self, copy: Copy) -> Act | None:
        return self._others.opens(copy)

    def stores(self, copy: Copy) -> Act | None:
        return self._others.stores(copy)

    def _acts(self, side: str, copy: Copy) -> Sequence[Act]:
        table = domain.TABLES[Side(side)]
        mine = [row.on for row in table.rows if row.while_ == copy.state and _spontaneous(row.on)]
        decided = [self._decided(side, copy, a_command(on)) for on in mine]
        return [act for act in decided if act is not None] + list(self._others.acts(side, copy))

    def _hears(self, side: str, copy: Copy, fact: str) -> Act | None:
        if fact in NOT_THE_SERVICES:
            return self._others.hears(side, copy, fact)
        return self._decided(side, copy, a_command(getattr(commands, fact)))

    def _decided(self, side: str, copy: Copy, command: Command) -> Act | None:
        """What becomes of the copy; None where the service refuses."""
        before = as_handover(side, copy)
        granted = frozenset(domain.reserves(before.id, command))
        decided = domain.decide(before, command, Context(NOW, granted))
        if not isinstance(decided, Decided):
            return None
        on = type(command).__name__
        key = (side, of_the_protocol(copy.state), on)
        tells = tuple(_across(tell.to, tell.scope, tell.fact) for tell in decided.tells if tell.to is not None)
        if (row := self._rows.get(key)) is not None:
            tells += tuple(fact for fact in row.tells if fact in NOT_THE_SERVICES)
        return Act(
            key, self._guard(before, command, row), tells, tuple(as_copies(copy, decided.subject, on, tells, row)),
            # At the receiver the baton is that of its own, other case.
            takes=side == "sender" and bool(granted), frees=side == "sender" and bool(decided.frees),
        )


    @staticmethod
    def _guard(before: Handover, command: Command, row: ProtocolRow | None) -> str | None:
        """Whether the service refuses to ask on a word of consent that permits nothing; other guards are consent's."""
        if not isinstance(command, commands.Request):
            return row.guard if row else None
        without_basis = a_command(commands.Request, items=denies(*ITEMS))
        return None if isinstance(domain.decide(before, without_basis, Context(NOW)), Decided) else "basis_valid"


def _spontaneous(on: type[Command]) -> bool:
    """What happens without a fact on a channel; a withdrawal of consent is a step of its own."""
    decisions = (commands.Request, commands.AwaitBasis)  # DenyBasis is the latter, or ConsentWithdrawn (test_domain)
    return on.source in {Source.DESK, Source.CLOCK, Source.INTAKE} or on in decisions


def _across(to: str, scope: str | None, fact: object) -> str:
    if scope != MUSTERLAND:
        raise Broken(f"told in another alliance: {fact}")
    return type(fact).__name__.removeprefix("Handover")


def as_handover(side: str, copy: Copy) -> Handover:
    """A handover of the service that looks like this copy."""
    if copy.state == "none":
        return nothing_yet(Side(side))
    state = State(copy.state)
    recorded = None if copy.recorded == "-" else State(copy.recorded)
    if isinstance(copy, SenderCopy):
        return a_handover(
            state, Side.SENDER, lead=copy.lead, recorded=recorded, awaits_word=copy.awaits, holds_baton=copy.baton
        )
    return a_handover(state, Side.RECEIVER, lead=copy.lead, recorded=recorded)


def as_copies(
    before: Copy, handover: Handover, on: str, tells: tuple[str, ...], row: ProtocolRow | None
) -> Iterable[Copy]:
    """The copies that look like this handover."""
    recorded = "-" if handover.recorded is None else str(handover.recorded)
    duty = before.duty if row is None or row.duty == "unchanged" else row.duty
    if isinstance(before, ReceiverCopy):
        for holds in held(before, row) if row else (before.holds,):
            yield ReceiverCopy(str(handover.state), handover.lead, duty, recorded, holds)
    else:
        asked, awaits, baton = unanswered(before, on, tells), handover.awaits_word, handover.holds_baton
        yield SenderCopy(str(handover.state), handover.lead, duty, recorded, asked, awaits, baton)
