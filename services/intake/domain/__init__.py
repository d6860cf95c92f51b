"""What a case is and which commands change it: `law.py` has the table, `words.py` a small one of its own."""

from services.intake.domain.case import Case, DossierState, State
from services.intake.domain.conditions import Reason
from services.intake.domain.law import CASE
from services.intake.domain.words import WORDS, Words

__all__ = ["CASE", "WORDS", "Case", "DossierState", "Reason", "State", "Words"]
