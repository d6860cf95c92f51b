"""What the executor runs: commands on subjects, the causes they have, and the answers they get."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.deadlines import Due
from chassis.errands import Returned
from chassis.executor.positions import Delivery
from chassis.inbox import Heard
from chassis.transitions import Context, Decided, Refused, Reservation, Step, Subject

S = TypeVar("S", bound=Subject)
SERVER_ERRORS = 500  # from this status on an answer says nothing about the command


class Trouble(StrEnum):
    """Refusals of the executor itself."""

    STALE_VERSION = "stale-version"
    KEY_REUSED = "key-reused"


class Overloaded(Exception):
    """The queue is full: nothing was done, come back later."""


class Unavailable(Exception):
    """The database is not to be had: whether something was done is unknown, the same key may be sent again."""


class Restored(Unavailable):
    """The database is older than what the service has said: nothing is decided on it until that is mended."""


class Bug(Exception):
    """A decision or a statement failed in a way that trying again will not mend. Carries an error class, no content."""


def _reserves_nothing(subject: UUID, command: object) -> Sequence[Reservation]:
    return ()


@dataclass(frozen=True)
class Kind(Generic[S]):
    """How one kind of subject is loaded (with locks, in key order), decided (pure), saved and answered for."""

    name: str
    load: Callable[[AsyncConnection, Mapping[UUID, Sequence[object]]], Awaitable[Mapping[UUID, S]]]
    save: Callable[[AsyncConnection, Sequence[tuple[S, S]]], Awaitable[None]]
    decide: Callable[[S, Any, Context], Decided[S] | Refused]
    answer: Callable[[S], Mapping[str, JsonValue]]
    reserves: Callable[[UUID, object], Sequence[Reservation]] = _reserves_nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command's caller gets; kept under its Idempotency-Key unless it says "later" (Retry-After) or is a 5xx."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    replayed: bool = False

    @property
    def kept(self) -> bool:
        """Whether the same key gets the same answer again."""
        return self.status < SERVER_ERRORS and all(name.lower() != "retry-after" for name, _ in self.headers)


@dataclass(frozen=True, slots=True)
class Asked:
    """The cause of a command over HTTP: who, under which Idempotency-Key, with which body (as an HMAC)."""

    principal: str
    key: str
    fingerprint: bytes
    render: Callable[[Mapping[str, JsonValue] | Refused], Answer]


@dataclass(frozen=True, slots=True)
class Inner:
    """The cause of a command the service gives itself: nobody waits for it, a repeat must be a row of the table."""

    name: str


Cause = Asked | Heard | Due | Returned | Inner


@dataclass
class Work:
    """A work item: a cause and the commands it becomes; all of them happen, or none.

    `delivery`: the batch from the broker it came with, where that moves a position.
    """

    cause: Cause
    steps: Sequence[Step] = ()
    traceparent: str | None = None
    tries: int = 0
    delivery: Delivery | None = None
    done: asyncio.Future[Answer | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def keys(self) -> Iterable[object]:
        """What must not be in two batches at once."""
        if isinstance(self.cause, Heard):
            yield self.cause.lane
        for step in self.steps:
            yield (step.kind, step.subject)

    def settle(self, result: Answer | BaseException | None) -> None:
        """Tell whoever waits; a caller that has gone is not told."""
        if self.done.done():
            return
        if isinstance(result, BaseException):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)
