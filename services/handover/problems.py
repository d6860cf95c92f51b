"""How the handover service says no: one problem for each reason (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from chassis.http import Problem
from services.handover.domain import Reason

_CONFLICT, _UNFIT = HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY

PROBLEMS: Final[Mapping[StrEnum, Problem]] = MappingProxyType(
    {
        Reason.NOT_NOW: Problem(_CONFLICT, "The handover's present state does not allow this."),
        Reason.HANDOVER_NOT_KNOWN: Problem(HTTPStatus.NOT_FOUND, "There is no such handover here."),
        Reason.CASE_NOT_KNOWN: Problem(HTTPStatus.NOT_FOUND, "There is no such case here."),
        Reason.CASE_NOT_ACTIVE: Problem(_CONFLICT, "Only an active case can be handed over."),
        Reason.CASE_RESERVED: Problem(
            _CONFLICT, "Another handover of this case may still move the lead, or has moved it."
        ),
        Reason.ANOTHER_CASE: Problem(_UNFIT, "This handover is about another case."),
        Reason.SAME_AGENCY: Problem(_UNFIT, "An agency does not hand over to itself."),
        Reason.KIND_NOT_SUPPORTED: Problem(_UNFIT, "Handovers of this kind cannot be carried out yet."),
        Reason.NO_AGREEMENT: Problem(
            _CONFLICT, "No interface agreement lets these two agencies do this for this purpose today."
        ),
        Reason.NOT_THE_COUNTERPART: Problem(HTTPStatus.FORBIDDEN, "Only the other side of this handover may say this."),
        Reason.NO_BASIS: Problem(_CONFLICT, "The last word on the legal basis does not cover the package."),
        Reason.NOT_A_CUT: Problem(_UNFIT, "A cut leaves some items of the package, fewer than before, and adds none."),
        Reason.REVIEW_OUT_OF_RANGE: Problem(_UNFIT, "The day of review lies too far ahead, or not ahead at all."),
        Reason.NOT_TRIED_ENOUGH: Problem(
            _UNFIT, "Three attempts by two channels at least must have been made before somebody is not reached."
        ),
        Reason.NOT_YET: Problem(_UNFIT, "This lies in the future."),
        Reason.REDIRECT_NOT_ELIGIBLE: Problem(_UNFIT, "Only a third agency of the alliance can be asked instead."),
    }
)
