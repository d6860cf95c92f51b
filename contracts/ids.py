"""Typed ids: a case is no handover. New ones come from `contracts.new_ids`, which domains may not import."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, NewType
from uuid import UUID

from pydantic import StringConstraints

# An agency's or alliance's slug is part of topic names, principals and sources: it must never need quoting there.
SLUG_PATTERN = r"^[a-z][a-z0-9-]{1,30}$"

AgencyId = NewType("AgencyId", Annotated[str, StringConstraints(pattern=SLUG_PATTERN)])
AllianceId = NewType("AllianceId", Annotated[str, StringConstraints(pattern=SLUG_PATTERN)])

CaseId = NewType("CaseId", UUID)  # one agency's own case; at a receiver it equals the handover reference it came by
PersonId = NewType("PersonId", UUID)  # intake's random id of a young person, at a receiver the handover reference
HandoverRef = NewType("HandoverRef", UUID)  # the only id that both agencies know
ItemId = NewType("ItemId", UUID)  # one datum of a dossier, kept by intake
ConsentId = NewType("ConsentId", UUID)
GrantId = NewType("GrantId", UUID)  # one purpose, recipient and period within a consent
RestrictionId = NewType("RestrictionId", UUID)  # what a person or guardian has forbidden
WaiverId = NewType("WaiverId", UUID)  # who was released from confidentiality
NoticeId = NewType("NoticeId", UUID)  # one version of the notice a consent was given on
TransmissionId = NewType("TransmissionId", UUID)  # what is to go to one recipient under one handover
ReleaseId = NewType("ReleaseId", UUID)  # what left through the door at one time
DutyId = NewType("DutyId", UUID)  # the duty to answer after a withdrawal
OfferId = NewType("OfferId", UUID)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UUID7 = 7


def time_of(made: UUID) -> datetime:
    """When this UUIDv7 was made, to the millisecond; ValueError for any other UUID."""
    if made.version != _UUID7:
        raise ValueError("only a UUIDv7 carries a time")
    return _EPOCH + timedelta(milliseconds=made.int >> 80)
