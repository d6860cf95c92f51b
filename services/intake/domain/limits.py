"""What § 31a SGB III lets an agency keep: which data at all, and for how long."""

from calendar import monthrange
from collections.abc import Collection
from datetime import date, datetime

from contracts.alliance import FIELDS_OF_31A
from contracts.calendar import begin_of, day_of
from contracts.codes import DataCategory, LegalBasis, Sphere
from services.intake.domain.case import HeldItem

MONTHS_OF_31A = 6  # § 31a(3) SGB III: to be erased six months after it was collected, at the latest


def rests_on_31a(bases: Collection[str]) -> bool:
    """Whether nothing else lets it be here: what came on another basis, too, is kept on that one."""
    return set(bases) == {LegalBasis.SGB_III_31A}


def may_be_kept(category: DataCategory, bases: Collection[str], sender: Sphere | None, receiver: Sphere) -> bool:
    """Whether the list of § 31a SGB III, where it is all there is, has such data on the way between these two.

    Asked of what has come: a sender that sends more than the list has is not trusted to know the list.
    """
    if not rests_on_31a(bases):
        return True
    return sender is not None and category in FIELDS_OF_31A.get((sender, receiver), frozenset())


def erase_at(received_at: datetime) -> datetime:
    """When (UTC) the last day begins on which it may be here: § 188(2), (3) BGB, and no weekend is added.

    The period ends with that day; begun with it, an erasure that has to be tried again is still in time.
    """
    day = day_of(received_at)
    years, months = divmod(day.month - 1 + MONTHS_OF_31A, 12)
    year, month = day.year + years, months + 1
    last = date(year, month, min(day.day, monthrange(year, month)[1]))
    return begin_of(last)


def outlived(held: Collection[HeldItem], now: datetime) -> frozenset[HeldItem]:
    """What the law has let be here long enough."""
    return frozenset(item for item in held if rests_on_31a(item.bases) and erase_at(item.received_at) <= now)


def next_erasure(held: Collection[HeldItem]) -> datetime | None:
    """When the first of it has to go; None where nothing is limited in time."""
    return min((erase_at(item.received_at) for item in held if rests_on_31a(item.bases)), default=None)
