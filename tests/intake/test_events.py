"""From what handover and consent tell at home to commands on a case; compared with the protocol's column *data*."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.inbox import Meta
from contracts.codes import HandoverState, Side
from contracts.consent import ConsentErasureDemanded
from contracts.ids import DutyId, HandoverRef, ItemId, ReleaseId
from contracts.new_ids import new_id
from services.intake.domain import commands as asked
from services.intake.events import WITH_CASE, erase, follow
from tests.intake.builders import changed
from tests.models.protocol import ProtocolRow, read_rows

S = HandoverState
META = Meta(
    new_id(), "", "jugendamt.handover.events", "jugendamt.handover", new_id(), 1, datetime(2026, 11, 23, tzinfo=UTC),
    "musterland", 1, "", None,
)
# Rows that change state or recorded end are told at home; the others intake cannot hear and need not.
TOLD = tuple(row for row in read_rows() if row.side == "receiver" and (row.then != row.while_ or row.records))


def commands(side: Side, before: S, state: S, **more: Any) -> list[object]:
    return [step.command for step in follow(changed(side, before, state, **more), META)]


def heard(row: ProtocolRow) -> list[object]:
    recorded = None if row.records is None else S(row.records)
    return commands(Side.RECEIVER, S(row.while_), S(row.then), recorded=recorded, lead=row.lead == "takes")


@pytest.mark.parametrize("row", [row for row in TOLD if row.data == "purge"], ids=lambda row: " ".join(row.key))
def test_where_the_protocol_purges_what_came_is_purged(row: ProtocolRow) -> None:
    purged = [isinstance(command, asked.EndDossier) and command.purge for command in heard(row)]
    had_a_case = S(row.while_) in WITH_CASE | {S.COMPLETED}
    assert purged == ([True] if had_a_case else [])


@pytest.mark.parametrize("row", [row for row in TOLD if row.data != "purge"], ids=lambda row: " ".join(row.key))
def test_where_the_protocol_does_not_purge_nothing_is_purged(row: ProtocolRow) -> None:
    assert not any(isinstance(command, asked.EndDossier) and command.purge for command in heard(row))


@pytest.mark.parametrize("state", sorted(WITH_CASE))
def test_after_a_stop_or_completion_nothing_more_is_fetched(state: S) -> None:
    for end in (S.STOPPED, S.COMPLETED):
        (command,) = commands(Side.RECEIVER, state, end)
        assert isinstance(command, asked.EndDossier)
        assert not command.purge


@pytest.mark.parametrize("before", [S.ACCEPTING, S.CANCELLING])
def test_acceptance_announces_a_case_under_the_handover_reference(before: S) -> None:
    event = changed(Side.RECEIVER, before, S.ACCEPTED)
    (step,) = follow(event, META)
    assert step.subject == event.handover
    assert isinstance(step.command, asked.Announce)
    assert event.preview is not None
    assert (step.command.sender, step.command.phase) == (event.counterpart, event.preview.phase)


@pytest.mark.parametrize("before", [S.ACCEPTED, S.CANCELLING])
def test_the_first_contact_takes_the_lead(before: S) -> None:
    assert commands(Side.RECEIVER, before, S.ACTIVE, lead=True) == [asked.TakeLead()]


def test_a_pause_of_the_handover_is_nothing_to_the_case() -> None:
    assert commands(Side.RECEIVER, S.ACTIVE, S.PAUSED, lead=True) == []
    assert commands(Side.RECEIVER, S.PAUSED, S.ACTIVE, lead=True) == []
    assert commands(Side.RECEIVER, S.NONE, S.REQUESTED) == []


def test_a_sender_that_no_longer_leads_gives_its_case_up() -> None:
    event = changed(Side.SENDER, S.ACCEPTED, S.ACTIVE, lead=False)
    (step,) = follow(event, META)
    assert (step.subject, step.command) == (event.case, asked.DropLead(event.handover))


@pytest.mark.parametrize("end", [S.STOPPED, S.VOIDED])
def test_the_lead_goes_also_where_the_end_crossed_the_first_contact(end: S) -> None:
    assert len(commands(Side.SENDER, end, end, lead=False)) == 1


def test_a_sender_that_still_leads_has_nothing_to_do() -> None:
    for state in (S.PROPOSED, S.REQUESTED, S.ACCEPTED, S.CANCELLED, S.STOPPED):
        assert commands(Side.SENDER, S.DRAFT, state) == []


def test_a_demand_names_duty_and_releases() -> None:
    reference, duty, release = new_id(), new_id(), new_id()
    demanded = ConsentErasureDemanded(
        handover=HandoverRef(reference), duty=DutyId(duty), releases=(ReleaseId(release),), items=(ItemId(new_id()),)
    )
    (step,) = erase(demanded, META)
    assert step.subject == reference
    assert step.command == asked.EraseReleases(HandoverRef(reference), DutyId(duty), frozenset({ReleaseId(release)}))
