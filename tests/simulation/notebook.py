"""What the young people remember: what they allowed whom, since when, until when; and what left in spite of it.

Kept from what they said themselves, not from what any service stored, and judged by a few lines that share nothing
with the consent service's own decision.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from contracts.codes import ConsentForm, DataCategory, Giver
from contracts.ids import AgencyId
from services.consent.domain.commands import Sheet
from services.consent.domain.words import Item, Transmission
from tests.simulation.laws import AFTER_WITHDRAWN, BASIS, DOOR_SHUT, Broken

LEASE = timedelta(seconds=2)
MONTHS_12 = timedelta(days=364)  # a grant without an end lasts a year; nobody here lives so long as to see the day
SENSITIVE = frozenset({DataCategory.HEALTH, DataCategory.ADDICTION})


@dataclass
class Allowed:
    """One thing a young person has allowed."""

    person: UUID
    consent: UUID
    grant: UUID
    recipient: AgencyId
    purpose: str
    categories: frozenset[DataCategory]
    entrusted_included: bool
    giver: Giver
    form: ConsentForm
    since: datetime
    until: datetime
    ended: datetime | None = None  # the transaction that ended it, whichever way
    taken_back: bool = False
    answered: datetime | None = None  # the answer "withdrawn"

    def covers(self, item: Item, recipient: AgencyId, purpose: str) -> bool:
        fits = (self.recipient, self.purpose) == (recipient, purpose) and item.category in self.categories
        strong = self.form in {ConsentForm.WRITTEN, ConsentForm.ELECTRONIC}
        formal = strong or not (item.special or item.category in SENSITIVE)
        return fits and formal and (not item.entrusted or (self.entrusted_included and self.giver is item.entruster))


class Notebook:
    """All that was allowed, in the order it was said."""

    def __init__(self) -> None:
        self.allowed: list[Allowed] = []

    def gave(self, person: UUID, consent: UUID, sheet: Sheet, now: datetime) -> None:
        self.allowed += [
            Allowed(
                person, consent, wanted.id, wanted.recipient, wanted.purpose, wanted.categories,
                wanted.entrusted_included, sheet.giver, sheet.form, wanted.valid_from or now,
                wanted.valid_until or now + MONTHS_12,
            )
            for wanted in sheet.grants
        ]

    def ended(
        self, consent: UUID, now: datetime, *, grants: frozenset[UUID] | None = None, taken_back: bool = False
    ) -> None:
        """The transaction that withdraws (or replaces, or invalidates) is over."""
        for each in self._of(consent, grants):
            each.ended = each.ended or now
            each.taken_back |= taken_back

    def answered(self, consent: UUID, now: datetime, grants: frozenset[UUID] | None = None) -> None:
        """The young person has been told: withdrawn."""
        for each in self._of(consent, grants):
            each.answered = each.answered or now

    def _of(self, consent: UUID, grants: frozenset[UUID] | None) -> list[Allowed]:
        return [each for each in self.allowed if each.consent == consent and (grants is None or each.grant in grants)]

    # --- judged -------------------------------------------------------------------------------------------------------

    def opens(self, person: UUID, item: Item, of: Transmission, now: datetime) -> None:
        """A lease is opened: something stands that covers this item now."""
        if not any(
            each.person == person
            and each.covers(item, of.recipient, of.purpose)
            and each.since <= now < each.until
            and each.ended is None
            for each in self.allowed
        ):
            raise Broken(BASIS, f"{item.category} to {of.recipient} for {of.purpose}")

    def writes(self, person: UUID, item: Item, of: Transmission, now: datetime) -> None:
        """Bytes leave: nobody has been told "withdrawn", nothing is over, two seconds for what ended otherwise."""
        covering = [
            each for each in self.allowed
            if each.person == person and each.covers(item, of.recipient, of.purpose) and each.since <= now
        ]
        standing = [
            each for each in covering
            if (each.answered is None or now < each.answered)
            and now < each.until
            and (each.ended is None or now < each.ended + LEASE)
        ]
        if not standing:
            told = any(each.answered is not None and each.answered <= now for each in covering)
            raise Broken(AFTER_WITHDRAWN if told else BASIS, f"{item.category} to {of.recipient}")

    @staticmethod
    def door_is_shut(shut: datetime | None, now: datetime) -> None:
        """Bytes leave: the sender's copy is open, or was two seconds ago."""
        if shut is not None and now >= shut + LEASE:
            raise Broken(DOOR_SHUT, f"shut for {now - shut}")
