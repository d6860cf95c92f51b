"""How the offers service says no: one problem for each reason (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from chassis.http import Problem
from services.offers.domain import Reason

PROBLEMS: Final[Mapping[StrEnum, Problem]] = MappingProxyType(
    {
        Reason.NOT_NOW: Problem(HTTPStatus.CONFLICT, "The offer's present state does not allow this."),
        Reason.UNKNOWN_OFFER: Problem(HTTPStatus.NOT_FOUND, "There is no such offer here."),
        Reason.COPY_IS_READ_ONLY: Problem(HTTPStatus.CONFLICT, "This offer belongs to another agency."),
        Reason.NOT_FROM_ITS_OWNER: Problem(HTTPStatus.CONFLICT, "Only its owner may tell about an offer."),
        Reason.NOT_OUR_ALLIANCE: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "This agency is not in that alliance."),
        Reason.NO_LEGAL_BASIS: Problem(HTTPStatus.CONFLICT, "The offer names neither a legal basis nor a programme."),
        Reason.PAYER_UNCLEAR: Problem(HTTPStatus.CONFLICT, "It is not clear who pays for the offer."),
        Reason.NO_PHASE: Problem(HTTPStatus.CONFLICT, "The offer names no phase."),
        Reason.NO_QUALITY_OWNER: Problem(HTTPStatus.CONFLICT, "Nobody answers for the quality of the offer."),
        Reason.NO_CONTACT: Problem(HTTPStatus.CONFLICT, "The offer names no office that can be reached."),
        Reason.ASSURANCE_TOO_OLD: Problem(HTTPStatus.CONFLICT, "Nobody has assured the offer in the last 180 days."),
        Reason.FUNDING_ENDED: Problem(HTTPStatus.CONFLICT, "The funding of the offer has ended."),
        Reason.SECOND_PERSON_NEEDED: Problem(HTTPStatus.FORBIDDEN, "Somebody else has to publish the offer."),
    }
)
