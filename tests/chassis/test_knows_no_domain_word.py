"""The chassis could be published tomorrow: it speaks no word of the glossary but those of its own mechanism."""

import re
from pathlib import Path

from chassis.http.problems import Trouble
from docs.glossary_table import chapters

CHASSIS = Path(__file__).parents[2] / "chassis"
GLOSSARY = chapters()

# Words of the glossary that mean something else in here, each with what. Whoever adds one says what it means.
HOMONYMS = {
    "accepted": "tokens are accepted",
    "announced": "the Content-Length announces a body",
    "application": "media types begin with it",
    "Answer": "the answer to an HTTP request",
    "answered": "an HTTP request is answered",
    "busy": "an event loop is busy",
    "cancel": "a task of asyncio is cancelled",
    "cancelled": "a task of asyncio is cancelled",
    "case": "Python's match statement",
    "clear": "an event of asyncio is cleared",
    "closed": "lists are closed",
    "completed": "the work of a delivery is completed",
    "decision": "what a table says to a command",
    "destination": "OpenTelemetry's name for a topic",
    "draft": "an Internet draft",
    "given": "English",
    "heard": "events are heard",
    "item": "work items, members of a mapping",
    "known": "ids are known to the inbox",
    "lead": "one relay leads",
    "need": "English",
    "node": "the services of one installation",
    "none": "English",
    "notice": "English",
    "object": "Python's and JSON's object",
    "open": "lists are open",
    "other": "English",
    "outcome": "what a work item came to",
    "person": "a caller who is no program",
    "published": "records are published to a topic",
    "Publish": "the action of that name in Channel.tla",
    "pull": "a brake is pulled",
    "purpose": "the ssl module's word for client or server",
    "refused": "commands are refused",
    "release": "a brake is released",
    "Request": "an HTTP request",
    "sender": "of an HTTP request",
    "stopped": "a part of a service is stopped",
    "told": "facts are told",
    "too-large": "a record that is too large",
    "transfer": "the header Transfer-Encoding",
    "unheard": "what another party says is not read while a brake is on",
    "unreachable": "an address does not answer",
    "waits": "English",
    "withdrawn": "a key is withdrawn",
    "Write": "English",
    "written": "rows are written",
}


def test_the_chassis_speaks_no_word_of_the_domain() -> None:
    found = {word: lines for word in _domain_words() if word not in HOMONYMS and (lines := _lines_with(word))}
    assert not found, "the code belongs into a service, or the word needs another name in here"


def test_no_homonym_is_listed_that_the_chassis_does_not_use() -> None:
    assert not [word for word in HOMONYMS if not _lines_with(word)]


def test_a_domain_word_would_be_found() -> None:
    assert "handover" in _domain_words()
    assert _pattern("handover").search("its Handovers, for example")
    assert _pattern("first contact").search("first_contact = 1")
    assert not _pattern("agency").search("interagency")


def _domain_words() -> set[str]:
    """Everything in the glossary but the chapter *Mechanism* and the reasons that are the mechanism's own."""
    listed = {word for chapter, words in GLOSSARY.items() if chapter != "Mechanism" for word in words}
    return listed - {str(trouble) for trouble in Trouble}


def _pattern(word: str) -> re.Pattern[str]:
    """An identifier as it is; any other word as a whole, in the plural too, its parts joined in any way."""
    if word not in GLOSSARY["Words"]:
        return re.compile(rf"(?<![A-Za-z_-]){re.escape(word)}(?![A-Za-z_-])")
    spelt = "[ _-]".join(map(re.escape, word.split()))
    return re.compile(rf"(?<![A-Za-z]){spelt}s?(?![A-Za-z])", re.IGNORECASE)


def _lines_with(word: str) -> list[str]:
    pattern = _pattern(word)
    return [
        f"{file.relative_to(CHASSIS)}:{number}"
        for file in sorted(CHASSIS.rglob("*"))
        if file.suffix in {".py", ".sql"}
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
