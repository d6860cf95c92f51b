"""Bugs planted one at a time, each into the very code or rule that keeps a law, and the law that must notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast

import pytest

from chassis.inbox import Fate, Heard, Lanes
from chassis.transitions import Table
from contracts.codes import END_STATES, Side
from contracts.codes import HandoverState as S
from services.consent.domain import DUTIES, TRANSMISSIONS, answers, decision, person, words
from services.consent.domain import commands as consent
from services.consent.domain.words import DutyState, TransmissionState
from services.handover import domain as handover
from services.handover.domain import commands as say
from services.handover.domain import effects
from services.handover.domain import law as handover_law
from services.intake import events as intake_events
from services.intake.domain import CASE
from services.intake.domain import State as Intake
from services.intake.domain.commands import Announce, TakeLead
from services.offers.domain import COPIES, Copy
from services.offers.domain import State as Offered
from tests.simulation import handovers, laws, withdrawals, world
from tests.simulation.door import Door, seconds
from tests.simulation.network import Network

SENDER, RECEIVER = handover.TABLES[Side.SENDER], handover.TABLES[Side.RECEIVER]
Patch = pytest.MonkeyPatch


class Planted(NamedTuple):
    """What is wrong, and which laws may be the first to notice."""

    plant: Callable[[Patch], None]
    noticed_by: tuple[str, ...]


def _row(patch: Patch, table: Table[Any], while_: Any, on: type[Any], **changes: Any) -> None:
    """Another word in one row."""
    rows = cast("dict[Any, Any]", table._index)
    patch.setitem(rows, (while_, on), replace(rows[while_, on], **changes))


def _without(patch: Patch, table: Table[Any], while_: Any, on: type[Any]) -> None:
    patch.delitem(cast("dict[Any, Any]", table._index), (while_, on))


# --- handover ---------------------------------------------------------------------------------------------------------


def lead_dropped_at_confirmation(patch: Patch) -> None:
    _row(patch, SENDER, S.REQUESTED, say.AcceptanceDeclared, does=(effects.drop_lead,))


def two_batons_for_one_case(patch: Patch) -> None:
    row = SENDER.row(S.DRAFT, say.Propose)
    assert row is not None
    asked = tuple(each for each in row.provided if each.reason is not handover.Reason.CASE_RESERVED)
    _row(patch, SENDER, S.DRAFT, say.Propose, provided=asked)


def baton_freed_before_the_word(patch: Patch) -> None:
    for state in (S.ACCEPTED, S.CANCELLING):
        _row(patch, SENDER, state, say.Void, does=(effects.note_reason,))
        _row(patch, SENDER, state, say.ConsentWithdrawn, does=(effects.note_verdicts,))


def baton_never_freed(patch: Patch) -> None:
    patch.setattr(handover.Handover, "needs_baton", property(lambda copy: copy.holds_baton))


def withdrawn_after_acceptance(patch: Patch) -> None:
    rows = cast("dict[Any, Any]", SENDER._index)
    patch.setitem(rows, (S.ACCEPTED, say.Withdraw), rows[S.REQUESTED, say.Withdraw])
    more = {S.ACCEPTED: ("Withdraw",)}
    patch.setattr(handovers, "allowed", lambda copy: handover.allowed(copy) + more.get(copy.state, ()))


def expired_and_accepted_after_all(patch: Patch) -> None:
    _row(patch, SENDER, S.EXPIRED, say.AcceptanceDeclared, then=S.ACCEPTED)
    _row(patch, SENDER, S.WITHDRAWN, say.AcceptanceDeclared, then=S.ACCEPTED)


def end_heard_untold(patch: Patch) -> None:
    for state in (S.ACCEPTED, S.CANCELLING):
        for on in (say.Stopped, say.Voided):
            _row(patch, RECEIVER, state, on, tells=())


def confirmation_untold(patch: Patch) -> None:
    _row(patch, SENDER, S.REQUESTED, say.AcceptanceDeclared, tells=())


def reminder_without_a_row(patch: Patch) -> None:
    _without(patch, SENDER, S.REQUESTED, say.Remind)


def deadlines_never_armed(patch: Patch) -> None:
    patch.setattr(handover_law, "changes", lambda before, after: ())


# --- consent and its door ---------------------------------------------------------------------------------------------


def flags_never_read(patch: Patch) -> None:
    _row(patch, TRANSMISSIONS, words.Before.NONE, consent.OpenTransmission, also=())


def end_of_basis_untold(patch: Patch) -> None:
    for state in (TransmissionState.PERMITTED, TransmissionState.REDUCED):
        _row(patch, TRANSMISSIONS, state, consent.NonePermitted, tells=())


def handover_not_noted(patch: Patch) -> None:
    _row(patch, TRANSMISSIONS, TransmissionState.PERMITTED, consent.KeepOpen, does=())


def duty_never_demanded(patch: Patch) -> None:
    patch.setattr(person, "fallen", lambda *_: ())


def passed_on_untold(patch: Patch) -> None:
    patch.setattr(person, "passed_on", lambda *_: ())


def answer_that_waits_for_nobody(patch: Patch) -> None:
    patch.setattr(answers, "all_answered", lambda _, duty: consent.AllAnswered(duty.id, ()))


def duty_lapses_at_the_receiver_alone(patch: Patch) -> None:
    _row(patch, DUTIES, DutyState.AWAITS, consent.NothingLeft, then=DutyState.AWAITS)


def answer_before_the_lease_ends(patch: Patch) -> None:
    patch.setattr(withdrawals, "ANSWER", timedelta())


def door_does_not_ask_its_handover(patch: Patch) -> None:
    patch.setattr(Door, "standing", lambda *_: None)


def lease_begins_when_it_is_opened(patch: Patch) -> None:
    right = Door.deadline
    begun: dict[Any, datetime] = {}
    claimed = Door._claimed

    def remembered(door: Door, handover: Any) -> Any:
        begun[handover] = door._world.clock.now
        return claimed(door, handover)

    def late(door: Door, claim: Any, verdicts: Any, chosen: Any) -> float:
        return right(door, claim, verdicts, chosen) + seconds(begun[claim.handover], door._world.clock.now)

    patch.setattr(Door, "_claimed", remembered)
    patch.setattr(Door, "deadline", late)


def door_decides_without_the_lock(patch: Patch) -> None:
    claimed, opened = Door._claimed, Door.opened
    seen: dict[Any, Any] = {}

    def remembered(door: Door, handover: Any) -> Any:
        known = claimed(door, handover)
        if known is not None:
            seen[known[0]] = door._persons.rows[known[0]]
        return known

    def unlocked(door: Door, claim: Any, of: Any, *rest: Any) -> Any:
        now = door._persons.rows[of]
        door._persons.rows[of] = seen[of]
        try:
            return opened(door, claim, of, *rest)
        finally:
            door._persons.rows[of] = now

    patch.setattr(Door, "_claimed", remembered)
    patch.setattr(Door, "opened", unlocked)


def grants_never_end(patch: Patch) -> None:
    patch.setattr(words.Grant, "stands", lambda grant, at: grant.withdrawn_at is None and grant.valid_from <= at)


def entrusted_items_go_with_the_others(patch: Patch) -> None:
    right = decision._covers
    patch.setattr(
        decision, "_covers", lambda consent, grant, item, about: right(
            consent, grant, replace(item, entrusted=False), about
        )
    )


def nobody_sweeps(patch: Patch) -> None:
    patch.setattr(world, "sweep", lambda *_: (_ for _ in ()))


# --- intake and offers ------------------------------------------------------------------------------------------------


def first_contact_not_taken_in(patch: Patch) -> None:
    right = intake_events._meaning
    patch.setattr(
        intake_events, "_meaning", lambda event: None if isinstance(right(event), TakeLead) else right(event)
    )


def everything_is_kept(patch: Patch) -> None:
    patch.setattr(intake_events, "KEEPING", END_STATES)


def dossier_never_fetched(patch: Patch) -> None:
    _row(patch, CASE, Intake.NONE, Announce, also=())


def copies_never_renewed(patch: Patch) -> None:
    _row(patch, COPIES, Offered.COPIED, Copy, does=())


# --- delivery ---------------------------------------------------------------------------------------------------------


def records_get_lost(patch: Patch) -> None:
    patch.setattr(Network, "lost", lambda network: network._chance.random() < 0.02)


def no_inbox(patch: Patch) -> None:
    right = Lanes.judge

    def forgetful(lanes: Lanes, heard: Heard, now: datetime) -> tuple[Fate, str]:
        return (Fate.APPLIED, "") if heard.hear is not None else right(lanes, heard, now)

    patch.setattr(Lanes, "judge", forgetful)


def no_sequence_check(patch: Patch) -> None:
    right = Lanes.judge

    def careless(lanes: Lanes, heard: Heard, now: datetime) -> tuple[Fate, str]:
        fate, error_class = right(lanes, heard, now)
        return (Fate.APPLIED, "") if error_class == "gap" and heard.hear is not None else (fate, error_class)

    patch.setattr(Lanes, "judge", careless)


def expired_in_spite_of_what_was_sent(patch: Patch) -> None:
    patch.setattr(Network, "unread", lambda *_: False)


PLANTED: Final[Mapping[str, Planted]] = {
    plant.__name__: Planted(plant, tuple(noticed_by))
    for plant, *noticed_by in (  # the plant, and what may be the first to notice it
        (lead_dropped_at_confirmation, laws.LEAD),
        (two_batons_for_one_case, laws.ONE_BATON),
        (baton_freed_before_the_word, laws.BATON_BACK, laws.ONE_BATON, laws.LEAD),
        (baton_never_freed, laws.BATON_BACK),
        (withdrawn_after_acceptance, laws.NOT_PARKED),
        (expired_and_accepted_after_all, laws.ENDS_STAY),
        (end_heard_untold, laws.COPIES_AGREE),
        (confirmation_untold, laws.WORKED_ON, laws.NOT_PARKED, laws.COPIES_AGREE),
        (reminder_without_a_row, laws.HAS_A_ROW),
        (deadlines_never_armed, laws.CLOCKS, laws.WORKED_ON),
        (flags_never_read, laws.WORKED_ON),
        (end_of_basis_untold, laws.WORKED_ON),
        (handover_not_noted, laws.NEIGHBOURS_KNOW),
        (duty_never_demanded, laws.EVERYBODY_TOLD),
        (passed_on_untold, laws.EVERYBODY_TOLD),
        (answer_that_waits_for_nobody, laws.WAITS_FOR_ALL),
        (duty_lapses_at_the_receiver_alone, laws.DUTIES_AGREE),
        (answer_before_the_lease_ends, laws.AFTER_WITHDRAWN),
        (door_does_not_ask_its_handover, laws.DOOR_SHUT),
        (lease_begins_when_it_is_opened, laws.DOOR_SHUT, laws.AFTER_WITHDRAWN, laws.BASIS),
        (door_decides_without_the_lock, laws.BASIS, laws.AFTER_WITHDRAWN),
        (grants_never_end, laws.BASIS, laws.AFTER_WITHDRAWN),
        (entrusted_items_go_with_the_others, laws.BASIS, laws.AFTER_WITHDRAWN),
        (nobody_sweeps, laws.DOOR_CLOSED),
        (first_contact_not_taken_in, laws.LEAD_KNOWN),
        (everything_is_kept, laws.ERASED),
        (dossier_never_fetched, laws.DOSSIERS),
        (copies_never_renewed, laws.CATALOGUE),
        (records_get_lost, laws.HEARD, laws.WORKED_ON),
        (no_inbox, laws.ONCE),
        (expired_in_spite_of_what_was_sent, laws.FAIR),
        (no_sequence_check, laws.IN_ORDER, laws.NOT_PARKED),
    )
}

# These need things that rarely meet within seconds: bytes on the wire, a withdrawal, an end, a clock, an answer.
RARE: Final = frozenset({
    answer_that_waits_for_nobody.__name__,
    answer_before_the_lease_ends.__name__,
    door_decides_without_the_lock.__name__,
    door_does_not_ask_its_handover.__name__,
    duty_lapses_at_the_receiver_alone.__name__,
    duty_never_demanded.__name__,
    entrusted_items_go_with_the_others.__name__,
    expired_in_spite_of_what_was_sent.__name__,
    grants_never_end.__name__,
    lease_begins_when_it_is_opened.__name__,
    nobody_sweeps.__name__,
    passed_on_untold.__name__,
})
