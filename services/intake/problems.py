"""How the intake service says no: one problem for each reason (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from chassis.http import Problem
from services.intake.domain import Reason

PROBLEMS: Final[Mapping[StrEnum, Problem]] = MappingProxyType(
    {
        Reason.UNKNOWN_CASE: Problem(HTTPStatus.NOT_FOUND, "There is no such case here."),
        Reason.NOT_NOW: Problem(HTTPStatus.CONFLICT, "The case's present state does not allow this."),
        Reason.BIRTH_DATE_INVALID: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Nobody living was born on that day."),
        Reason.LOCAL_NUMBER_TAKEN: Problem(HTTPStatus.CONFLICT, "Another case has this local number."),
        Reason.PHASE_MISSING: Problem(HTTPStatus.CONFLICT, "The case has no phase yet."),
        Reason.NEEDS_MISSING: Problem(HTTPStatus.CONFLICT, "No need is recorded, nor that there are none."),
        Reason.AGE_MISSING: Problem(HTTPStatus.CONFLICT, "Nothing is known about the age."),
        Reason.NEED_NOT_RECORDED: Problem(HTTPStatus.NOT_FOUND, "This need is not recorded."),
        Reason.ADDRESS_MISSING: Problem(HTTPStatus.CONFLICT, "No address is known that could be protected."),
        Reason.REVIEW_NOT_AHEAD: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The day to look again must lie ahead."),
        Reason.RETENTION_OVER: Problem(HTTPStatus.CONFLICT, "The case was closed too long ago to be reopened."),
        Reason.NOTHING_TO_FETCH: Problem(HTTPStatus.CONFLICT, "No dossier is waiting to be fetched for this case."),
        Reason.TOO_MANY_WORDS: Problem(HTTPStatus.CONFLICT, "As many words as there may be are written already."),
        Reason.INFORMATION_NOT_OWED: Problem(HTTPStatus.CONFLICT, "Nobody has to be told of this (any more)."),
        Reason.REGISTERED_ALREADY: Problem(HTTPStatus.CONFLICT, "Somebody has registered this person here already."),
        Reason.GUARDIAN_NOT_CONCERNED: Problem(HTTPStatus.CONFLICT, "No guardian has to be informed here (any more)."),
        Reason.NOT_YET: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "This lies in the future."),
    }
)
