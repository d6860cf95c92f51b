"""What a case must have been, by the facts this service said of it: for a database that is older than they are.

Names and contents are on no topic: of a case that was registered later the states come back, and nobody's name. What
was erased is erased again.
"""

from dataclasses import replace

from chassis.transitions import Context, Disarm, Remembered, Said
from contracts import intake as told
from contracts.codes import SENSITIVE_NEEDS
from contracts.handover import HandoverChanged, Preview
from contracts.ids import HandoverRef, ReleaseId
from services.intake.domain import commands as asked
from services.intake.domain import effects
from services.intake.domain.case import Case, RecordedNeed, State
from services.intake.domain.facts import AGE_BAND, TIME_LIMIT, fetch, watch_time_limit
from services.intake.domain.information import GuardianInformation

UNNAMED = (State.NONE, State.ANNOUNCED)
PERSON, CONTACT_PERSON, DOSSIER, NEEDS = "person", "contact-person", "dossier", "severity-of-needs"
GUARDIAN = "how-the-guardian-was-informed"


def registered(case: Case, said: Said) -> Remembered[Case]:
    """Somebody has a case; who it is only the agency's own files know."""
    fact: told.CaseRegistered = said.fact
    after = replace(
        case,
        state=State.REGISTERED if case.state in UNNAMED else case.state,
        person=fact.person,
        sphere=fact.sphere,
        age_band=fact.age_band,
        handover=fact.handover,
        leads=case.leads or fact.handover is None,
        opened_at=case.opened_at or said.at,
    )
    return Remembered(after, lost=_if_nameless(after))


def announced(case: Case, said: Said) -> Remembered[Case]:
    """By an accepted handover: what its preview said is in the own handover's word, where that can be read."""
    fact: told.CaseAnnounced = said.fact
    word = said.answers if isinstance(said.answers, HandoverChanged) else None
    preview: Preview | None = None if word is None else word.preview
    if word is None:
        blank = replace(case, state=State.ANNOUNCED, person=case.id, handover=fact.handover, opened_at=said.at)
        return Remembered(blank, lost=("preview",))
    command = asked.Announce(
        handover=HandoverRef(fact.handover),
        sender=word.counterpart,
        alliance=word.alliance,
        phase=None if preview is None else preview.phase,
        age_band=None if preview is None else preview.age_band,
        needs=frozenset() if preview is None else frozenset(preview.needs),
    )
    context = Context(said.at)
    after = replace(effects.announce(case, command, context), state=State.ANNOUNCED)
    return Remembered(after, errands=(fetch(after, command, context),))


def clarifying(case: Case, said: Said) -> Remembered[Case]:
    """Somebody became the contact person; who, is not told."""
    lost = (CONTACT_PERSON,) if case.contact_person is None else ()
    return Remembered(replace(case, state=State.CLARIFYING), lost=lost)


def not_responsible(case: Case, said: Said) -> Remembered[Case]:
    """Whose task it seemed to be."""
    fact: told.CaseFoundNotResponsible = said.fact
    return Remembered(replace(case, state=State.NOT_COMPETENT, competence_area=fact.area))


def profile(case: Case, said: Said) -> Remembered[Case]:
    """The tellable part of the profile; what is sensitive or entrusted is as the backup has it."""
    fact: told.CaseProfileEvent = said.fact
    wanted = set(fact.needs)
    kept = tuple(
        need for need in case.needs
        if need.code in wanted or need.code in SENSITIVE_NEEDS or need.entrusted
    )
    new = tuple(
        RecordedNeed(code, 0, entrusted=False, recorded_at=said.at)
        for code in sorted(wanted - {need.code for need in kept})
    )
    after = replace(
        case,
        state=State.ACTIVE if isinstance(fact, told.CaseActivated) else case.state,
        person=fact.person,
        phase=fact.phase,
        age_band=fact.age_band,
        needs=tuple(sorted((*kept, *new), key=lambda need: need.code)),
        target_groups=frozenset(fact.target_groups),
    )
    return Remembered(effects.end_pause(after, None, Context(said.at)), lost=(NEEDS,) if new else ())


def paused(case: Case, said: Said) -> Remembered[Case]:
    """Why, and until when."""
    fact: told.CasePaused = said.fact
    return Remembered(
        replace(case, state=State.PAUSED, pause_reason=fact.reason, review_on=fact.review_on)
    )


def closed(case: Case, said: Said) -> Remembered[Case]:
    """Where the young person went."""
    fact: told.CaseClosed = said.fact
    after = replace(case, state=State.CLOSED, destination=fact.destination, closed_at=said.at)
    return Remembered(after, (Disarm(AGE_BAND),))


def handed_over(case: Case, said: Said) -> Remembered[Case]:
    """The lead is elsewhere."""
    return Remembered(replace(case, state=State.HANDED_OVER, leads=False), (Disarm(AGE_BAND),))


def discarded(case: Case, said: Said) -> Remembered[Case]:
    """All of it goes again."""
    command = asked.Discard(HandoverRef(case.handover or case.id), None, None, ended=True)
    after = effects.discard(case, command, Context(said.at))
    return Remembered(replace(after, state=State.DISCARDED), (Disarm(AGE_BAND), Disarm(TIME_LIMIT)))


def guardian_informed(case: Case, said: Said) -> Remembered[Case]:
    """That it was done; how and by whom is as the backup has it, or lost."""
    if case.guardian is not None:
        return Remembered(case)
    return Remembered(replace(case, guardian=GuardianInformation(said.at)), lost=(GUARDIAN,))


def dossier_stored(case: Case, said: Said) -> Remembered[Case]:
    """What it said is gone with the database, unless the backup has it: the sender must be asked for it anew."""
    fact: told.CaseDossierStored = said.fact
    here = any(item.release == fact.release for item in case.held)
    return Remembered(case, lost=() if here else (DOSSIER,))


def items_erased(case: Case, said: Said) -> Remembered[Case]:
    """Erased is erased: what the backup still has of it goes at once."""
    fact: told.CaseItemsErased = said.fact
    gone = set(fact.items)
    releases = frozenset(ReleaseId(item.release) for item in case.held if item.source_item in gone)
    if fact.duty is None and fact.time_limit_of is None:
        command = asked.Purge(fact.handover, None, None, ended=True)
    else:
        command = asked.Purge(fact.handover, fact.duty, releases, ended=False, items=frozenset(fact.items))
    context = Context(said.at)
    after = effects.purge(case, command, context)
    return Remembered(after, (watch_time_limit(after, command, context),))


def _if_nameless(case: Case) -> tuple[str, ...]:
    return (PERSON,) if case.birth_date is None else ()
