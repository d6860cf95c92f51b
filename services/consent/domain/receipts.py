"""What is on record about one consent, and what happened to it; as a receipt of ISO/IEC TS 27560.

Made from the record alone, so that the same record always gives the same receipt. Nobody is named: the person is the
random id by which this agency's services know them. A receipt proves nothing about whether the consent is valid; it
says what is written down, and links the notice (ISO/IEC 29184) by its id, its address and its hash.

Field names of TS 27560 are those of its clauses 6.3 and 6.4 as the W3C's guide lists them (`guides/consent-27560`);
what the standard leaves to a schema of one's own stands in `SCHEMA`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.alliance import Agency, Office
from contracts.codes import ConsentForm, ConsentState, DataCategory, Giver, LegalBasis
from contracts.ids import AgencyId, GrantId, PersonId
from contracts.labels import label
from services.consent.domain.decision import HEALTH
from services.consent.domain.fallen import ends_at
from services.consent.domain.words import Consent, Grant, Notice

SCHEMA: Final = "urn:staffel:schema:receipt:27560:1"
GERMANY: Final = "DE"
Document = dict[str, Any]
NO_OFFICE: Final[Document] = {"party_address": "", "party_email": "", "party_phone": ""}


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened to a consent, and to which of its grants."""

    at: datetime
    state: ConsentState
    grants: tuple[GrantId, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What a receipt is made from. `recipients`: as the alliance has them; `page`: where it can be taken back."""

    person: PersonId
    consent: Consent
    notice: Notice | None
    agency: Agency
    recipients: Mapping[AgencyId, Agency]
    page: str | None = None
    notice_page: str | None = None


# --- what happened ----------------------------------------------------------------------------------------------------


def history(consent: Consent) -> tuple[Happened, ...]:
    """What happened to this consent, oldest first; a consent that nobody has answered yet was only asked for."""
    every = tuple(grant.id for grant in consent.grants)
    found = [
        Happened(at, state, every)
        for at, state in (
            (consent.requested_at, ConsentState.REQUESTED),
            (consent.given_at, ConsentState.GIVEN),
        )
        if at is not None
    ]
    found += _taken_back(consent)
    if consent.ended_at is not None and isinstance(consent.state, ConsentState):
        left = tuple(g.id for g in consent.grants if g.withdrawn_at is None or g.withdrawn_at >= consent.ended_at)
        found.append(Happened(consent.ended_at, consent.state, left))
    return tuple(sorted(found, key=attrgetter("at")))


def _taken_back(consent: Consent) -> Iterable[Happened]:
    """Grants that were taken back by themselves, those of one moment together; not those with which all ended."""
    moments = {grant.withdrawn_at for grant in consent.grants if grant.withdrawn_at is not None}
    if consent.state is ConsentState.WITHDRAWN:
        moments -= {consent.ended_at}
    for at in sorted(moments):
        together = tuple(grant.id for grant in consent.grants if grant.withdrawn_at == at)
        yield Happened(at, ConsentState.WITHDRAWN, together)


def answered(consent: Consent) -> bool:
    """Whether there is anything to give a receipt of: the person has said yes, no, or no longer."""
    return consent.state is not ConsentState.REQUESTED


class Stands(StrEnum):
    """How a consent stands where its state alone does not say it."""

    LATER = "later"  # given, and nothing of it has begun
    OVER = "over"  # given, and nothing of it is left
    ONLY_ASKED = "only_asked"  # taken back before anybody had said yes


def how_it_stands(consent: Consent, now: datetime) -> tuple[ConsentState | Stands, datetime] | None:
    """What is so now, and since when; None for what nobody has answered yet."""
    if not isinstance(consent.state, ConsentState) or not answered(consent):
        return None
    if consent.state is ConsentState.GIVEN:
        return _given(consent, now)
    ended = consent.ended_at or now
    asked = consent.state is ConsentState.WITHDRAWN and consent.given_at is None
    return (Stands.ONLY_ASKED if asked else consent.state), ended


def _given(consent: Consent, now: datetime) -> tuple[ConsentState | Stands, datetime]:
    """A yes stands as long as one of its grants does; whoever takes back the last one takes back the whole."""
    given = consent.given_at or now
    if consent.standing(now):
        return ConsentState.GIVEN, given
    if left(consent, now):
        return Stands.LATER, given
    return Stands.OVER, max((ends_at(consent, grant) for grant in consent.grants), default=given)


def left(consent: Consent, now: datetime) -> tuple[Grant, ...]:
    """The grants that are still allowed, or will be."""
    if consent.state is not ConsentState.GIVEN:
        return ()
    return tuple(grant for grant in consent.grants if grant.left(now))


# --- ISO/IEC TS 27560 -------------------------------------------------------------------------------------------------


def ts27560(record: Record) -> Document:
    """The receipt: its own two fields, and a copy of the whole record."""
    return {
        "schema_version": SCHEMA,
        "receipt_id": str(receipt_id(record, SCHEMA)),
        "consent_record": {
            "record_header": {
                "schema_version": SCHEMA,
                "record_id": str(record.consent.id),
                "pii_principal_id": str(record.person),
            },
            "pii_processing": {
                "privacy_notice": _notice(record),
                "language": record.notice.language if record.notice else "",
                "purposes": [_purpose(record, grant) for grant in record.consent.grants],
            },
            "party_identification": [
                _party(record.agency, "pii_controller"),
                *(_party(record.recipients[each], "recipient_third_party") for each in sorted(record.recipients)),
            ],
            "event": [_event(record, happened) for happened in history(record.consent)],
        },
    }


def receipt_id(record: Record, schema: str) -> UUID:
    """The same for the same state of the record, another one for every other."""
    return uuid5(record.consent.id, f"{schema}:{record.consent.version}")


def _notice(record: Record) -> Document:
    notice = record.notice
    if notice is None:  # known again after a restore, by what was said of it alone
        return {"notice_id": str(record.consent.notice or ""), "sha256": "", "url": ""}
    return {"notice_id": str(notice.id), "sha256": notice.sha256, "url": record.notice_page or ""}


def _purpose(record: Record, grant: Grant) -> Document:
    page, until = f": {record.page}" if record.page else "", ends_at(record.consent, grant).isoformat()
    return {
        "purpose_id": str(grant.id),
        "purpose": label(grant.purpose),
        "purpose_type": grant.purpose,
        "lawful_basis": LegalBasis.CONSENT_SGB_X_67B,
        "pii_information": [_pii(category) for category in sorted(grant.categories)],
        "pii_controllers": [str(record.agency.id)],
        "collection_method": form_of(record.consent),
        "processing_method": "transmission",
        "storage_locations": [GERMANY],
        "retention_period": f"transmission until {until}; what was received, as the recipient's law says",
        "jurisdiction": GERMANY,
        "recipient_third_parties": [str(grant.recipient)],
        "withdrawal_method": f"without a reason, with the code of the receipt or at the agency{page}",
        "valid_from": grant.valid_from.isoformat(),
        "valid_until": until,
        "entrusted_included": grant.entrusted_included,
    }


def _pii(category: DataCategory) -> Document:
    return {"pii_type": category, "special_pii_category": category in HEALTH}


def form_of(consent: Consent) -> str:
    """In which form it was declared, as far as that is known."""
    return "" if consent.form is None else consent.form


def _party(agency: Agency, role: str) -> Document:
    said: Document = {
        "party_id": str(agency.id), "party_name": agency.name, "party_role": role, "party_type": agency.kind,
        "party_contact": agency.name, **NO_OFFICE,
    }
    if (office := agency.office) is not None:
        said |= {"party_address": _line(office), "party_email": office.email, "party_phone": office.phone}
    return said


def _line(office: Office) -> str:
    return f"{office.street}, {office.postal_code} {office.city}"


def _event(record: Record, happened: Happened) -> Document:
    return {
        "event_time": happened.at.isoformat(),
        "validity_duration": _duration(record.consent, happened),
        "entity_id": _who(record, happened.state),
        "event_type": "explicit" if record.consent.form in _EXPLICIT else "expressed",
        "event_state": happened.state,
        "purposes": [str(grant) for grant in happened.grants],
    }


_EXPLICIT: Final = frozenset({ConsentForm.WRITTEN, ConsentForm.ELECTRONIC})
_BY_GIVER: Final = frozenset({ConsentState.GIVEN, ConsentState.REFUSED})


def _duration(consent: Consent, happened: Happened) -> str | None:
    """From when until when it would hold (ISO 8601); only a yes makes something hold."""
    if happened.state is not ConsentState.GIVEN or not consent.grants:
        return None
    last = max(grant.valid_until for grant in consent.grants)
    return f"{happened.at.isoformat()}/{last.isoformat()}"


def _who(record: Record, state: ConsentState) -> str:
    """A yes and a no are the giver's; all else is recorded by the agency: at it, or by whoever has the code."""
    if state not in _BY_GIVER:
        return str(record.agency.id)
    return str(record.person) if record.consent.giver is Giver.SELF else f"guardian of {record.person}"
