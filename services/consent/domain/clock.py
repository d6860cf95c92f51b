"""When a person has to be looked at again: there is one deadline for all that only time brings about."""

from collections.abc import Iterable
from datetime import datetime

from chassis.transitions import Arm, Disarm
from contracts.codes import ConsentState
from services.consent.domain.passing_on import next_word_at
from services.consent.domain.words import Consent, Person

LOOK_AGAIN = "look_again"  # the deadline at which the next grant begins or ends, or a row of the matrix


def any_left(consent: Consent, now: datetime) -> bool:
    """Whether a grant of it stands, or begins yet."""
    return any(grant.left(now) for grant in consent.grants)


def next_look(person: Person, now: datetime) -> Arm | Disarm:
    """Look again when the next grant begins or ends, or a row something rests on, or for an answer that is open."""
    rows = (
        basis.until
        for transmission in person.transmissions
        if transmission.decided
        for verdict in transmission.verdicts
        for basis in verdict.bases
        if basis.task is not None and basis.until is not None and basis.until > now
    )
    words = (next_word_at(duty, now) for duty in person.duties)
    bounds = [each for each in (_next_bound(person.consents, now), *rows, *words) if each is not None]
    return Arm(LOOK_AGAIN, min(bounds)) if bounds else Disarm(LOOK_AGAIN)


def _next_bound(consents: Iterable[Consent], now: datetime) -> datetime | None:
    """The next instant at which a grant begins or ends by itself."""
    bounds = (
        bound
        for consent in consents
        if consent.state is ConsentState.GIVEN
        for grant in consent.grants
        if grant.withdrawn_at is None
        for bound in (grant.valid_from, grant.valid_until)
    )
    return min((bound for bound in bounds if bound > now), default=None)
