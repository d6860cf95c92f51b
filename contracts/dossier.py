"""What is inside the seal of a release: the one thing between agencies that carries personal data, and is no event."""

from typing import Annotated, Final

from pydantic import Field, JsonValue

from contracts.codes import Completeness, DataCategory, ItemFlag, LegalBasis, Purpose
from contracts.events import CODES_MAX, ITEMS_MAX, Part, Sha256
from contracts.ids import HandoverRef, ItemId, ReleaseId

# Of the items of one response: sealed and in base64 this stays below 256 KB.
CONTENT_BYTES_MAX: Final = 180 * 1024

# From whom a datum was collected (§ 67a SGB X), and on which basis where that was not the person.
CollectedFrom = Annotated[str, Field(pattern=r"^(person|guardian|third_party:[a-z0-9_]{1,60})$")]


class DossierItem(Part):
    """One item: what it says, what the law says of it, and for what it may be used here (§ 78 SGB X)."""

    id: ItemId
    category: DataCategory
    flags: tuple[ItemFlag, ...] = Field(max_length=CODES_MAX)
    collected_from: CollectedFrom
    purpose: Purpose
    bases: tuple[LegalBasis, ...] = Field(max_length=CODES_MAX)
    hash: Sha256
    content: JsonValue


class Dossier(Part):
    """What one release carries; `completeness` says whether there is more to fetch, or less than was proposed."""

    release: ReleaseId
    handover: HandoverRef
    completeness: Completeness
    items: tuple[DossierItem, ...] = Field(max_length=ITEMS_MAX)
