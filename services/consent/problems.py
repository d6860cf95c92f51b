"""How the consent service says no: one problem for each reason (RFC 9457)."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from chassis.http import Problem
from services.consent.domain import Reason

R, S = Reason, HTTPStatus

PROBLEMS: Final[Mapping[StrEnum, Problem]] = MappingProxyType(
    {
        R.UNKNOWN_PERSON: Problem(S.NOT_FOUND, "Nobody of that id is known here."),
        R.UNKNOWN_CONSENT: Problem(S.NOT_FOUND, "This person has no such consent."),
        R.UNKNOWN_GRANT: Problem(S.NOT_FOUND, "This consent has no such grant."),
        R.UNKNOWN_NOTICE: Problem(S.NOT_FOUND, "There is no such notice."),
        R.UNKNOWN_HANDOVER: Problem(S.NOT_FOUND, "There is no such handover here."),
        R.UNKNOWN_DUTY: Problem(S.NOT_FOUND, "There is no such duty here."),
        R.UNKNOWN_RELEASE: Problem(S.NOT_FOUND, "There is no such release here."),
        R.UNKNOWN_ALLIANCE: Problem(S.UNPROCESSABLE_ENTITY, "This agency is not in that alliance."),
        R.UNKNOWN_AGENCY: Problem(S.UNPROCESSABLE_ENTITY, "No alliance of this agency knows that agency."),
        R.UNKNOWN_RESTRICTION: Problem(S.NOT_FOUND, "Nothing of that id is forbidden for this person."),
        R.UNKNOWN_WAIVER: Problem(S.NOT_FOUND, "This person has given no such release from confidentiality."),
        R.UNKNOWN_CODE: Problem(S.NOT_FOUND, "No receipt has this code."),
        R.TOO_MANY_TRIES: Problem(S.TOO_MANY_REQUESTS, "Too many codes were tried that no receipt has.", 10),
        R.NOT_NOW: Problem(S.CONFLICT, "The present state does not allow this."),
        R.NOT_THE_COUNTERPART: Problem(S.FORBIDDEN, "Only the other agency of this handover may say this."),
        R.NOTICE_NOT_CURRENT: Problem(S.UNPROCESSABLE_ENTITY, "The notice is not the one that is valid now."),
        R.WRONG_GIVER: Problem(S.UNPROCESSABLE_ENTITY, "At this age and insight somebody else has to declare it."),
        R.YOUNG_PERSON_NOT_HEARD: Problem(S.UNPROCESSABLE_ENTITY, "The young person must be heard first."),
        R.FORM_TOO_WEAK: Problem(S.UNPROCESSABLE_ENTITY, "Data on health need a written or electronic consent."),
        R.RETROACTIVE: Problem(S.UNPROCESSABLE_ENTITY, "A grant begins now or later, and ends after it begins."),
        R.PERIOD_TOO_LONG: Problem(S.UNPROCESSABLE_ENTITY, "A grant lasts 24 months at the longest."),
        R.RECIPIENT_NOT_ELIGIBLE: Problem(
            S.UNPROCESSABLE_ENTITY, "No agreement is in force by which this agency could receive data for that purpose."
        ),
        R.NOTHING_TO_CLEAR: Problem(
            S.CONFLICT, "These grants hold nothing that anybody but their giver has to let go, or it was let go before."
        ),
        R.NOT_IN_WRITING: Problem(S.UNPROCESSABLE_ENTITY, "A guardian restricts in writing."),
        R.NOT_THE_DECLARANT: Problem(S.FORBIDDEN, "Only whoever has forbidden it can lift it."),
        R.NO_SUCH_TASK: Problem(
            S.UNPROCESSABLE_ENTITY,
            "No approved rows of the matrix name this norm for that recipient and all of these categories today.",
        ),
        R.HELP_ENDANGERED: Problem(
            S.UNPROCESSABLE_ENTITY, "A youth office has to state that the success of no help is endangered."
        ),
        R.TOO_MANY_TASKS: Problem(S.CONFLICT, "Tasks were stated for this handover too often."),
        R.NOT_OPEN: Problem(S.CONFLICT, "The handover is not in a state in which its dossier may be fetched."),
        R.CONSENT_WITHDRAWN: Problem(S.CONFLICT, "The consent was withdrawn."),
        R.NOTHING_PERMITTED: Problem(S.FORBIDDEN, "There is no legal basis for any of these items now."),
        R.ALREADY_STORED: Problem(S.GONE, "The recipient has confirmed that it stored these items."),
        R.TOO_LARGE: Problem(S.REQUEST_ENTITY_TOO_LARGE, "The item does not fit into one response."),
        R.UNREACHABLE: Problem(S.SERVICE_UNAVAILABLE, "Another service of this agency cannot be asked.", 2),
        R.BUSY: Problem(S.SERVICE_UNAVAILABLE, "The person's records are being changed at this moment.", 1),
        R.NO_SEALING_KEY: Problem(S.SERVICE_UNAVAILABLE, "No key is known to seal to the recipient.", 60),
    }
)
