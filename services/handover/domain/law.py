"""The decision on a handover: which table is asked, and what follows every yes alike (stamps, clocks, the baton)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from chassis.transitions import Context, Decided, Refused, Reservation, Row, Table
from contracts.codes import HandoverState as State
from contracts.codes import Side
from contracts.ids import HandoverRef, time_of

from .clocks import changes, wound
from .commands import Command, Desk, Draft, Propose, Requested
from .facts import told_at_home
from .local import RECEIVER_LOCAL, SENDER_LOCAL
from .receiver import RECEIVER
from .sender import SENDER
from .subject import CaseState, Handover, Reason, baton


def _law(rows: tuple[Row[Handover], ...]) -> Table[Handover]:
    by_people = frozenset(row.on for row in rows if issubclass(row.on, Desk))
    return Table(rows, Reason.NOT_NOW, (told_at_home,), by_people)


TABLES: Mapping[Side, Table[Handover]] = {
    Side.SENDER: _law(SENDER + SENDER_LOCAL),
    Side.RECEIVER: _law(RECEIVER + RECEIVER_LOCAL),
}
# A young case of these states may be active already: intake has said so, and the news is on its way here.
MAY_BE_ACTIVE = frozenset({CaseState.REGISTERED, CaseState.CLARIFYING})
NEWS = timedelta(seconds=60)  # longer than news take while anything works at all; then a no is a no
UUID_WITH_TIME = 7


def decide(handover: Handover, command: Command, context: Context) -> Decided[Handover] | Refused:
    """Apply the one row there is for this side, state and command, or refuse with the reason.

    Refusals about a handover or a case this service has not heard of name it as `unknown`.
    """
    if handover.state is State.NONE and not isinstance(command, Draft | Requested):
        return Refused(Reason.HANDOVER_NOT_KNOWN, unknown=handover.id)
    side = Side.SENDER if isinstance(command, Draft) else handover.side
    decided = TABLES[side].decide(handover, command, context)
    if isinstance(decided, Refused):
        return replace(decided, allowed=allowed(handover), unknown=_unheard(handover, command, decided, context.now))
    return _settled(handover, decided, context.now)


def allowed(handover: Handover) -> tuple[str, ...]:
    """What a person of this side may do with the handover as it is now, in the order of the table."""
    return TABLES[handover.side].allowed(handover.state)


def reserves(handover: UUID, command: object) -> Sequence[Reservation]:
    """The right to move a case's lead: a sender needs it to propose, a receiver's copy holds it until it leads."""
    match command:
        case Propose():
            return (baton(command.case),)
        case Requested():
            return (baton(HandoverRef(handover)),)
        case _:
            return ()


def _unheard(handover: Handover, command: Command, refused: Refused, now: datetime) -> UUID | None:
    """The case of a draft, where this service has not heard of it, or may not have heard the last of it."""
    if not isinstance(command, Draft) or refused.reason not in {Reason.CASE_NOT_KNOWN, Reason.CASE_NOT_ACTIVE}:
        return None
    known = handover.around.case
    if known is None or known.state is CaseState.NONE:
        return command.case
    return command.case if known.state in MAY_BE_ACTIVE and _young(known.id, now) else None


def _young(made: UUID, now: datetime) -> bool:
    """Only a UUIDv7 carries its time; an id of another kind counts as old."""
    return made.version == UUID_WITH_TIME and now - time_of(made) < NEWS


def _settled(before: Handover, decided: Decided[Handover], now: datetime) -> Decided[Handover]:
    after = wound(before, stamped(before, decided.subject, now), now)
    if after.holds_baton and not after.needs_baton:
        free = replace(after, holds_baton=False)
        return replace(decided, subject=free, deadlines=changes(before, free), frees=(after.baton,))
    return replace(decided, subject=after, deadlines=changes(before, after))


def stamped(before: Handover, after: Handover, now: datetime) -> Handover:
    """With the time of this change, and of the first time each milestone was reached."""
    if after.state is before.state:
        return after
    after = replace(after, changed_at=now, ended_at=now if after.ended else None)
    if after.state is State.REQUESTED:
        return replace(after, requested_at=after.requested_at or now)
    if after.state is State.ACCEPTED:
        return replace(after, accepted_at=after.accepted_at or now)
    if after.state is State.ACTIVE:
        return replace(after, met_at=after.met_at or now)
    return after
