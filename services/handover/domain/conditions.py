"""The questions a row asks before it says yes, each with the reason given for a no."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from chassis.transitions import Condition, Context
from contracts.calendar import day_of
from contracts.codes import Kind, Side
from contracts.ids import CaseId

from .commands import (
    CutPackage,
    Draft,
    Heard,
    Pause,
    Propose,
    ProposeRedirect,
    RecordFirstContact,
    RecordNotReached,
    Request,
    Requested,
    Waitlist,
)
from .subject import CaseState, Handover, Matter, Reason, baton, permits_all

ATTEMPTS_MIN = 3  # with fewer nobody has been tried for in earnest …
CHANNELS_MIN = 2  # … nor by one way alone, which may be out of order
KINDS = frozenset({Kind.TRANSFER})  # what the tables below can carry out; the others move no lead and need their own

Question = Callable[[Handover, Any, Context], bool]


def _or(reason: Reason) -> Callable[[Question], Condition[Handover]]:
    """Make a question a condition with this reason for a no."""
    return lambda question: Condition(question, reason)


def _agreed(handover: Handover, matter: Matter, side: Side, context: Context) -> bool:
    """Whether the alliance's file lets this be handed over today, and the receiver may receive at all."""
    alliance, today = handover.around.alliance, day_of(context.now)
    if alliance is None or alliance.id != matter.alliance:
        return False
    ends = (handover.around.home, matter.counterpart)
    giving, taking = ends if side is Side.SENDER else ends[::-1]
    agreement, receiver = alliance.agreement(giving, taking, today), alliance.agency(taking)
    allowed = agreement is not None and agreement.allows(matter.kind, matter.purpose)
    return allowed and receiver is not None and receiver.may_receive(today)


def _active(handover: Handover, case: CaseId | None) -> bool:
    """Whether that case is one of ours that is worked on; whoever activates a case says whose it is."""
    known = handover.around.case
    return known is not None and known.id == case and known.state is CaseState.ACTIVE


# --- the sender -------------------------------------------------------------------------------------------------------


@_or(Reason.SAME_AGENCY)
def to_another_agency(handover: Handover, command: Draft, _context: Context) -> bool:
    """Sender and receiver are two."""
    return command.matter.counterpart != handover.around.home


@_or(Reason.KIND_NOT_SUPPORTED)
def of_a_supported_kind(_handover: Handover, command: Draft | Requested, _context: Context) -> bool:
    """A kind the tables can carry out."""
    return command.matter.kind in KINDS


@_or(Reason.NO_AGREEMENT)
def agreed(handover: Handover, command: Draft, context: Context) -> bool:
    """The pair has an interface agreement for this kind and purpose."""
    return _agreed(handover, command.matter, Side.SENDER, context)


@_or(Reason.CASE_NOT_KNOWN)
def case_known(handover: Handover, _command: Draft, _context: Context) -> bool:
    """Intake has told of it; what is told may still be on its way here."""
    return handover.around.case is not None and handover.around.case.state is not CaseState.NONE


@_or(Reason.CASE_NOT_ACTIVE)
def case_active(handover: Handover, command: Draft, _context: Context) -> bool:
    """Only a case this agency works on can be handed over."""
    return _active(handover, command.case)


@_or(Reason.NO_AGREEMENT)
def still_agreed(handover: Handover, _command: Propose, context: Context) -> bool:
    """The agreement of the draft holds today as well."""
    return _agreed(handover, handover.matter, Side.SENDER, context)


@_or(Reason.CASE_NOT_ACTIVE)
def case_still_active(handover: Handover, _command: Propose | CutPackage, _context: Context) -> bool:
    """The case of the draft has not been closed or handed over meanwhile."""
    return _active(handover, handover.case)


@_or(Reason.ANOTHER_CASE)
def of_this_case(handover: Handover, command: Propose, _context: Context) -> bool:
    """The case that is reserved is the one that is handed over."""
    return command.case == handover.case


@_or(Reason.CASE_RESERVED)
def baton_free(_handover: Handover, command: Propose, context: Context) -> bool:
    """The lead is here and no other open handover can move it: one reservation says both."""
    return baton(command.case) in context.granted


@_or(Reason.NOT_A_CUT)
def a_real_cut(handover: Handover, command: CutPackage, _context: Context) -> bool:
    """Something is left, something is gone, nothing is new: so an older permit always covers the package."""
    return bool(command.keep) and set(command.keep) < set(handover.items)


@_or(Reason.NO_BASIS)
def basis_valid(handover: Handover, command: Request, _context: Context) -> bool:
    """The protocol's guard: the last word heard from consent permits everything in the package."""
    return permits_all(command.items, handover.items)


# --- the receiver -----------------------------------------------------------------------------------------------------


@_or(Reason.NO_AGREEMENT)
def agreed_with_the_sender(handover: Handover, command: Requested, context: Context) -> bool:
    """An agreement this side does not know yet holds the request back until the alliance's file is there."""
    return _agreed(handover, command.matter, Side.RECEIVER, context)


@_or(Reason.REVIEW_OUT_OF_RANGE)
def review_in_time(handover: Handover, command: Waitlist, context: Context) -> bool:
    """Nobody waits longer than agreed without being looked at."""
    latest = context.now + timedelta(days=handover.deadlines(context.now).waitlist_days)
    return day_of(context.now) < command.review_on <= day_of(latest)


@_or(Reason.REVIEW_OUT_OF_RANGE)
def review_ahead(_handover: Handover, command: Pause, context: Context) -> bool:
    """A pause names the day it is looked at again."""
    return command.review_on > day_of(context.now)


@_or(Reason.REDIRECT_NOT_ELIGIBLE)
def to_a_third_agency(handover: Handover, command: ProposeRedirect, _context: Context) -> bool:
    """Another agency of the alliance, neither sender nor receiver."""
    alliance, parties = handover.around.alliance, (handover.around.home, handover.matter.counterpart)
    return alliance is not None and command.to not in parties and alliance.agency(command.to) is not None


@_or(Reason.NOT_YET)
def has_happened(_handover: Handover, command: RecordFirstContact, context: Context) -> bool:
    """The lead moves because somebody was met, never because somebody will be."""
    return command.at <= context.now


@_or(Reason.NOT_TRIED_ENOUGH)
def tried_in_earnest(_handover: Handover, command: RecordNotReached, context: Context) -> bool:
    """At least three attempts, by at least two channels, none of them still to come."""
    made = [attempt for attempt in command.attempts if attempt.at <= context.now]
    return len(made) >= ATTEMPTS_MIN and len({attempt.channel for attempt in made}) >= CHANNELS_MIN


# --- both -------------------------------------------------------------------------------------------------------------


@_or(Reason.NOT_THE_COUNTERPART)
def said_by_the_counterpart(handover: Handover, command: Heard, _context: Context) -> bool:
    """The owner of the channel is the other side of this handover, and nobody else."""
    return command.by == handover.matter.counterpart
