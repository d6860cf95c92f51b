"""Words between agencies, written against a handover reference before any event names them."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from chassis.transitions import Condition, Context, Decided, Refused, Row, Table
from services.intake.domain.conditions import Reason
from services.intake.domain.items import Item

WORDS_MAX = 500  # per handover: as many as one event can name


class WordsState(StrEnum):
    """What is written stays; more may be written."""

    NONE = "none"
    WRITTEN = "written"


@dataclass(frozen=True, slots=True)
class Words:
    """What this agency wrote under one handover reference. `id` is the reference; `written` is saved, never loaded."""

    id: UUID
    version: int = 0
    state: WordsState = WordsState.NONE
    count: int = 0
    written: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """An answer, a note, a feedback: one item."""

    item: Item


def write(words: Words, command: Write, context: Context) -> Words:
    """Keep one item more."""
    return replace(words, count=words.count + 1, written=(*words.written, command.item))


room_left: Condition[Words] = Condition(
    lambda words, command, context: words.count < WORDS_MAX, Reason.TOO_MANY_WORDS
)

# fmt: off
WORDS = Table[Words](not_now=Reason.NOT_NOW, rows=(
    Row(WordsState.NONE,    Write, WordsState.WRITTEN, because="the event that names them tells it", does=(write,)),
    Row(WordsState.WRITTEN, Write, WordsState.WRITTEN, provided=(room_left,), does=(write,)),
))
# fmt: on


def decide(words: Words, command: Any, context: Context) -> Decided[Words] | Refused:
    """The one answer to a command about words."""
    return WORDS.decide(words, command, context)
