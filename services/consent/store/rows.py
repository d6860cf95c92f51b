"""From rows to the parts of a person, and back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from contracts.codes import (
    Completeness,
    ConsentForm,
    ConsentState,
    DataCategory,
    DecisionReason,
    DutyAnswer,
    EntrustedException,
    Giver,
    HandoverState,
    LegalBasis,
    Purpose,
    RenewalReason,
    RetentionNorm,
    Side,
    Verdict,
)
from contracts.ids import (
    AgencyId,
    AllianceId,
    CaseId,
    ConsentId,
    DutyId,
    GrantId,
    HandoverRef,
    ItemId,
    NoticeId,
    PersonId,
    ReleaseId,
    RestrictionId,
    TransmissionId,
    WaiverId,
)
from services.consent.domain.words import (
    Basis,
    Before,
    Clearance,
    Consent,
    Disclosed,
    Duty,
    DutySaid,
    DutyState,
    Found,
    Grant,
    InvalidReason,
    Item,
    ItemDecision,
    Notice,
    NoticeState,
    PassedOn,
    Reception,
    ReceptionState,
    Release,
    ReleaseState,
    Restriction,
    RestrictionState,
    Stated,
    Stored,
    Transmission,
    TransmissionState,
    Waiver,
    WaiverState,
)
from services.consent.store.tables import duty

Row = Mapping[str, Any]
E = TypeVar("E")


def notice_of(row: Any) -> Notice:
    """A notice as it stands in its row."""
    return Notice(
        NoticeId(row.id), row.version, NoticeState(row.state), row.language, row.plain_language, row.text, row.sha256,
        row.valid_from, superseded=bool(getattr(row, "superseded", False)),
    )


def or_none(code: type[E], value: Any) -> E | None:
    """The code of a column that may be empty."""
    return None if value is None else code(value)  # type: ignore[call-arg]  # every code is made from its value


def consent_of(row: Any, grants: Sequence[Any]) -> Consent:
    """A consent with those of the person's grants that are its own."""
    return Consent(
        ConsentId(row.id), row.version, ConsentState(row.state), Giver(row.giver), row.insight, row.young_person_heard,
        or_none(ConsentForm, row.form), None if row.notice is None else NoticeId(row.notice),
        tuple(_grant(each) for each in grants if each.consent == row.id),
        row.given_at, row.ended_at, or_none(InvalidReason, row.invalid_because), row.requested_at,
        frozenset(map(RenewalReason, row.renewals_said)),
    )


def _grant(row: Any) -> Grant:
    return Grant(
        GrantId(row.id), AllianceId(row.alliance), AgencyId(row.recipient), Purpose(row.purpose),
        frozenset(DataCategory(each) for each in row.categories), row.entrusted_included, row.valid_from,
        row.valid_until, row.withdrawn_at, _clearance(row),
    )


def _clearance(row: Any) -> Clearance | None:
    if row.cleared_by is None:
        return None
    return Clearance(Giver(row.cleared_by), ConsentForm(row.cleared_form), row.cleared_at, row.clearance_ended_at)


def transmission_of(row: Any, stated: Sequence[Any]) -> Transmission:
    """A transmission with what was stated for it."""
    return Transmission(
        TransmissionId(row.id), HandoverRef(row.handover), row.version, TransmissionState(row.state), CaseId(row.case),
        AllianceId(row.alliance), AgencyId(row.recipient), Purpose(row.purpose), row.proposal,
        tuple(ItemId(each) for each in row.asked), tuple(_item(each) for each in row.items),
        tuple(_verdict(each) for each in row.verdicts),
        tuple(_stated(each) for each in sorted(stated, key=_said) if each.transmission == row.id),
        or_none(HandoverState, row.handover_state), or_none(HandoverState, row.recorded),
        frozenset(ItemId(each) for each in row.stored),
    )


def _said(row: Any) -> tuple[datetime, UUID]:
    """In which order: by the database's time, for ids are made before their turn comes."""
    return row.stated_at, row.id


def _stated(row: Any) -> Stated:
    categories = frozenset(DataCategory(each) for each in row.categories)
    return Stated(row.norm, categories, row.not_endangering, row.id, row.necessity, row.stated_by, row.stated_at)


def _item(kept: Row) -> Item:
    return Item(
        ItemId(UUID(kept["id"])), DataCategory(kept["category"]), kept["entrusted"], kept["special"],
        kept["professional_secret"], or_none(Giver, kept["entruster"]), kept["hash"],
        _id_or_none(ReleaseId, kept.get("received_by")), _id_or_none(ItemId, kept.get("source_item")),
    )


def _id_or_none(made: Callable[[UUID], E], kept: str | None) -> E | None:
    return None if kept is None else made(UUID(kept))


def _verdict(kept: Row) -> ItemDecision:
    bases = tuple(_basis(each) for each in kept["bases"])
    return ItemDecision(ItemId(UUID(kept["id"])), Verdict(kept["verdict"]), DecisionReason(kept["reason"]), bases)


def _basis(kept: Row) -> Basis:
    consent_id, grant_id, until = kept["consent"], kept["grant"], kept["until"]
    return Basis(
        LegalBasis(kept["norm"]),
        None if consent_id is None else ConsentId(UUID(consent_id)),
        None if grant_id is None else GrantId(UUID(grant_id)),
        kept["task"],
        None if until is None else datetime.fromisoformat(until),
        or_none(EntrustedException, kept.get("exception")),  # not there in rows of a process of the version before
    )


def reception_of(row: Any) -> Reception:
    """A reception."""
    stored = tuple(
        Stored(ReleaseId(UUID(each["release"])), tuple(ItemId(UUID(item)) for item in each["items"]))
        for each in row.stored
    )
    return Reception(
        HandoverRef(row.id), row.version, ReceptionState(row.state), AgencyId(row.sender), AllianceId(row.alliance),
        or_none(HandoverState, row.handover_state), or_none(HandoverState, row.recorded), stored,
    )


def kept_state(state: DutyState) -> DutyState:
    """As it stands in a row: who waits is kept as `erasing`, with an answer, which nobody has who is erasing.

    So a process of the version before, which knows no waiting, can read every row.
    """
    return DutyState.ERASING if state is DutyState.WAITS else state


def _duty_state(row: Any) -> DutyState:
    waits = row.state == DutyState.ERASING and row.answer is not None
    return DutyState.WAITS if waits else DutyState(row.state)


# The same, asked of the database.
STATE_OF_DUTY = sa.case(
    (sa.and_(duty.c.state == DutyState.ERASING, duty.c.answer.is_not(None)), sa.literal(str(DutyState.WAITS))),
    else_=duty.c.state,
)


def duty_of(row: Any) -> Duty:
    """A duty."""
    return Duty(
        DutyId(row.id), row.version, _duty_state(row), Side(row.side), HandoverRef(row.handover),
        AgencyId(row.counterpart), AllianceId(row.alliance), None if row.consent is None else ConsentId(row.consent),
        tuple(ReleaseId(each) for each in row.releases), tuple(ItemId(each) for each in row.items), row.answer_by,
        or_none(DutyAnswer, row.answer), or_none(RetentionNorm, row.norm),
        tuple(PassedOn(DutyAnswer(each["answer"]), or_none(RetentionNorm, each["norm"])) for each in row.passed_on),
        row.answered_at, DutySaid(row.said),
    )


def restriction_of(row: Any) -> Restriction:
    """A restriction."""
    return Restriction(
        RestrictionId(row.id), PersonId(row.person), row.version, RestrictionState(row.state), Giver(row.declared_by),
        None if row.recipient is None else AgencyId(row.recipient),
        frozenset(DataCategory(each) for each in row.categories), or_none(ConsentForm, row.form), row.since,
        row.ended_at,
    )


def waiver_of(row: Any) -> Waiver:
    """A release from confidentiality."""
    return Waiver(
        WaiverId(row.id), row.version, WaiverState(row.state), row.holder, row.toward, Giver(row.giver),
        ConsentForm(row.form), row.given_at, row.ended_at,
    )


def release_of(row: Any) -> Release:
    """A release; its state is what its times say."""
    state = ReleaseState.OPEN if row.closed_at is None else ReleaseState.CLOSED
    return Release(
        ReleaseId(row.id), HandoverRef(row.handover), row.version, ReleaseState.TOLD if row.told else state,
        Completeness(row.completeness), row.items,
    )


def disclosed_of(row: Any) -> Disclosed:
    """A line of the ledger, joined with its release."""
    return Disclosed(
        ReleaseId(row.id), HandoverRef(row.handover), AllianceId(row.alliance), AgencyId(row.recipient),
        Purpose(row.purpose), ItemId(row.item), tuple(_basis(each) for each in row.bases),
        None if row.received_by is None else ReleaseId(row.received_by),
        None if row.source_item is None else ItemId(row.source_item),
    )


def consent_row(of: UUID, each: Consent) -> Row:
    """A consent without its grants."""
    return {
        "id": each.id, "person": of, "version": each.version, "state": each.state, "giver": each.giver,
        "insight": each.insight, "young_person_heard": each.young_person_heard, "form": each.form,
        "notice": each.notice, "given_at": each.given_at, "ended_at": each.ended_at,
        "invalid_because": each.invalid_because, "requested_at": each.requested_at,
        "renewals_said": sorted(each.renewals_said),
    }


def grant_row(of: UUID, given: Consent, each: Grant) -> Row:
    """A grant of that consent."""
    cleared = each.cleared
    return {
        "id": each.id, "person": of, "consent": given.id, "alliance": each.alliance, "recipient": each.recipient,
        "purpose": each.purpose, "categories": sorted(each.categories), "entrusted_included": each.entrusted_included,
        "valid_from": each.valid_from, "valid_until": each.valid_until, "withdrawn_at": each.withdrawn_at,
        "cleared_by": cleared and cleared.by, "cleared_form": cleared and cleared.form,
        "cleared_at": cleared and cleared.at, "clearance_ended_at": cleared and cleared.ended_at,
    }


def restriction_row(of: UUID, each: Restriction) -> Row:
    """A restriction."""
    return {
        "id": each.id, "person": of, "version": each.version, "state": each.state, "declared_by": each.by,
        "recipient": each.recipient, "categories": sorted(each.categories), "form": each.form, "since": each.since,
        "ended_at": each.ended_at,
    }


def waiver_row(of: UUID, each: Waiver) -> Row:
    """A release from confidentiality."""
    return {
        "id": each.id, "person": of, "version": each.version, "state": each.state, "holder": each.holder,
        "toward": each.toward, "giver": each.giver, "form": each.form, "given_at": each.given_at,
        "ended_at": each.ended_at,
    }


def transmission_row(of: UUID, each: Transmission) -> Row:
    """A transmission; items and verdicts travel as JSON."""
    return {
        "id": each.id, "person": of, "handover": each.handover, "version": each.version, "state": each.state,
        "case": each.case, "alliance": each.alliance, "recipient": each.recipient, "purpose": each.purpose,
        "proposal": each.proposal, "asked": list(each.asked), "items": [_kept(item) for item in each.items],
        "verdicts": [_verdict_kept(item) for item in each.verdicts], "handover_state": each.handover_state,
        "recorded": each.recorded, "stored": sorted(each.stored),
    }


def stated_rows(of: UUID, older: Transmission | None, newer: Transmission) -> list[Row]:
    """The tasks that were stated for a transmission since."""
    known = {each.id for each in older.stated} if older is not None else set()
    return [
        {
            "id": each.id, "person": of, "transmission": newer.id, "norm": each.norm, "necessity": each.necessity,
            "not_endangering": each.not_endangering, "stated_by": each.by, "stated_at": each.at,
            "categories": sorted(each.categories),
        }
        for each in newer.stated
        if each.id not in known
    ]


_CAME_BY = ("received_by", "source_item")
_OF_AN_ITEM = tuple(each.name for each in fields(Item) if each.name not in _CAME_BY)


def _kept(item: Item) -> Row:
    """Where it came from is there only for what came from somewhere: most have not."""
    came = {name: str(value) for name in _CAME_BY if (value := getattr(item, name)) is not None}
    return {name: getattr(item, name) for name in _OF_AN_ITEM} | {"id": str(item.id)} | came


def _verdict_kept(each: ItemDecision) -> Row:
    return {"id": str(each.id), "verdict": each.verdict, "reason": each.reason, "bases": bases_kept(each.bases)}


def bases_kept(bases: Iterable[Basis]) -> list[Row]:
    """Bases as they stand in a row: ids and codes, times in ISO 8601."""
    return [
        {
            "norm": basis.norm,
            "consent": None if basis.consent is None else str(basis.consent),
            "grant": None if basis.grant is None else str(basis.grant),
            "task": basis.task,
            "until": None if basis.until is None else basis.until.isoformat(),
            "exception": basis.exception,
        }
        for basis in bases
    ]


def reception_row(of: UUID, each: Reception) -> Row:
    """A reception."""
    stored = [{"release": str(s.release), "items": [str(item) for item in s.items]} for s in each.stored]
    return {
        "id": each.id, "person": of, "version": each.version, "state": each.state, "sender": each.sender,
        "alliance": each.alliance, "handover_state": each.handover_state, "recorded": each.recorded, "stored": stored,
    }


def duty_row(of: UUID, each: Duty) -> Row:
    """A duty."""
    state = each.state if isinstance(each.state, Before) else kept_state(each.state)
    return {
        "id": each.id, "person": of, "version": each.version, "state": state, "side": each.side,
        "handover": each.handover, "counterpart": each.counterpart, "alliance": each.alliance, "consent": each.consent,
        "releases": list(each.releases), "items": list(each.items), "answer_by": each.answer_by,
        "answer": each.answer, "norm": each.norm, "answered_at": each.answered_at, "said": each.said,
        "passed_on": [{"answer": other.answer, "norm": other.norm} for other in each.passed_on],
    }


def found_row(of: UUID, each: Found) -> Row:
    """A release known from its fact alone: it is over, and was told."""
    return {
        "id": each.release, "person": of, "handover": each.of.handover, "transmission": each.of.id,
        "alliance": each.of.alliance, "alliance_version": 0, "recipient": each.of.recipient, "purpose": each.of.purpose,
        "items": each.count, "completeness": each.completeness, "opened_at": each.at, "closed_at": each.at,
        "told": True, "version": 1,
    }


def found_lines(of: UUID, each: Found) -> list[Row]:
    """Its lines of the ledger: no basis is known, so none stands; where it had come from, as far as it is known."""
    known = {item.id: item for item in each.of.items}
    return [
        {
            "release": each.release, "item": item, "person": of, "category": None, "hash": None, "bases": [],
            "received_by": known[item].received_by if item in known else None,
            "source_item": known[item].source_item if item in known else None,
        }
        for item in each.items
    ]
