"""Who a case is about: names as people write them, one form for comparing, and how somebody may be reached."""

import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

# Letters and marks of every script (DIN 91379 needs combining marks), and what stands between them in names.
NAME_SIGNS = frozenset(" '’‘ʼ`´-‐.,·()")
# Bidirectional controls let a text read otherwise than it is stored.
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_SIGNS = frozenset("\n\t")


class ContactPreference(StrEnum):
    """How a young person wants to be reached; `do_not_contact` is an answer as well."""

    PHONE = "phone"
    MAIL = "mail"
    MESSENGER = "messenger"
    LETTER = "letter"
    VIA_SCHOOL = "via_school"
    DO_NOT_CONTACT = "do_not_contact"


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody lives. `protected`: the register blocks information about it (§ 51 BMG); it is never handed out."""

    street: str
    postcode: str
    place: str
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """A young person as this agency knows them. `release` is set where all of it came with a dossier."""

    id: UUID
    given_names: str
    family_name: str
    birth_date: date
    gender: str | None = None
    address: Address | None = None
    phone: str | None = None
    mail: str | None = None
    contact_preference: ContactPreference | None = None
    language: str | None = None
    interpreter_needed: bool = False
    release: UUID | None = None


def nfc(text: str) -> str:
    """Text as it is stored: composed (NFC), so that equal names have equal bytes, and without blanks around it."""
    return unicodedata.normalize("NFC", text).strip()


def is_name(text: str) -> bool:
    """Whether this can be a name: letters of any script and what stands between them, at least one letter."""
    return any(sign.isalpha() for sign in text) and all(
        unicodedata.category(sign)[0] in "LM" or sign in NAME_SIGNS for sign in text
    )


def is_plain_text(text: str) -> bool:
    """Free text without control characters (line ends and tabs may stay) and without signs that turn its direction."""
    return not any(
        sign in BIDI_CONTROLS or (unicodedata.category(sign) in {"Cc", "Cs"} and sign not in LINE_SIGNS) for sign in text
    )


def name_key(given_names: str, family_name: str) -> str:
    """What two spellings of one name share: NFC, then case folded (ß and SS meet), blanks made one.

    Folding may decompose, so the result is composed once more. Used to warn of duplicates, never to join.
    """
    folded = unicodedata.normalize("NFC", nfc(f"{given_names} {family_name}").casefold())
    return " ".join(folded.split())
