"""The service's tables against the model-checked law, row by row: each row has an owner and is written as checked."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import pytest

from chassis.transitions import Decided, Row
from contracts.codes import Service, Side
from contracts.registry import FACTS
from services.handover.domain import RECEIVER, SENDER, Handover, State, commands
from services.handover.domain.commands import Source
from services.handover.domain.conditions import basis_valid
from tests.handover.builders import a_command, a_handover, decide, nothing_yet
from tests.models.protocol import LOCAL, ProtocolRow, of_the_protocol, read_rows

ROWS: Final = read_rows()
TABLES: Final[Mapping[str, tuple[Row[Handover], ...]]] = {"sender": SENDER, "receiver": RECEIVER}

# Whose row it is, where it is not handover's: the duty about data and the door are consent's, the dossier is intake's.
OWNERS: Final[Mapping[str, Service]] = {
    "ReadDossier": Service.CONSENT,
    "AnswerOnData": Service.CONSENT,
    "DataAnswered": Service.CONSENT,
    "ConsentEnded": Service.CONSENT,
    "StoreDossier": Service.INTAKE,
}
# Words of a row that another service tells: after completion consent alone speaks to the recipients.
TOLD_BY_CONSENT: Final = frozenset({"ConsentEnded"})
KINDS: Final = {Source.DESK: "command", Source.CLOCK: "clock"}
OURS: Final = tuple(row for row in ROWS if row.on not in OWNERS)


def ours(row: ProtocolRow) -> list[Row[Handover]]:
    """The rows of this service for a row of the protocol: one, or one for each local state within its draft."""
    table = TABLES[row.side]
    return [mine for mine in table if of_the_protocol(mine.while_) == row.while_ and mine.on.__name__ == row.on]


def named(row: ProtocolRow) -> str:
    return " ".join(row.key)


def before(mine: Row[Handover], side: str) -> Handover:
    """A copy in the row's state, as the protocol has it there: in an end that crossed the sender may still lead."""
    return nothing_yet(Side(side)) if mine.while_ is State.NONE else a_handover(State(mine.while_), Side(side))


def test_every_row_of_the_protocol_has_one_owner() -> None:
    counted = Counter(OWNERS.get(row.on, Service.HANDOVER) for row in ROWS)
    assert counted == {Service.HANDOVER: 176, Service.CONSENT: 8, Service.INTAKE: 4}
    assert sum(counted.values()) == len(ROWS) == 188


def test_the_service_has_no_row_that_the_protocol_does_not_know() -> None:
    known = {row.key for row in OURS}
    mine = {(side, of_the_protocol(row.while_), row.on.__name__) for side, table in TABLES.items() for row in table}
    assert mine == known


def test_the_protocols_draft_is_exactly_the_local_states() -> None:
    drafts = {str(row.while_) for row in SENDER if of_the_protocol(row.while_) == "draft"}
    assert drafts == LOCAL | {"draft"}


@pytest.mark.parametrize("row", OURS, ids=named)
def test_a_row_leads_where_the_protocol_says(row: ProtocolRow) -> None:
    assert ours(row)
    assert {str(mine.then) for mine in ours(row)} == {row.then}


@pytest.mark.parametrize("row", OURS, ids=named)
def test_a_row_is_of_the_kind_and_from_whom_the_protocol_says(row: ProtocolRow) -> None:
    for mine in ours(row):
        source = mine.on.source
        if mine.on is commands.Request:  # asked for at the desk by proposing; it runs when consent permits it
            assert (source, row.kind, row.from_) == (Source.CONSENT, "command", "desk")
        else:
            assert (KINDS.get(source, "fact"), str(source)) == (row.kind, row.from_)


@pytest.mark.parametrize("row", OURS, ids=named)
def test_a_row_has_the_guard_of_the_protocol(row: ProtocolRow) -> None:
    for mine in ours(row):
        assert ("basis_valid" if basis_valid in mine.provided else None) == row.guard


@pytest.mark.parametrize("row", OURS, ids=named)
def test_a_row_tells_moves_and_records_what_the_protocol_says(row: ProtocolRow) -> None:
    for mine in ours(row):
        copy = before(mine, row.side)
        decided = decide(copy, a_command(mine.on))
        assert isinstance(decided, Decided), decided
        across = [tell for tell in decided.tells if tell.to is not None]
        expected = [fact for fact in row.tells if fact not in TOLD_BY_CONSENT]
        assert [type(tell.fact) for tell in across] == [FACTS[fact] for fact in expected]
        assert {(tell.to, tell.scope) for tell in across} <= {(decided.subject.matter.counterpart, "musterland")}
        assert decided.subject.lead == _lead(copy, row)
        assert (decided.subject.recorded and str(decided.subject.recorded)) == row.records


def _lead(copy: Handover, row: ProtocolRow) -> bool:
    begins = row.on == "Requested"  # a receiver's copy begins without the lead
    return {"takes": True, "drops": False, "unchanged": copy.lead and not begins}[row.lead]
