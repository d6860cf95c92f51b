"""Who has to be told of a withdrawal: what has left on grants, or on a clearance, of which none stands any more."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from contracts.codes import ConsentState
from contracts.ids import GrantId, HandoverRef
from services.consent.domain.duties import left_nothing
from services.consent.domain.parts import of_handover
from services.consent.domain.passing_on import demanded
from services.consent.domain.words import Consent, Disclosed, Grant, Person


def fallen(before: Person, after: Person, named: frozenset[GrantId], now: datetime) -> tuple[Disclosed, ...]:
    """Lines of the ledger that lose their last basis by these grants being taken back, and were not told of yet.

    A line also falls with a later consent to the same purpose at the same recipient: it had taken the place of the one
    on which the item left, and nobody was told when that one was replaced or expired.
    """
    newly = [grant for grant, taken_back in _once_given(before) if grant.id in named and taken_back is None]
    ends = {grant.id: ends_at(consent, grant) for consent in before.consents for grant in consent.grants}
    standing = _Standing(after, now)
    return tuple(
        line
        for line in after.ledger
        if any(_carries(grant, line) for grant in newly)
        and not standing.of(line)
        and not _told(before, line, ends)
        and not demanded(before, line)
    )


def uncleared(person: Person, named: frozenset[GrantId], now: datetime) -> tuple[Disclosed, ...]:
    """Lines of the ledger about what was entrusted, which nobody's word lets go any more and nobody was told of.

    By these grants, or in their place, it had gone on the word of whoever had entrusted it, which is taken back.
    """
    ended = [
        grant for consent in person.consents for grant in consent.grants
        if grant.id in named and (grant.cleared is not None or not grant.categories)  # or nobody knows any more
    ]
    standing = _Standing(person, now)
    return tuple(
        line
        for line in person.ledger
        if any(_carries(grant, line) and not standing.lets_go(grant.id, line) for grant in ended)
        and not standing.of(line)
        and not demanded(person, line)
    )


class _Standing:
    """What still lets items go that have left: as the decision about them has it, by what is known of them.

    What an item was, or who has given a consent, where a restored database does not know it, counts as entrusted by
    somebody else: too much is asked back rather than too little.
    """

    def __init__(self, person: Person, now: datetime) -> None:
        self._grants = {grant.id: (consent, grant) for consent in person.consents for grant in consent.grants}
        self._items = {(each.handover, item.id): item for each in person.transmissions for item in each.items}
        self._now = now

    def of(self, line: Disclosed) -> bool:
        """Whether any of its bases still does."""
        return any(basis.grant is None or self._stands(basis.grant, line) for basis in line.bases)

    def _stands(self, wanted: GrantId, line: Disclosed) -> bool:
        consent, grant = self._grants.get(wanted, (None, None))
        return consent is not None and grant in consent.standing(self._now) and self.lets_go(wanted, line)

    def lets_go(self, wanted: GrantId, line: Disclosed) -> bool:
        """Whether nobody else's word is needed for the item, or that is there."""
        consent, grant = self._grants[wanted]
        item = self._items.get((line.handover, line.item))
        theirs = item is not None and (
            not item.entrusted or (consent.form is not None and item.entruster is consent.giver)
        )
        return theirs or grant.let_go


def may_be_asked_back(person: Person, consent: Consent, now: datetime) -> frozenset[GrantId]:
    """Grants of this consent that stand no more, by whose taking back somebody would have to answer none the less."""
    return frozenset(
        grant.id
        for grant in consent.grants
        if any(not nothing_left(person, line.handover) for line in fallen(person, person, frozenset({grant.id}), now))
    )


def nothing_left(person: Person, handover: HandoverRef) -> bool:
    """Whether that handover has ended so that its recipient has nothing of it."""
    transmission = of_handover(person, handover)
    return transmission is not None and left_nothing(transmission)


def _once_given(person: Person) -> Iterator[tuple[Grant, datetime | None]]:
    """Every grant that ever was one, and since when it is taken back."""
    for consent in person.consents:
        if consent.given_at is not None:
            whole = consent.ended_at if consent.state in {ConsentState.WITHDRAWN, ConsentState.INVALIDATED} else None
            for grant in consent.grants:
                yield grant, grant.withdrawn_at or whole


def ends_at(consent: Consent, grant: Grant) -> datetime:
    """When it ends or has ended, whichever way."""
    ends = (grant.valid_until, grant.withdrawn_at, consent.ended_at)
    return min(end for end in ends if end is not None)


def _carries(grant: Grant, line: Disclosed) -> bool:
    """Whether the item left on this grant, or what was granted there is granted here."""
    named = any(basis.grant == grant.id for basis in line.bases)
    return named or (grant.recipient, grant.purpose) == (line.recipient, line.purpose)


def _told(person: Person, line: Disclosed, ends: Mapping[GrantId, datetime]) -> bool:
    """Whether a grant was taken back when the line had no other basis any more: its recipient was told then."""
    own = (basis.grant for basis in line.bases if basis.grant is not None)
    last = max((ends[grant] for grant in own if grant in ends), default=None)
    return last is not None and any(
        taken_back is not None and taken_back >= last and _carries(grant, line)
        for grant, taken_back in _once_given(person)
    )
