"""Nobody's name, birth date, number or word is anywhere but where people's data are kept. Runs after all journeys."""

from __future__ import annotations

import asyncio
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from json import dumps
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from deploy.system import STOP_SECONDS_MAX
from tests.journeys import canary
from tests.journeys.canary import canaries_in
from tests.journeys.journey import Journey
from tests.journeys.town import Town

PEOPLES_DATA = {"person", "item"}  # the tables of intake that name people; everything else is searched
POSITIONS = {".index", ".timeindex"}  # numbers alone, and 10 MB each, which Kafka reserves beforehand
LAST_TRACE = "SELECT traceparent FROM inbox WHERE key = CAST(:key AS uuid) ORDER BY heard_at DESC LIMIT 1"


@pytest.fixture(scope="package")
async def whole(town: Town) -> Journey:
    """One story from beginning to end, so that the search has something to find when it runs alone."""
    journey = town.journey()
    await journey.until_stored()
    await journey.first_contact()
    await journey.complete()
    await journey.sender_is("completed")
    return journey


WAYS: Mapping[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "composed": lambda text: unicodedata.normalize("NFC", text).encode(),
    "decomposed": lambda text: unicodedata.normalize("NFD", text).encode(),
    "escaped by JSON": lambda text: dumps(text).encode(),
    "decomposed and escaped": lambda text: dumps(unicodedata.normalize("NFD", text)).encode(),
    "in capitals": lambda text: text.upper().encode(),
    "in an address": lambda text: quote(text).encode(),
    "in the midst of bytes": lambda text: b"\0\xff\x1f" + text.encode() + b"\xfe",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_search_finds_a_name_however_it_is_written(way: str, begun: Journey) -> None:
    for text in (begun.given_names, begun.family_name, begun.wish):
        assert canaries_in(WAYS[way](text))


def test_the_search_finds_what_was_coded(begun: Journey) -> None:
    for before in range(3):
        assert canaries_in(b64encode(b"x" * before + begun.family_name.encode()))
    assert canaries_in(begun.family_name.encode().hex().encode())


def test_the_search_finds_birth_dates_and_numbers_and_nothing_else(begun: Journey) -> None:
    year, month, day = begun.birth_date.split("-")
    for text in (begun.birth_date, f"born {day}.{month}.{year}", begun.phone, begun.phone.replace(" ", "")):
        assert canaries_in(text.encode())
    for text in ("2026-11-22T19:30:00Z", "01a204bb-4384-72e1-89bc-b37ae3e3545c", "Zora Beispiel-Zimt", "+49 30 90 27"):
        assert not canaries_in(text.encode())


async def test_a_refusal_repeats_nothing_of_what_was_sent(town: Town, whole: Journey) -> None:
    word, desk = canary.mark(0), whole.sender
    answers = [
        await town.ask(desk, "intake", "/cases", {word: word}),
        await town.ask(desk, "intake", "/cases", {"person": {"given_names": f"{word}1", "family_name": word}}),
        await town.ask(desk, "intake", f"/cases?local_number={word}%20{word}", method="GET"),
        await town.ask(desk, "intake", f"/{word}/{word}", method="GET"),
        await town.ask(desk, "handover", f"/handovers/{word}/request", {"case": word}),
        await town.ask(desk, "consent", f"/persons/{word}/consents", method="GET"),
        await town.ask(desk, "consent", "/consents", {"person": word}, idempotency_key=f"{word} {word}"),
        await town.ask(desk, "offers", "/offers", {word: [word]}, traceparent=word, baggage=f"name={word}"),
    ]
    for answer in answers:
        assert answer.is_client_error
        assert not canaries_in(_whole(answer))


async def test_peoples_data_are_where_they_belong(town: Town, whole: Journey) -> None:
    """The positive control: the same search finds every word of the story at the sender and at the receiver."""
    said = (whole.given_names, whole.family_name, whole.birth_date, whole.phone, whole.wish)
    for principal in ("jobcenter.intake", "jugendamt.intake"):
        tables = await town.contents(principal)
        kept = b"\n".join(tables[table] for table in PEOPLES_DATA)
        for text in said:
            assert text.encode() in kept
        assert len(canaries_in(kept)) >= len(said)


async def test_no_topic_names_anybody(town: Town, whole: Journey) -> None:
    said = await town.said()
    assert whole.handover.encode() in {each.key for each in said}
    assert _found({f"{each.topic} {each.type}": each.bytes for each in said}) == {}


async def test_no_table_but_those_of_people_names_anybody(town: Town, whole: Journey) -> None:
    searched: dict[str, bytes] = {}
    for principal in town.system.servers:
        tables = await town.contents(principal)
        assert {"event_log", "outbox", "inbox", "parked", "unreadable", "answer", "errand"} <= tables.keys()
        of_people = PEOPLES_DATA if principal.endswith(".intake") else set()
        searched |= {f"{principal} {table}": values for table, values in tables.items() if table not in of_people}
    assert any(whole.handover.encode() in rows for rows in searched.values())
    assert _found(searched) == {}


async def test_no_answer_to_a_command_and_no_problem_names_anybody(town: Town, whole: Journey) -> None:
    assert any(whole.handover.encode() in answer for answer in town.answers)
    assert _found({str(number): answer for number, answer in enumerate(town.answers)}) == {}


# --- at the very end: what a service still holds back it writes when it stops -----------------------------------------


@pytest.fixture(scope="package")
async def stopped(town: Town, whole: Journey) -> Journey:
    """Every service has ended and begun anew; all that was to be logged and exported before has been."""
    async with town.stock.resting():
        servers = town.system.servers.values()
        for server in servers:
            server.tell_to_stop()
        await asyncio.gather(*(server.stopped(STOP_SECONDS_MAX) for server in servers))
        await town.mended()
        return whole


async def test_no_log_names_anybody(town: Town, stopped: Journey) -> None:
    """Neither those of the services, of Kafka and PostgreSQL, nor any other file of the installation."""
    files = {str(file.relative_to(town.installation.data)): file for file in _files(town)}
    assert {f"logs/{principal}.log.before" for principal in town.system.servers} <= set(files)
    assert "kafka/node-1.log" in files
    assert "postgres/postgres.log" in files
    searched = {name: file.read_bytes() for name, file in files.items()}
    assert all(searched[f"logs/{principal}.log.before"] for principal in town.system.servers)
    assert _found(searched) == {}


async def test_no_span_names_anybody(town: Town, stopped: Journey) -> None:
    (last,) = await town.rows("jobcenter.handover", LAST_TRACE, key=stopped.handover)
    assert last.traceparent.split("-")[1] in {span.trace_id.hex() for _, span in town.collector.spans()}
    exported = [*town.collector.raw, *town.collector.raw_metrics]
    assert _found({str(number): raw for number, raw in enumerate(exported)}) == {}


def _found(searched: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Where somebody is named; names of places on the left, a little of what was found on the right."""
    hits = {where: canaries_in(content) for where, content in searched.items()}
    return {where: hit[:3] for where, hit in hits.items() if hit}


def _whole(answer: httpx.Response) -> bytes:
    return b"\n".join((answer.content, *(name + b": " + value for name, value in answer.headers.raw)))


def _files(town: Town) -> Iterator[Path]:
    """Every file of the installation but PostgreSQL's own, which are read as tables, and Kafka's lists of positions."""
    postgres = town.addresses.postgres.place.data
    for file in town.installation.data.rglob("*"):
        if file.is_file() and postgres not in file.parents and file.suffix not in POSITIONS:
            yield file
