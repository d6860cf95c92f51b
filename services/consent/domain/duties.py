"""The table of a duty after a withdrawal, on both sides; with `receptions.py` the protocol's column *duty*."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from chassis.transitions import Condition, Context, Row, Table, Tell, Teller
from contracts.codes import DutyAnswer, HandoverState, Side
from contracts.consent import (
    Answered,
    ConsentAnswerDue,
    ConsentAnswerEvent,
    ConsentAnswerOverdue,
    ConsentDataAnswered,
    ConsentErasureDemanded,
    ConsentWithdrawalNotified,
)
from contracts.events import CODES_MAX
from contracts.ids import HandoverRef
from services.consent.domain.commands import (
    AllAnswered,
    AnswerErased,
    AnswerRetained,
    DemandAnswer,
    HearAnswer,
    HearErased,
    MissAnswer,
    NothingLeft,
    OweAnswer,
    OweNothing,
    RemindOfAnswer,
)
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Before, Duty, DutySaid, DutyState, Reception, Transmission

ANSWER_WITHIN = timedelta(days=14)  # where no agreement says otherwise
REMIND_BEFORE = timedelta(days=3)  # who owes an answer is reminded so long before it is late

# Ends after which the receiver holds nothing: it has read nothing, or has erased all of it by the end itself.
NOTHING_LEFT = frozenset({
    HandoverState.REJECTED, HandoverState.WITHDRAWN, HandoverState.EXPIRED, HandoverState.REDIRECTED,
    HandoverState.CANCELLED, HandoverState.NOT_REACHED, HandoverState.GIVEN_BACK, HandoverState.VOIDED,
})


def left_nothing(copy: Transmission | Reception) -> bool:
    """Whether the handover has ended in such a way, on either side."""
    return not NOTHING_LEFT.isdisjoint({copy.handover_state, copy.recorded})


# --- effects ----------------------------------------------------------------------------------------------------------


def _demanded(duty: Duty, command: DemandAnswer, context: Context) -> Duty:
    return replace(
        duty, side=Side.SENDER, handover=command.handover, counterpart=command.counterpart, alliance=command.alliance,
        consent=command.consent, releases=command.releases, items=command.items, answer_by=command.answer_by,
    )


def _owed(duty: Duty, command: OweAnswer, context: Context) -> Duty:
    return replace(
        duty, side=Side.RECEIVER, handover=command.handover, counterpart=command.counterpart,
        alliance=command.alliance, releases=command.releases, items=command.items, answer_by=command.answer_by,
    )


def _owed_not(duty: Duty, command: OweNothing, context: Context) -> Duty:
    return _owed(duty, command.owed, context)


def _heard(duty: Duty, command: HearAnswer, context: Context) -> Duty:
    return replace(
        duty, answer=command.answer, norm=command.norm, passed_on=command.passed_on, answered_at=context.now
    )


def _retained(duty: Duty, command: AnswerRetained, context: Context) -> Duty:
    return replace(duty, answer=DutyAnswer.RETAINED, norm=command.norm)


def _erased(duty: Duty, command: HearErased, context: Context) -> Duty:
    return replace(duty, answer=DutyAnswer.ERASED)


def _all_answered(duty: Duty, command: AllAnswered, context: Context) -> Duty:
    return replace(duty, passed_on=command.passed_on[:CODES_MAX], answered_at=context.now)


def _said_due(duty: Duty, command: RemindOfAnswer, context: Context) -> Duty:
    return replace(duty, said=DutySaid.DUE)


def _said_overdue(duty: Duty, command: MissAnswer, context: Context) -> Duty:
    return replace(duty, said=DutySaid.OVERDUE)


# --- what is told -----------------------------------------------------------------------------------------------------


def _about(duty: Duty) -> HandoverRef:
    if duty.handover is None:
        raise ValueError("a duty without a handover was never demanded")
    return duty.handover


def _notified(duty: Duty, command: DemandAnswer, context: Context) -> Tell:
    fact = ConsentWithdrawalNotified(
        handover=_about(duty), duty=duty.id, releases=duty.releases, answer_by=command.answer_by,
        basis_ended=duty.items,
    )
    return Tell(fact, to=duty.counterpart, scope=duty.alliance)


def _answered(duty: Duty, command: object, context: Context) -> Tell:
    answer = duty.answer or DutyAnswer.ERASED
    others = tuple(Answered(answer=each.answer, norm=each.norm) for each in duty.passed_on)
    fact = ConsentDataAnswered(
        handover=_about(duty), duty=duty.id, answer=answer, norm=duty.norm, passed_on=others
    )
    return Tell(fact, to=duty.counterpart, scope=duty.alliance)


def _of_an_open_answer(event: type[ConsentAnswerEvent]) -> Teller[Duty]:
    def tell(duty: Duty, command: object, context: Context) -> Tell:
        fact = event(
            handover=_about(duty), duty=duty.id, side=duty.side, answer_by=duty.answer_by or context.now
        )
        return Tell(fact)

    return tell


_due, _overdue = _of_an_open_answer(ConsentAnswerDue), _of_an_open_answer(ConsentAnswerOverdue)


def _erasure(duty: Duty, command: AnswerErased, context: Context) -> Tell:
    return Tell(ConsentErasureDemanded(
        handover=_about(duty), duty=duty.id, releases=duty.releases, items=command.items, basis_ended=duty.items
    ))


BY_RECIPIENT: Condition[Duty] = Condition(
    lambda duty, command, _: duty.counterpart == command.by, Reason.NOT_THE_COUNTERPART
)


# --- the table --------------------------------------------------------------------------------------------------------

S = DutyState
TOLD = "Art. 7(3), 17(1)(b), 19 GDPR: the recipient is told and answers"
ERASE = "Art. 17(1)(b) GDPR"
RETAIN = "Art. 17(3) GDPR; § 84 SGB X"
GONE = "nothing is held there any more, so nothing is owed"
AFTER_ALL = "the word came after all: it is kept"
ONCE = "said before"
PASSED = "Art. 19 GDPR: answered when everybody has answered to whom it was passed on"
LATE = "Art. 12(3), 19 GDPR: who waits for an answer learns that it is late"
THEIRS = dict[str, Any](provided=(BY_RECIPIENT,))
OWED = (S.OWES, S.ERASING, S.WAITS)
OPEN = (S.AWAITS, *OWED)

# fmt: off
DUTIES = Table[Duty](not_now=Reason.NOT_NOW, by_people=frozenset({AnswerRetained, AnswerErased}), rows=(
    #   while        on              then        tells          why and how
    # the sender awaits
    Row(Before.NONE, DemandAnswer,   S.AWAITS,   (_notified,),  because=TOLD, does=(_demanded,)),
    Row(S.AWAITS,    HearAnswer,     S.ANSWERED, (),            because=TOLD, does=(_heard,), **THEIRS),
    Row(S.ANSWERED,  HearAnswer,     S.ANSWERED, (),            because=ONCE, **THEIRS),
    Row(S.LAPSED,    HearAnswer,     S.ANSWERED, (),            because=AFTER_ALL, does=(_heard,), **THEIRS),
    Row(S.AWAITS,    NothingLeft,    S.LAPSED,   (),            because=GONE),
    # the receiver owes
    Row(Before.NONE, OweAnswer,      S.OWES,     (),            because=TOLD, does=(_owed,)),
    Row(Before.NONE, OweNothing,     S.LAPSED,   (),            because=GONE, does=(_owed_not,)),
    Row(S.OWES,      AnswerRetained, S.WAITS,    (),            because=RETAIN, does=(_retained,)),
    Row(S.OWES,      AnswerErased,   S.ERASING,  (_erasure,),   because=ERASE),
    Row(S.OWES,      HearErased,     S.WAITS,    (),            because=ERASE, does=(_erased,)),
    Row(S.ERASING,   HearErased,     S.WAITS,    (),            because=ERASE, does=(_erased,)),
    Row(S.WAITS,     AllAnswered,    S.ANSWERED, (_answered,),  because=PASSED, does=(_all_answered,)),
    Row(S.WAITS,     HearErased,     S.WAITS,    (),            because=ONCE),
    Row(S.ANSWERED,  HearErased,     S.ANSWERED, (),            because=ONCE),
    Row(S.LAPSED,    HearErased,     S.LAPSED,   (),            because=ONCE),
    Row(S.OWES,      NothingLeft,    S.LAPSED,   (),            because=GONE),
    Row(S.ERASING,   NothingLeft,    S.LAPSED,   (),            because=GONE),
    Row(S.WAITS,     NothingLeft,    S.LAPSED,   (),            because=GONE),
    *(Row(owed,      RemindOfAnswer, owed,       (_due,),       because=LATE, does=(_said_due,)) for owed in OWED),
    # both
    *(Row(late,      MissAnswer,     late,       (_overdue,),   because=LATE, does=(_said_overdue,)) for late in OPEN),
    Row(S.ANSWERED,  NothingLeft,    S.ANSWERED, (),            because=ONCE),
    Row(S.LAPSED,    NothingLeft,    S.LAPSED,   (),            because=ONCE),
))
# fmt: on
