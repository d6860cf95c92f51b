"""What is on record about one consent as a consent receipt of the Kantara Initiative, specification 1.1.0."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from contracts.codes import ConsentState
from contracts.ids import AgencyId
from contracts.labels import label
from services.consent.domain.decision import HEALTH
from services.consent.domain.receipts import GERMANY, Document, Record, form_of, history, receipt_id
from services.consent.domain.words import Consent, Grant

KANTARA: Final = "KI-CR-v1.1.0"


def kantara(record: Record, key: str) -> Document:
    """The same as a consent receipt of Kantara 1.1; `key` names the public key that its signature is checked with.

    That format knows no refusal and no withdrawal: what was never given has no purposes, and of what has ended the
    termination says when.
    """
    consent = record.consent
    given = consent.grants if consent.given_at is not None else ()
    special = sorted({category for grant in given for category in grant.categories & HEALTH})
    return {
        "version": KANTARA,
        "jurisdiction": GERMANY,
        "consentTimestamp": int(_decisive(consent).timestamp()),
        "collectionMethod": form_of(consent),
        "consentReceiptID": str(receipt_id(record, KANTARA)),
        "publicKey": key,
        "language": record.notice.language if record.notice else "",
        "piiPrincipalId": str(record.person),
        "piiControllers": [_controller(record)],
        "policyUrl": record.notice_page or f"urn:uuid:{consent.notice}",
        "services": [_service(record, given)] if given else [],
        "sensitive": bool(special),
        "spiCat": special,
    }


def _decisive(consent: Consent) -> datetime:
    """When it was given, or else when it was answered otherwise."""
    moments = [happened.at for happened in history(consent)]
    return consent.given_at or max(moments)


def _controller(record: Record) -> Document:
    agency, office = record.agency, record.agency.office
    said: Document = {"piiController": agency.name, "onBehalf": False, "contact": agency.name}
    if office is None:
        return said | {"address": {}, "email": "", "phone": ""}
    address = {
        "streetAddress": office.street, "postalCode": office.postal_code, "addressLocality": office.city,
        "addressCountry": GERMANY,
    }
    return said | {"address": address, "email": office.email, "phone": office.phone}


def _service(record: Record, given: Iterable[Grant]) -> Document:
    return {
        "service": record.agency.name,
        "purposes": [
            {
                "purpose": label(grant.purpose),
                "purposeCategory": [grant.purpose],
                "consentType": "EXPLICIT",
                "piiCategory": sorted(grant.categories),
                "primaryPurpose": False,
                "termination": _termination(record.consent, grant),
                "thirdPartyDisclosure": True,
                "thirdPartyName": _name(record, grant.recipient),
            }
            for grant in given
        ],
    }


def _termination(consent: Consent, grant: Grant) -> str:
    if grant.withdrawn_at is not None:
        return f"withdrawn {grant.withdrawn_at.isoformat()}"
    if consent.state is not ConsentState.GIVEN and consent.ended_at is not None:
        return f"{consent.state} {consent.ended_at.isoformat()}"
    return f"{grant.valid_until.isoformat()}, or earlier by withdrawal"


def _name(record: Record, agency: AgencyId) -> str:
    known = record.recipients.get(agency)
    return str(agency) if known is None else known.name
