"""Whose guardian is to be informed (§ 36(1) sentence 2 SGB I): what is owed, and how it was settled."""

from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Step
from chassis.http import Body, Call, Instant, Routes, Text
from chassis.transitions import Refused
from contracts.codes import ContactChannel
from services.intake.api.bodies import CaseAnswer, Short
from services.intake.api.callers import STAFF
from services.intake.domain import Reason
from services.intake.domain.commands import ExcuseGuardianInformation, RecordGuardianInformation
from services.intake.domain.phases import of_age_on
from services.intake.store import CASE, guardians

routes = Routes()


class Task(StrEnum):
    """What is left to do."""

    INFORM_GUARDIAN = "inform_guardian"


class GuardianDuty(BaseModel):
    """Somebody of 15 to 17 has come, and the guardian does not know; on `ends_on` the person is 18, and it is over.

    Nothing here says where the person lives: a guardian is told of no protected address (§ 51 BMG).
    """

    task: Task
    case: UUID
    local_number: str | None
    contact_person: str | None
    since: Instant
    ends_on: date


class GuardianDuties(BaseModel):
    """What is owed, the oldest first, at most 200; `more`: whether there is more."""

    owed: list[GuardianDuty]
    more: bool


class GuardianView(BaseModel):
    """Of one case: the task, or when and how it was settled; `left_out`: for the person's welfare it was not done."""

    task: Task | None
    since: Instant | None
    ends_on: date | None
    settled_at: Instant | None
    channel: ContactChannel | None
    left_out: bool


@routes.view("/guardian-duties", allow=STAFF)
async def guardians_to_inform(
    call: Call, tx: AsyncConnection, *, contact_person: Short | None = None
) -> GuardianDuties:
    """Whose guardian has still to be informed: no deadline, as soon as may be."""
    rows = await guardians.owed(tx, contact_person=contact_person, limit=guardians.LISTED_MAX + 1)
    listed = [_duty(dict(row)) for row in rows[: guardians.LISTED_MAX]]
    return GuardianDuties(owed=listed, more=len(rows) > len(listed))


def _duty(row: dict[str, Any]) -> GuardianDuty:
    said = row | {"task": Task.INFORM_GUARDIAN, "ends_on": of_age_on(row["birth_date"])}
    return GuardianDuty.model_validate(said)


@routes.view("/cases/{case}/guardian-information", allow=STAFF)
async def guardian_information(call: Call, tx: AsyncConnection, case: UUID) -> GuardianView | Refused:
    """Whether the guardian has to be informed, was, or was not and why no task is left."""
    found = await guardians.of_case(tx, case)
    if found is None:
        return Refused(Reason.UNKNOWN_CASE, unknown=case)
    return GuardianView(
        task=Task.INFORM_GUARDIAN if found["owed"] else None,
        since=found["since"] if found["owed"] else None,
        ends_on=of_age_on(found["birth_date"]) if found["owed"] else None,
        settled_at=found["guardian_at"],
        channel=found["guardian_channel"],
        left_out=found["left_out"],
    )


class GuardianInformationBody(Body):
    """How the guardian was informed; without `informed_at` it was now."""

    channel: ContactChannel
    informed_at: Instant | None = None


class WelfareBody(Body):
    """Why it would be contrary to the person's welfare, or why there is nothing to inform of.

    Whoever has only sought counsel at a youth office has applied for nothing (§ 8(3) SGB VIII). The words are kept with
    the case and go to nobody.
    """

    why: Text


@routes.command("POST", "/cases/{case}/guardian-information", allow=STAFF, answer=CaseAnswer)
def record_guardian_information(call: Call, case: UUID, body: GuardianInformationBody) -> Step:
    """Record that the guardian was informed. Refused where nobody has to be informed (any more)."""
    command = RecordGuardianInformation(call.caller.name, body.channel, body.informed_at)
    return Step(CASE, case, command, call.if_match)


@routes.command("POST", "/cases/{case}/guardian-information/exemption", allow=STAFF, answer=CaseAnswer)
def excuse_guardian_information(call: Call, case: UUID, body: WelfareBody) -> Step:
    """Record that the guardian is not informed, because that would be contrary to the person's welfare."""
    return Step(CASE, case, ExcuseGuardianInformation(call.caller.name, body.why), call.if_match)
