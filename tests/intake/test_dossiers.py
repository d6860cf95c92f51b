"""What items say about a person, and what of it may leave."""

import json
import unicodedata

import pytest

from contracts.codes import DataCategory
from contracts.new_ids import new_id
from services.intake.domain.dossiers import CATEGORY_OF, contents_of, part_of, person_in
from services.intake.domain.items import Part, keyed_hash, may_leave
from services.intake.domain.persons import Address, name_key
from tests.intake.builders import a_person

PROTECTED = Address("Erfundene Gasse 7", "99999", "Musterhausen", protected=True)


def test_a_person_read_out_of_a_dossier_is_the_person_it_was_made_of() -> None:
    person, release = a_person(), new_id()
    parts = [(part_of(CATEGORY_OF[part], said), said) for part, said in contents_of(person).items()]
    read = person_in(parts, person.id, release)
    assert read is not None
    assert read.release == release
    assert [getattr(read, name) for name in ("given_names", "birth_date", "address", "phone", "language")] == [
        person.given_names, person.birth_date, person.address, person.phone, person.language,
    ]


def test_the_address_is_an_item_apart_from_the_name() -> None:
    said = contents_of(a_person())
    assert "Gasse" not in said[Part.IDENTITY]
    assert "Zora" not in said[Part.ADDRESS]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{",
        '{"given_names":"Zora"}',
        '{"given_names":"Zo\\u202era","family_name":"X","birth_date":"2009-05-04"}',
        '{"given_names":"Zora","family_name":"X","birth_date":"gestern"}',
        '{"given_names":7,"family_name":"X","birth_date":"2009-05-04"}',
        "[" * 100_000,
    ],
)
def test_a_dossier_that_names_nobody_readably_makes_no_person(content: str) -> None:
    assert person_in([(Part.IDENTITY, content)], new_id(), new_id()) is None


def test_a_protected_address_leaves_neither_as_item_nor_in_words() -> None:
    """§ 51 BMG: however it is written, in whatever item."""
    assert not may_leave(Part.ADDRESS, "{}", PROTECTED)
    assert not may_leave(Part.OTHER, json.dumps({"note": "wohnt ERFUNDENE  Gasse\n7"}), PROTECTED)
    assert may_leave(Part.IDENTITY, '{"given_names":"Zora"}', PROTECTED)


def test_an_address_that_is_not_protected_may_leave() -> None:
    address = Address("Erfundene Gasse 7", "99999", "Musterhausen")
    assert may_leave(Part.ADDRESS, '{"street":"Erfundene Gasse 7"}', address)
    assert may_leave(Part.OTHER, "{}", None)


def test_names_written_differently_have_one_key() -> None:
    composed, decomposed = "Zoë", unicodedata.normalize("NFD", "Zoë")
    assert name_key(composed, "Groß") == name_key(decomposed, "GROSS")
    assert name_key("Zora  Mia", "X") == name_key("zora mia", "x")
    assert name_key("Zora", "İnanç") == name_key("ZORA", "İNANÇ")


def test_one_content_has_another_fingerprint_in_every_item() -> None:
    assert keyed_hash(b"a" * 32, "2009-05-04") != keyed_hash(b"b" * 32, "2009-05-04")
    assert len(keyed_hash(b"a" * 32, "2009-05-04")) == 64


def test_a_received_item_is_a_part_of_the_person_by_its_fields() -> None:
    assert part_of(DataCategory.MASTER_DATA, '{"birth_date":"2009-05-04"}') is Part.IDENTITY
    assert part_of(DataCategory.MASTER_DATA, '{"street":"Gasse"}') is Part.ADDRESS
    assert part_of(DataCategory.CONTACT, "{}") is Part.CONTACT
    assert part_of(DataCategory.SCHOOL, '{"birth_date":"2009-05-04"}') is Part.OTHER
