"""The table of a consent: who may declare it, and how it ends."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chassis.transitions import Condition, Context, Row, Table, Tell
from contracts.codes import AgeBand, ConsentState, Giver, RenewalReason
from contracts.consent import (
    ConsentClearanceEnded,
    ConsentCleared,
    ConsentGiven,
    ConsentInvalidated,
    ConsentRefused,
    ConsentRenewalDue,
    ConsentReplaced,
    ConsentWithdrawn,
    GrantTold,
)
from contracts.ids import PersonId
from services.consent.domain.commands import (
    ClearGrants,
    ExpireConsent,
    Facts,
    GiveConsent,
    InvalidateConsent,
    RefuseConsent,
    RemindOfRenewal,
    ReplaceConsent,
    RequestConsent,
    Sheet,
    WithdrawClearance,
    WithdrawConsent,
    WithdrawGrants,
)
from services.consent.domain.decision import strong_enough
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Before, Clearance, Consent, Grant, Wanted

PERIOD_MAX_MONTHS = 24
PERIOD_DEFAULT_MONTHS = 12
_MONTHS_PER_YEAR = 12
ADULT = frozenset({AgeBand.FROM_18_TO_20, AgeBand.FROM_21_TO_24, AgeBand.FROM_25_TO_27, AgeBand.OVER_27})


def months_after(start: datetime, months: int) -> datetime:
    """The same day and time so many months later; a day that month does not have becomes its last (§ 188(3) BGB)."""
    year, month = divmod(start.year * _MONTHS_PER_YEAR + start.month - 1 + months, _MONTHS_PER_YEAR)
    first_of_next = datetime(year + (month + 1) // _MONTHS_PER_YEAR, (month + 1) % _MONTHS_PER_YEAR + 1, 1,
                             tzinfo=start.tzinfo)
    last_day = (first_of_next - timedelta(days=1)).day
    return start.replace(year=year, month=month + 1, day=min(start.day, last_day))


def granted(wanted: Wanted, now: datetime) -> Grant:
    """What the form asks for, with the period it really has."""
    start = wanted.valid_from or now
    return Grant(
        wanted.id, wanted.alliance, wanted.recipient, wanted.purpose, wanted.categories, wanted.entrusted_included,
        start, wanted.valid_until or months_after(start, PERIOD_DEFAULT_MONTHS),
    )


# --- questions --------------------------------------------------------------------------------------------------------

Declares = RequestConsent | GiveConsent


def rightful(age_band: AgeBand | None, *, insight: bool) -> Giver:
    """§ 36 SGB I: from 15 with insight the person, and nobody for them; of age always; else the guardian."""
    by_self = age_band in ADULT or (age_band is AgeBand.FROM_15_TO_17 and insight)
    return Giver.SELF if by_self else Giver.GUARDIAN


def may_declare(giver: Giver, age_band: AgeBand | None, *, insight: bool, noted: bool) -> bool:
    """Whether the one who signs is the one who may: no guardian where insight is said, or was noted before."""
    return giver is rightful(age_band, insight=insight or (noted and giver is Giver.GUARDIAN))


def right_giver(sheet: Sheet, facts: Facts) -> bool:
    """Whether the one who signs the sheet is the one who may."""
    return may_declare(sheet.giver, facts.age_band, insight=sheet.insight, noted=facts.insight_noted)


def to_be_renewed(consent: Consent, age_band: AgeBand | None, *, insight_noted: bool) -> bool:
    """Whether a guardian gave it for somebody who may declare it by now: at 15 with insight, at 18 in any case.

    It is asked for anew, and holds until then: it was given by who might give it, and whoever takes no decision has not
    withdrawn it (§ 67b SGB X; EDPB Guidelines 05/2020, 7.1.4).
    """
    insight = insight_noted or consent.insight
    by_guardian = consent.state is ConsentState.GIVEN and consent.giver is Giver.GUARDIAN
    return by_guardian and rightful(age_band, insight=insight) is Giver.SELF


def renewal_due(
    consent: Consent, age_band: AgeBand | None, *, insight_noted: bool
) -> RemindOfRenewal | None:
    """That it is to be renewed, for a reason for which that was not said yet: a person of age is asked once more."""
    if not to_be_renewed(consent, age_band, insight_noted=insight_noted):
        return None
    reason = RenewalReason.OF_AGE if age_band in ADULT else RenewalReason.INSIGHT
    return None if reason in consent.renewals_said else RemindOfRenewal(consent.id, reason)


def not_retroactive(facts: Facts, now: datetime) -> bool:
    """§ 67b SGB X: consent comes before; a grant begins now or later, and ends after it begins."""
    return all(now <= grant.valid_from < grant.valid_until for grant in facts.grants)


def not_too_long(facts: Facts) -> bool:
    """A grant ends of itself after 24 months at the latest."""
    return all(grant.valid_until <= months_after(grant.valid_from, PERIOD_MAX_MONTHS) for grant in facts.grants)


def clearable(consent: Consent, command: ClearGrants) -> bool:
    """Whether these grants include what was entrusted by somebody else than their giver, who was not asked before."""
    grants = [grant for grant in consent.grants if grant.id in command.grants]
    asked = all(
        grant.entrusted_included and not grant.let_go for grant in grants
    )
    return asked and command.by is not consent.giver


def clears_in_form(consent: Consent, command: ClearGrants) -> bool:
    """In a form that would do for a consent to the same."""
    grants = [grant for grant in consent.grants if grant.id in command.grants]
    return all(strong_enough(command.form, c, special=False) for grant in grants for c in grant.categories)


def form_fits(sheet: Sheet) -> bool:
    """§ 67b(2) SGB X, Art. 9 GDPR: data on health only written or electronically."""
    return all(strong_enough(sheet.form, c, special=False) for grant in sheet.grants for c in grant.categories)


def _asks(question: Callable[[Declares, Context], bool], reason: Reason) -> Condition[Consent]:
    def asks(consent: Consent, command: Any, context: Context) -> bool:
        return question(command, context)

    return Condition(asks, reason)


DECLARED = (
    _asks(lambda c, _: c.facts.age_band is not None, Reason.UNKNOWN_PERSON),
    _asks(lambda c, _: c.facts.notice_known, Reason.UNKNOWN_NOTICE),
    _asks(lambda c, _: c.facts.notice_current, Reason.NOTICE_NOT_CURRENT),
    _asks(lambda c, _: right_giver(c.sheet, c.facts), Reason.WRONG_GIVER),
    _asks(lambda c, _: c.sheet.giver is Giver.SELF or c.sheet.young_person_heard, Reason.YOUNG_PERSON_NOT_HEARD),
    _asks(lambda c, _: c.facts.recipients_eligible, Reason.RECIPIENT_NOT_ELIGIBLE),
    _asks(lambda c, _: form_fits(c.sheet), Reason.FORM_TOO_WEAK),
    _asks(lambda c, context: not_retroactive(c.facts, context.now), Reason.RETROACTIVE),
    _asks(lambda c, _: not_too_long(c.facts), Reason.PERIOD_TOO_LONG),
)
HAS_GRANTS: Condition[Consent] = Condition(
    lambda consent, command, _: consent.has(command.grants), Reason.UNKNOWN_GRANT
)
TO_CLEAR: Condition[Consent] = Condition(
    lambda consent, command, _: clearable(consent, command), Reason.NOTHING_TO_CLEAR
)


CLEARS_IN_FORM: Condition[Consent] = Condition(
    lambda consent, command, _: clears_in_form(consent, command), Reason.FORM_TOO_WEAK
)


# --- effects ----------------------------------------------------------------------------------------------------------


def _sheet(consent: Consent, command: Declares, context: Context) -> Consent:
    sheet = command.sheet
    return replace(
        consent, giver=sheet.giver, insight=sheet.insight, young_person_heard=sheet.young_person_heard,
        form=sheet.form, notice=sheet.notice, grants=command.facts.grants,
    )


def _requested_now(consent: Consent, command: RequestConsent, context: Context) -> Consent:
    return replace(consent, requested_at=context.now)


def _given_now(consent: Consent, command: GiveConsent, context: Context) -> Consent:
    return replace(consent, given_at=context.now)


def _ended_now(consent: Consent, command: object, context: Context) -> Consent:
    return replace(consent, ended_at=context.now)


def _because(consent: Consent, command: InvalidateConsent, context: Context) -> Consent:
    return replace(consent, invalid_because=command.reason)


def _without(consent: Consent, command: WithdrawGrants, context: Context) -> Consent:
    return replace(consent, grants=tuple(
        replace(grant, withdrawn_at=grant.withdrawn_at or context.now) if grant.id in command.grants else grant
        for grant in consent.grants
    ))


def _cleared(consent: Consent, command: ClearGrants, context: Context) -> Consent:
    cleared = Clearance(command.by, command.form, context.now)
    return replace(consent, grants=tuple(
        replace(grant, cleared=cleared) if grant.id in command.grants else grant for grant in consent.grants
    ))


def _clearance_ended(consent: Consent, command: WithdrawClearance, context: Context) -> Consent:
    return replace(consent, grants=tuple(
        replace(grant, cleared=replace(grant.cleared, ended_at=grant.cleared.ended_at or context.now))
        if grant.cleared is not None and grant.id in command.grants else grant
        for grant in consent.grants
    ))


def _renewal_said(consent: Consent, command: RemindOfRenewal, context: Context) -> Consent:
    return replace(consent, renewals_said=consent.renewals_said | {command.reason})


def _taken_back(consent: Consent, command: WithdrawConsent, context: Context) -> Consent:
    return replace(consent, grants=tuple(
        replace(grant, withdrawn_at=grant.withdrawn_at or context.now) for grant in consent.grants
    ))


# --- what is told -----------------------------------------------------------------------------------------------------


def _told(grants: tuple[Grant, ...]) -> tuple[GrantTold, ...]:
    return tuple(GrantTold(grant=g.id, recipient=g.recipient, purpose=g.purpose) for g in grants)


def told(person: PersonId, before: Consent, after: Consent) -> tuple[Tell, ...]:
    """What a change of a consent says at home; that it has expired says the clock, to whoever knows its grants."""
    if after.state is ConsentState.GIVEN and before.state is not ConsentState.GIVEN:
        return (Tell(ConsentGiven(person=person, consent=after.id, grants=_told(after.grants))),)
    said = ENDINGS.get(after.state) if after.state is not before.state else None
    if said is not None:
        return (Tell(said(person=person, consent=after.id)),)
    return (
        *_told_withdrawn(person, before, after),
        *_told_cleared(person, before, after),
        *(
            Tell(ConsentRenewalDue(person=person, consent=after.id, reason=reason))
            for reason in after.renewals_said - before.renewals_said
        ),
    )


ENDINGS: Mapping[ConsentState | Before, type[ConsentRefused | ConsentReplaced | ConsentInvalidated]] = {
    ConsentState.REFUSED: ConsentRefused,
    ConsentState.REPLACED: ConsentReplaced,
    ConsentState.INVALIDATED: ConsentInvalidated,
}


def _told_withdrawn(person: PersonId, before: Consent, after: Consent) -> tuple[Tell, ...]:
    taken_back_before = {grant.id for grant in before.grants if grant.withdrawn_at is not None}
    whole = after.state is ConsentState.WITHDRAWN and before.state is not ConsentState.WITHDRAWN
    gone = tuple(
        grant for grant in after.grants
        if grant.id not in taken_back_before and (whole or grant.withdrawn_at is not None)
    )
    return (Tell(ConsentWithdrawn(person=person, consent=after.id, grants=_told(gone))),) if gone else ()


def _told_cleared(person: PersonId, before: Consent, after: Consent) -> tuple[Tell, ...]:
    """By ids: who has cleared it, and for what, is told to nobody."""
    older = {grant.id: grant.cleared for grant in before.grants}
    changed = [grant for grant in after.grants if grant.id in older and grant.cleared != older[grant.id]]
    cleared = tuple(grant.id for grant in changed if grant.let_go)
    ended = tuple(grant.id for grant in changed if not grant.let_go)
    return (
        *((Tell(ConsentCleared(person=person, consent=after.id, grants=cleared)),) if cleared else ()),
        *((Tell(ConsentClearanceEnded(person=person, consent=after.id, grants=ended)),) if ended else ()),
    )


# --- the table --------------------------------------------------------------------------------------------------------

NONE, REQUESTED, GIVEN = Before.NONE, ConsentState.REQUESTED, ConsentState.GIVEN
REFUSED, WITHDRAWN, EXPIRED = ConsentState.REFUSED, ConsentState.WITHDRAWN, ConsentState.EXPIRED
REPLACED, INVALID = ConsentState.REPLACED, ConsentState.INVALIDATED
OVER = (REFUSED, WITHDRAWN, EXPIRED, REPLACED, INVALID)
UNSAID = (EXPIRED, REPLACED)  # ended, and whoever has received something by it was not told so
R5, R6, R8 = "§ 67b SGB X; Art. 6, 7, 9 GDPR", "§ 36 SGB I", "Art. 7(3) GDPR; § 67b(2) SGB X"
AGAIN = R8 + ": never refused, in no state; what has ended stays ended"
AFTER = AGAIN + "; but whoever has received something is told"

NO_REASON = "Art. 7(4) GDPR: no reason is asked, nothing follows"
LAST = "its last grant is over"
R9 = "§ 65(1) Nr. 1 SGB VIII: whoever entrusted it lets it go, beside the consent and never in its place"
R6_LATER = "§ 36 SGB I: who may declare by now is asked; what a guardian gave stands until then"
NEW = "a new record, never a change of an old one"
DECLARING = dict[str, Any](provided=DECLARED, because=f"{R5}; {R6}")
PART = dict[str, Any](provided=(HAS_GRANTS,))
END = dict[str, Any](does=(_ended_now,))

BY_PEOPLE = frozenset({
    GiveConsent, RefuseConsent, WithdrawConsent, WithdrawGrants, ClearGrants, WithdrawClearance, InvalidateConsent,
})

# fmt: off
CONSENTS = Table[Consent](not_now=Reason.NOT_NOW, by_people=BY_PEOPLE, rows=(
    #   while      on                 then       why and how
    Row(NONE,      RequestConsent,    REQUESTED, does=(_sheet, _requested_now), **DECLARING),
    Row(NONE,      GiveConsent,       GIVEN,     does=(_sheet, _given_now), **DECLARING),
    Row(REQUESTED, GiveConsent,       GIVEN,     does=(_sheet, _given_now), **DECLARING),
    Row(REQUESTED, RefuseConsent,     REFUSED,   because=NO_REASON, **END),
    Row(REQUESTED, WithdrawConsent,   WITHDRAWN, because=R8, **END),
    Row(REQUESTED, WithdrawGrants,    REQUESTED, because=R8, does=(_without,), **PART),
    Row(GIVEN,     WithdrawConsent,   WITHDRAWN, because=R8, **END),
    Row(GIVEN,     WithdrawGrants,    GIVEN,     because=R8, does=(_without,), **PART),
    Row(GIVEN,     ClearGrants,       GIVEN,     because=R9, does=(_cleared,),
        provided=(HAS_GRANTS, TO_CLEAR, CLEARS_IN_FORM)),
    Row(GIVEN,     ExpireConsent,     EXPIRED,   because=LAST, **END),
    Row(GIVEN,     RemindOfRenewal,   GIVEN,     because=R6_LATER, does=(_renewal_said,)),
    Row(GIVEN,     ReplaceConsent,    REPLACED,  because=NEW, **END),
    Row(GIVEN,     InvalidateConsent, INVALID,   because=f"{R5}; {R6}", does=(_because, _ended_now)),
    *(Row(over,    WithdrawConsent,   over,      because=AGAIN) for over in OVER if over not in UNSAID),
    *(Row(over,    WithdrawGrants,    over,      because=AGAIN, **PART) for over in OVER if over not in UNSAID),
    *(Row(over,    WithdrawConsent,   over,      because=AFTER, does=(_taken_back,)) for over in UNSAID),
    *(Row(over,    WithdrawGrants,    over,      because=AFTER, does=(_without,), **PART) for over in UNSAID),
    *(Row(once,    WithdrawClearance, once,      because=f"{R9}; {AGAIN}", does=(_clearance_ended,), **PART)
      for once in (GIVEN, *OVER) if once is not REFUSED),
))
# fmt: on
