"""What a copy must have been, by the facts this service said of it: for a database that is older than they are.

`handover.changed` says state, lead and recorded end; the words to the other agency say what went with them. The same
holds for the word of the other agency that was answered, where it can still be read. Clocks run from when it was said.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from chassis.transitions import Remembered, Said
from contracts import handover as said_here
from contracts.codes import HandoverState as State
from contracts.codes import Side, Trigger
from contracts.consent import TransmissionEvent

from .clocks import changes, wound
from .effects import take_preview
from .law import stamped
from .subject import CaseState, Handover, KnownCase, Matter

BOTH_HAD_SAID_YES: Final = frozenset({State.ACCEPTED, State.CANCELLING})
MAY_HAVE_MET: Final = frozenset({State.STOPPED, State.VOIDED})

# What a word says beside itself: the field of the word -> the field of the copy.
DETAILS: Final[Mapping[type[said_here.HandoverEvent], Mapping[str, str]]] = {
    said_here.HandoverInquiryMade: {"asked": "asked"},
    said_here.HandoverWaitlisted: {"review_on": "review_on"},
    said_here.HandoverRedirectProposed: {"to": "redirect_to"},
    said_here.HandoverRejected: {"reason": "reason"},
    said_here.HandoverGivenBack: {"reason": "reason"},
    said_here.HandoverCancelRequested: {"reason": "reason"},
    said_here.HandoverVoided: {"reason": "reason"},
    said_here.HandoverPaused: {"reason": "reason", "review_on": "review_on"},
    said_here.HandoverCompleted: {"outcome": "outcome"},
    said_here.HandoverRequested: {"preview": "preview"},
}
# What can only be known from the other agency's word, once it is gone from the channel.
HEARD_ALONE: Final[Mapping[Trigger, str]] = {
    Trigger.INQUIRY_MADE: "asked",
    Trigger.WAITLISTED: "review-day",
    Trigger.REDIRECT_PROPOSED: "redirect-to",
    Trigger.PAUSED: "review-day",
    Trigger.COMPLETED: "outcome",
}


def proposed(handover: Handover, said: Said) -> Remembered[Handover]:
    """The case is reserved for it; what was proposed is the preview of the case as it is known now."""
    fact: said_here.HandoverProposed = said.fact
    after = replace(
        handover,
        side=Side.SENDER,
        case=fact.case,
        person=fact.person,
        items=fact.items,
        lead=handover.lead or handover.state is State.NONE,
        holds_baton=True,
        drafted_at=handover.drafted_at or said.at,
        matter=replace(
            handover.matter,
            alliance=fact.alliance,
            counterpart=fact.recipient,
            kind=fact.kind,
            purpose=fact.purpose,
        ),
    )
    after = take_preview(after, None, None)
    return Remembered(after, holds=(after.baton,), lost=() if after.preview else ("preview",))


def word(handover: Handover, said: Said) -> Remembered[Handover]:
    """A word to the other agency; that the copy moved is said at home."""
    return Remembered(_with_details(handover, said.fact))


def changed(handover: Handover, said: Said) -> Remembered[Handover]:
    """The copy as it is said to be, its clocks, and whether the case stays reserved for it."""
    fact: said_here.HandoverChanged = said.fact
    after = _with_verdicts(handover, said.answers)
    if fact.before is not fact.state or isinstance(said.answers, said_here.HandoverCompleted):
        after = _with_details(after, said.answers)  # where two ends crossed, only the outcome is kept of theirs
    after = replace(
        after,
        side=fact.side,
        state=fact.state,
        case=fact.case,
        lead=fact.lead,
        recorded=fact.recorded,
        preview=fact.preview if fact.side is Side.RECEIVER else after.preview,
        matter=Matter(
            alliance=fact.alliance,
            counterpart=fact.counterpart,
            kind=fact.kind,
            purpose=fact.purpose,
            urgency=fact.urgency,
            competence_area=after.matter.competence_area,
        ),
        drafted_at=handover.drafted_at or said.at,
        awaits_word=_awaits_word(handover, fact),
        holds_baton=_holds_baton(handover, fact),
    )
    after = wound(handover, stamped(handover, after, said.at), said.at)
    held = after.holds_baton and not after.needs_baton
    after = replace(after, holds_baton=False) if held else after
    return Remembered(
        after,
        deadlines=changes(handover, after),
        holds=(after.baton,) if after.holds_baton else (),
        frees=(after.baton,) if held else (),
        lost=_lost(fact, said.answers),
    )


def case_closed(case: KnownCase, said: Said) -> Remembered[KnownCase]:
    """What moved the copy was the end of its case: the own copy of the case has heard it, too."""
    closed = said.fact.on is Trigger.CASE_CLOSED
    return Remembered(replace(case, state=CaseState.CLOSED) if closed else case)


def _with_details(handover: Handover, fact: Any) -> Handover:
    named = DETAILS.get(type(fact), {})
    values = {mine: getattr(fact, theirs) for theirs, mine in named.items()}
    values |= {"reason": str(values["reason"])} if "reason" in values else {}
    after = replace(handover, **values)
    if isinstance(fact, said_here.HandoverRequested):
        after = replace(after, matter=replace(after.matter, competence_area=fact.competence_area, urgency=fact.urgency))
    return after


def _with_verdicts(handover: Handover, answers: Any) -> Handover:
    return replace(handover, verdicts=answers.items) if isinstance(answers, TransmissionEvent) else handover


def _awaits_word(before: Handover, fact: said_here.HandoverChanged) -> bool:
    """From the end until it is known whether anybody was met; `end_heard` moves nothing and is heard again."""
    if fact.side is Side.RECEIVER or fact.state not in MAY_HAVE_MET:
        return False
    if fact.before in BOTH_HAD_SAID_YES:
        return True
    return before.awaits_word and fact.lead and fact.recorded is None


def _holds_baton(before: Handover, fact: said_here.HandoverChanged) -> bool:
    """A receiver's own case is reserved from the start; a sender's from proposing, which is told before."""
    return before.holds_baton or (fact.side is Side.RECEIVER and fact.before is State.NONE)


def _lost(fact: said_here.HandoverChanged, answers: Any) -> tuple[str, ...]:
    code = HEARD_ALONE.get(fact.on)
    return (code,) if code is not None and type(answers) not in DETAILS else ()
