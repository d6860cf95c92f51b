"""What a service hears: each event once, in the order of its lane; repeats, gaps and forks told apart.

A lane is one subject on one topic. Everything here happens inside the transaction that applies the events, with the
lanes locked in key order: the lane's number, the inbox row and the effect are one commit (models/Channel.tla).
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.brake import LANES_MAX, Pulled, TooManyLanes, pull_if_too_many
from chassis.database import BIGINTS, INTS, MOMENT, MOMENTS, TEXTS, UUIDS, Statement
from chassis.envelope import Envelope, Record
from chassis.parking import WAITING, LaneKey, Parked, Trouble, Waits, forget, park, tried_again, waiting_in
from chassis.transitions import Step

Origin = Literal["own", "channel", "common"]
REMEMBERED = timedelta(days=45)  # of ids: longer than a topic's retention (30 d) and the longest a lane may be held
SubjectQuery = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[Mapping[UUID, Sequence[UUID]]]]


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a topic: the one principal that may write it, and how it is read.

    own: facts of this party, all numbers. channel: facts of another party to this one, all numbers, unknown types
    parked. common: whole objects on a compacted topic, the higher number wins and gaps are normal.
    """

    writer: str
    origin: Origin
    scope: str = ""
    persons_to_skip: int = 1
    """How many different people it takes to let go of a fact; only of the own party's ones they may."""


def others_on(sources: Mapping[str, Source], consumer: str) -> dict[str, str]:
    """The topics on which another party than the consumer's speaks, and which."""
    party = consumer.rpartition(".")[0]
    writers = {topic: source.writer.rpartition(".")[0] for topic, source in sources.items() if source.origin != "own"}
    return {topic: writer for topic, writer in writers.items() if writer != party}


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known of a heard event besides its body. `writer` is authentic: it comes from the topic."""

    id: UUID
    type: str
    topic: str
    writer: str
    subject: UUID
    seq: int
    time: datetime
    scope: str
    scope_version: int
    correlation: str
    traceparent: str | None
    subjects: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Hear:
    """One line of what a service hears: the event class, the commands it becomes, where it may come from.

    `of` finds the own subjects where they are not in the event: one set-based query, event key -> subject ids,
    given to `do` as `meta.subjects`.

    `again`: a restored database hears it again also where it knows a fact that was said because of it. For events whose
    effect is more than such a fact says, and that do no harm twice; a memory may still say that it counts as heard.
    """

    event: type[Any]
    do: Callable[[Any, Meta], Sequence[Step]]
    of: SubjectQuery | None = None
    origin: Origin = "own"
    again: bool = False


@dataclass(frozen=True, slots=True)
class Redrive:
    """A parked event is tried again: the span of its first failure, and the request of whoever asked, if one did."""

    failed_in: str | None = None
    asked_in: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The cause of a work item: one event, read. `trouble` says why it cannot even be tried."""

    record: Record
    meta: Meta
    hear: Hear | None
    event: BaseModel | None
    trouble: str | None = None
    redrive: Redrive | None = None

    @property
    def query(self) -> SubjectQuery | None:
        """How the subjects are found, where the event does not name them."""
        return None if self.hear is None else self.hear.of

    def in_trouble(self, error_class: str) -> Heard:
        """The same event, which cannot be tried."""
        return replace(self, hear=None, event=None, trouble=error_class)

    @property
    def lane(self) -> LaneKey:
        """One subject on one topic."""
        return (self.meta.topic, self.meta.subject)

    def steps(self, subjects: tuple[UUID, ...]) -> Sequence[Step]:
        """The commands this event becomes; none where nobody here hears it or it cannot be tried."""
        if self.hear is None or self.event is None:
            return ()
        meta = replace(self.meta, subjects=subjects) if self.hear.of is not None else self.meta
        return self.hear.do(self.event, meta)


class Hearing:
    """Reads records against what a service hears (`HEARS`) and the topics it reads."""

    def __init__(
        self, hears: Iterable[Hear], sources: Mapping[str, Source], *, scope_attribute: str, version_attribute: str
    ) -> None:
        self._hears = {hear.event.type: hear for hear in hears}
        self._families = {_family(name) for name in self._hears}
        self.sources = sources
        self._scope_attribute, self._version_attribute = scope_attribute, version_attribute

    def read(self, record: Record, *, redrive: Redrive | None = None) -> Heard | None:
        """What a record says; None where its bytes are no event of a known topic."""
        envelope = record.envelope
        source = self.sources.get(record.topic)
        if not isinstance(envelope, Envelope) or source is None:
            return None
        meta = self._meta(record.topic, envelope, source)
        hear = self._hears.get(envelope.type)
        if hear is None:
            foreign = source.origin == "channel" or _family(envelope.type) in self._families
            return Heard(record, meta, None, None, "unknown-type" if foreign else None, redrive)
        if hear.origin != source.origin:
            return Heard(record, meta, None, None, "wrong-topic", redrive)
        try:
            event = hear.event.model_validate_json(record.value or b"")
        except ValidationError:
            return Heard(record, meta, None, None, "invalid-body", redrive)
        if event.key != meta.subject:
            return Heard(record, meta, None, None, "wrong-key", redrive)
        return Heard(record, meta, hear, event, None, redrive)

    def body(self, event_type: str, payload: bytes) -> Any:
        """What the contract knows of a body, nothing else that stands there; None where there is no such contract."""
        hear = self._hears.get(event_type)
        try:
            return None if hear is None else hear.event.model_validate_json(payload).model_dump(mode="json")
        except ValidationError:
            return None

    def _meta(self, topic: str, envelope: Envelope, source: Source) -> Meta:
        version = envelope.extensions.get(self._version_attribute, "0")
        return Meta(
            id=envelope.id,
            type=envelope.type,
            topic=topic,
            writer=source.writer,
            subject=envelope.key,
            seq=envelope.subjectseq,
            time=envelope.time,
            scope=source.scope or envelope.extensions.get(self._scope_attribute, ""),
            scope_version=int(version) if _NUMBER.fullmatch(version) else 0,
            correlation=envelope.extensions.get("correlationid", str(envelope.key)),
            traceparent=envelope.traceparent,
        )


def _family(name: str) -> str:
    """A type without its major version: `a.b.v2` is a newer `a.b.v1`."""
    return name.rpartition(".v")[0]


class Fate(enum.Enum):
    """What happens to a heard event before anything is decided."""

    APPLIED = "applied"
    PASSED_BY = "passed by"  # no password
    KNOWN = "known"
    PARK = "parked"


@dataclass
class _Lane:
    last_seq: int
    last_id: UUID | None
    waiting: list[Waits] = field(default_factory=list)
    changed: bool = False


class Lanes:
    """The lanes of one batch, locked: judges events in order and remembers what became of them until `write`."""

    def __init__(self, consumer: str, origins: Mapping[str, Source]) -> None:
        self._consumer, self._sources = consumer, origins
        self._lanes: dict[LaneKey, _Lane] = {}
        self._known: set[UUID] = set()
        self._applied: list[tuple[Heard, tuple[UUID, ...]]] = []
        self._parked: list[tuple[Heard, Trouble]] = []
        self._redriven: list[Heard] = []
        self.tally: Counter[str] = Counter()
        """How many events were applied, known, and parked with which class."""
        self.oldest_said: datetime | None = None
        """When the oldest event was said that was applied here for the first time."""
        self.pulled: Pulled | None = None
        """The brake, where this batch has parked one lane too many."""

    async def lock(self, tx: AsyncConnection, heard: Sequence[Heard]) -> None:
        """Lock the lanes of these events in key order; those that are not there yet begin here."""
        keys = sorted({item.lane for item in heard})
        if not keys:
            return
        names = {"consumer": self._consumer, "topics": [t for t, _ in keys], "keys": [k for _, k in keys]}
        for row in await _LOCK(tx, names):
            self._lanes[row.topic, row.key] = _Lane(row.last_seq, row.last_id)

    async def know(self, tx: AsyncConnection, known: Iterable[UUID], *, some_wait: bool) -> None:
        """What is known of these events and lanes, seen under their locks; `some_wait`: then it is read what."""
        self._known = set(known)
        for waits in await waiting_in(tx, self._consumer, sorted(self._lanes)) if some_wait else ():
            self._lanes[waits.topic, waits.key].waiting.append(waits)

    def judge(self, heard: Heard, now: datetime) -> tuple[Fate, str]:  # noqa: PLR0911  # one line per fate, in the order they are asked
        """The fate of the next event of its lane, and the class of trouble where it is parked.

        An event is known by its id, or as the last one of its lane, which is remembered longer than ids are. One whose
        effect is known before its number has come (it was recovered) counts in its turn, and has no other effect.
        """
        lane, seq = self._lanes[heard.lane], heard.meta.seq
        known = heard.meta.id in self._known or heard.meta.id == lane.last_id
        if known and (seq <= lane.last_seq or self._sources[heard.meta.topic].origin == "common"):
            return Fate.KNOWN, ""
        if not heard.redrive and any(parked.event_id == heard.meta.id for parked in lane.waiting):
            return Fate.KNOWN, ""
        if self._sources[heard.meta.topic].origin == "common":
            return self._judge_whole_object(heard, lane)
        if heard.hear is None and heard.trouble is None:
            return self._judge_unheard(heard, lane)
        if self._held(heard, lane):
            return Fate.PARK, "behind"
        if seq <= lane.last_seq and not heard.redrive and heard.meta.time < now - REMEMBERED:
            # Read again from a feed, not said anew. What waits here had no effect yet: a fork stays one, however old.
            return Fate.KNOWN, ""
        if seq <= lane.last_seq:
            return Fate.PARK, "fork"
        if seq > lane.last_seq + 1:
            return Fate.PARK, "gap"
        if known:
            return Fate.PASSED_BY, ""
        return (Fate.PARK, heard.trouble) if heard.trouble else (Fate.APPLIED, "")

    @staticmethod
    def _judge_whole_object(heard: Heard, lane: _Lane) -> tuple[Fate, str]:
        if heard.meta.seq <= lane.last_seq:
            return Fate.KNOWN, ""
        return (Fate.PARK, heard.trouble) if heard.trouble else (Fate.APPLIED, "")

    def _judge_unheard(self, heard: Heard, lane: _Lane) -> tuple[Fate, str]:
        if heard.meta.seq > lane.last_seq and self._held(heard, lane):
            return Fate.PARK, "behind"
        return (Fate.PARK, "gap") if heard.meta.seq > lane.last_seq + 1 else (Fate.PASSED_BY, "")

    @staticmethod
    def _held(heard: Heard, lane: _Lane) -> bool:
        """Whether something of this lane waits before this event; what a gap holds lets the missing one through."""
        before = [parked for parked in lane.waiting if parked.seq < heard.meta.seq]
        forked = any(parked.error_class == "fork" for parked in lane.waiting)
        return bool(before) or (forked and not heard.redrive)

    @property
    def parks(self) -> bool:
        """Whether any event of the batch is parked."""
        return bool(self._parked)

    def applied(self, heard: Heard, subjects: Iterable[UUID]) -> None:
        """It has had its effect on these subjects."""
        self.tally["applied"] += 1
        if heard.redrive is None:
            self.oldest_said = min(self.oldest_said or heard.meta.time, heard.meta.time)
        self._applied.append((heard, tuple(dict.fromkeys(subjects)) or (heard.meta.subject,)))
        self._known.add(heard.meta.id)
        self._advance(heard)

    def passed_by(self, heard: Heard) -> None:
        """Nobody here hears this type; its number counts all the same."""
        self._advance(heard)

    def known(self, heard: Heard) -> None:
        """It has had its effect already; where it was still parked, it no longer is."""
        self.tally["known"] += 1
        if heard.redrive:
            self._no_longer_waits(heard)

    def park(self, heard: Heard, trouble: Trouble) -> None:
        """Hold the lane at this event; what follows it in the lane waits behind it."""
        if heard.redrive is None:
            self.tally[trouble.error_class] += 1
        self._parked.append((heard, trouble))
        if not heard.redrive:
            meta = heard.meta
            waits = Waits(meta.topic, meta.subject, meta.seq, meta.id, trouble.error_class, trouble.reason)
            self._lanes[heard.lane].waiting.append(waits)

    @property
    def freed(self) -> set[LaneKey]:
        """Held lanes whose first event can be tried now: what was missing before it has come in this batch."""
        failed = {heard.meta.id for heard, _ in self._parked if heard.redrive}
        return {
            key
            for key, lane in self._lanes.items()
            if lane.changed and (first := next(iter(lane.waiting), None))
            if first.seq == lane.last_seq + 1 and first.error_class in WAITING and first.event_id not in failed
        }

    def _advance(self, heard: Heard) -> None:
        lane = self._lanes[heard.lane]
        lane.last_seq, lane.last_id, lane.changed = max(lane.last_seq, heard.meta.seq), heard.meta.id, True
        if heard.redrive:
            self._no_longer_waits(heard)

    def _no_longer_waits(self, heard: Heard) -> None:
        self._redriven.append(heard)
        lane = self._lanes[heard.lane]
        lane.waiting = [waits for waits in lane.waiting if waits.event_id != heard.meta.id]

    def _check_how_many_are_parked(self) -> None:
        """A batch that would park very many lanes parks none: run singly, its items stop where the brake is pulled."""
        new = {(t.error_class, h.lane) for h, t in self._parked if not h.redrive and t.error_class not in WAITING}
        if any(count > LANES_MAX + 1 for count in Counter(error_class for error_class, _ in new).values()):
            raise TooManyLanes

    async def write(self, tx: AsyncConnection, now: datetime, ends: Mapping[tuple[str, int], int]) -> None:
        """Inbox rows, lane numbers and where hearing stands in one statement; parked events, where there are any."""
        self._check_how_many_are_parked()
        changed = sorted((key, lane) for key, lane in self._lanes.items() if lane.changed)
        if changed or ends:  # whatever was applied has moved its lane
            columns = {
                "topics": [topic for (topic, _), _ in changed],
                "keys": [key for (_, key), _ in changed],
                "seqs": [lane.last_seq for _, lane in changed],
                "ids": [lane.last_id for _, lane in changed],
            }
            columns |= self._inbox_columns() | places(ends)
            await _WRITE(tx, {"consumer": self._consumer, "now": now} | columns)
        new = [(_parked(h), trouble, h.meta.traceparent) for h, trouble in self._parked if not h.redrive]
        await park(tx, self._consumer, new)
        if any(trouble.error_class not in WAITING for _, trouble, _ in new):
            self.pulled = await pull_if_too_many(tx, self._consumer, others_on(self._sources, self._consumer))
        # What was not even tried, because the one before it failed, has had no attempt.
        again = [(_parked(h), t) for h, t in self._parked if h.redrive and t.error_class != "behind"]
        await tried_again(tx, self._consumer, again)
        await forget(tx, self._consumer, [_parked(heard) for heard in self._redriven])

    def _inbox_columns(self) -> dict[str, list[Any]]:
        rows = [(heard.meta, subject) for heard, subjects in self._applied for subject in subjects]
        return {
            "events": [meta.id for meta, _ in rows],
            "subjects": [subject for _, subject in rows],
            "event_topics": [meta.topic for meta, _ in rows],
            "event_keys": [meta.subject for meta, _ in rows],
            "event_seqs": [meta.seq for meta, _ in rows],
            "types": [meta.type for meta, _ in rows],
            "traces": [meta.traceparent for meta, _ in rows],
            "said": [meta.time for meta, _ in rows],
        }


def places(ends: Mapping[tuple[str, int], int]) -> dict[str, list[Any]]:
    """The parameters of `HEARD_UP_TO`: the next offset by topic and partition."""
    rows = sorted(ends.items())
    return {
        "place_topics": [topic for (topic, _), _ in rows],
        "partitions": [partition for (_, partition), _ in rows],
        "offsets": [end for _, end in rows],
    }


def _parked(heard: Heard) -> Parked:
    meta = heard.meta
    return Parked(meta.topic, meta.subject, meta.seq, meta.id, meta.type, heard.record)


_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)

# Those that are there first, in key order, then the others, in key order. A lane that another transaction begins at the
# same moment is waited for and locked as it is then.
_LOCK = Statement("""
    WITH asked AS (
        SELECT * FROM unnest(:topics, :keys) AS asked (topic, key)
    ), there AS (
        SELECT topic, key, last_seq, last_id FROM lane
        WHERE consumer = :consumer AND (topic, key) IN (SELECT topic, key FROM asked)
        ORDER BY topic, key FOR UPDATE
    ), begun AS (
        INSERT INTO lane (consumer, topic, key, last_seq)
        SELECT :consumer, topic, key, 0 FROM asked WHERE (topic, key) NOT IN (SELECT topic, key FROM there)
        ORDER BY topic, key
        ON CONFLICT (consumer, topic, key) DO UPDATE SET last_seq = lane.last_seq
        RETURNING topic, key, last_seq, last_id
    )
    SELECT * FROM there UNION ALL SELECT * FROM begun
""", consumer=sa.Text(), topics=TEXTS, keys=UUIDS)

HEARD_UP_TO = """
    INSERT INTO heard_up_to (consumer, topic, partition, next_offset)
    SELECT :consumer, topic, partition, next_offset
    FROM unnest(:place_topics, :partitions, :offsets) AS new (topic, partition, next_offset)
    ORDER BY topic, partition
    ON CONFLICT (consumer, topic, partition)
    DO UPDATE SET next_offset = excluded.next_offset, written_at = clock_timestamp()
"""
"""Where hearing stands, see `executor.positions`."""
PLACES: Mapping[str, sa.types.TypeEngine[Any]] = {
    "consumer": sa.Text(), "place_topics": TEXTS, "partitions": INTS, "offsets": BIGINTS,
}

_WRITE = Statement(f"""
    WITH moved AS ({HEARD_UP_TO}), remembered AS (
        INSERT INTO inbox (consumer, event_id, subject, topic, key, seq, type, traceparent, said_at, heard_at)
        SELECT :consumer, event_id, subject, topic, key, seq, type, trace, said, :now
        FROM unnest(:events, :subjects, :event_topics, :event_keys, :event_seqs, :types, :traces, :said)
             AS new (event_id, subject, topic, key, seq, type, trace, said)
    )
    UPDATE lane SET last_seq = new.seq, last_id = new.id, updated_at = clock_timestamp()
    FROM unnest(:topics, :keys, :seqs, :ids) AS new (topic, key, seq, id)
    WHERE lane.consumer = :consumer AND lane.topic = new.topic AND lane.key = new.key
""",  # noqa: S608  # put together from the constant above
    **PLACES, now=MOMENT, topics=TEXTS, keys=UUIDS, seqs=INTS, ids=UUIDS,
    events=UUIDS, subjects=UUIDS, event_topics=TEXTS, event_keys=UUIDS, event_seqs=INTS, types=TEXTS, traces=TEXTS,
    said=MOMENTS,
)
