"""Types for what people write and when: text, names, instants and days as they may come in from outside."""
from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError

TEXT_CHARACTERS_MAX = 4000  # two pages; longer things are attachments
NAME_CHARACTERS_MAX = 200  # the longest names of the registers fit twice
YEAR_FIRST, YEAR_LAST = 1900, 2199  # outside lie typing errors and years that overflow when a zone is applied

# Control characters but line feed and tab; what changes direction or is not seen (soft hyphen, joiners, marks, fillers,
# tags); line separators; interlinear annotation; surrogates and noncharacters. Such text reads other than it compares.
_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
# Beside letters and marks, what DIN 91379 has in names of people: apostrophes, accents alone, hyphens, dots, brackets.
_BETWEEN_LETTERS = frozenset(" '`-.,/()\u00b4\u00b7\u02bc\u2010\u2019")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.]\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Body(BaseModel):
    """What a command's body is made from: nothing unknown, nothing guessed, nothing repeated in an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def _text(value: str) -> str:
    composed = unicodedata.normalize("NFC", value.replace("\r\n", "\n"))
    if _UNSEEN.search(composed):
        raise PydanticCustomError("text_unseen", "contains characters that cannot be seen")
    if not composed.strip():
        raise PydanticCustomError("text_blank", "contains nothing but spaces")
    return composed


def _all_seen(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    waiting: list[JsonValue] = [value]
    for part in waiting:  # grows while it is read; `match` takes five times as long, and this may be 80,000 parts
        if isinstance(part, str):
            if _UNSEEN.search(part):
                raise PydanticCustomError("text_unseen", "contains characters that cannot be seen")
        elif isinstance(part, dict):
            waiting += part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return value


def _name(value: str) -> str:
    composed = _text(value).strip(" ")
    letters = False
    for character in composed:
        if unicodedata.category(character)[0] in "LM":
            letters = True
        elif character not in _BETWEEN_LETTERS:
            raise PydanticCustomError("name_character", "contains a character that names do not have")
    if not letters:
        raise PydanticCustomError("name_blank", "contains no letter")
    return composed


def _read_as(read: Callable[[str], date], pattern: re.Pattern[str]) -> Any:
    def from_text(value: object) -> object:
        """Numbers and numeric strings are no times, although pydantic would take them as seconds since 1970."""
        if not isinstance(value, str):
            return value
        try:
            if pattern.fullmatch(value):
                return read(value)
        except ValueError:
            pass  # written as a time, but the calendar or the clock does not have it
        raise PydanticCustomError("time_form", "is no time as RFC 3339 writes it")

    return BeforeValidator(from_text)


def _instant(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise PydanticCustomError("instant_naive", "has no offset from UTC")
    if not YEAR_FIRST <= value.year <= YEAR_LAST:
        raise PydanticCustomError("instant_range", "is not between the years 1900 and 2199")
    return value.astimezone(UTC)


def _day(value: date) -> date:
    if not YEAR_FIRST <= value.year <= YEAR_LAST:
        raise PydanticCustomError("day_range", "is not between the years 1900 and 2199")
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS_MAX), AfterValidator(_text)]
"""Free text: NFC, line feeds and tabs but no other control characters, nothing unseen, not only spaces.

Everything that can be seen is taken as it is, markup included. Shorter: `Annotated[Text, Field(max_length=200)]`.
"""

Content = Annotated[dict[str, JsonValue], AfterValidator(_all_seen)]
"""An object of the caller's own making: any JSON, with texts in which everything can be seen."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARACTERS_MAX), AfterValidator(_name)]
"""A person's name: NFC, letters of any script with their marks (DIN 91379 included), apostrophes, hyphens, dots."""

Instant = Annotated[datetime, _read_as(datetime.fromisoformat, _INSTANT), AfterValidator(_instant)]
"""A point in time, written as RFC 3339 with an offset; in UTC from here on."""

Day = Annotated[date, _read_as(date.fromisoformat, _DAY), AfterValidator(_day)]
"""A calendar day, written as RFC 3339 full-date."""
