"""Who a case is about: names as people write them, one form for comparing, and how somebody may be reached."""

import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID


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
    """Where somebody lives. `protected`: the register says nothing about it (§ 51 BMG); we hand it to nobody."""

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


def name_key(given_names: str, family_name: str) -> str:
    """What two spellings of one name share: NFC, then case folded (ß and SS meet), blanks made one.

    Folding may decompose, so the result is composed once more. Used to warn of duplicates, never to join.
    """
    composed = unicodedata.normalize("NFC", f"{given_names} {family_name}")
    folded = unicodedata.normalize("NFC", composed.casefold())
    return " ".join(folded.split())
