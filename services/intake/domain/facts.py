"""What is told about a case, and what follows a decision beside it: deadlines, errands."""

from typing import Any

from chassis.transitions import Arm, Context, Disarm, Errand, Tell
from contracts.events import ITEMS_MAX
from contracts.ids import CaseId, HandoverRef, ItemId, PersonId
from contracts.intake import (
    CaseActivated,
    CaseAnnounced,
    CaseChanged,
    CaseClarifying,
    CaseClosed,
    CaseDiscarded,
    CaseDossierStored,
    CaseFoundNotResponsible,
    CaseGuardianInformed,
    CaseHandedOver,
    CaseItemsErased,
    CasePaused,
    CaseRegistered,
    StoredItem,
)
from services.intake.domain import commands as asked
from services.intake.domain.case import IN_WORK, Case
from services.intake.domain.limits import next_erasure
from services.intake.domain.phases import next_band_at

AGE_BAND = "age_band"  # the deadline at the next birthday that changes the age band
TIME_LIMIT = "time_limit"  # the one at which the first of what was received has been here as long as the law lets it
FETCH_DOSSIER = "fetch_dossier"  # the errand to the sender's door


def registered(case: Case, command: Any, context: Context) -> Tell:
    """Whose case it is, and by which handover it came."""
    if case.person is None or case.sphere is None or case.age_band is None:
        raise ValueError("a registered case has a person, a sphere and an age band")
    handover = None if case.handover is None else HandoverRef(case.handover)
    person = PersonId(case.person)
    return Tell(
        CaseRegistered(
            case=CaseId(case.id), person=person, sphere=case.sphere, age_band=case.age_band, handover=handover
        )
    )


def announced(case: Case, command: asked.Announce, context: Context) -> Tell:
    """A case nobody has a name in."""
    return Tell(CaseAnnounced(case=CaseId(case.id), handover=command.handover))


def clarifying(case: Case, command: Any, context: Context) -> Tell:
    """Somebody looks whose task it is."""
    return Tell(CaseClarifying(case=CaseId(case.id)))


def not_responsible(case: Case, command: asked.DeclareNotResponsible, context: Context) -> Tell:
    """Whose task it seems to be."""
    return Tell(CaseFoundNotResponsible(case=CaseId(case.id), area=command.area))


def paused(case: Case, command: asked.Pause, context: Context) -> Tell:
    """Work rests, and the case cannot be handed over."""
    return Tell(CasePaused(case=CaseId(case.id), reason=command.reason, review_on=command.review_on))


def profile(case: Case, fact: type[CaseActivated] | type[CaseChanged]) -> CaseActivated | CaseChanged | None:
    """What a preview may be made of; None while phase or age is not known."""
    if case.person is None or case.phase is None or case.age_band is None:
        return None
    return fact(
        case=CaseId(case.id),
        person=PersonId(case.person),
        phase=case.phase,
        age_band=case.age_band,
        needs=case.tellable_needs,
        target_groups=tuple(sorted(case.target_groups)),
    )


def activated(case: Case, command: Any, context: Context) -> Tell:
    """The whole profile: from now on it can be handed over."""
    fact = profile(case, CaseActivated)
    if fact is None:
        raise ValueError("a case becomes active with a phase and an age band")
    return Tell(fact)


def closed(case: Case, command: asked.Close, context: Context) -> Tell:
    """Where the young person went."""
    return Tell(CaseClosed(case=CaseId(case.id), destination=command.destination))


def handed_over(case: Case, command: asked.DropLead, context: Context) -> Tell:
    """By which handover the lead went."""
    return Tell(CaseHandedOver(case=CaseId(case.id), handover=command.handover))


def discarded(case: Case, command: Any, context: Context) -> Tell:
    """Nothing is left of it."""
    return Tell(CaseDiscarded(case=CaseId(case.id)))


def dossier_stored(case: Case, command: asked.StoreDossier, context: Context) -> Tell:
    """Under the ids of the sender, who is to know what has arrived; here the items have ids of their own."""
    items = tuple(
        StoredItem(id=ItemId(item.provenance.source_item), hash=item.hash) for item in command.items if item.provenance
    )
    handover = HandoverRef(case.handover or case.id)
    return Tell(CaseDossierStored(case=CaseId(case.id), handover=handover, release=command.release, items=items))


def guardian_informed(case: Case, command: Any, context: Context) -> Tell:
    """That it was done; how, stays here."""
    return Tell(CaseGuardianInformed(case=CaseId(case.id)))


def changed_profile(before: Case, after: Case, command: Any, context: Context) -> tuple[Tell, ...]:
    """Told while the case is worked on, and only where the profile is another one."""
    if before.state is not after.state or after.state not in IN_WORK:
        return ()
    fact = profile(after, CaseChanged)
    return () if fact is None or fact == profile(before, CaseChanged) else (Tell(fact),)


def erased_items(before: Case, after: Case, command: Any, context: Context) -> tuple[Tell, ...]:
    """Told for every erasure that was asked for, also where nothing was left: somebody waits for the answer."""
    if not isinstance(command, asked.Purge):
        return ()
    kept = {item.id for item in after.held}
    gone = tuple(ItemId(item.source_item) for item in before.held if item.id not in kept)
    parts = (gone[start : start + ITEMS_MAX] for start in range(0, len(gone) or 1, ITEMS_MAX))
    case, handover, duty, limit = CaseId(after.id), command.handover, command.duty, command.time_limit_of
    return tuple(
        Tell(CaseItemsErased(case=case, handover=handover, duty=duty, items=part, time_limit_of=limit))
        for part in parts
    )


# --- what else follows ------------------------------------------------------------------------------------------------


def watch_age(case: Case, command: Any, context: Context) -> Arm | Disarm:
    """The next birthday that changes the age band."""
    due = None if case.birth_date is None else next_band_at(case.birth_date, context.now)
    return Disarm(AGE_BAND) if due is None else Arm(AGE_BAND, due)


def forget_age(case: Case, command: Any, context: Context) -> Disarm:
    """No birthday matters any more."""
    return Disarm(AGE_BAND)


def watch_time_limit(case: Case, command: Any, context: Context) -> Arm | Disarm:
    """One deadline for all that was received: at the first of it that has to go."""
    due = next_erasure(case.held)
    return Disarm(TIME_LIMIT) if due is None else Arm(TIME_LIMIT, due)


def fetch(case: Case, command: Any, context: Context) -> Errand:
    """Ask the sender's door; ids of agency and alliance are all it needs."""
    return Errand(FETCH_DOSSIER, {"sender": case.sender or "", "alliance": case.alliance or ""})


def fetch_rest(case: Case, command: asked.StorePart, context: Context) -> Errand:
    """Ask again for what the door left out; it first has to hear that this part is stored."""
    errand = fetch(case, command, context)
    slow = {} if command.bytes_at_most is None else {"bytes_at_most": str(command.bytes_at_most)}
    return Errand(FETCH_DOSSIER, {**errand.about, "after": str(command.release), **slow})
