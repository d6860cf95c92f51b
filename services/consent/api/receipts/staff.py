"""What staff give to a young person: the receipt, signed for other systems or printed; and a notice, for everybody."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from joserfc import jws
from joserfc.jwk import OKPKey
from pydantic import BaseModel
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.auth import ALGORITHM
from chassis.database import transaction
from chassis.executor import Answer
from chassis.http import Call, Routes, anyone, people
from chassis.transitions import Refused
from contracts.codes import Role
from services.consent.api.receipts.parties import parties
from services.consent.api.receipts.pieces import Seen
from services.consent.api.receipts.printed import notice_page, printed
from services.consent.api.receipts.screens import said_no
from services.consent.api.receipts.texts import texts_in
from services.consent.domain import Reason
from services.consent.domain.kantara import kantara
from services.consent.domain.receipt_codes import in_groups
from services.consent.domain.receipts import Record, answered, ts27560
from services.consent.door import Resources
from services.consent.store import receipts, views
from services.consent.store.receipts import OnRecord

STAFF = people(Role.CASEWORKER, Role.TEAM_LEAD)
STAFF_AND_OFFICER = STAFF | people(Role.DATA_PROTECTION_OFFICER)
TYPE = "staffel-receipt+jws"  # so that no signature of ours under a receipt is taken for one under a token

routes = Routes()


class Format(StrEnum):
    """As whom a receipt speaks: ISO/IEC TS 27560, or Kantara Consent Receipt 1.1."""

    TS27560 = "ts27560"
    KANTARA = "kantara"


class SignedReceipt(BaseModel):
    """A receipt; and the same one as a JWS (compact, RFC 7515), signed with the agency's key of the alliance file."""

    receipt: dict[str, Any]
    jws: str


@routes.view("/consents/{consent}/receipt", allow=STAFF_AND_OFFICER)
async def receipt(
    call: Call, tx: AsyncConnection, resources: Resources, consent: UUID, format: Format = Format.TS27560  # noqa: A002  # the name of the query parameter
) -> SignedReceipt | Refused:
    """What is on record about a consent, a refusal or a withdrawal, signed by this agency; no name and no code."""
    found = await receipts.on_record(tx, consent)
    if found is None or not answered(found.consent):
        return _none(found, consent)
    key: OKPKey = resources.tools.settings.signing_key()
    record = _record(resources, found)
    said = ts27560(record) if format is Format.TS27560 else kantara(record, key.kid or "")
    return SignedReceipt(receipt=said, jws=signed(said, key))


def _none(found: OnRecord | None, consent: UUID) -> Refused:
    """There is no receipt of what is not known, nor of what nobody has answered yet."""
    if found is None:
        return Refused(Reason.UNKNOWN_CONSENT, unknown=consent)
    return Refused(Reason.NOT_NOW, found.consent.state)


def _record(resources: Resources, found: OnRecord) -> Record:
    who = parties(resources)
    wanted = {grant.recipient for grant in found.consent.grants}
    recipients = {each: who.known[each] for each in wanted if each in who.known}
    address = who.notice_page(found.consent.notice)
    return Record(found.person, found.consent, found.notice, who.own, recipients, who.page, address)


def signed(said: dict[str, Any], key: OKPKey) -> str:
    """The receipt itself is the payload: nothing has to be put in order before it is verified."""
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid or ""}
    return jws.serialize_compact(header, to_json(said), key, algorithms=[ALGORITHM])


@routes.stream("GET", "/consents/{consent}/receipt.html", allow=STAFF, media_type="text/html")
async def printed_receipt(call: Call, resources: Resources, consent: UUID) -> Answer | Refused:
    """The receipt to print and hand over, in the notice's language where there are texts for it, else in German.

    Its code opens the page on a phone from the first time on that this is asked; asked again it is the same.
    """
    async with transaction(resources.tools.engine) as tx:
        found = await receipts.on_record(tx, consent)
        if found is None or not answered(found.consent):
            return _none(found, consent)
        code = await receipts.code_for_print(tx, consent)
    texts = texts_in(found.notice.language if found.notice else None)
    return printed(Seen(found, parties(resources), texts), in_groups(code))


@routes.page("/notices/{notice}/page", allow=anyone(), shown=said_no)
async def read_notice(call: Call, tx: AsyncConnection, notice: UUID) -> Answer | Refused:
    """A notice, as people are told it before they consent."""
    found = await views.notice_named(tx, notice)
    return Refused(Reason.UNKNOWN_NOTICE, unknown=notice) if found is None else notice_page(found)
