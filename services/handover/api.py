"""What the handover service is asked: commands of either side, each a noun under the handover, and views."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Answer, Step
from chassis.http import Body, Call, Day, Instant, Routes, people, services
from chassis.transitions import Refused
from contracts.codes import (
    CancelReason,
    CompetenceArea,
    ContactChannel,
    DataCategory,
    GiveBackReason,
    HandoverState,
    Kind,
    Outcome,
    PauseReason,
    Purpose,
    RejectReason,
    Role,
    Service,
    Side,
    Urgency,
    Verdict,
    VoidReason,
)
from contracts.events import CODES_MAX, ITEMS_MAX
from contracts.handover import Preview
from contracts.ids import AgencyId, AllianceId, CaseId, HandoverRef, ItemId
from services.handover import store
from services.handover.domain import Clock, Handover, Matter, Reason, allowed, commands
from services.handover.domain.commands import Command
from services.handover.store import HANDOVER

STAFF: Final = people(Role.CASEWORKER, Role.TEAM_LEAD)
STAFF_AND_COORDINATION: Final = people(Role.CASEWORKER, Role.TEAM_LEAD, Role.COORDINATION)
TEAM_LEADS: Final = people(Role.TEAM_LEAD)
OWN_CONSENT_AND_INTAKE: Final = services(Service.CONSENT, Service.INTAKE)

RELEASE_SECONDS_MAX = 2.2  # a release that began before is over after this, or cut off: 2 s and a margin
ATTEMPTS_MAX = 100
PAGE_MAX = 100
TIMELINE_MAX = 500  # a handover that goes back and forth for years stays below

routes = Routes()


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("names something twice")
    return values


Items = Annotated[tuple[ItemId, ...], Field(min_length=1, max_length=ITEMS_MAX), AfterValidator(_once)]
Categories = Annotated[tuple[DataCategory, ...], Field(min_length=1, max_length=CODES_MAX), AfterValidator(_once)]


# --- bodies -----------------------------------------------------------------------------------------------------------


class DraftBody(Body):
    """Which case is to go to whom, for what, with which items of its dossier."""

    case: CaseId
    alliance: AllianceId
    recipient: AgencyId
    kind: Kind = Kind.TRANSFER
    purpose: Purpose
    urgency: Urgency = Urgency.NORMAL
    competence_area: CompetenceArea
    items: Items


class RequestBody(Body):
    """The case of the draft, once more: it is reserved for this handover from now on."""

    case: CaseId


class PackageBody(Body):
    """The items that stay in the package."""

    keep: Items


class CancelBody(Body):
    """Why the agreed handover should be undone."""

    reason: CancelReason


class VoidBody(Body):
    """What was entered in error."""

    reason: VoidReason


class RejectionBody(Body):
    """Why the case is not taken."""

    reason: RejectReason


class InquiryBody(Body):
    """Which categories of data the receiver must know about before it answers."""

    categories: Categories


class WaitingListBody(Body):
    """The day on which the receiver looks at it again, at the latest."""

    review_on: Day


class RedirectBody(Body):
    """Who should rather be asked."""

    to: AgencyId


class FirstContactBody(Body):
    """When and how the young person was met."""

    at: Instant
    channel: ContactChannel


class AttemptBody(Body):
    """One attempt to reach somebody."""

    at: Instant
    channel: ContactChannel


class NotReachedBody(Body):
    """All attempts; the sender learns only how many."""

    attempts: Annotated[tuple[AttemptBody, ...], Field(min_length=1, max_length=ATTEMPTS_MAX)]


class GiveBackBody(Body):
    """Why the case is given back before anybody was met."""

    reason: GiveBackReason


class PauseBody(Body):
    """Why work rests, and when it is looked at again."""

    reason: PauseReason
    review_on: Day


class CompletionBody(Body):
    """What became of it."""

    outcome: Outcome


# --- commands of the sender -------------------------------------------------------------------------------------------


def _on(handover: UUID, command: Command) -> Step:
    return Step(HANDOVER, handover, command)


@routes.command("POST", "/handovers", allow=STAFF, status=201)
def draft(call: Call, body: DraftBody) -> Step:
    """Begin a handover. Nobody is asked yet; the answer names the reference that both agencies will know."""
    matter = Matter(
        alliance=body.alliance,
        counterpart=body.recipient,
        kind=body.kind,
        purpose=body.purpose,
        urgency=body.urgency,
        competence_area=body.competence_area,
    )
    return _on(call.new_id(), commands.Draft(body.case, matter, body.items))


@routes.command("POST", "/handovers/{handover}/request", allow=STAFF)
def propose(call: Call, handover: HandoverRef, body: RequestBody) -> Step:
    """Ask the receiver, as soon as consent permits every item; until then it is proposed, or awaits a legal basis."""
    return _on(handover, commands.Propose(body.case))


@routes.command("POST", "/handovers/{handover}/package-cut", allow=STAFF)
def cut_package(call: Call, handover: HandoverRef, body: PackageBody) -> Step:
    """Keep only these items, for example those for which there is a legal basis."""
    return _on(handover, commands.CutPackage(body.keep))


@routes.command("POST", "/handovers/{handover}/discard", allow=STAFF)
def discard(call: Call, handover: HandoverRef) -> Step:
    """Drop what was never sent; nobody is told."""
    return _on(handover, commands.Discard())


@routes.command("POST", "/handovers/{handover}/withdrawal", allow=STAFF)
def withdraw(call: Call, handover: HandoverRef) -> Step:
    """No longer ask. An acceptance on its way loses."""
    return _on(handover, commands.Withdraw())


@routes.command("POST", "/handovers/{handover}/answer", allow=STAFF)
def answer(call: Call, handover: HandoverRef) -> Step:
    """Say that the receiver's question is answered; it is the receiver's turn again."""
    return _on(handover, commands.Answer())


@routes.command("POST", "/handovers/{handover}/redirect-confirmation", allow=STAFF)
def confirm_redirect(call: Call, handover: HandoverRef) -> Step:
    """End here and ask elsewhere; the new handover needs its own legal basis. To decline, withdraw."""
    return _on(handover, commands.ConfirmRedirect())


@routes.command("POST", "/handovers/{handover}/cancel-request", allow=STAFF)
def request_cancel(call: Call, handover: HandoverRef, body: CancelBody) -> Step:
    """Ask the receiver to undo what both have agreed. The door stays closed until it has answered."""
    return _on(handover, commands.RequestCancel(body.reason))


async def until_no_release_runs(call: Call, resources: Any, answer: Answer) -> None:
    """Hold the answer back until every release that may have seen the older state has ended; a repeated answer, too.

    Counted from here, which is after the commit: the times of database and process need not agree.
    """
    if answer.status == 200:  # noqa: PLR2004  # the only status of a command that was carried out
        await asyncio.sleep(RELEASE_SECONDS_MAX)


@routes.command("POST", "/handovers/{handover}/void", allow=TEAM_LEADS, after=until_no_release_runs)
def void(call: Call, handover: HandoverRef, body: VoidBody) -> Step:
    """Entered in error: the door closes at once, the receiver erases. The answer comes when no byte can follow it."""
    return _on(handover, commands.Void(body.reason))


# --- commands of the receiver -----------------------------------------------------------------------------------------


@routes.command("POST", "/handovers/{handover}/acceptance", allow=STAFF)
def accept(call: Call, handover: HandoverRef) -> Step:
    """Say that we will take it. No dossier and no contact until the sender has confirmed; the sender still leads."""
    return _on(handover, commands.Accept())


@routes.command("POST", "/handovers/{handover}/rejection", allow=STAFF)
def reject(call: Call, handover: HandoverRef, body: RejectionBody) -> Step:
    """Say that we do not take it, and why. The preview is erased here."""
    return _on(handover, commands.Reject(body.reason))


@routes.command("POST", "/handovers/{handover}/inquiry", allow=STAFF)
def ask(call: Call, handover: HandoverRef, body: InquiryBody) -> Step:
    """Ask about categories of data before answering; one question at a time."""
    return _on(handover, commands.Ask(body.categories))


@routes.command("POST", "/handovers/{handover}/waiting-list", allow=STAFF)
def waitlist(call: Call, handover: HandoverRef, body: WaitingListBody) -> Step:
    """Not now: name the day on which it is looked at again."""
    return _on(handover, commands.Waitlist(body.review_on))


@routes.command("POST", "/handovers/{handover}/redirect", allow=STAFF)
def propose_redirect(call: Call, handover: HandoverRef, body: RedirectBody) -> Step:
    """Propose another agency; once, and only before any other answer."""
    return _on(handover, commands.ProposeRedirect(body.to))


@routes.command("POST", "/handovers/{handover}/first-contact", allow=STAFF)
def record_first_contact(call: Call, handover: HandoverRef, body: FirstContactBody) -> Step:
    """We have met the young person: from now on we lead."""
    return _on(handover, commands.RecordFirstContact(body.at, body.channel))


@routes.command("POST", "/handovers/{handover}/not-reached", allow=STAFF)
def record_not_reached(call: Call, handover: HandoverRef, body: NotReachedBody) -> Step:
    """The young person could not be reached: at least three attempts by at least two channels. The sender still leads."""
    attempts = tuple(commands.Attempt(attempt.at, attempt.channel) for attempt in body.attempts)
    return _on(handover, commands.RecordNotReached(attempts))


@routes.command("POST", "/handovers/{handover}/give-back", allow=STAFF)
def give_back(call: Call, handover: HandoverRef, body: GiveBackBody) -> Step:
    """Give the case back before anybody was met. Afterwards a return is a new handover."""
    return _on(handover, commands.GiveBack(body.reason))


@routes.command("POST", "/handovers/{handover}/cancel-confirmation", allow=STAFF)
def confirm_cancel(call: Call, handover: HandoverRef) -> Step:
    """Undo it, as the sender asks: nobody was met, what was received is erased."""
    return _on(handover, commands.ConfirmCancel())


@routes.command("POST", "/handovers/{handover}/cancel-denial", allow=STAFF)
def deny_cancel(call: Call, handover: HandoverRef) -> Step:
    """Go on in spite of the sender's wish; it may ask anew."""
    return _on(handover, commands.DenyCancel())


@routes.command("POST", "/handovers/{handover}/pause", allow=STAFF)
def pause(call: Call, handover: HandoverRef, body: PauseBody) -> Step:
    """Let work rest until a day. The lead stays here."""
    return _on(handover, commands.Pause(body.reason, body.review_on))


@routes.command("POST", "/handovers/{handover}/resumption", allow=STAFF)
def resume(call: Call, handover: HandoverRef) -> Step:
    """Go on."""
    return _on(handover, commands.Resume())


@routes.command("POST", "/handovers/{handover}/completion", allow=STAFF)
def complete(call: Call, handover: HandoverRef, body: CompletionBody) -> Step:
    """Tell the sender what became of it."""
    return _on(handover, commands.Complete(body.outcome))


# --- views ------------------------------------------------------------------------------------------------------------


class ItemLine(BaseModel):
    """An item of the package and consent's last word on it; no word yet: null."""

    id: ItemId
    verdict: Verdict | None


class HandoverLine(BaseModel):
    """A handover in a list."""

    id: HandoverRef
    version: int
    side: Side
    state: HandoverState
    alliance: AllianceId
    counterpart: AgencyId
    case: CaseId | None
    kind: Kind
    purpose: Purpose
    urgency: Urgency
    lead: bool
    struck: list[Clock] = Field(description="Deadlines that have run out without ending it")
    changed_at: datetime | None


class HandoverView(HandoverLine):
    """A handover as this agency knows it."""

    competence_area: CompetenceArea
    preview: Preview | None
    items: list[ItemLine]
    recorded: HandoverState | None = Field(description="The other side's end, where two ends crossed")
    awaits_word: bool = Field(description="Whether somebody was met is not known yet: the case stays reserved")
    asked: list[DataCategory]
    review_on: Day | None
    redirect_to: AgencyId | None
    reason: str | None = Field(description="The code last given for a step")
    outcome: Outcome | None
    due: dict[Clock, datetime]
    drafted_at: datetime | None
    requested_at: datetime | None
    accepted_at: datetime | None
    met_at: datetime | None
    ended_at: datetime | None
    allowed: list[str]


class HandoverPage(BaseModel):
    """Handovers, the youngest first; `next` is the `before` of the next page, null at the end."""

    handovers: list[HandoverLine]
    next: HandoverRef | None


class StuckLine(BaseModel):
    """All that coordination sees of a handover: ids, agencies, age, and what it is stuck on."""

    id: HandoverRef
    alliance: AllianceId
    side: Side
    counterpart: AgencyId
    state: HandoverState
    struck: list[Clock]
    awaits_word: bool
    since: datetime | None
    age_days: int = Field(description="Whole days since it last changed")


class StuckPage(BaseModel):
    """Stuck handovers, the oldest first; `next` is the `after` of the next page, null at the end."""

    handovers: list[StuckLine]
    next: HandoverRef | None


class Entry(BaseModel):
    """One event of a timeline: told by this service, or heard by it. `traceid` finds it in the traces."""

    at: datetime
    way: Literal["told", "heard"]
    type: str
    topic: str
    seq: int
    traceid: str | None


class Timeline(BaseModel):
    """What this agency's handover service told and heard about a handover, in the order of time."""

    handover: HandoverRef
    entries: list[Entry]


class Standing(BaseModel):
    """What own consent and own intake ask before they let anything out or in."""

    handover: HandoverRef
    state: HandoverState
    side: Side
    counterpart: AgencyId
    alliance: AllianceId
    kind: Kind
    purpose: Purpose
    items: list[ItemId]


LINE: Final = ("id", "version", "side", "state", "case", "lead", "changed_at")
VIEW: Final = (
    "preview", "recorded", "awaits_word", "asked", "review_on", "redirect_to", "reason", "outcome", "due",
    "drafted_at", "requested_at", "accepted_at", "met_at", "ended_at",
)  # fmt: skip
OF_THE_MATTER: Final = ("alliance", "counterpart", "kind", "purpose", "urgency")


def _line(handover: Handover) -> dict[str, Any]:
    values = {name: getattr(handover, name) for name in LINE}
    values |= {name: getattr(handover.matter, name) for name in OF_THE_MATTER}
    return values | {"struck": sorted(handover.struck)}


def _view(handover: Handover) -> HandoverView:
    verdicts = {verdict.id: verdict.verdict for verdict in handover.verdicts}
    return HandoverView(
        **_line(handover),
        **{name: getattr(handover, name) for name in VIEW},
        competence_area=handover.matter.competence_area,
        items=[ItemLine(id=item, verdict=verdicts.get(item)) for item in handover.items],
        allowed=list(allowed(handover)),
    )


def _unknown(handover: UUID) -> Refused:
    return Refused(Reason.HANDOVER_NOT_KNOWN, unknown=handover)


Limit = Annotated[int, Field(ge=1, le=PAGE_MAX)]


@routes.view("/handovers", allow=STAFF)
async def listed(
    call: Call,
    tx: AsyncConnection,
    side: Side,
    state: list[HandoverState] = [],  # noqa: B006  # read, never written; the query's default
    before: UUID | None = None,
    limit: Limit = 50,
) -> HandoverPage:
    """What this agency has sent (`side=sender`) or received (`side=receiver`), in these states (none: in all)."""
    found = await store.listed(tx, side, state, before, limit)
    lines = [HandoverLine(**_line(handover)) for handover in found]
    return HandoverPage(handovers=lines, next=lines[-1].id if len(lines) == limit else None)


@routes.view("/stuck-handovers", allow=STAFF_AND_COORDINATION)
async def stuck(call: Call, tx: AsyncConnection, after: UUID | None = None, limit: Limit = 50) -> StuckPage:
    """Handovers for which people are called: a deadline has run out, or a word is awaited that frees the case."""
    lines = [_stuck(handover, call.now) for handover in await store.stuck(tx, after, limit)]
    return StuckPage(handovers=lines, next=lines[-1].id if len(lines) == limit else None)


def _stuck(handover: Handover, now: datetime) -> StuckLine:
    since = handover.changed_at
    return StuckLine(
        id=handover.id,
        alliance=handover.matter.alliance,
        side=handover.side,
        counterpart=handover.matter.counterpart,
        state=handover.state,
        struck=sorted(handover.struck),
        awaits_word=handover.awaits_word,
        since=since,
        age_days=(now - since).days if since else 0,
    )


@routes.view("/handovers/{handover}", allow=STAFF)
async def read(call: Call, tx: AsyncConnection, handover: HandoverRef) -> HandoverView | Refused:
    """One handover as this agency knows it; the other agency has its own copy."""
    found = await store.find(tx, handover)
    return _unknown(handover) if found is None else _view(found)


@routes.view("/handovers/{handover}/timeline", allow=STAFF_AND_COORDINATION)
async def timeline(call: Call, tx: AsyncConnection, handover: HandoverRef) -> Timeline | Refused:
    """Every event this service told or heard about it, with the ids of the traces."""
    found = await store.find(tx, handover)
    if found is None:
        return _unknown(handover)
    told = [_entry("told", row, store.trace_of(row.headers)) for row in await store.told(tx, handover, TIMELINE_MAX)]
    rows = await store.heard(tx, handover, found.case, TIMELINE_MAX)
    heard = [_entry("heard", row, row.traceparent) for row in rows]
    return Timeline(handover=handover, entries=sorted(told + heard, key=lambda entry: (entry.at, entry.seq)))


def _entry(way: Literal["told", "heard"], row: Any, traceparent: str | None) -> Entry:
    """`traceparent` is version, trace, span and flags, joined by hyphens (W3C Trace Context)."""
    traceid = traceparent.split("-")[1] if traceparent else None
    return Entry(at=row.at, way=way, type=row.type, topic=row.topic, seq=row.seq, traceid=traceid)


@routes.view("/internal/handovers/{handover}", allow=OWN_CONSENT_AND_INTAKE)
async def standing(call: Call, tx: AsyncConnection, handover: HandoverRef) -> Standing | Refused:
    """How the own copy stands at this instant; asked by own consent before a release and by own intake before storing."""
    found = await store.find(tx, handover)
    if found is None:
        return _unknown(handover)
    return Standing(
        handover=found.id,
        state=found.state,
        side=found.side,
        counterpart=found.matter.counterpart,
        alliance=found.matter.alliance,
        kind=found.matter.kind,
        purpose=found.matter.purpose,
        items=list(found.items),
    )
