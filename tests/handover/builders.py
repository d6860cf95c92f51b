"""Handovers, commands and agreements for tests: a test says what matters to it, these say the rest."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from chassis.transitions import Context, Decided, Refused
from contracts.alliance import Alliance
from contracts.codes import (
    AgeBand,
    CancelReason,
    CompetenceArea,
    ContactChannel,
    DataCategory,
    DecisionReason,
    Kind,
    Need,
    Outcome,
    PauseReason,
    Phase,
    Purpose,
    RejectReason,
    Side,
    Urgency,
    Verdict,
    VoidReason,
)
from contracts.consent import DecidedItem
from contracts.handover import Preview
from contracts.ids import AgencyId, AllianceId, CaseId, HandoverRef, ItemId, PersonId
from services.handover import domain
from services.handover.domain import Around, CaseState, Handover, KnownCase, Matter, State, commands
from services.handover.domain.commands import Command

NOW: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
JOBCENTER: Final = AgencyId("jobcenter")
JUGENDAMT: Final = AgencyId("jugendamt")
AGENTUR: Final = AgencyId("agentur")
MUSTERLAND: Final = AllianceId("musterland")
REFERENCE: Final = HandoverRef(UUID("019cade2-11c0-7000-8000-000000000001"))
OUR_CASE: Final = CaseId(UUID("019cade2-11c0-7000-8000-000000000002"))
PERSON: Final = PersonId(UUID("019cade2-11c0-7000-8000-000000000003"))
ITEMS: Final = tuple(ItemId(UUID(f"019cade2-11c0-7000-8000-0000000001{n:02}")) for n in range(3))
PREVIEW: Final = Preview(phase=Phase.TRANSITION, age_band=AgeBand.FROM_18_TO_20, needs=(Need.HOUSING,))

ENDS: Final = {Side.SENDER: (JOBCENTER, JUGENDAMT), Side.RECEIVER: (JUGENDAMT, JOBCENTER)}


def an_alliance() -> Alliance:
    """Three agencies; jobcenter and jugendamt may hand over to each other."""
    kinds = (("jobcenter", "SGB_II"), ("jugendamt", "SGB_VIII"), ("agentur", "SGB_III"))
    agencies: list[dict[str, Any]] = [
        {"id": kind, "name": kind, "kind": kind, "sphere": sphere, "issuer": f"urn:staffel:agency:{kind}"}
        for kind, sphere in kinds
    ]
    agencies[0]["jobcenter_kind"] = "ge"
    agreement = {
        "kinds": ["transfer", "involvement"],
        "purposes": ["youth_welfare_support"],
        "contact": "Eingangsstelle",
        "valid_from": "2024-01-01",
        "valid_until": "2035-12-31",
    }
    ways = (("jobcenter", "jugendamt"), ("jugendamt", "jobcenter"))
    agreements = [{"id": f"{one}-{other}", "from": one, "to": other, **agreement} for one, other in ways]
    file = {"id": MUSTERLAND, "version": 1, "name": "Musterland", "cluster": "musterland"}
    return Alliance.model_validate(file | {"agencies": agencies, "agreements": agreements})


ALLIANCE: Final = an_alliance()


def a_matter(side: Side = Side.SENDER, **other: Any) -> Matter:
    """A transfer between jobcenter and jugendamt, as this side sees it."""
    matter = Matter(
        alliance=MUSTERLAND,
        counterpart=ENDS[side][1],
        kind=Kind.TRANSFER,
        purpose=Purpose.YOUTH_WELFARE_SUPPORT,
        urgency=Urgency.NORMAL,
        competence_area=CompetenceArea.YOUTH_WELFARE,
    )
    return replace(matter, **other)


def a_known_case(**other: Any) -> KnownCase:
    """An active case of the sender."""
    case = KnownCase(
        OUR_CASE, 1, CaseState.ACTIVE, PERSON, Phase.TRANSITION, AgeBand.FROM_18_TO_20, (Need.HOUSING,)
    )
    return replace(case, **other)


def around(side: Side = Side.SENDER, **other: Any) -> Around:
    """What conditions ask beside the handover."""
    known = Around(home=ENDS[side][0], alliance=ALLIANCE, case=a_known_case() if side is Side.SENDER else None)
    return replace(known, **other)


def nothing_yet(side: Side = Side.SENDER) -> Handover:
    """A handover that this side has not heard of."""
    return Handover(REFERENCE, around=around(side))


def a_handover(state: State = State.REQUESTED, side: Side = Side.SENDER, **other: Any) -> Handover:
    """A copy of this side in this state, as it is when nothing unusual has happened before."""
    met = state in {State.ACTIVE, State.PAUSED, State.COMPLETED}
    handover = Handover(
        REFERENCE,
        side=side,
        version=3,
        state=state,
        matter=a_matter(side),
        preview=PREVIEW,
        lead=met is (side is Side.RECEIVER),
        drafted_at=NOW,
        changed_at=NOW,
        around=around(side),
    )
    if side is Side.SENDER:
        handover = replace(handover, case=OUR_CASE, person=PERSON, items=ITEMS, holds_baton=state is not State.DRAFT)
    else:
        handover = replace(handover, holds_baton=not met)
    return replace(handover, **other)


def permits(*items: ItemId) -> tuple[DecidedItem, ...]:
    """Consent permits each of these."""
    return tuple(DecidedItem(id=item, verdict=Verdict.PERMIT, reason=DecisionReason.CONSENT) for item in items)


def denies(*items: ItemId) -> tuple[DecidedItem, ...]:
    """Consent denies each of these."""
    return tuple(DecidedItem(id=item, verdict=Verdict.DENY, reason=DecisionReason.NO_BASIS) for item in items)


def three_attempts() -> tuple[commands.Attempt, ...]:
    """Enough to say that somebody could not be reached."""
    ways = (ContactChannel.PHONE, ContactChannel.LETTER, ContactChannel.PHONE)
    return tuple(commands.Attempt(NOW - timedelta(days=days), way) for days, way in enumerate(ways, start=1))


_IN_TEN_DAYS = (NOW + timedelta(days=10)).date()

# One valid command of each kind that says more than its name.
_SAYS: Mapping[type[Command], Callable[[], Mapping[str, Any]]] = {
    commands.Draft: lambda: {"case": OUR_CASE, "matter": a_matter(), "items": ITEMS},
    commands.Propose: lambda: {"case": OUR_CASE},
    commands.CutPackage: lambda: {"keep": ITEMS[:2]},
    commands.RequestCancel: lambda: {"reason": CancelReason.SOLVED_OTHERWISE},
    commands.Void: lambda: {"reason": VoidReason.WRONG_PERSON},
    commands.Reject: lambda: {"reason": RejectReason.NO_CAPACITY},
    commands.Ask: lambda: {"categories": (DataCategory.SCHOOL,)},
    commands.Waitlist: lambda: {"review_on": _IN_TEN_DAYS},
    commands.ProposeRedirect: lambda: {"to": AGENTUR},
    commands.RecordFirstContact: lambda: {"at": NOW, "channel": ContactChannel.IN_PERSON},
    commands.RecordNotReached: lambda: {"attempts": three_attempts()},
    commands.GiveBack: lambda: {"reason": RejectReason.NOT_COMPETENT},
    commands.Pause: lambda: {"reason": PauseReason.ILLNESS, "review_on": _IN_TEN_DAYS},
    commands.Complete: lambda: {"outcome": Outcome.SUPPORT_FINISHED},
    commands.Request: lambda: {"items": permits(*ITEMS)},
    commands.AwaitBasis: lambda: {"items": denies(*ITEMS)},
    commands.DenyBasis: lambda: {"items": denies(*ITEMS)},
    commands.ConsentWithdrawn: lambda: {"items": denies(*ITEMS)},
    commands.Requested: lambda: {"by": JOBCENTER, "matter": a_matter(Side.RECEIVER), "preview": PREVIEW},
    commands.CancelRequested: lambda: {"by": JOBCENTER, "reason": CancelReason.OTHER},
    commands.Voided: lambda: {"by": JOBCENTER, "reason": VoidReason.DUPLICATE},
    commands.InquiryMade: lambda: {"by": JUGENDAMT, "categories": (DataCategory.SCHOOL,)},
    commands.Waitlisted: lambda: {"by": JUGENDAMT, "review_on": _IN_TEN_DAYS},
    commands.RedirectProposed: lambda: {"by": JUGENDAMT, "to": AGENTUR},
    commands.Rejected: lambda: {"by": JUGENDAMT, "reason": RejectReason.NO_CAPACITY},
    commands.FirstContactMade: lambda: {"by": JUGENDAMT, "at": NOW},
    commands.GivenBack: lambda: {"by": JUGENDAMT, "reason": RejectReason.NOT_COMPETENT},
    commands.Paused: lambda: {"by": JUGENDAMT, "reason": PauseReason.ILLNESS, "review_on": _IN_TEN_DAYS},
    commands.Completed: lambda: {"by": JUGENDAMT, "outcome": Outcome.SUPPORT_FINISHED},
}


def a_command(on: type[Command], **other: Any) -> Command:
    """A valid command of this kind."""
    said: dict[str, Any] = {}
    if issubclass(on, commands.FromSender):
        said = {"by": JOBCENTER}
    elif issubclass(on, commands.FromReceiver):
        said = {"by": JUGENDAMT}
    if on in _SAYS:
        said |= _SAYS[on]()
    return on(**(said | other))


def decide(handover: Handover, command: Command, now: datetime = NOW) -> Decided[Handover] | Refused:
    """Decide with every reservation granted that is asked for."""
    return domain.decide(handover, command, Context(now, frozenset(domain.reserves(handover.id, command))))


def after(handover: Handover, *said: Command, now: datetime = NOW) -> Handover:
    """The handover after these, each of which must be decided."""
    for command in said:
        decided = decide(handover, command, now)
        assert isinstance(decided, Decided), decided
        handover = decided.subject
    return handover
