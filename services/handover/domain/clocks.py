"""Which clocks run in which state, until when, and what strikes when they run out (all by the database's clock)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chassis.transitions import Arm, Context, Disarm
from contracts.calendar import GERMANY, end_of
from contracts.codes import HandoverState as State
from contracts.codes import Side, Urgency

from .commands import Command, Escalate, Expire, LapseBasis, MissConfirmation, MissContact, MissReview, Remind
from .subject import Clock, Handover

BASIS_DAYS = 30  # what waits longer for a legal basis is a draft again: cut the package, or ask the young person
CONFIRM_HOURS = 1  # a confirmation needs nobody's hand; what takes longer is a broken channel, not a slow agency
PROTECTION_WORKING_DAYS = 1  # a matter of protection escalates at once instead of expiring
SATURDAY = 5

STRIKES: Mapping[Clock, type[Command]] = {
    Clock.RESPOND: Expire,
    Clock.REMIND: Remind,
    Clock.ESCALATE: Escalate,
    Clock.REVIEW: MissReview,
    Clock.CONFIRM: MissConfirmation,
    Clock.CONTACT: MissContact,
    Clock.BASIS: LapseBasis,
}


def working_days_after(moment: datetime, days: int) -> datetime:
    """The same time of day so many working days later, as clocks and calendars in Germany have it; in UTC.

    Only weekends are left out: public holidays differ by Land, and a warning that comes early harms nobody.
    """
    there = moment.astimezone(GERMANY)
    while days:
        there += timedelta(days=1)
        days -= there.weekday() < SATURDAY
    return there.astimezone(UTC)


def _end_of_review_day(handover: Handover) -> datetime | None:
    return None if handover.review_on is None else end_of(handover.review_on)


def _respond(before: Handover, after: Handover, now: datetime) -> datetime | None:
    """Until when the receiver may answer; an open question stops this clock, but not for longer than agreed."""
    if after.matter.urgency is Urgency.PROTECTION:
        return None
    agreed, running = after.deadlines(now), before.due.get(Clock.RESPOND)
    pause = timedelta(days=agreed.inquiry_days)
    if after.state is State.REDIRECTING:
        return now + timedelta(days=agreed.redirect_days)
    if after.state is State.INQUIRY and running:
        return running + pause
    if before.state is State.INQUIRY and running and before.changed_at:
        return running - pause + min(now - before.changed_at, pause)
    return now + timedelta(days=agreed.respond_days)


def _remind(_before: Handover, after: Handover, now: datetime) -> datetime | None:
    return now + timedelta(days=after.deadlines(now).remind_days)


def _escalate(_before: Handover, after: Handover, now: datetime) -> datetime | None:
    if after.matter.urgency is Urgency.PROTECTION:
        return working_days_after(now, PROTECTION_WORKING_DAYS)
    return now + timedelta(days=after.deadlines(now).escalate_days)


def _review(_before: Handover, after: Handover, _now: datetime) -> datetime | None:
    return _end_of_review_day(after)


def _confirm(_before: Handover, _after: Handover, now: datetime) -> datetime | None:
    return now + timedelta(hours=CONFIRM_HOURS)


def _contact(before: Handover, after: Handover, now: datetime) -> datetime | None:
    """Ten working days from the agreement of both; a cancel request that is denied does not begin them anew."""
    if before.state in (State.ACCEPTED, State.CANCELLING):
        return before.due.get(Clock.CONTACT)
    return working_days_after(now, after.deadlines(now).contact_working_days)


def _basis(before: Handover, _after: Handover, now: datetime) -> datetime | None:
    return before.due.get(Clock.BASIS) or now + timedelta(days=BASIS_DAYS)


Until = Callable[[Handover, Handover, datetime], datetime | None]

# Only the sender's clock ends anything (the protocol's Expire); the receiver's clocks remind its own people.
RUNS: Mapping[tuple[Side, State], Mapping[Clock, Until]] = {
    (Side.SENDER, State.AWAITING_BASIS): {Clock.BASIS: _basis},
    (Side.SENDER, State.REQUESTED): {Clock.RESPOND: _respond, Clock.REMIND: _remind, Clock.ESCALATE: _escalate},
    (Side.SENDER, State.INQUIRY): {Clock.RESPOND: _respond},
    (Side.SENDER, State.WAITLISTED): {Clock.REVIEW: _review},
    (Side.SENDER, State.REDIRECTING): {Clock.RESPOND: _respond},
    (Side.SENDER, State.ACCEPTED): {Clock.CONTACT: _contact},
    (Side.SENDER, State.CANCELLING): {Clock.CONTACT: _contact},
    (Side.RECEIVER, State.REQUESTED): {Clock.REMIND: _remind, Clock.ESCALATE: _escalate},
    (Side.RECEIVER, State.WAITLISTED): {Clock.REVIEW: _review},
    (Side.RECEIVER, State.ACCEPTING): {Clock.CONFIRM: _confirm},
    (Side.RECEIVER, State.ACCEPTED): {Clock.CONTACT: _contact},
    (Side.RECEIVER, State.CANCELLING): {Clock.CONTACT: _contact},
}


def wound(before: Handover, after: Handover, now: datetime) -> Handover:
    """With the clocks of its new state running, where the state has changed."""
    if after.state == before.state:
        return after
    running = ((clock, until(before, after, now)) for clock, until in RUNS.get((after.side, after.state), {}).items())
    return replace(after, due={clock: due for clock, due in running if due is not None})


def changes(before: Handover, after: Handover) -> tuple[Arm | Disarm, ...]:
    """What the deadlines of the database must learn so that they are the handover's `due`."""
    moved = tuple(Arm(clock, due) for clock, due in after.due.items() if before.due.get(clock) != due)
    return moved + tuple(Disarm(clock) for clock in before.due if clock not in after.due)


def strike(clock: Clock) -> Callable[[Handover, object, Context], Handover]:
    """The effect of a clock that only calls people: it stands still and is marked as struck, which every view shows."""

    def struck(handover: Handover, _command: object, _context: Context) -> Handover:
        due = {running: at for running, at in handover.due.items() if running is not clock}
        return replace(handover, due=due, struck=handover.struck | {clock})

    return struck


def next_review(handover: Handover, command: object, context: Context) -> Handover:
    """A missed review is due once more; missed again it is escalated, and at the sender what waits will expire."""
    again = Clock.REVIEW in handover.struck
    after = strike(Clock.REVIEW)(handover, command, context)
    later = context.now + timedelta(days=handover.deadlines(context.now).waitlist_days)
    if not again:
        return replace(after, due={**after.due, Clock.REVIEW: later})
    after = replace(after, struck=after.struck | {Clock.ESCALATE})
    ends = handover.side is Side.SENDER and handover.matter.urgency is not Urgency.PROTECTION
    return replace(after, due={**after.due, Clock.RESPOND: later}) if ends else after
