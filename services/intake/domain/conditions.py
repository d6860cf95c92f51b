"""The questions the table of a case asks, each with the reason given for a no."""

from enum import StrEnum

from chassis.transitions import Condition
from contracts.calendar import day_of
from services.intake.domain.case import Case, DossierState
from services.intake.domain.effects import number_reserved
from services.intake.domain.information import concerns_a_guardian
from services.intake.domain.phases import is_valid_birth_date


class Reason(StrEnum):
    """Why a command is refused."""

    UNKNOWN_CASE = "unknown-case"
    NOT_NOW = "not-now"
    BIRTH_DATE_INVALID = "birth-date-invalid"
    LOCAL_NUMBER_TAKEN = "local-number-taken"
    PHASE_MISSING = "phase-missing"
    NEEDS_MISSING = "needs-missing"
    AGE_MISSING = "age-missing"
    NEED_NOT_RECORDED = "need-not-recorded"
    ADDRESS_MISSING = "address-missing"
    REVIEW_NOT_AHEAD = "review-not-ahead"
    RETENTION_OVER = "retention-over"
    NOTHING_TO_FETCH = "nothing-to-fetch"
    TOO_MANY_WORDS = "too-many-words"
    INFORMATION_NOT_OWED = "information-not-owed"
    REGISTERED_ALREADY = "registered-already"
    GUARDIAN_NOT_CONCERNED = "guardian-not-concerned"
    NOT_YET = "not-yet"


born: Condition[Case] = Condition(
    lambda case, command, context: is_valid_birth_date(command.person.birth_date, context.now),
    Reason.BIRTH_DATE_INVALID,
)
number_free: Condition[Case] = Condition(
    lambda case, command, context: command.local_number is None
    or number_reserved(command.local_number) in context.granted,
    Reason.LOCAL_NUMBER_TAKEN,
)
named_by_others: Condition[Case] = Condition(
    lambda case, command, context: case.birth_date is None or case.person_release is not None,
    Reason.REGISTERED_ALREADY,
)
still_protected: Condition[Case] = Condition(  # without the street nobody could see that an item quotes it
    lambda case, command, context: command.person.address is not None
    or not (case.has_address and case.address_protected),
    Reason.ADDRESS_MISSING,
)
phase_set: Condition[Case] = Condition(lambda case, command, context: case.phase is not None, Reason.PHASE_MISSING)
needs_stated: Condition[Case] = Condition(
    lambda case, command, context: bool(case.needs) or case.no_needs or command.no_needs, Reason.NEEDS_MISSING
)
age_known: Condition[Case] = Condition(lambda case, command, context: case.age_band is not None, Reason.AGE_MISSING)
need_recorded: Condition[Case] = Condition(
    lambda case, command, context: any(need.code == command.code for need in case.needs), Reason.NEED_NOT_RECORDED
)
has_address: Condition[Case] = Condition(lambda case, command, context: case.has_address, Reason.ADDRESS_MISSING)
review_ahead: Condition[Case] = Condition(
    lambda case, command, context: command.review_on > day_of(context.now), Reason.REVIEW_NOT_AHEAD
)
within_retention: Condition[Case] = Condition(
    lambda case, command, context: case.closed_at is not None and context.now <= case.closed_at + command.retention,
    Reason.RETENTION_OVER,
)
information_owed: Condition[Case] = Condition(
    lambda case, command, context: command.releases <= case.owed, Reason.INFORMATION_NOT_OWED
)
guardian_concerned: Condition[Case] = Condition(
    lambda case, command, context: case.guardian is None
    and concerns_a_guardian(
        case.sphere, case.birth_date, day_of(case.known_at or case.opened_at or context.now), day_of(context.now)
    ),
    Reason.GUARDIAN_NOT_CONCERNED,
)
has_happened: Condition[Case] = Condition(
    lambda case, command, context: command.at is None or command.at <= context.now, Reason.NOT_YET
)
still_to_fetch: Condition[Case] = Condition(
    lambda case, command, context: case.dossier in {DossierState.PENDING, DossierState.REFUSED}, Reason.NOTHING_TO_FETCH
)
