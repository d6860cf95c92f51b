"""The protocol's table and the service's own decisions keep every promise, through every order of events."""

import dataclasses
from collections.abc import Callable
from itertools import islice

import pytest

from chassis.transitions import Row, Table
from contracts.codes import Side
from services.handover.domain import TABLES, Handover, State, commands, law
from services.handover.domain.effects import await_word, drop_lead, take_lead
from tests.conftest import Say
from tests.models.explore_handover import check_coverage, check_the_table, explore, in_the_protocol
from tests.models.explore_two_receivers import WRONG_WAYS, bear_on_the_lead, explore_two
from tests.models.laws import Broken, DomainLaw, TableLaw
from tests.models.mutants import mutants, noticed
from tests.models.protocol import read_rows

ROWS = read_rows()
ROWS_ON_THE_LEAD = bear_on_the_lead(ROWS)

# Found by TLC in the same protocol, written a second time by hand (README.md): the runs must agree to the state.
STATES, STATES_ROOM_5, STATES_REDELIVERY, STATES_TWO_RECEIVERS = 10_042, 17_824, 396_379, 572_300

# The short forms: under redelivery the states nearest the beginning, in which nearly every row fires; two receivers and
# no exchange that can go round for ever (room 0), which is enough to find every bug planted here; every eighth mutant.
NEAREST, STATES_TWO_ROOM_0, EVERY = 40_000, 54_747, 8


def test_the_table_is_well_formed() -> None:
    assert len(ROWS) == 188
    check_the_table(ROWS)


@pytest.mark.parametrize(("room", "states"), [(3, STATES), (5, STATES_ROOM_5)])
def test_the_table_keeps_every_promise_and_reaches_the_states_tlc_has_found(room: int, states: int) -> None:
    found = explore(TableLaw(ROWS), room=room)
    check_coverage(found, ROWS)
    assert len(found.states) == states
    assert len(found.crossed) == 12


def test_the_table_keeps_every_promise_when_messages_are_delivered_again_near_the_beginning() -> None:
    found = explore(TableLaw(ROWS), redelivery=True, room=1, enough=NEAREST)
    assert len(found.states) >= NEAREST
    assert len(found.fired) > len(ROWS) * 0.95


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_the_table_keeps_every_promise_when_messages_are_delivered_again() -> None:
    found = explore(TableLaw(ROWS), redelivery=True, room=1)
    check_coverage(found, ROWS)
    assert len(found.states) == STATES_REDELIVERY


def test_the_service_keeps_every_promise_and_reaches_exactly_the_states_of_the_table(say: Say) -> None:
    found, theirs = explore(DomainLaw(ROWS)), explore(TableLaw(ROWS))
    check_coverage(found, ROWS)
    say(f"the service, one receiver: {len(found.states)} states, {found.steps} steps, {len(found.fired)} rows")
    assert {in_the_protocol(at) for at in found.states} == theirs.states


def test_of_two_receivers_who_go_round_nothing_never_two_lead_by_table_and_by_service() -> None:
    theirs, ours = explore_two(TableLaw(ROWS_ON_THE_LEAD), room=0), explore_two(DomainLaw(ROWS_ON_THE_LEAD), room=0)
    assert theirs.states == STATES_TWO_ROOM_0
    assert len(theirs.fired) > len(ROWS_ON_THE_LEAD) / 2
    assert theirs.fired <= ours.fired


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_of_two_receivers_of_one_case_never_two_lead_by_the_table() -> None:
    found = explore_two(TableLaw(ROWS_ON_THE_LEAD))
    assert found.states == STATES_TWO_RECEIVERS
    assert {row.key for row in ROWS_ON_THE_LEAD} == found.fired


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_of_two_receivers_of_one_case_never_two_lead_by_the_service(say: Say) -> None:
    found = explore_two(DomainLaw(ROWS_ON_THE_LEAD))
    say(f"the service, two receivers: {found.states} states, {found.steps} steps, {len(found.fired)} rows")
    assert {row.key for row in ROWS_ON_THE_LEAD} <= found.fired


@pytest.mark.parametrize("wrong", WRONG_WAYS)
def test_asking_in_a_wrong_way_makes_two_receivers_lead(wrong: str) -> None:
    with pytest.raises(Broken, match="two receivers lead"):
        explore_two(TableLaw(ROWS_ON_THE_LEAD), wrong, room=0)


@pytest.mark.parametrize("every", [EVERY, pytest.param(1, marks=[pytest.mark.prove, pytest.mark.timeout(600)])])
def test_every_single_wrong_cell_and_every_forgotten_row_of_the_table_is_noticed(every: int) -> None:
    broken = {name: noticed(rows) for name, rows in islice(mutants(ROWS), 0, None, every)}
    assert len(broken) == 768 // every
    assert [name for name, promise in broken.items() if promise is None] == []


# --- planted bugs: what the explorer would find in the service --------------------------------------------------------

Change = Callable[[Row[Handover]], Row[Handover]]


def plant(
    monkeypatch: pytest.MonkeyPatch, side: Side, at: set[State], on: type[commands.Command], change: Change
) -> None:
    """Get the rows of this command in these states wrong."""
    table = TABLES[side]
    rows = tuple(change(row) if row.on is on and row.while_ in at else row for row in table.rows)
    assert rows != table.rows
    monkeypatch.setitem(TABLES, side, Table(rows, table.not_now, table.always))


def without(*effects: object) -> Change:
    return lambda row: dataclasses.replace(row, does=tuple(effect for effect in row.does if effect not in effects))


def untold(row: Row[Handover]) -> Row[Handover]:
    return dataclasses.replace(row, tells=())


def unasked(row: Row[Handover]) -> Row[Handover]:
    return dataclasses.replace(row, provided=())


def stays(row: Row[Handover]) -> Row[Handover]:
    return dataclasses.replace(row, then=row.while_)


def dropping(row: Row[Handover]) -> Row[Handover]:
    return dataclasses.replace(row, does=(*row.does, drop_lead))


ASKED = {State.REQUESTED, State.INQUIRY, State.WAITLISTED, State.REDIRECTING}
HALTED = {State.STOPPED, State.VOIDED}
ENDED = {State.WITHDRAWN, State.EXPIRED} | HALTED

BUGS: dict[str, tuple[Side, set[State], type[commands.Command], Change, str]] = {
    "the sender drops the lead when it confirms": (Side.SENDER, ASKED, commands.AcceptanceDeclared, dropping, "I1"),
    "the receiver does not take the lead": (
        Side.RECEIVER, {State.ACCEPTED}, commands.RecordFirstContact, without(take_lead), "I1|I2|I8",
    ),
    "a withdrawal of consent is not told": (Side.SENDER, ASKED, commands.ConsentWithdrawn, untold, "I5|I6"),
    "a withdrawal of consent changes nothing": (Side.SENDER, ASKED, commands.ConsentWithdrawn, stays, "I9"),
    "asked without a basis": (Side.SENDER, {State.PROPOSED}, commands.Request, unasked, "I3|I9"),
    "two ends crossed and neither is recorded": (
        Side.SENDER, ENDED, commands.Rejected, lambda row: dataclasses.replace(row, does=()), "I5",
    ),
    "nobody says that the end was heard": (Side.RECEIVER, {State.ACCEPTED}, commands.Stopped, untold, "I11"),
    "a denial goes without saying": (Side.RECEIVER, {State.ACTIVE}, commands.CancelRequested, untold, "I10"),
    "an expired request is accepted after all": (
        Side.SENDER, {State.EXPIRED}, commands.AcceptanceDeclared,
        lambda row: dataclasses.replace(row, then=State.ACCEPTED), "I4|I6",
    ),
    "a stopped sender keeps the lead although they met": (
        Side.SENDER, HALTED, commands.FirstContactMade, without(drop_lead), "I2",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    side, at, on, change, promise = BUGS[bug]
    plant(monkeypatch, side, at, on, change)
    with pytest.raises(Broken, match=promise):
        explore(DomainLaw(ROWS), limit=40_000)


def test_a_planted_bug_is_found_near_the_beginning_when_messages_are_delivered_again() -> None:
    ends = {("receiver", state, "Withdrawn") for state in ("requested", "inquiry", "waitlisted")}
    wrong = tuple(row._replace(then=row.while_) if row.key in ends else row for row in ROWS)
    assert wrong != ROWS
    with pytest.raises(Broken, match="I7"):
        explore(TableLaw(wrong), redelivery=True, room=1, enough=NEAREST)


def test_freeing_the_baton_before_the_word_is_heard_makes_two_receivers_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    for on in (commands.ConsentWithdrawn, commands.Void):
        plant(monkeypatch, Side.SENDER, {State.ACCEPTED, State.CANCELLING}, on, without(await_word))
    with pytest.raises(Broken, match="two receivers lead"):
        explore_two(DomainLaw(ROWS_ON_THE_LEAD), room=0)


def test_proposing_without_the_baton_makes_two_receivers_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, Side.SENDER, {State.DRAFT}, commands.Propose, unasked)
    monkeypatch.setattr(law, "reserves", lambda _handover, _command: ())
    monkeypatch.setattr("services.handover.domain.reserves", lambda _handover, _command: ())
    with pytest.raises(Broken, match="two receivers lead"):
        explore_two(DomainLaw(ROWS_ON_THE_LEAD), room=0)


def test_an_end_that_is_not_heard_keeps_the_case_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, Side.RECEIVER, {State.ACCEPTED, State.CANCELLING}, commands.Stopped, untold)
    with pytest.raises(Broken, match="stays reserved"):
        explore_two(DomainLaw(ROWS_ON_THE_LEAD), room=0)
