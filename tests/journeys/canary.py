"""Invented people whose every word can be told from all others, and the search for those words."""

from __future__ import annotations

import re
from base64 import b64encode

STEM = "Zimtqvxwk"  # part of every name and every free text; no other word has it, and chance does not write it
PHONE = "23125"  # Berlin numbers that are given to nobody but stories (Bundesnetzagentur)
BIRTH_YEARS = range(2004, 2009)  # no other date of these years is anywhere
MARKS_MAX = 26**3


def mark(number: int) -> str:
    """A word of letters that no other number has: names have no digits."""
    if number >= MARKS_MAX:
        raise ValueError("more people than words for them")
    letters = (chr(ord("a") + number // 26**place % 26) for place in (2, 1, 0))
    return STEM + "".join(letters)


def birth_date(number: int) -> str:
    """A day in one of those years, as ISO writes it."""
    year = BIRTH_YEARS[number % len(BIRTH_YEARS)]
    return f"{year}-{number % 10 + 1:02}-{number % 28 + 1:02}"


def phone(number: int) -> str:
    """One of the numbers that belong to nobody."""
    return f"+49 30 {PHONE} {number % 1000:03}"


def _in_base64(word: str) -> list[str]:
    """The part of its base64 that does not depend on what stands before and after, for the three ways it can begin."""
    whole = [b64encode(b"\0" * before + word.encode()).decode() for before in range(3)]
    return [text[start:-4] for text, start in zip(whole, (0, 2, 3), strict=True)]


# The stem is ASCII, so composing, decomposing, escaping and changing case leave it findable. Every ISO date of a birth
# year counts, and every number of a story.
_NAMES = "|".join(re.escape(each) for each in (STEM, STEM.encode().hex()))
_CODED = "|".join(re.escape(each) for each in _in_base64(STEM))
_YEARS = "|".join(map(str, BIRTH_YEARS))
_DATES = rf"(?<!\d)(?:{_YEARS})-[01]\d-[0-3]\d(?!\d)|(?<!\d)[0-3]\d\.[01]\d\.(?:{_YEARS})(?!\d)"
_PHONES = rf"{PHONE}[ -]\d{{3}}|3023125\d{{3}}"
_PATTERN = re.compile(f"(?i:{_NAMES})|{_CODED}|{_DATES}|{_PHONES}".encode())
SHOWN_BYTES = 30


def canaries_in(where: bytes) -> list[str]:
    """Every place that names somebody, with a little around it; none in what may be seen."""
    return [
        where[max(0, hit.start() - SHOWN_BYTES) : hit.end() + SHOWN_BYTES].decode("utf-8", "replace")
        for hit in _PATTERN.finditer(where)
    ]
