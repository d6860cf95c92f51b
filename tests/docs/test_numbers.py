"""The numbers in explanations and how-tos are those of the code, or were measured."""

import re
from math import ceil
from pathlib import Path

import pytest

from chassis import brake, consumer, parking, relay, service
from chassis.executor import run as executor
from chassis.feed import reading
from chassis.http import limits, line, serve, server
from chassis.inbox import REMEMBERED
from chassis.metrics import INSTRUMENTS
from contracts.events import TopicKind
from contracts.topics import CONFIGS, DAY_MS
from deploy.embedded import keys, pki
from deploy.embedded.postgres import LIMITS, LIMITS_OF
from deploy.system import STOP_SECONDS_MAX
from services.consent.domain.duties import ANSWER_WITHIN
from services.consent.door.releasing import CHUNK_BYTES, LEASE_SECONDS
from services.consent.door.withdrawal import ANSWER_SECONDS
from tests.crash.history import DRAIN_SECONDS_MAX
from tests.crash.town import ERRANDS_SECONDS
from tests.hostile.fence import LIMIT_BYTES, MB, PEAK_BYTES_MAX
from tests.hostile.test_deaths import RECORD_BYTES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*(DOCS / "explanation").glob("*.md"), *(DOCS / "how-to").glob("*.md")])

WORDS: dict[float, str] = {1: "one", 2: "two", 3: "three", 16: "sixteen", 100: "a hundred"}
WORDS |= {0.1: "a tenth of a second", 0.25: "a quarter of a second"}
KEPT_DAYS = int(CONFIGS[TopicKind.CHANNEL]["retention.ms"]) // DAY_MS
OTHER_FILES = 500
KIB, MIB = 1024, 1024 * 1024
# One for each connection, a second one for each answer that is streamed, and what else a service opens.
FILES = 1000 * ceil((server.LINES_MAX + line.CONNECTIONS_MAX + OTHER_FILES) / 1000)
(FIRST, SECOND, THIRD, FOURTH, LAST) = parking.RETRY_SECONDS

# What a page says, made from the constants it speaks of.
SAID: dict[str, tuple[str, ...]] = {
    "explanation/consent-door.md": (
        f"one response of 256 KB started less than {LEASE_SECONDS:.0f} s before the answer",
        f"at most {ANSWER_SECONDS} s is there an intent?",
        f"send until {LEASE_SECONDS:.0f} s after the look",
        f"{WORDS[LEASE_SECONDS]} seconds from before the first question",
        f"the withdrawal waits {ANSWER_SECONDS} s of its own time",
        f"what fits into {WORDS[LEASE_SECONDS]} seconds",
        f"a buffer of {CHUNK_BYTES // KIB} KB",
        f"within {ANSWER_WITHIN.days} days where no agreement says otherwise",
    ),
    "explanation/delivery.md": (
        f"up to {executor.BATCH_MAX} items, and runs them in one transaction",
        f"longer ago than ids are remembered ({REMEMBERED.days} days)",
        f"everything must come to rest within {DRAIN_SECONDS_MAX:.0f} s, and a judge",
        f"leases within {DRAIN_SECONDS_MAX:.0f} s; an errand that backs off gets {ERRANDS_SECONDS:.0f} s more",
    ),
    "explanation/faults.md": (
        f"come to rest within {DRAIN_SECONDS_MAX:.0f} s",
        f"a chunk is {CHUNK_BYTES // KIB} KB",
        *(f"tried again {one.BACKOFF_SECONDS_MOST * 1.2} s after the last attempt ended" for one in (consumer, relay)),
        f"ends after {relay.CONNECT_SECONDS:.0f} s (speaking) or {consumer.CONNECT_SECONDS:.0f} s (hearing)",
        f"left alone for {relay.ASIDE_SECONDS:.0f} s by its writer, {consumer.LOOK_AGAIN_SECONDS:.0f} s by its reader",
        f"A stop takes at most {service.STOP_SECONDS} s",
        f"the platform's SIGKILL after {STOP_SECONDS_MAX} s",
        f"is kept for {service.REST_SECONDS} s",
        f"the answer waits {ANSWER_SECONDS} s for its lease",
    ),
    "explanation/limits.md": (
        f"| connections | {line.CONNECTIONS_MAX}, those that were there first;",
        f"of more than {server.LINES_MAX} that are open at once, without a word |",
        f"one that never asks is hung up on after {line.HEADER_SECONDS_MAX:.0f} s",
        f"| headers | {limits.HEADERS_BYTES_MAX // KIB} KB, {line.HEADER_SECONDS_MAX:.0f} s |",
        f"| a body | {limits.BODY_BYTES_MAX // KIB} KB, {limits.BODY_SECONDS_MAX:.0f} s |",
        (f"| bodies that come in | {limits.COMING_IN_BYTES_MAX // MIB} MB, of one caller "
        f"{limits.COMING_IN_BYTES_OF_ONE // MIB} MB |"),
        (f"| bodies that are worked on | {limits.WORKED_ON_BYTES_MAX // MIB} MB, of one caller "
        f"{limits.WORKED_ON_BYTES_OF_ONE // MIB} MB:"),
        f"of those over {serve.AT_ONCE_BYTES_MAX // KIB} KB one is read at a time",
        (f"| wrong codes of receipts from one address | {limits.WRONG_AT_ONCE}, one forgotten a minute; then one try a "
        f"second, in a line of {limits.IN_LINE_SECONDS_MAX:.0f} s, which holds its connection meanwhile | 429 |"),
        f"| an answer that nobody reads | {line.UNREAD_SECONDS_MAX:.0f} s |",
        f"of one partition {consumer.PARTITION_BYTES // KIB} KB as they are sent",
        f"a record of {RECORD_BYTES // MB} MB ended the process",
        f"died {WORDS[brake.DEATHS_MAX]} times in a row before its first batch was through",
        f"and {WORDS[brake.DEATHS_MAX]} that began with it",
        f"whose services have {LIMIT_BYTES // MB} MB each",
        f"no process may have needed {PEAK_BYTES_MAX // MB} MB",
    ),
    "explanation/speed.md": (
        f"only for {WORDS[executor.BESIDE_MIN]} items or after {WORDS[executor.BESIDE_SECONDS]}",
        *(
            f"After a batch of {WORDS[one.BUSY_RECORDS]} records or more, relay and consumer wait for the next as long "
            f"as the last one took, at most {WORDS[one.GATHER_SECONDS_MOST]}"
            for one in (consumer, relay)
        ),
    ),
    "how-to/answer-an-alarm.md": (
        f"more than {brake.LANES_MAX} lanes within a minute",
        f"facts have room for {int(CONFIGS[TopicKind.OWN]['max.message.bytes']) // KIB} KB",
        f"cut after {parking.PAGE} rows",
    ),
    "how-to/catch-up-after-a-long-absence.md": (
        f"Topics keep {KEPT_DAYS} days",
        f"a page takes longer than {reading.ANSWER_SECONDS:.0f} s",
    ),
    "how-to/look-up-a-log-line.md": (f"let it open at least {FILES} for each service that it runs (`ulimit -n`)",),
    "how-to/mend-a-held-lane.md": (
        f"{WORDS[FIRST // 60]} minute after its failure, then after {SECOND // 60} and {THIRD // 60} minutes",
        f"{FOURTH // 3600} hours, and every {LAST // 3600} hours from then on (each ± {parking.SPREAD * 100:.0f} %)",
        f"at most {parking.LANES_AT_ONCE} lanes in one call",
        f"More than {brake.LANES_MAX} lanes parked with one class within a minute",
        f"when it has died {WORDS[brake.DEATHS_MAX]} times in a row",
        f"among the first {consumer.BATCH_RECORDS_MAX} records of those partitions",
    ),
    "how-to/restore-a-backup.md": (f"facts of the last {KEPT_DAYS} days",),
    "how-to/rotate-a-key.md": (f"within {keys.RENEW_DAYS} days of a key's end",),
    "how-to/run-with-containers.md": (
        f"certificates with less than {pki.RENEW_DAYS} days left",
        f"on SIGTERM, within {STOP_SECONDS_MAX} seconds",
    ),
    "how-to/use-your-own-kafka-and-postgresql.md": (
        f"SET statement_timeout = '{LIMITS['statement_timeout']}'",
        f"SET lock_timeout = '{LIMITS['lock_timeout']}'",
        f"SET idle_in_transaction_session_timeout = '{LIMITS_OF['consent']['idle_in_transaction_session_timeout']}'",
        f"the other services: {LIMITS['idle_in_transaction_session_timeout']}",
    ),
}
# What was measured, or counted, and is no constant.
MEASURED: dict[str, tuple[str, ...]] = {
    "explanation/faults.md": (r"\| [^|]* \|\n", r"needed 40 to 55 s to come back"),
    "explanation/limits.md": (r"took intake to \d+ MB",),
    "explanation/speed.md": (r"12 messages, 28 deliveries, 31 items of work",),
    "how-to/answer-an-alarm.md": (r"(?m)^\| `[a-z.0-9]+`(, state `\w+`)? \| [^|]+ \|", r"no metrics at all \| 1 min"),
}
NUMBER = re.compile(
    r"\b\d[\d.,]* ?(?:s|ms|KB|MB|d|days?|min|minutes?|h|hours?|lanes?|items?|seconds?|records?)\b(?! and)"
)


def _flat(text: str) -> str:
    """As one line, quotations too."""
    return re.sub(r"\s+(?:> )?", " ", text)


def _page(page: str) -> str:
    return _flat((DOCS / page).read_text("utf-8"))


@pytest.mark.parametrize("page", SAID)
def test_what_a_page_says_in_numbers_is_what_the_code_does(page: str) -> None:
    text = _page(page)
    assert [said for said in SAID[page] if said not in text] == []


@pytest.mark.parametrize("page", [str(page.relative_to(DOCS)) for page in PAGES])
def test_a_page_has_no_number_that_nobody_compares(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    for measured in MEASURED.get(page, ()):
        text = re.sub(measured, " ", text)
    text = _flat(text)
    for said in SAID.get(page, ()):
        text = text.replace(said, " ")
    assert NUMBER.findall(text) == []


def test_the_runbook_alarms_from_where_the_metrics_do() -> None:
    runbook = _page("how-to/answer-an-alarm.md")
    for each in INSTRUMENTS:
        for state, alarm in re.findall(r"`(\w+)` ([^,]+)", each.alarm) or ([("", each.alarm)] if each.alarm else []):
            of = f", state `{state}`" if state else ""
            assert f"| `{each.name}`{of} | {alarm} |" in runbook
