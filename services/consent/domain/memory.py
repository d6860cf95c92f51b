"""What a person's consents, transmissions and duties must have been, by the facts this service said of them.

For a database that is older than they are. Endings and safety first: what was said to have ended has ended. The wording
of a consent is on no topic, so one that was given later permits nothing; but it can be withdrawn, and whoever has
received something is told.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from chassis.transitions import Arm, Errand, Remembered, Said
from contracts import consent as told
from contracts.codes import ConsentState, DataCategory, DecisionReason, DutyAnswer, Side, Verdict
from contracts.consent import ConsentWithdrawalNotified, DecidedItem
from contracts.handover import HandoverProposed
from contracts.ids import GrantId
from contracts.topics import parse
from services.consent.domain.clock import LOOK_AGAIN
from services.consent.domain.parts import of_handover
from services.consent.domain.transmissions import read_items
from services.consent.domain.words import (
    NO_ALLIANCE,
    Consent,
    Duty,
    DutySaid,
    DutyState,
    Found,
    Grant,
    ItemDecision,
    PassedOn,
    Person,
    PersonState,
    Reception,
    ReceptionState,
    Restriction,
    RestrictionState,
    Stated,
    Stored,
    Transmission,
    TransmissionState,
    found,
    put,
)

STATES: Final[Mapping[type[told.TransmissionEvent], TransmissionState]] = {
    told.TransmissionPermitted: TransmissionState.PERMITTED,
    told.TransmissionPartly: TransmissionState.PARTLY,
    told.TransmissionDenied: TransmissionState.DENIED,
    told.TransmissionReduced: TransmissionState.REDUCED,
    told.TransmissionEnded: TransmissionState.ENDED,
}
# Denials that say a grant had ended, without saying which or how; a withdrawal is told by itself, grant by grant.
A_GRANT_ENDED: Final = frozenset(
    {DecisionReason.NO_BASIS, DecisionReason.ENTRUSTED, DecisionReason.PROFESSIONAL_SECRET}
)
WORDING, GRANT_ENDED, NOT_KNOWN, LEDGER = "consent-wording", "grant-end", "consent-not-known", "ledger-bases"
PROPOSAL, TASK = "transmission-proposal", "stated-task"
CLEARED, INVALID_BECAUSE = "clearance", "invalid-because"
FORBIDDEN, RESTRICTION_NOT_KNOWN = "restriction-scope", "restriction-not-known"


# --- consents ---------------------------------------------------------------------------------------------------------


def given(person: Person, said: Said) -> Remembered[Person]:
    """That it was given is known, not for what: it permits nothing, and can be withdrawn.

    It may have taken the place of an older one: what that one granted the same recipient for the same purpose ends.
    """
    fact: told.ConsentGiven = said.fact
    wording = {(grant.recipient, grant.purpose) for grant in fact.grants}
    after = _ended(person, said.at, lambda grant: (grant.recipient, grant.purpose) in wording)
    grants = tuple(
        Grant(each.grant, NO_ALLIANCE, each.recipient, each.purpose, frozenset(), False, said.at, said.at)  # noqa: FBT003  # as the form has it
        for each in fact.grants
    )
    consent = found(person.consents, fact.consent) or Consent(fact.consent)
    consent = replace(consent, state=ConsentState.GIVEN, form=None, grants=grants, given_at=said.at)
    after = replace(_heard_of(after), consents=put(after.consents, consent))
    return Remembered(after, lost=(WORDING,) + ((GRANT_ENDED,) if _ends(person, after) else ()))


def refused(person: Person, said: Said) -> Remembered[Person]:
    """Nothing follows from it, and nothing is permitted by it."""
    consent = found(person.consents, said.fact.consent)
    if consent is None:
        return Remembered(_heard_of(person), lost=(NOT_KNOWN,))
    consent = replace(consent, state=ConsentState.REFUSED, ended_at=said.at)
    return Remembered(replace(person, consents=put(person.consents, consent)))


def withdrawn(person: Person, said: Said) -> Remembered[Person]:
    """Withdrawn again, from the same instant on; at once everything that may rest on it is decided anew."""
    fact: told.ConsentWithdrawn = said.fact
    gone = {grant.grant for grant in fact.grants}
    consent = found(person.consents, fact.consent)
    look = (Arm(LOOK_AGAIN, said.at),)
    if consent is None:
        return Remembered(_heard_of(person), look, lost=(NOT_KNOWN,))
    grants = tuple(
        replace(grant, withdrawn_at=grant.withdrawn_at or said.at) if grant.id in gone else grant
        for grant in consent.grants
    )
    consent = replace(consent, grants=grants)
    if all(grant.withdrawn_at is not None for grant in grants):
        consent = replace(consent, state=ConsentState.WITHDRAWN, ended_at=said.at)
    return Remembered(replace(person, consents=put(person.consents, consent)), look)


def replaced(person: Person, said: Said) -> Remembered[Person]:
    """A newer one stands in its place: whatever it granted is over."""
    return _over(person, said, ConsentState.REPLACED)


def invalidated(person: Person, said: Said) -> Remembered[Person]:
    """It never was one; why stands in the file."""
    return _over(person, said, ConsentState.INVALIDATED, INVALID_BECAUSE)


def _over(person: Person, said: Said, state: ConsentState, *lost: str) -> Remembered[Person]:
    """Ended as a whole, from the same instant on."""
    look = (Arm(LOOK_AGAIN, said.at),)
    consent = found(person.consents, said.fact.consent)
    if consent is None:
        return Remembered(_heard_of(person), look, lost=(NOT_KNOWN,))
    ended = replace(consent, state=state, ended_at=said.at)
    return Remembered(replace(person, consents=put(person.consents, ended)), look, lost=lost)


def cleared(person: Person, said: Said) -> Remembered[Person]:
    """Who has cleared it, and in which form, nobody knows: nothing more goes by it until that is entered again."""
    known = found(person.consents, said.fact.consent) is not None
    return Remembered(_heard_of(person), lost=(CLEARED,) if known else (NOT_KNOWN,))


def clearance_ended(person: Person, said: Said) -> Remembered[Person]:
    """Whoever had entrusted it has taken that back, from the same instant on."""
    fact: told.ConsentClearanceEnded = said.fact
    look = (Arm(LOOK_AGAIN, said.at),)
    consent = found(person.consents, fact.consent)
    if consent is None:
        return Remembered(_heard_of(person), look, lost=(NOT_KNOWN,))
    grants = tuple(
        replace(grant, cleared=replace(grant.cleared, ended_at=grant.cleared.ended_at or said.at))
        if grant.cleared is not None and grant.id in fact.grants else grant
        for grant in consent.grants
    )
    return Remembered(replace(person, consents=put(person.consents, replace(consent, grants=grants))), look)


def renewal_due(person: Person, said: Said) -> Remembered[Person]:
    """That it is to be renewed was said: for this reason it is not said again."""
    fact: told.ConsentRenewalDue = said.fact
    consent = found(person.consents, fact.consent)
    if consent is None:
        return Remembered(_heard_of(person), lost=(NOT_KNOWN,))
    consent = replace(consent, renewals_said=consent.renewals_said | {fact.reason})
    return Remembered(replace(person, consents=put(person.consents, consent)))


def insight_noted(person: Person, said: Said) -> Remembered[Person]:
    """§ 36 SGB I: who may declare depends on it."""
    return Remembered(replace(_heard_of(person), insight_noted=said.fact.insight))


# --- what was forbidden -----------------------------------------------------------------------------------------------


def restricted(person: Person, said: Said) -> Remembered[Person]:
    """That something was forbidden is known, not what: everything is, until whoever has forbidden it lifts it.

    What it was is known of one that had lapsed and is in force again.
    """
    fact: told.ConsentRestricted = said.fact
    known = found(person.restrictions, fact.restriction)
    if known is not None and known.state is not RestrictionState.LAPSED:
        return Remembered(person)
    if known is not None:
        again = replace(known, state=RestrictionState.IN_FORCE, ended_at=None)
        return Remembered(replace(person, restrictions=put(person.restrictions, again)), (Arm(LOOK_AGAIN, said.at),))
    everything = Restriction(
        fact.restriction, person.id, state=RestrictionState.IN_FORCE, by=fact.by, categories=frozenset(DataCategory),
        since=said.at,
    )
    after = replace(_heard_of(person), restrictions=put(person.restrictions, everything))
    return Remembered(after, (Arm(LOOK_AGAIN, said.at),), lost=(FORBIDDEN,))


def restriction_ended(person: Person, said: Said) -> Remembered[Person]:
    """Forbidden no more, from the same instant on."""
    fact: told.ConsentRestrictionEnded = said.fact
    restriction = found(person.restrictions, fact.restriction)
    if restriction is None:
        return Remembered(_heard_of(person), lost=(RESTRICTION_NOT_KNOWN,))
    state = RestrictionState.LAPSED if fact.lapsed else RestrictionState.LIFTED
    ended = replace(restriction, state=state, ended_at=said.at)
    after = replace(person, restrictions=put(person.restrictions, ended))
    return Remembered(after, (Arm(LOOK_AGAIN, said.at),))


# --- transmissions ----------------------------------------------------------------------------------------------------


def decided(person: Person, said: Said) -> Remembered[Person]:
    """What was told of every item; where the own handover's proposal can still be read, the transmission is opened.

    What was proposed after that is heard again, and decided.
    """
    fact: told.TransmissionEvent = said.fact
    proposals = tuple((id_, event) for id_, event in said.heard if isinstance(event, HandoverProposed))
    known, proposed = of_handover(person, fact.handover), _proposed(fact, proposals)
    if known is not None and {item.id for item in fact.items} != set(known.asked):
        transmission: Transmission | None = _cut(known, fact, proposed)
    else:
        transmission = known or proposed
    if transmission is None:
        return Remembered(_heard_of(person), lost=(PROPOSAL,))
    lost = _lost_items(person, transmission.verdicts, fact.items)
    after = _ended(person, said.at, _grants_of(transmission, lost, known=known is not None))
    state = TransmissionState.CLOSED if transmission.state is TransmissionState.CLOSED else STATES[type(fact)]
    verdicts = tuple(ItemDecision(item.id, item.verdict, item.reason) for item in fact.items)
    transmission = replace(transmission, state=state, verdicts=verdicts)
    after = replace(_heard_of(after), transmissions=put(after.transmissions, transmission))
    return Remembered(
        after,
        errands=() if transmission.items else _reads(transmission),
        heard=_up_to(proposals, None if proposed is None else proposed.proposal),
        lost=(GRANT_ENDED,) if _ends(person, after) else (),
    )


def released(person: Person, said: Said) -> Remembered[Person]:
    """Something left: everything that was permitted then counts as told to the recipient, on bases nobody knows."""
    fact: told.TransmissionReleased = said.fact
    transmission = of_handover(person, fact.handover)
    if transmission is None:
        return Remembered(_heard_of(person), lost=(PROPOSAL,))
    items = tuple(item.id for item in transmission.verdicts if item.permitted) or transmission.asked
    left = Found(fact.release, transmission, fact.completeness, fact.items, said.at, items)
    return Remembered(replace(person, found_again=(*person.found_again, left)), lost=(LEDGER,))


def task_stated(person: Person, said: Said) -> Remembered[Person]:
    """That something was stated is known, not what: no task that was stated before counts until one is stated again."""
    fact: told.TransmissionTaskStated = said.fact
    transmission = of_handover(person, fact.handover)
    if transmission is None:
        return Remembered(_heard_of(person), lost=(PROPOSAL,))
    standing = {each.norm: each for each in transmission.stated}  # of one norm the last one counts
    norms = sorted(norm for norm, each in standing.items() if each.categories)
    nothing = tuple(
        Stated(norm, frozenset(), id=UUID(int=said.id.int + n), at=said.at) for n, norm in enumerate(norms)
    )
    transmission = replace(transmission, stated=transmission.stated + nothing)
    after = replace(person, transmissions=put(person.transmissions, transmission))
    return Remembered(after, (Arm(LOOK_AGAIN, said.at),), lost=(TASK,))


# --- what was received ------------------------------------------------------------------------------------------------


def stored(person: Person, said: Said) -> Remembered[Person]:
    """At the receiver: confirmed once is confirmed."""
    fact: told.ConsentStorageConfirmed = said.fact
    reception = found(person.receptions, fact.handover) or Reception(fact.handover)
    if all(each.release != fact.release for each in reception.stored):
        reception = replace(reception, stored=(*reception.stored, Stored(fact.release, fact.items)))
    reception = replace(reception, state=ReceptionState.HEARD, sender=_to(said), alliance=_alliance(said))
    return Remembered(_heard_of(replace(person, receptions=put(person.receptions, reception))))


# --- duties -----------------------------------------------------------------------------------------------------------


def notified(person: Person, said: Said) -> Remembered[Person]:
    """At the sender: the recipient was told, and its answer is awaited."""
    fact: told.ConsentWithdrawalNotified = said.fact
    if found(person.duties, fact.duty) is not None:
        return Remembered(person)
    duty = Duty(
        fact.duty, state=DutyState.AWAITS, side=Side.SENDER, handover=fact.handover, counterpart=_to(said),
        alliance=_alliance(said), releases=fact.releases, items=fact.basis_ended, answer_by=fact.answer_by,
    )
    look = (Arm(LOOK_AGAIN, said.at),)  # its clock is set anew
    return Remembered(_heard_of(replace(person, duties=put(person.duties, duty))), look)


def erasing(person: Person, said: Said) -> Remembered[Person]:
    """At the receiver: own intake was told to erase."""
    fact: told.ConsentErasureDemanded = said.fact
    return _answering(person, said, fact, DutyState.ERASING, {})


def answered(person: Person, said: Said) -> Remembered[Person]:
    """At the receiver: the answer was given."""
    fact: told.ConsentDataAnswered = said.fact
    others = tuple(PassedOn(each.answer, each.norm) for each in fact.passed_on)
    answer = {"answer": DutyAnswer(fact.answer), "norm": fact.norm, "answered_at": said.at, "passed_on": others}
    return _answering(person, said, fact, DutyState.ANSWERED, answer)


def _answering(
    person: Person,
    said: Said,
    fact: told.ConsentErasureDemanded | told.ConsentDataAnswered,
    state: DutyState,
    answer: Mapping[str, Any],
) -> Remembered[Person]:
    """A duty that was owed, from the sender's own word where it can still be read."""
    asked = [
        (id_, event) for id_, event in said.heard
        if isinstance(event, ConsentWithdrawalNotified) and event.duty == fact.duty
    ]
    duty = found(person.duties, fact.duty)
    if duty is None and not asked:
        return Remembered(_heard_of(person), lost=("duty",))
    if duty is None:
        event = asked[0][1]
        reception = found(person.receptions, fact.handover) or Reception(fact.handover)
        counterpart, alliance = (reception.sender, reception.alliance)
        if isinstance(fact, told.ConsentDataAnswered):
            counterpart, alliance = _to(said), _alliance(said)
        duty = Duty(
            fact.duty, side=Side.RECEIVER, handover=fact.handover, counterpart=counterpart, alliance=alliance,
            releases=event.releases, items=event.basis_ended, answer_by=event.answer_by,
        )
    duty = replace(duty, state=state, **answer)
    after = _heard_of(replace(person, duties=put(person.duties, duty)))
    return Remembered(after, heard=tuple(id_ for id_, _ in asked))


def reminded(person: Person, said: Said) -> Remembered[Person]:
    """That an open answer is due soon or late was said: it is not said again."""
    fact: told.ConsentAnswerEvent = said.fact
    duty = found(person.duties, fact.duty)
    if duty is None:
        return Remembered(_heard_of(person))  # what it was about is remembered by the words that made it
    word = DutySaid.OVERDUE if isinstance(fact, told.ConsentAnswerOverdue) else DutySaid.DUE
    return Remembered(replace(person, duties=put(person.duties, replace(duty, said=word))))


# --- parts ------------------------------------------------------------------------------------------------------------


def _heard_of(person: Person) -> Person:
    return replace(person, state=PersonState.HEARD_OF) if person.state is PersonState.NONE else person


def _proposed(
    fact: told.TransmissionEvent, proposals: tuple[tuple[Any, HandoverProposed], ...]
) -> Transmission | None:
    """By the proposal that named these items."""
    items = {item.id for item in fact.items}
    for id_, event in reversed(proposals):
        if set(event.items) == items:
            return Transmission(
                fact.transmission, fact.handover, case=event.case, alliance=event.alliance, recipient=event.recipient,
                purpose=event.purpose, proposal=id_, asked=event.items,
            )
    return None


def _cut(known: Transmission, fact: told.TransmissionEvent, proposed: Transmission | None) -> Transmission:
    """Proposed anew with other items: it is about those the fact names, and no others."""
    asked = tuple(item.id for item in fact.items)
    items = tuple(item for item in known.items if item.id in asked)
    return replace(
        known, proposal=known.proposal if proposed is None else proposed.proposal, asked=asked,
        items=items if len(items) == len(asked) else (),
    )


def _up_to(proposals: tuple[tuple[Any, HandoverProposed], ...], last: Any) -> tuple[Any, ...]:
    """Those heard before this one, and itself: their effect is known. None where it was heard before the backup."""
    ids = tuple(id_ for id_, _ in proposals)
    return ids[: ids.index(last) + 1] if last in ids else ()


def _reads(transmission: Transmission) -> tuple[Errand, ...]:
    """What the items are is on no topic: own intake is asked again."""
    return (read_items(transmission),)


def _lost_items(
    person: Person, before: tuple[ItemDecision, ...], now: tuple[DecidedItem, ...]
) -> tuple[ItemDecision, ...]:
    """What was permitted, and then was not, because a grant had ended in a way that is not told.

    Not so where all that has ended is the clearance, which is: the grant stands for everything else.
    """
    gone = {item.id: item.reason for item in now if item.verdict is Verdict.DENY and item.reason in A_GRANT_ENDED}
    not_cleared = {
        grant.id for consent in person.consents for grant in consent.grants
        if grant.cleared is not None and not grant.let_go
    }
    return tuple(
        item for item in before
        if item.permitted and item.id in gone and not (
            gone[item.id] is DecisionReason.ENTRUSTED
            and item.bases
            and all(basis.grant in not_cleared for basis in item.bases)
        )
    )


def _grants_of(transmission: Transmission, lost: tuple[ItemDecision, ...], *, known: bool) -> Any:
    """Whether a grant was a basis of what is lost; where bases are not known, whether it could have been one."""
    named = {basis.grant for item in lost for basis in item.bases}
    unclear = bool(lost) and (not known or any(not item.bases for item in lost))

    def ended(grant: Grant) -> bool:
        could = (grant.recipient, grant.purpose) == (transmission.recipient, transmission.purpose)
        return grant.id in named or (unclear and could)

    return ended


def _ended(person: Person, at: datetime, ends: Any) -> Person:
    """These grants are used no more from then on; a withdrawal of them is still heard, and told to everybody."""
    consents = tuple(
        replace(consent, grants=tuple(
            replace(grant, valid_until=max(grant.valid_from, min(grant.valid_until, at)))
            if consent.state is ConsentState.GIVEN and ends(grant) else grant
            for grant in consent.grants
        ))
        for consent in person.consents
    )
    changed = person.consents
    for consent in consents:
        changed = put(changed, consent)
    return replace(person, consents=changed)


def _ends(before: Person, after: Person) -> frozenset[GrantId]:
    """Grants of the backup that have another end now."""
    ends = {grant.id: grant.valid_until for consent in before.consents for grant in consent.grants}
    return frozenset(
        grant.id
        for consent in after.consents for grant in consent.grants
        if grant.id in ends and grant.valid_until != ends[grant.id]
    )


def _to(said: Said) -> Any:
    """The agency a word went to: its channel's name says so."""
    return parse(said.topic).to


def _alliance(said: Said) -> Any:
    return parse(said.topic).alliance
