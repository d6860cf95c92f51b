"""May this item go to that recipient for that purpose at this instant? Deny by default, in the order of the law."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from contracts.alliance import Alliance, StatutoryBasis
from contracts.calendar import day_of, end_of
from contracts.codes import (
    ConsentForm,
    ConsentState,
    DataCategory,
    DecisionReason,
    LegalBasis,
    Purpose,
    Side,
    Sphere,
    Verdict,
)
from contracts.ids import AgencyId, ItemId
from services.consent.domain.duties import left_nothing
from services.consent.domain.words import (
    Basis,
    Consent,
    Duty,
    Grant,
    Item,
    ItemDecision,
    Person,
    Reception,
    Restriction,
    Stated,
    Transmission,
)

HEALTH = frozenset({DataCategory.HEALTH, DataCategory.ADDICTION})  # § 67b(2) SGB X: written or electronic only
STRONG_FORMS = frozenset({ConsentForm.WRITTEN, ConsentForm.ELECTRONIC})


@dataclass(frozen=True)
class Question:
    """Everything about one item's recipient and moment that its decision may look at.

    What is the same for all items of a package is found out once.
    """

    at: datetime
    sender: AgencyId
    recipient: AgencyId
    purpose: Purpose
    alliance: Alliance | None
    consents: tuple[Consent, ...]
    restrictions: tuple[Restriction, ...] = ()
    stated: tuple[Stated, ...] = ()
    duties: tuple[Duty, ...] = ()
    receptions: tuple[Reception, ...] = ()

    @cached_property
    def day(self) -> date:
        """The day it is in Germany."""
        return day_of(self.at)

    @cached_property
    def recipient_eligible(self) -> bool:
        """The recipient is in the alliance, an agreement for the purpose holds, a free provider's protection holds too.

        An agreement in either direction will do for answering: it is part of every agreement.
        """
        if self.alliance is None:
            return False
        recipient = self.alliance.agency(self.recipient)
        agreement = self.alliance.agreement(self.sender, self.recipient, self.day)
        if self.purpose is Purpose.ANSWER_TO_HANDOVER and agreement is None:
            agreement = self.alliance.agreement(self.recipient, self.sender, self.day)
        agreed = agreement is not None and self.purpose in (*agreement.purposes, Purpose.ANSWER_TO_HANDOVER)
        return recipient is not None and recipient.may_receive(self.day) and agreed

    @cached_property
    def rows(self) -> tuple[StatutoryBasis, ...]:
        """The approved rows of the matrix that hold on that way that day, whatever they let go."""
        return () if self.alliance is None else self.alliance.rows(self.sender, self.recipient, self.day)


def question(person: Person, transmission: Transmission, alliance: Alliance | None, sender: AgencyId,
             at: datetime) -> Question:
    """What is to be asked about the items of this transmission at that instant; it need not be proposed yet."""
    return Question(
        at, sender, transmission.recipient, transmission.purpose, alliance,
        person.consents, person.restrictions, transmission.stated, person.duties,
        person.receptions,
    )


def decide_all(asked: tuple[ItemId, ...], items: tuple[Item, ...], about: Question) -> tuple[ItemDecision, ...]:
    """One decision per item asked for, in that order; what own intake no longer has is denied."""
    known = {item.id: item for item in items}
    return tuple(decide_item(known[wanted], about) if wanted in known else gone(wanted) for wanted in asked)


def gone(item: ItemId) -> ItemDecision:
    """About what own intake no longer has."""
    return ItemDecision(item, Verdict.DENY, DecisionReason.ITEM_GONE)


def decide_item(item: Item, about: Question) -> ItemDecision:
    """Permit on every basis there is, or deny for what the law asks first."""
    granted, statutory = _granted(item, about), _statutory(item, about)
    if reasons := _against(item, about, based=bool(granted or statutory)):
        return ItemDecision(item.id, Verdict.DENY, reasons[0])
    reason = DecisionReason.CONSENT if granted else DecisionReason.STATUTORY_BASIS
    return ItemDecision(item.id, Verdict.PERMIT, reason, granted + statutory)


def against(item: Item, about: Question) -> tuple[DecisionReason, ...]:
    """Everything that stands in the item's way, in the order in which the law asks; nothing where it may go.

    What its owner has not released, and what was objected to, is said of what goes on no row: that shuts the other way.
    That no row of the matrix was approved and stated is said where nothing else shuts it.
    """
    return _against(item, about, based=bool(_granted(item, about) or _statutory(item, about)))


def _against(item: Item, about: Question, *, based: bool) -> tuple[DecisionReason, ...]:
    shut = tuple(reason for holds, reason in (
        (not about.recipient_eligible, DecisionReason.RECIPIENT_NOT_ELIGIBLE),
        (source_ended(item, about), DecisionReason.CONSENT_WITHDRAWN),
    ) if holds)  # fmt: skip
    if based:
        return shut
    found = (
        (item.entrusted, DecisionReason.ENTRUSTED),  # § 65 SGB VIII; a basis is the entruster's word or an exception
        (item.professional_secret, DecisionReason.PROFESSIONAL_SECRET),  # § 76 SGB X
        (_restricted(item, about), DecisionReason.RESTRICTED),
        (_withdrawn(item, about), DecisionReason.CONSENT_WITHDRAWN),
    )
    reasons = tuple(reason for holds, reason in found if holds) or (DecisionReason.NO_BASIS,)
    return tuple(dict.fromkeys(shut + reasons))


def source_ended(item: Item, about: Question) -> bool:
    """Whether its basis has ended where it came from: whatever else may hold, it is passed on no more.

    Because the agency has said so; also where it is retained, for a norm by which it may be kept (Art. 17(3) GDPR) is
    none by which it may go; also where nothing is owed any more. Or because the handover by which it came ended in a
    way that leaves nothing here: own intake may hear of that later than we.
    """
    if item.received_by is None:
        return False
    named = any(
        duty.side is Side.RECEIVER and duty.names(item.received_by, item.source_item) for duty in about.duties
    )
    return named or _gone_where_it_came(item, about)


def _gone_where_it_came(item: Item, about: Question) -> bool:
    brought = [
        each for each in about.receptions if any(stored.release == item.received_by for stored in each.stored)
    ] or about.receptions  # what came by it may not have been heard of here yet
    return bool(brought) and all(map(left_nothing, brought))


def _granted(item: Item, about: Question) -> tuple[Basis, ...]:
    return tuple(
        Basis(LegalBasis.CONSENT_SGB_X_67B, consent.id, grant.id, until=grant.valid_until)
        for consent in about.consents
        for grant in consent.standing(about.at)
        if _covers(consent, grant, item, about) and not _forbidden_since(consent, item, about)
    )


def _covers(consent: Consent, grant: Grant, item: Item, about: Question) -> bool:
    """Whether the grant names alliance, recipient, purpose and category, in the form and by whom the item needs it."""
    named = about.alliance is not None and grant.alliance == about.alliance.id and grant.recipient == about.recipient
    fits = grant.purpose is about.purpose and item.category in grant.categories
    let_go = not item.entrusted or (grant.entrusted_included and _by_entruster(consent, grant, item))
    return named and fits and let_go and strong_enough(consent.form, item.category, special=item.special)


def _by_entruster(consent: Consent, grant: Grant, item: Item) -> bool:
    """§ 65(1) Nr. 1 SGB VIII: who entrusted it has given the consent, or lets it go beside whoever has given it."""
    if consent.giver is item.entruster:
        return True
    cleared = grant.cleared
    return (
        cleared is not None
        and cleared.ended_at is None
        and cleared.by is item.entruster
        and strong_enough(cleared.form, item.category, special=item.special)
    )


def strong_enough(form: ConsentForm | None, category: DataCategory, *, special: bool) -> bool:
    """Whether the form will do: data on health and other special data need a written or electronic consent."""
    return form in STRONG_FORMS or (form is not None and category not in HEALTH and not special)


def _restricted(item: Item, about: Question) -> bool:
    return any(_forbids(restriction, item, about) for restriction in about.restrictions)


def _forbids(restriction: Restriction, item: Item, about: Question) -> bool:
    named = restriction.recipient in (None, about.recipient) and item.category in restriction.categories
    return restriction.in_force and named


def _forbidden_since(consent: Consent, item: Item, about: Question) -> bool:
    """Whether whoever gave the consent has forbidden it since: of one person's words the later one counts.

    What somebody else forbids touches no consent: no guardian forbids what a person of 15 with insight consents to.
    """
    return any(
        restriction.by is consent.giver and not _earlier(restriction, consent)
        for restriction in about.restrictions
        if _forbids(restriction, item, about)
    )


def _earlier(restriction: Restriction, consent: Consent) -> bool:
    return (
        restriction.since is not None and consent.given_at is not None and restriction.since < consent.given_at
    )


def _statutory(item: Item, about: Question) -> tuple[Basis, ...]:
    """Approved rows of the matrix whose task was stated here; never for a professional secret or what was forbidden.

    What was entrusted goes on the rows that name an exception of § 65(1) SGB VIII, everything else on the others.
    """
    if not about.stated or item.professional_secret or _restricted(item, about):
        return ()
    stated = {statement.norm: statement for statement in about.stated}  # of one norm the last one counts
    return tuple(
        Basis(row.basis, task=row.norm, until=end_of(row.last_day), exception=row.exception)
        for row in about.rows
        if row.of_entrusted is item.entrusted and _stated_for(item, row, stated.get(row.norm))
    )


def _stated_for(item: Item, row: StatutoryBasis, statement: Stated | None) -> bool:
    if statement is None or item.category not in row.categories:
        return False
    return item.category in statement.categories and harmless(row, statement)


def naming(norm: str, about: Question) -> tuple[StatutoryBasis, ...]:
    """Those of the rows that hold on that way that day that name this task."""
    return tuple(row for row in about.rows if row.norm == norm)


def harmless(row: StatutoryBasis, statement: Stated) -> bool:
    """§ 64(2) SGB VIII: the youth office must have stated that no help is endangered."""
    return row.sender is not Sphere.SGB_VIII or statement.not_endangering


def _withdrawn(item: Item, about: Question) -> bool:
    """Whether a grant would have covered the item had it not been withdrawn: the deny then says so."""
    return any(
        (consent.state is ConsentState.WITHDRAWN or grant.withdrawn_at is not None)
        and _covers(consent, grant, item, about)
        for consent in about.consents
        for grant in consent.grants
    )

