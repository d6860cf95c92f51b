"""The code of a receipt: short, unguessable, the same whenever it is printed, found however it is typed."""

from collections import Counter
from datetime import timedelta

import pytest

from contracts.new_ids import new_id
from services.consent.domain.receipt_codes import (
    ALPHABET,
    TICKET_SECONDS,
    code_of,
    hash_of,
    in_groups,
    ticket_holds,
    ticket_of,
)
from tests.consent.builders import NOW

SECRET = bytes(range(32))


def test_a_code_has_sixty_bits_in_twelve_characters_that_nobody_confuses() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("ILOU") & set(ALPHABET)
    codes = [code_of(SECRET, new_id()) for _ in range(2000)]
    assert {len(code) for code in codes} == {12}
    seen = Counter(character for code in codes for character in code)
    assert set(seen) == set(ALPHABET)
    assert max(seen.values()) < 1.4 * min(seen.values()), "every character is as likely as every other one"


def test_it_follows_from_the_consent_and_the_services_secret_and_from_nothing_else() -> None:
    consent = new_id()
    assert code_of(SECRET, consent) == code_of(SECRET, consent)
    assert code_of(SECRET, consent) != code_of(SECRET, new_id())
    assert code_of(SECRET, consent) != code_of(bytes(32), consent)


def test_what_is_kept_of_it_is_of_no_use_without_the_secret() -> None:
    code = code_of(SECRET, new_id())
    assert hash_of(SECRET, code) != hash_of(bytes(32), code)
    assert code.encode() not in hash_of(SECRET, code)


@pytest.mark.parametrize(
    "typed", ["ABCD-EF01-JKMN", "abcdef01jkmn", " abcd ef0l jkmn ", "ABCD-EFOI-JKMN", "ABCD\u2013EF01\u2010JKMN\n"]
)
def test_it_is_read_as_people_type_it(typed: str) -> None:
    assert hash_of(SECRET, typed) == hash_of(SECRET, "ABCDEF01JKMN")


@pytest.mark.parametrize(
    "typed", ["", "ABCDEF01JKM", "ABCDEF01JKMU", "ABCDEF01JKMNP", "ABCDEF01JKM\N{GREEK SMALL LETTER NU}"]
)
def test_anything_else_is_not_it(typed: str) -> None:
    assert hash_of(SECRET, typed) != hash_of(SECRET, "ABCDEF01JKMN")


def test_it_is_printed_in_groups() -> None:
    assert in_groups("ABCDEF01JKMN") == "ABCD-EF01-JKMN"


def test_a_ticket_says_of_one_code_alone_that_it_was_right_not_long_ago() -> None:
    ticket = ticket_of(SECRET, "ABCD-EFGH-JKMN", NOW)
    for later in (timedelta(0), timedelta(seconds=TICKET_SECONDS)):
        assert ticket_holds(SECRET, "abcdefghjkmn", ticket, NOW + later)
    assert not ticket_holds(SECRET, "ABCD-EFGH-JKMN", ticket, NOW + timedelta(seconds=2 * TICKET_SECONDS))
    assert not ticket_holds(SECRET, "ABCD-EFGH-JKMN", ticket, NOW - timedelta(seconds=TICKET_SECONDS))
    assert not ticket_holds(SECRET, "ABCD-EFGH-JKMP", ticket, NOW)
    assert not ticket_holds(bytes(32), "ABCD-EFGH-JKMN", ticket, NOW)
    for nonsense in ("", "x", "\N{PILE OF POO}", ticket[:-1], hash_of(SECRET, "ABCD-EFGH-JKMN").hex()):
        assert not ticket_holds(SECRET, "ABCD-EFGH-JKMN", nonsense, NOW)
