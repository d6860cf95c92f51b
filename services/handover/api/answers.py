"""What the views of handovers answer."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from chassis.http import Day
from contracts.codes import (
    CompetenceArea,
    DataCategory,
    HandoverState,
    Kind,
    Outcome,
    Purpose,
    Side,
    Urgency,
    Verdict,
)
from contracts.handover import Preview
from contracts.ids import AgencyId, AllianceId, CaseId, HandoverRef, ItemId
from services.handover.domain import Clock


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
    """One event of a timeline: told by this service, or heard by it. `trace` finds it in the traces."""

    at: datetime
    way: Literal["told", "heard"]
    type: str
    topic: str
    seq: int
    trace: str | None


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
