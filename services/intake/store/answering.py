"""What a command's caller gets: ids, codes, numbers; names are only ever the answer to a GET."""

from collections.abc import Mapping

from pydantic import JsonValue

from services.intake.domain import law, words
from services.intake.domain.case import Case
from services.intake.domain.words import Words


def answer(case: Case) -> Mapping[str, JsonValue]:
    """What a command's caller gets: ids, codes, numbers; names are only ever the answer to a GET."""
    return {
        "id": str(case.id),
        "state": case.state,
        "version": case.version,
        "allowed": list(law.CASE.allowed(case.state)),
        "person": None if case.person is None else str(case.person),
        "local_number": case.local_number,
        "warnings": [str(warned) for warned in sorted(case.warned)],
    }


def answer_words(written: Words) -> Mapping[str, JsonValue]:
    """What an event that names the words needs: the last item's id, its size and its hash."""
    last = written.written[-1]
    return {
        "id": str(written.id),
        "state": written.state,
        "version": written.version,
        "allowed": list(words.WORDS.allowed(written.state)),
        "item": str(last.id),
        "bytes": len(last.content.encode()),
        "hash": last.hash,
    }
