"""What is known about a young person, datum by datum: its category, its flags, where it came from, its fingerprint."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from contracts.codes import DataCategory, Giver
from services.intake.domain.persons import Address

# Categories that are special by what they say (Art. 9(1) GDPR), whoever forgot to tick the box.
ALWAYS_SPECIAL = frozenset({DataCategory.HEALTH, DataCategory.ADDICTION})
HASH_KEY_BYTES = 32  # as long as the hash: a shorter key would be the weaker of the two (RFC 2104, 3)


class CollectedFrom(StrEnum):
    """From whom a datum was collected; from the person first (§ 67a(2) SGB X)."""

    PERSON = "person"
    GUARDIAN = "guardian"
    THIRD_PARTY = "third_party"


class CollectionBasis(StrEnum):
    """On which ground a third party was asked instead (§ 67a(2) sentence 2 SGB X)."""

    OTHER_AGENCY = "sgb_x_67a_2_1"  # Nr. 1: another social agency, entitled to transmit
    LAW_ALLOWS = "sgb_x_67a_2_2a"  # Nr. 2 a: a law provides for it
    TASK_REQUIRES = "sgb_x_67a_2_2b"  # Nr. 2 b: the task requires it, or the person would be asked too much
    CONSENT = "consent"


class Part(StrEnum):
    """What of the registered person an item repeats; `other` is everything else."""

    IDENTITY = "identity"
    ADDRESS = "address"
    CONTACT = "contact"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an item came to us from another agency (§ 67c SGB X binds us to its purpose)."""

    release: UUID
    source_item: UUID
    agency: str
    purpose: str
    bases: tuple[str, ...]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """One datum of a dossier. `content` is JSON text; `hash` is what ledgers keep of it.

    It belongs to a case or, as words between agencies, to a handover reference. `collection_basis` is set exactly where
    it was collected from a third party. `entruster` is whose consent alone lets an entrusted item go (§ 65 SGB VIII),
    None there: neither the young person nor the guardian. `hash_key` is None where the hash came with the item.
    """

    id: UUID
    category: DataCategory
    content: str
    hash: str
    recorded_at: datetime
    case: UUID | None = None
    handover: UUID | None = None
    part: Part = Part.OTHER
    entrusted: bool = False
    special: bool = False
    professional_secret: bool = False
    entruster: Giver | None = None
    collected_from: CollectedFrom = CollectedFrom.PERSON
    collection_basis: str | None = None
    hash_key: bytes | None = None
    provenance: Provenance | None = None


def keyed_hash(key: bytes, content: str) -> str:
    """The fingerprint of an item's content, 64 hexadecimal digits.

    HMAC-SHA-256 under a random key of this one item, because a plain hash of something guessable (a birth date, a
    school) can be tried out and is therefore itself personal data. The key is erased with the item; the fingerprints
    in ledgers then say nothing about anybody.
    """
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def may_leave(part: Part, content: str, address: Address | None) -> bool:
    """Whether an item may be handed out at all, whatever was decided about its category.

    A protected address (§ 51 BMG) leaves in no item: not in the one made for it, not in a text that quotes its street.
    """
    if address is None or not address.protected:
        return True
    return part is not Part.ADDRESS and _folded(address.street) not in _folded(_texts(content))


def _folded(text: str) -> str:
    """Letters and digits alone: neither a comma nor a line end hides a street."""
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def _texts(content: str) -> str:
    """All strings in a JSON text, so that no escape hides what they say; the text itself where it is no JSON."""
    try:
        left = [json.loads(content)]
    except (ValueError, RecursionError):
        return content
    found = []
    while left:
        match left.pop():
            case str(text):
                found.append(text)
            case dict(fields):
                left += [*fields.keys(), *fields.values()]
            case list(values):
                left += values
    return " ".join(found)
