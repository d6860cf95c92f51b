"""What the intake service remembers, and how its cases and words are decided on."""

from typing import Final

from chassis.executor import Kind
from services.intake.domain import law, words
from services.intake.store.answering import answer, answer_words
from services.intake.store.loading import load, load_words
from services.intake.store.saving import save, save_words
from services.intake.store.tables import metadata

__all__ = ["CASE", "CASES", "WORDS", "WRITTEN", "metadata"]

CASE: Final = "case"
WORDS: Final = "words"

CASES: Final = Kind(CASE, load=load, save=save, decide=law.decide, answer=answer, reserves=law.reserves)
WRITTEN: Final = Kind(WORDS, load=load_words, save=save_words, decide=words.decide, answer=answer_words)
