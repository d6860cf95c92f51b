"""What a service said itself, made its own again: facts as they were said, and the subjects as their facts say.

A service says, fact by fact, what its subjects must have been (`Memory`); nothing is decided anew, told, or invented.
What the facts do not carry stays unknown, is said subject by subject, and permits nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import deadlines, errands
from chassis.envelope import Envelope, Record
from chassis.executor import Kind
from chassis.transitions import Arm, Disarm, Errand, Remembered, Reservation, Said

Whose = Callable[[AsyncConnection, Sequence[Said]], Awaitable[Mapping[UUID, Sequence[UUID]]]]
"""Ids of facts -> the subjects they speak of, where that is not the fact's key: one query for all."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One line of what a service remembers: a fact it said, whom it speaks of, and what that subject is by it."""

    event: type[Any]
    kind: str
    do: Callable[[Any, Said], Remembered[Any]]
    whose: Whose | None = None


@dataclass
class Recollection:
    """The subjects of these facts, folded; `heard` per event, `lost` per subject, are for who writes them down."""

    subjects: dict[tuple[str, UUID], Any] = field(default_factory=dict)
    facts: dict[tuple[str, UUID], list[Said]] = field(default_factory=lambda: defaultdict(list))
    lost: dict[tuple[str, UUID], list[str]] = field(default_factory=lambda: defaultdict(list))
    heard: dict[UUID, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    nobody: list[Said] = field(default_factory=list)
    """Facts that speak of no subject this database could still have."""


async def remember(
    tx: AsyncConnection,
    said: Sequence[Said],
    memories: Sequence[Memory],
    kinds: Mapping[str, Kind[Any]],
    new_id: Callable[[], UUID],
) -> Recollection:
    """Bring all subjects these facts speak of to what the facts say, in their order, in the caller's transaction."""
    spoken_of = await _whose(tx, said, memories)
    loaded = await _loaded(tx, said, spoken_of, kinds)
    found = Recollection(subjects=dict(loaded))
    wanted: dict[tuple[str, UUID], Arm | Disarm] = {}
    sent: dict[tuple[str, UUID, str], tuple[Errand, str | None]] = {}
    held: dict[Reservation, UUID | None] = {}
    for one in said:
        lines = spoken_of[one.id]
        if not any(subjects for _, subjects in lines):
            found.nobody.append(one)
        for memory, subjects in lines:
            for subject in subjects:
                key = (memory.kind, subject)
                after = memory.do(found.subjects[key], one)
                found.subjects[key] = after.subject
                found.facts[key].append(one)
                found.lost[key] += [code for code in after.lost if code not in found.lost[key]]
                for event in after.heard:
                    found.heard[event].add(subject)
                wanted |= {(each.kind, subject): each for each in after.deadlines}
                sent |= {(each.name, subject, each.key): (each, None) for each in after.errands}
                held |= dict.fromkeys(after.frees) | dict.fromkeys(after.holds, subject)
    for kind in sorted(kinds):
        pairs = _changed(kind, loaded, found.subjects)
        if pairs:
            await kinds[kind].save(tx, pairs)
    await deadlines.change(tx, wanted, (), [new_id() for _ in wanted])
    await errands.change(tx, sent, (), [new_id() for _ in sent])
    await _hold(tx, held)
    return found


Lines = list[tuple[Memory, Sequence[UUID]]]


async def _whose(tx: AsyncConnection, said: Sequence[Said], memories: Sequence[Memory]) -> Mapping[UUID, Lines]:
    spoken_of: dict[UUID, Lines] = {one.id: [] for one in said}
    for memory in memories:
        mine = [one for one in said if type(one.fact) is memory.event]
        subjects = await memory.whose(tx, mine) if memory.whose and mine else {one.id: (one.fact.key,) for one in mine}
        for one in mine:
            spoken_of[one.id].append((memory, subjects.get(one.id, ())))
    return spoken_of


async def _loaded(
    tx: AsyncConnection, said: Sequence[Said], spoken_of: Mapping[UUID, Lines], kinds: Mapping[str, Kind[Any]]
) -> dict[tuple[str, UUID], Any]:
    """All subjects, locked; what they are loaded with depends on the facts as it does on commands."""
    wanted: dict[str, dict[UUID, list[object]]] = defaultdict(lambda: defaultdict(list))
    for one in said:
        for memory, subjects in spoken_of[one.id]:
            for subject in subjects:
                wanted[memory.kind][subject].append(one.fact)
    loaded: dict[tuple[str, UUID], Any] = {}
    for kind in sorted(wanted):
        found = await kinds[kind].load(tx, dict(sorted(wanted[kind].items())))
        loaded |= {(kind, subject): of for subject, of in found.items()}
    return loaded


def _changed(
    kind: str, before: Mapping[tuple[str, UUID], Any], after: Mapping[tuple[str, UUID], Any]
) -> list[tuple[Any, Any]]:
    pairs = ((before[key], after[key]) for key in sorted(after) if key[0] == kind)
    return [(old, replace(new, version=old.version + 1)) for old, new in pairs if new != old]


async def _hold(tx: AsyncConnection, held: Mapping[Reservation, UUID | None]) -> None:
    """The last word on each reservation counts, whoever held it in the backup."""
    if not held:
        return
    rows = sorted(held.items(), key=lambda item: item[0])
    values = {"names": [r.name for r, _ in rows], "keys": [r.key for r, _ in rows], "holders": [h for _, h in rows]}
    await tx.execute(_FREE, {"names": values["names"], "keys": values["keys"]})
    await tx.execute(_TAKE, values)


def read(
    records: Iterable[Record], events: Mapping[str, type[Any]], scope_attribute: str
) -> list[tuple[Record, Envelope, Said | None]]:
    """These records as facts; None where a fact is of no type that is remembered, or does not fit its contract."""
    found: list[tuple[Record, Envelope, Said | None]] = []
    for record in records:
        envelope = record.envelope
        if isinstance(envelope, Envelope):
            event = events.get(envelope.type)
            fact = None if event is None else event.model_validate_json(record.value or b"")
            scope = envelope.extensions.get(scope_attribute, "")
            said = None if fact is None else Said(envelope.id, record.topic, envelope.time, scope, fact)
            found.append((record, envelope, said))
    return found


_NAMED = (sa.bindparam("names", type_=ARRAY(TEXT)), sa.bindparam("keys", type_=ARRAY(TEXT)))

_FREE = sa.text("""
    DELETE FROM reservation WHERE (name, key) IN (SELECT * FROM unnest(:names, :keys))
""").bindparams(*_NAMED)

_TAKE = sa.text("""
    INSERT INTO reservation (name, key, holder)
    SELECT name, key, holder FROM unnest(:names, :keys, :holders) AS new (name, key, holder) WHERE holder IS NOT NULL
""").bindparams(*_NAMED, sa.bindparam("holders", type_=ARRAY(sa.Uuid)))
