"""What a dossier says about the person: the items made at a registration, and the person read out of them again."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from contracts.codes import DataCategory
from services.intake.domain.items import Part
from services.intake.domain.persons import Address, ContactPreference, Person

TEXT_CHARACTERS_MAX = 200  # of one field another agency may write into our records
IDENTITY = ("given_names", "family_name", "birth_date", "gender")
ADDRESS = ("street", "postcode", "place")
CONTACT = ("phone", "mail", "contact_preference", "language", "interpreter_needed")
CATEGORY_OF: Mapping[Part, DataCategory] = {
    Part.IDENTITY: DataCategory.MASTER_DATA,
    Part.ADDRESS: DataCategory.MASTER_DATA,
    Part.CONTACT: DataCategory.CONTACT,
}


def as_content(fields: Any) -> str:
    """JSON text as it is stored, hashed and sealed: letters as they are, nothing that is no JSON."""
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def contents_of(person: Person) -> Mapping[Part, str]:
    """What is known of a person as contents of items: the name apart from the address, so that one can stay behind."""
    found = {
        Part.IDENTITY: _named(person, IDENTITY) | {"birth_date": person.birth_date.isoformat()},
        Part.ADDRESS: {} if person.address is None else _named(person.address, ADDRESS),
        Part.CONTACT: _named(person, CONTACT),
    }
    told = {part: {name: value for name, value in fields.items() if value} for part, fields in found.items()}
    return {part: as_content(fields) for part, fields in told.items() if fields}


def _named(whose: Person | Address, fields: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(whose, name) for name in fields}


def part_of(category: DataCategory, content: str) -> Part:
    """Which part of a person a received item repeats, by its category and the fields it has."""
    fields = _fields(content)
    wanted = {Part.IDENTITY: "birth_date", Part.ADDRESS: "street", Part.CONTACT: ""}
    return next(
        (part for part, field in wanted.items() if CATEGORY_OF[part] is category and (not field or field in fields)),
        Part.OTHER,
    )


def person_in(items: Iterable[tuple[Part, str]], id: UUID, release: UUID) -> Person | None:
    """The person a received dossier names; None where it names nobody in a way that can be read here."""
    by_part = {part: _fields(content) for part, content in items}
    identity, address, contact = (by_part.get(part, {}) for part in (Part.IDENTITY, Part.ADDRESS, Part.CONTACT))
    names = [_text(identity.get(name)) for name in ("given_names", "family_name")]
    birth_date = _date(identity.get("birth_date"))
    if birth_date is None or names[0] is None or names[1] is None:
        return None
    lines = [_text(address.get(name)) for name in ADDRESS]
    return Person(
        id=id,
        given_names=names[0],
        family_name=names[1],
        birth_date=birth_date,
        gender=_text(identity.get("gender")),
        address=None if lines[0] is None else Address(lines[0], lines[1] or "", lines[2] or ""),
        phone=_text(contact.get("phone")),
        mail=_text(contact.get("mail")),
        contact_preference=_preference(contact.get("contact_preference")),
        language=_text(contact.get("language")),
        interpreter_needed=contact.get("interpreter_needed") is True,
        release=release,
    )


def _fields(content: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _text(value: object) -> str | None:
    """A short text without signs that cannot be seen; anything else is not taken over."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARACTERS_MAX:
        return None
    return unicodedata.normalize("NFC", value) if value.isprintable() else None


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _preference(value: object) -> ContactPreference | None:
    return ContactPreference(value) if isinstance(value, str) and value in set(ContactPreference) else None
