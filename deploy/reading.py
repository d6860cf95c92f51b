"""Looks at what is there: topics as any client sees them, and the timelines of one handover over all agencies."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaConnectionError, KafkaError  # type: ignore[import-untyped]  # ships no types
from rich.console import Console
from rich.table import Table

from deploy.installation import Installation
from deploy.mistakes import MistakeError
from deploy.tokens import access_token

PATIENCE_SECONDS = 5.0


def tls_of(installation: Installation, principal: str) -> ssl.SSLContext:
    """A client's side of mutual TLS. FileNotFoundError for a principal that has no certificate."""
    ca, certificate, key = installation.tls(principal)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca))
    context.load_cert_chain(str(certificate), str(key))
    return context


async def read_topics(
    installation: Installation, principal: str, names: Sequence[str], *, follow: bool, say: Callable[[str], Any]
) -> int:
    """Print every record of these topics (all visible ones without names); returns how many there were."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=installation.bootstrap,
        security_protocol="SSL",
        ssl_context=tls_of(installation, principal),
        group_id=f"{principal}.read-{uuid4()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    seen = 0
    try:
        await consumer.start()
        visible = sorted(name for name in await consumer.topics() if not name.startswith("__"))
        wanted = [name for name in visible if not names or name in names]
        for missing in sorted(set(names) - set(wanted)):
            say(f"{principal} may not see {missing}, or there is no such topic")
        if not wanted:
            return 0
        consumer.subscribe(wanted)
        while True:
            batches = await consumer.getmany(timeout_ms=int(PATIENCE_SECONDS * 1000) if seen == 0 else 1000)
            records = [record for batch in batches.values() for record in batch]
            for record in sorted(records, key=lambda each: each.timestamp):
                say(as_line(record))
                seen += 1
            if not records and not follow:
                return seen
    except KafkaConnectionError as error:
        raise MistakeError(f"no cluster answers {principal} at {installation.bootstrap}") from error
    except KafkaError as error:
        say(f"refused: {type(error).__name__}")
        return seen
    finally:
        await consumer.stop()


def as_line(record: ConsumerRecord) -> str:
    """Topic, partition, offset, number, type, key and body of one record."""
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    key, body = ((part or b"").decode("utf-8", "replace") for part in (record.key, record.value))
    place = f"{record.topic}/{record.partition}@{record.offset}"
    return f"{place}  #{headers.get('ce_subjectseq', '?')}  {headers.get('ce_type', '?')}  {key}  {body}"


async def timelines(installation: Installation, ref: str) -> dict[str, list[dict[str, Any]]]:
    """Agency -> what its handover service told and heard about this handover, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    async with httpx.AsyncClient(timeout=10.0) as client:
        for agency in installation.agencies:
            token = access_token(installation, agency, "handover", ["caseworker"], "timeline")
            answer = await client.get(
                f"{installation.url(agency, 'handover')}/handovers/{ref}/timeline",
                headers={"authorization": f"Bearer {token}"},
            )
            if answer.is_success:
                found[agency] = answer.json()["entries"]
    return found


async def print_timelines(installation: Installation, ref: str, console: Console) -> None:
    """The timelines as one table, in the order of time."""
    found = await timelines(installation, ref)
    if not found:
        raise MistakeError(f"none of {', '.join(installation.agencies)} knows a handover {ref}")
    console.print(as_table((agency, entry) for agency, entries in found.items() for entry in entries))


def as_table(entries: Iterable[tuple[str, dict[str, Any]]]) -> Table:
    """Time, agency, told or heard, type, topic, number and trace id of each entry."""
    table = Table("time (UTC)", "agency", "", "event", "topic", "#", "trace", box=None, pad_edge=False)
    for agency, entry in sorted(entries, key=lambda pair: pair[1]["at"]):
        event = entry["type"].removeprefix("staffel.")
        table.add_row(
            entry["at"][11:23], agency, entry["way"], event, entry["topic"], str(entry["seq"]), entry["trace"] or ""
        )
    return table
