"""What may be read of handovers, and by whom."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.http import Call, Routes, people, services
from chassis.transitions import Refused
from contracts.codes import HandoverState, Role, Service, Side
from contracts.ids import HandoverRef
from services.handover.api.answers import (
    Entry,
    HandoverLine,
    HandoverPage,
    HandoverView,
    ItemLine,
    Standing,
    StuckLine,
    StuckPage,
    Timeline,
)
from services.handover.domain import Handover, Reason, allowed
from services.handover.store import views
from services.handover.store.views import TimelineLine

STAFF: Final = people(Role.CASEWORKER, Role.TEAM_LEAD)
STAFF_AND_COORDINATION: Final = people(Role.CASEWORKER, Role.TEAM_LEAD, Role.COORDINATION)
OWN_CONSENT_AND_INTAKE: Final = services(Service.CONSENT, Service.INTAKE)
PAGE_MAX = 100
TIMELINE_MAX = 500  # a handover that goes back and forth for years stays below

routes = Routes()

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
    found = await views.listed(tx, side, state, before, limit)
    lines = [HandoverLine(**_line(handover)) for handover in found]
    return HandoverPage(handovers=lines, next=lines[-1].id if len(lines) == limit else None)


@routes.view("/stuck-handovers", allow=STAFF_AND_COORDINATION)
async def stuck(call: Call, tx: AsyncConnection, after: UUID | None = None, limit: Limit = 50) -> StuckPage:
    """Handovers for which people are called: a deadline has run out, or a word is awaited that frees the case."""
    lines = [_stuck(handover, call.now) for handover in await views.stuck(tx, after, limit)]
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
    found = await views.find(tx, handover)
    return _unknown(handover) if found is None else _view(found)


@routes.view("/handovers/{handover}/timeline", allow=STAFF_AND_COORDINATION)
async def timeline(call: Call, tx: AsyncConnection, handover: HandoverRef) -> Timeline | Refused:
    """Every event this service told or heard about it, with the ids of the traces."""
    found = await views.find(tx, handover)
    if found is None:
        return _unknown(handover)
    lines = await views.told(tx, handover, TIMELINE_MAX) + await views.heard(tx, handover, found.case, TIMELINE_MAX)
    entries = [_entry(line) for line in sorted(lines, key=lambda line: (line.at, line.seq))]
    return Timeline(handover=handover, entries=entries)


def _entry(line: TimelineLine) -> Entry:
    """`traceparent` is version, trace, span and flags, joined by hyphens (W3C Trace Context)."""
    trace = line.traceparent.split("-")[1] if line.traceparent else None
    return Entry(at=line.at, way=line.way, type=line.type, topic=line.topic, seq=line.seq, trace=trace)


@routes.view("/internal/handovers/{handover}", allow=OWN_CONSENT_AND_INTAKE)
async def standing(call: Call, tx: AsyncConnection, handover: HandoverRef) -> Standing | Refused:
    """How the own copy stands now; asked by own consent before a release and by own intake before storing."""
    found = await views.find(tx, handover)
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
