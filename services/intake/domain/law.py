"""The law of a case: which command is possible in which state, where it leads, who learns of it, and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.transitions import Context, Decided, Refused, Reservation, Row, Table
from contracts.codes import LegalBasis
from contracts.ids import HandoverRef, ItemId, ReleaseId
from services.intake.domain import commands as asked
from services.intake.domain import conditions as only
from services.intake.domain import effects, facts
from services.intake.domain.case import IN_WORK, Case, DossierState, HeldItem, State
from services.intake.domain.conditions import Reason
from services.intake.domain.limits import outlived

NONE, ANNOUNCED, REGISTERED, CLARIFYING = State.NONE, State.ANNOUNCED, State.REGISTERED, State.CLARIFYING
ACTIVE, PAUSED, CLOSED, HANDED_OVER = State.ACTIVE, State.PAUSED, State.CLOSED, State.HANDED_OVER
NOT_COMPETENT, DISCARDED = State.NOT_COMPETENT, State.DISCARDED

KNOWN = (REGISTERED, CLARIFYING, ACTIVE, PAUSED)  # somebody has a name, and work is not over
ONCE_KNOWN = (*KNOWN, NOT_COMPETENT, CLOSED, HANDED_OVER)
HERE = (ANNOUNCED, *KNOWN, NOT_COMPETENT, CLOSED)  # may still change
ALL = (*HERE, HANDED_OVER, DISCARDED)

R18 = "§ 16(2) SGB I: a wrong agency forwards an application at once"
PREVIEW = "before the dossier is here, nobody has a name"
LEAD = "the lead moves where the young person was met, not where somebody said yes"
PURGE = "§ 84(2) SGB X: what one has no basis for is erased"
OUTLIVED = "§ 31a(3) SGB III: six months after it came it goes; where nothing is due yet, it is looked at again"
LATE = "bytes that come after the end are dropped unread"
KEPT = "what came is kept until the duty is answered, or for good where the handover was completed"
BEFORE = "the person came before the dossier"
OURS = "§ 67a(2) SGB X: what the person says themselves is our own, and outlives what came from elsewhere"
INFORM = "Art. 14 GDPR; § 82a SGB X: who was not asked is told what came from elsewhere, also where it is gone again"
EXCUSED = "Art. 14(5) GDPR; § 82a(1), (3) SGB X: or it is written down why not"
GUARDIAN = "§ 36(1) sentence 2 SGB I: the guardian is to be informed of whoever applies at 15 to 17"
WELFARE = "§ 36(1) sentence 2 SGB I: `shall` leaves room where it would be contrary to the person's welfare"
CROSSED = "the birthday crossed the end"
AGAIN = "said twice"


def stays(states: Sequence[State], on: type[Any], **columns: Any) -> tuple[Row[Case], ...]:
    """One row per state for what does not change the state."""
    return tuple(Row(state, on, state, **columns) for state in states)


def each(states: Sequence[State], on: type[Any], then: State, **columns: Any) -> tuple[Row[Case], ...]:
    """One row per state for what leads to one and the same state."""
    return tuple(Row(state, on, then, **columns) for state in states)


BY_PEOPLE = frozenset({
    asked.Register,
    asked.AssignContactPerson,
    asked.ConfirmResponsibility,
    asked.DeclareNotResponsible,
    asked.RecordContact,
    asked.RecordNeed,
    asked.ResolveNeed,
    asked.RecordSchoolFacts,
    asked.OverridePhase,
    asked.AddItems,
    asked.ProtectAddress,
    asked.Pause,
    asked.Resume,
    asked.Close,
    asked.Reopen,
    asked.FetchDossier,
    asked.RecordInformation,
    asked.ExcuseInformation,
    asked.RecordGuardianInformation,
    asked.ExcuseGuardianInformation,
})

# fmt: off
ALWAYS = (facts.changed_profile, facts.erased_items)
CASE = Table[Case](not_now=Reason.NOT_NOW, always=ALWAYS, by_people=BY_PEOPLE, rows=(
    # a case begins
    Row(NONE, asked.Register, REGISTERED, (facts.registered,), (only.born, only.number_free),
        does=(effects.register,), also=(facts.watch_age,)),
    Row(NONE, asked.Announce, ANNOUNCED, (facts.announced,), (), PREVIEW, (effects.announce,), (facts.fetch,)),
    *stays((*HERE, HANDED_OVER), asked.Announce, because=AGAIN),
    Row(ANNOUNCED, asked.Register, REGISTERED, (facts.registered,), (only.born, only.number_free), BEFORE,
        (effects.register,), (facts.watch_age,)),
    *stays(KNOWN, asked.Register, because=OURS, does=(effects.register,), also=(facts.watch_age,),
           provided=(only.named_by_others, only.born, only.number_free, only.still_protected)),
    # whose task is it
    Row(REGISTERED, asked.AssignContactPerson, CLARIFYING, (facts.clarifying,), does=(effects.assign_contact_person,)),
    *stays((CLARIFYING, *IN_WORK), asked.AssignContactPerson, does=(effects.assign_contact_person,)),
    Row(CLARIFYING, asked.ConfirmResponsibility, ACTIVE, (facts.activated,),
        (only.phase_set, only.age_known, only.needs_stated), does=(effects.confirm_responsibility,)),
    Row(CLARIFYING, asked.DeclareNotResponsible, NOT_COMPETENT, (facts.not_responsible,), (), R18,
        (effects.declare_not_responsible,), (facts.forget_age,)),
    # work
    *stays((CLARIFYING, *IN_WORK), asked.RecordContact, does=(effects.record_contact,)),
    *stays(KNOWN, asked.RecordNeed, does=(effects.record_need,)),
    *stays(KNOWN, asked.ResolveNeed, provided=(only.need_recorded,), does=(effects.resolve_need,)),
    *stays(KNOWN, asked.RecordSchoolFacts, does=(effects.record_school_facts,)),
    *stays(KNOWN, asked.OverridePhase, does=(effects.override_phase,)),
    *stays(KNOWN, asked.AddItems, does=(effects.add_items,)),
    *stays(ONCE_KNOWN, asked.ProtectAddress, provided=(only.has_address,),
           because="§ 51 BMG", does=(effects.protect_address,)),
    *stays(KNOWN, asked.ReachAgeBand, does=(effects.reach_age_band,), also=(facts.watch_age,)),
    *stays((ANNOUNCED, NOT_COMPETENT, CLOSED, HANDED_OVER, DISCARDED), asked.ReachAgeBand, because=CROSSED),
    Row(ACTIVE, asked.Pause, PAUSED, (facts.paused,), (only.review_ahead,), does=(effects.pause,)),
    Row(PAUSED, asked.Resume, ACTIVE, (facts.activated,), (only.phase_set, only.age_known), does=(effects.end_pause,)),
    *each(IN_WORK, asked.Close, CLOSED, tells=(facts.closed,), does=(effects.end_pause, effects.close),
          also=(facts.forget_age,)),
    Row(CLOSED, asked.Reopen, ACTIVE, (facts.activated,), (only.within_retention, only.phase_set, only.age_known),
        does=(effects.reopen, effects.reach_age_band), also=(facts.watch_age,)),
    # the lead moves
    *stays(HERE, asked.TakeLead, because=LEAD, does=(effects.take_lead,)),
    *each((*IN_WORK, NOT_COMPETENT, CLOSED), asked.DropLead, HANDED_OVER, tells=(facts.handed_over,), because=LEAD,
          does=(effects.drop_lead,), also=(facts.forget_age,)),
    *stays((HANDED_OVER,), asked.DropLead, because=AGAIN),
    # the dossier
    *stays(HERE, asked.FetchDossier, provided=(only.still_to_fetch,), does=(effects.fetch_dossier,),
           also=(facts.fetch,)),
    Row(ANNOUNCED, asked.StoreDossier, REGISTERED, (facts.dossier_stored, facts.registered),
        does=(effects.store_dossier,), also=(facts.watch_age, facts.watch_time_limit)),
    *stays(HERE[1:], asked.StoreDossier, tells=(facts.dossier_stored,), does=(effects.store_dossier,),
           also=(facts.watch_age, facts.watch_time_limit)),
    Row(ANNOUNCED, asked.StorePart, REGISTERED, (facts.dossier_stored, facts.registered),
        does=(effects.store_part,), also=(facts.watch_age, facts.watch_time_limit, facts.fetch_rest)),
    *stays(HERE[1:], asked.StorePart, tells=(facts.dossier_stored,), does=(effects.store_part,),
           also=(facts.watch_age, facts.watch_time_limit, facts.fetch_rest)),
    *stays(ALL, asked.DropDossier, because=LATE),
    *stays(HERE, asked.NoteRefusal, does=(effects.note_refusal,)),
    *stays(ALL, asked.RecordInformation, provided=(only.information_owed, only.has_happened), because=INFORM,
           does=(effects.record_information,)),
    *stays(ALL, asked.ExcuseInformation, provided=(only.information_owed,), because=EXCUSED,
           does=(effects.excuse_information,)),
    # the guardian
    *stays(ONCE_KNOWN, asked.RecordGuardianInformation, tells=(facts.guardian_informed,),
           provided=(only.guardian_concerned, only.has_happened), because=GUARDIAN,
           does=(effects.record_guardian_information,)),
    *stays(ONCE_KNOWN, asked.ExcuseGuardianInformation, provided=(only.guardian_concerned,), because=WELFARE,
           does=(effects.excuse_guardian_information,)),
    # the handover ends, or consent does, or the time is over for which the law lets data be kept
    *stays(ALL, asked.EndDossier, because=KEPT, does=(effects.end_dossier,)),
    *stays(ALL, asked.EraseOutlived, because=OUTLIVED, also=(facts.watch_time_limit,)),
    *stays(ALL, asked.Purge, because=PURGE, does=(effects.purge,), also=(facts.watch_age, facts.watch_time_limit)),
    *each(HERE, asked.Discard, DISCARDED, tells=(facts.discarded,), because=PURGE, does=(effects.discard,),
          also=(facts.forget_age, facts.watch_time_limit)),
))
# fmt: on

def meant(case: Case, command: object, now: datetime) -> object:
    """What a command means for this case: ends and bytes that come by themselves mean another thing to another case."""
    match command:
        case asked.EndDossier():
            return _ended(case, command)
        case asked.EraseReleases() | asked.EraseOutlived():
            return _erasing(case, command, now)
        case asked.StoreDossier() | asked.NoteRefusal() if case.dossier is not DossierState.PENDING:
            return asked.DropDossier()
        case asked.StoreDossier(release) if release in case.erased:
            return asked.FetchDossier()  # to be erased while still on its way: only the door knows what is left
        case asked.Announce() if case.dossier in {DossierState.PENDING, DossierState.REFUSED}:
            return asked.FetchDossier()
    return command


def _erasing(case: Case, command: asked.EraseReleases | asked.EraseOutlived, now: datetime) -> object:
    if isinstance(command, asked.EraseOutlived):
        gone = outlived(case.held, now)
        return _outlived(case, gone) if gone else command
    handover, duty, releases, items = command.handover, command.duty, command.releases, command.items
    return _purging(case, releases, items)(handover, duty, releases, ended=False, items=items)


def _purging(case: Case, releases: frozenset[Any], items: frozenset[Any]) -> type[asked.Purge]:
    """With what is erased the case goes, too, where the handover is over and nothing stays."""
    over = case.dossier is DossierState.ENDED and _nothing_stays(case, releases, items)
    return asked.Discard if over else asked.Purge


def _outlived(case: Case, gone: frozenset[HeldItem]) -> asked.Purge:
    releases = frozenset(ReleaseId(item.release) for item in gone)
    items = frozenset(ItemId(item.source_item) for item in gone)
    return _purging(case, releases, items)(
        HandoverRef(case.handover or case.id), None, releases, ended=False, items=items,
        time_limit_of=LegalBasis.SGB_III_31A,
    )  # fmt: skip


def _ended(case: Case, command: asked.EndDossier) -> object:
    releases = None if command.purge else frozenset[Any]()
    if _nothing_stays(case, releases):
        return asked.Discard(command.handover, None, releases, ended=True)
    return asked.Purge(command.handover, None, None, ended=True) if command.purge else command


def _nothing_stays(
    case: Case, releases: frozenset[Any] | None, items: frozenset[Any] = frozenset()
) -> bool:
    """Whether a case is empty once these releases (None: all) are erased: nothing of its own, and not led here."""
    left = set(case.held) - set(effects.gone(case, releases, items))
    return case.state in HERE and not (case.leads or case.has_own or left)


def decide(case: Case, command: object, context: Context) -> Decided[Case] | Refused:
    """The one answer to a command: what the table says, about a case that is known here."""
    means = meant(case, command, context.now)
    if case.state is NONE and CASE.row(NONE, type(means)) is None:
        return Refused(Reason.UNKNOWN_CASE, unknown=case.id)
    return CASE.decide(case, means, context)


def reserves(case_id: UUID, command: object) -> Sequence[Reservation]:
    """The local number a registration asks for, or the one made from the id."""
    match command:
        case asked.Register(local_number=str(number)):
            return (effects.number_reserved(number),)
        case asked.Register() | asked.Announce():
            return (effects.number_reserved(effects.made_number(case_id)),)
    return ()
