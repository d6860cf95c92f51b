"""The service's tables against the model-checked law, row by row: each row has an owner and is written as checked."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import pytest

from chassis.transitions import Decided, Row
from contracts.codes import Service, Side
from contracts.consent import ConsentDataAnswered, ConsentWithdrawalNotified
from contracts.events import Event
from contracts.registry import FACTS
from services.consent.domain.commands import (
    AllAnswered,
    AnswerErased,
    AnswerRetained,
    DemandAnswer,
    HearAnswer,
    OweAnswer,
)
from services.consent.domain.duties import DUTIES, NOTHING_LEFT
from services.consent.domain.words import Before, DutyState
from services.consent.door.releasing import OPEN
from services.handover.domain import RECEIVER, SENDER, Handover, State, commands
from services.handover.domain.commands import Source
from services.handover.domain.conditions import basis_valid
from services.intake.errands import KEEPING
from tests.handover.builders import a_command, a_handover, decide, nothing_yet
from tests.models.protocol import ENDS, LOCAL, ProtocolRow, of_the_protocol, read_rows

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


@pytest.mark.parametrize("row", [row for row in OURS if row.side == "receiver"], ids=named)
def test_the_preview_goes_where_the_protocol_says_and_with_every_end_but_completion(row: ProtocolRow) -> None:
    for mine in ours(row):
        decided = decide(before(mine, row.side), a_command(mine.on))
        assert isinstance(decided, Decided), decided
        ends_now = row.then in ENDS - {"completed"} and row.while_ not in ENDS
        assert (decided.subject.preview is None) == (row.data == "purge" or ends_now)


def _lead(copy: Handover, row: ProtocolRow) -> bool:
    begins = row.on == "Requested"  # a receiver's copy begins without the lead
    return {"takes": True, "drops": False, "unchanged": copy.lead and not begins}[row.lead]


# --- the rows of the others -------------------------------------------------------------------------------------------

# How consent writes the protocol's rows about the duty: its own table goes by the state of the duty, because a duty
# follows the ledger and not the state of a handover; the states of the rows are where such a duty can be.
DUTY: Final[Mapping[str, tuple[DutyState | Before, type[Any], DutyState, type[Event] | None]]] = {
    "ConsentEnded": (Before.NONE, OweAnswer, DutyState.OWES, None),
    # In the same decision as the own answer, where nobody else is waited for (decision 0029).
    "AnswerOnData": (DutyState.WAITS, AllAnswered, DutyState.ANSWERED, ConsentDataAnswered),
    "DataAnswered": (DutyState.AWAITS, HearAnswer, DutyState.ANSWERED, None),
}
DUTY_WORDS: Final = {DutyState.OWES: "owes", DutyState.ANSWERED: "answered"}


def of(on: str) -> list[ProtocolRow]:
    return [row for row in ROWS if row.on == on]


@pytest.mark.parametrize("on", DUTY)
def test_consent_has_the_rows_about_the_duty(on: str) -> None:
    while_, command, then, told = DUTY[on]
    row = DUTIES.row(while_, command)
    assert row is not None
    assert row.then is then
    assert len(row.tells) == (told is not None)
    for protocol in of(on):
        assert protocol.duty == DUTY_WORDS[then]
        assert [FACTS[fact] for fact in protocol.tells] == ([told] if told else [])


def test_an_answer_on_data_is_refused_where_none_is_owed() -> None:
    assert {row.guard for row in of("AnswerOnData")} == {"owes_answer"}
    answers = (AnswerRetained, AnswerErased)
    assert {row.while_ for row in DUTIES.rows if row.on in answers} == {DutyState.OWES}


def test_after_completion_consent_tells_the_recipient_itself() -> None:
    row = DUTIES.row(Before.NONE, DemandAnswer)
    assert row is not None
    assert FACTS["ConsentEnded"] is ConsentWithdrawalNotified
    assert len(row.tells) == 1


def test_nothing_is_owed_after_exactly_the_ends_with_which_everything_was_erased() -> None:
    purged = {row.then for row in ROWS if row.side == "receiver" and row.data == "purge"} & ENDS
    assert {str(end) for end in NOTHING_LEFT} == purged - {"stopped", "completed"}


def test_the_door_opens_in_exactly_the_states_of_the_protocol() -> None:
    assert {str(state) for state in OPEN} == {row.while_ for row in of("ReadDossier")}


def test_a_dossier_is_stored_in_exactly_the_states_of_the_protocol() -> None:
    assert {str(state) for state in KEEPING} == {row.while_ for row in of("StoreDossier")}
