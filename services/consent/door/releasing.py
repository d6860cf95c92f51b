"""The one way on which personal data leave this agency: decided at this instant, under a lease, sealed.

The protocol is `models/Lease.tla`: Begin, Open, Write, Close. What it promises: after the answer "withdrawn" no further
byte of the data is sent. What is left of the risk: one chunk of a process frozen between its look at the clock and its
write, and what is in the recipient's own buffers.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from time import monotonic
from typing import Final
from uuid import UUID

from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.crashpoints import reached
from chassis.database import DATABASE_ERRORS, sqlstate, transaction
from chassis.executor import Bug, Inner, Overloaded, Step, Unavailable, Work
from chassis.http import Call, StreamingAnswer
from chassis.transitions import Refused
from contracts.codes import Completeness, DecisionReason, HandoverState, Side
from contracts.dossier import CONTENT_BYTES_MAX
from contracts.ids import AgencyId, HandoverRef, ItemId, PersonId, ReleaseId, TransmissionId
from contracts.new_ids import new_id
from services.consent.domain import Reason
from services.consent.domain.commands import TellRelease
from services.consent.domain.decision import decide_all, question
from services.consent.domain.words import Decision, ItemDecision, Person, Transmission, found
from services.consent.door.neighbours import Content, Resources, UnreachableError, contents_of, standing_of
from services.consent.door.sealing import dossier, key_of, sealed
from services.consent.store import leases
from services.consent.store.persons import PERSON, add_decisions, person_at_the_door

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 2.0  # bytes may leave this long after the request came, and no longer
CHUNK_BYTES: Final = 16 * 1024
OPEN: Final = frozenset({HandoverState.ACCEPTED, HandoverState.ACTIVE, HandoverState.PAUSED})
TURN_SECONDS: Final = 1.0  # as long as for the person's row: the lease's time is running
LOCK_NOT_AVAILABLE: Final = "55P03"  # SQLSTATE


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody at the door: since when (own monotonic clock), who, for what, and how much of it at once."""

    since: float
    recipient: AgencyId
    handover: HandoverRef
    items: tuple[ItemId, ...] | None
    bytes_at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An open lease: what goes, and until when (own monotonic clock) it may."""

    lease: leases.Lease
    contents: tuple[Content, ...]
    deadline: float


async def release(
    call: Call, resources: Resources, handover: UUID, items: Sequence[UUID] | None, bytes_at_most: int | None = None
) -> StreamingAnswer | Refused:
    """Decide about every item at this instant, open the lease, seal, write; see the head of this file."""
    since = monotonic()  # Begin: before anything is asked, so that the lease can only be shorter than it looks
    reached("door.begin")
    asked = None if items is None else tuple(ItemId(item) for item in items)
    claim = Claim(since, AgencyId(call.caller.name), HandoverRef(handover), asked, bytes_at_most)
    try:
        return await _released(resources, claim, call.now)
    except UnreachableError:
        return Refused(Reason.UNREACHABLE)
    except _NoTurnError:
        return Refused(Reason.BUSY)
    except DATABASE_ERRORS as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        return Refused(Reason.BUSY)


class _NoTurnError(Exception):
    """Too many are at the door at once."""


@asynccontextmanager
async def _turn(resources: Resources) -> AsyncGenerator[None, None]:
    """Few at a time, however many come: the database's other connections are for who takes a consent back."""
    try:
        async with asyncio.timeout(TURN_SECONDS):
            await resources.readers.acquire()
    except TimeoutError:
        raise _NoTurnError from None
    try:
        yield
    finally:
        resources.readers.release()


async def _released(resources: Resources, claim: Claim, now: datetime) -> StreamingAnswer | Refused:
    async with _turn(resources), resources.tools.engine.connect() as connection:
        known = await leases.claimed(connection, claim.handover)
    if known is None or known[1].recipient != claim.recipient:
        return Refused(Reason.UNKNOWN_HANDOVER)
    of, transmission = known
    if closed := await _not_open(resources, claim):
        return closed
    key = key_of(resources, transmission, now)
    if key is None:
        return Refused(Reason.NO_SEALING_KEY)
    wanted = _wanted(transmission, claim.items)
    if isinstance(wanted, Refused):
        return wanted
    contents = [content for content in await contents_of(resources, wanted) if content.about(of)]
    async with _turn(resources), transaction(resources.tools.engine) as tx:
        if monotonic() >= claim.since + LEASE_SECONDS:  # it has waited so long that nothing could leave any more
            raise _NoTurnError
        opened = await open_lease(tx, resources, claim, of, transmission.id, wanted, contents)
    if isinstance(opened, Refused):
        return opened
    reached("door.open")
    return _answer(resources, opened, key)


async def _not_open(resources: Resources, claim: Claim) -> Refused | None:
    """Own handover is asked each time: what it has told by event may be older than what it knows."""
    standing = await standing_of(resources, claim.handover)
    if standing is None or (standing.side, standing.counterpart) != (Side.SENDER, claim.recipient):
        return Refused(Reason.UNKNOWN_HANDOVER)
    return None if standing.state in OPEN else Refused(Reason.NOT_OPEN, standing.state)


def _wanted(transmission: Transmission, items: tuple[ItemId, ...] | None) -> tuple[ItemId, ...] | Refused:
    """What was proposed and asked for, without what the recipient has stored already."""
    asked = tuple(item for item in transmission.asked if items is None or item in items)
    if not asked:
        return Refused(Reason.UNKNOWN_HANDOVER)
    left = tuple(item for item in asked if item not in transmission.stored)
    return left or Refused(Reason.ALREADY_STORED)


async def open_lease(
    tx: AsyncConnection, resources: Resources, claim: Claim, of: PersonId, transmission: TransmissionId,
    wanted: tuple[ItemId, ...], contents: Sequence[Content],
) -> Opened | Refused:
    """Open: in one transaction, under the lock that a withdrawal needs too, decide and write what will leave."""
    if await leases.being_withdrawn(tx, of, claim.recipient):
        return Refused(Reason.CONSENT_WITHDRAWN)
    if await leases.being_forbidden(tx, of, claim.recipient):
        return Refused(Reason.BUSY)  # it may be about other items: come again
    now = await leases.hold_person(tx, of)
    person = await person_at_the_door(tx, of)
    present = found(person.transmissions, transmission)
    if present is None or present.recipient != claim.recipient:
        return Refused(Reason.UNKNOWN_HANDOVER)
    verdicts = _decided(resources, person, present, wanted, contents, now)
    lease = _lease(resources, of, present, verdicts, contents, claim.bytes_at_most)
    kept = None if isinstance(lease, Refused) else lease.id
    await add_decisions(tx, [(of, kept, _decision(resources, present, verdicts, now))])
    if isinstance(lease, Refused):
        return lease
    await leases.open_lease(tx, lease, now)
    chosen = {line.item for line in lease.lines}
    going = tuple(content for content in contents if content.id in chosen)
    return Opened(lease, going, _deadline(claim, verdicts, chosen, now))


def _decided(
    resources: Resources, person: Person, transmission: Transmission, wanted: tuple[ItemId, ...],
    contents: Sequence[Content], now: datetime,
) -> tuple[ItemDecision, ...]:
    alliance = resources.alliances.get(transmission.alliance)
    about = question(person, transmission, alliance, resources.agency, now)
    return decide_all(wanted, tuple(content.item() for content in contents), about)


def _decision(
    resources: Resources, transmission: Transmission, verdicts: tuple[ItemDecision, ...], now: datetime
) -> Decision:
    alliance = resources.alliances.get(transmission.alliance)
    return Decision(transmission.id, now, transmission.alliance, alliance.version if alliance else 0, verdicts)


def _lease(
    resources: Resources, of: PersonId, transmission: Transmission, verdicts: tuple[ItemDecision, ...],
    contents: Sequence[Content], bytes_at_most: int | None,
) -> leases.Lease | Refused:
    """What of the permitted fits into one response; the rest is fetched after this has been stored."""
    permitted = {verdict.id: verdict for verdict in verdicts if verdict.permitted}
    if not permitted:
        withdrawn = any(verdict.reason is DecisionReason.CONSENT_WITHDRAWN for verdict in verdicts)
        return Refused(Reason.CONSENT_WITHDRAWN if withdrawn else Reason.NOTHING_PERMITTED)
    offered = [content for content in contents if content.id in permitted]
    fitting = _fitting(offered, bytes_at_most)
    if not fitting:
        return Refused(Reason.TOO_LARGE)
    lines = tuple(
        leases.Line(
            ItemId(c.id), c.category, c.hash, permitted[ItemId(c.id)].bases,
            None if c.received_by is None else ReleaseId(c.received_by),
            None if c.source_item is None else ItemId(c.source_item),
        )
        for c in fitting
    )
    alliance = resources.alliances.get(transmission.alliance)
    completeness = _completeness(len(fitting), len(offered), len(verdicts))
    return leases.Lease(
        ReleaseId(new_id()), of, transmission, alliance.version if alliance else 0, completeness, lines
    )


def _fitting(contents: Sequence[Content], at_most: int | None) -> list[Content]:
    """The first items that fit together into one response; one that can fit into none is in nobody's way.

    For a slow line the smallest go first: what is too much for it is left over at the end, and holds up nothing.
    """
    weighed = [(len(content.model_dump_json().encode()), content) for content in contents]
    weighed = [(weight, content) for weight, content in weighed if weight <= CONTENT_BYTES_MAX]
    if at_most is not None:
        weighed.sort(key=itemgetter(0))
    chosen: list[Content] = []
    left = CONTENT_BYTES_MAX if at_most is None else at_most
    for weight, content in weighed:
        left -= weight
        if left < 0 and chosen:
            break
        chosen.append(content)
    return chosen


def _completeness(fitting: int, permitted: int, wanted: int) -> Completeness:
    if fitting < permitted:
        return Completeness.MORE
    return Completeness.COMPLETE if permitted == wanted else Completeness.REDUCED


def _deadline(claim: Claim, verdicts: tuple[ItemDecision, ...], chosen: set[ItemId], now: datetime) -> float:
    """The lease's end: two seconds after Begin, or what is left to the first end of a basis, counted from Begin."""
    ends = (verdict.until for verdict in verdicts if verdict.id in chosen)
    left = min(((end - now).total_seconds() for end in ends if end is not None), default=LEASE_SECONDS)
    return claim.since + min(LEASE_SECONDS, left)


def _answer(resources: Resources, opened: Opened, key: OKPKey) -> StreamingAnswer:
    lease = opened.lease

    async def closed(delivered: bool) -> None:  # noqa: FBT001  # the chassis calls it with its one fact
        await close(resources, lease, delivered=delivered)

    body = sealed(lease, dossier(lease, opened.contents), key)
    headers = (("content-type", "application/jose"), ("release", str(lease.id)))
    return StreamingAnswer(_chunks(body, opened.deadline), opened.deadline, closed, headers=headers)


async def _chunks(body: bytes, deadline: float) -> AsyncGenerator[bytes, None]:
    """Write: pieces while the lease lasts. Who sends them looks at the clock again, and aborts at the deadline."""
    for start in range(0, len(body), CHUNK_BYTES):
        if monotonic() >= deadline:
            raise TimeoutError
        yield body[start : start + CHUNK_BYTES]
        reached("door.write")


async def close(resources: Resources, lease: leases.Lease, *, delivered: bool) -> None:
    """Close: from here on a withdrawal need not wait for this lease. Telling may wait for the sweeper."""
    async with transaction(resources.tools.engine) as tx:
        await leases.close_lease(tx, lease.id, delivered=delivered)
    reached("door.close")
    await tell(resources, lease.id, lease.person)


async def tell(resources: Resources, wanted: UUID, of: UUID) -> None:
    """Say `transmission.released`, through the executor as everything that is said."""
    step = Step(PERSON, of, TellRelease(ReleaseId(wanted)))
    try:
        await resources.tools.executor.run(Work(Inner("door"), (step,)))
    except (Overloaded, Unavailable):
        return  # the row says that nothing was told; the sweeper looks for such rows
    except Bug as error:
        said = {"subject": str(of), "instance": str(wanted), "error_class": str(error)}
        log.error("release cannot be told", extra=said)  # noqa: TRY400  # the executor has logged the stack
