"""How a service says no over HTTP: one row per reason, RFC 9457 documents, never a word of what was sent."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from chassis.executor import Answer
from chassis.transitions import Refused

MEDIA_TYPE = "application/problem+json"
ERRORS_MAX = 20  # fields named in one document; who has more to mend gets the rest at the next try


@dataclass(frozen=True, slots=True)
class Problem:
    """One way to say no: status and title never vary; `retry_after_seconds` says that later may be another answer."""

    status: HTTPStatus
    title: str
    retry_after_seconds: int | None = None


class Trouble(StrEnum):
    """The reasons of the HTTP mechanism itself, the same in every service."""

    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_KEY = "unknown-key"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    BODY_TIMEOUT = "body-timeout"
    NOT_HEARD_OF_YET = "not-heard-of-yet"
    STALE_VERSION = "stale-version"
    VERSION_MALFORMED = "version-malformed"
    BODY_TOO_LARGE = "body-too-large"
    BODY_INCOMPLETE = "body-incomplete"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    INVALID_JSON = "invalid-json"
    INVALID_INPUT = "invalid-input"
    KEY_MISSING = "key-missing"
    KEY_MALFORMED = "key-malformed"
    KEY_REUSED = "key-reused"
    TOO_MANY_REQUESTS = "too-many-requests"
    HEADERS_TOO_LARGE = "headers-too-large"
    SKIP_FOREIGN = "skip-foreign"
    SKIP_MISSING_BEFORE = "skip-missing-before"
    SKIP_NOT_FIRST = "skip-not-first"
    SKIP_SAME_PERSON = "skip-same-person"
    BUG = "bug"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    RESTORED = "restored"
    UNCHECKED = "unchecked"
    CATCHING_UP = "catching-up"


TROUBLES: Mapping[StrEnum, Problem] = {
    Trouble.UNAUTHENTICATED: Problem(HTTPStatus.UNAUTHORIZED, "The token does not prove who is asking."),
    Trouble.UNKNOWN_KEY: Problem(HTTPStatus.UNAUTHORIZED, "The token is signed with a key that is not known here."),
    Trouble.FORBIDDEN: Problem(HTTPStatus.FORBIDDEN, "This caller may not ask this."),
    Trouble.NOT_FOUND: Problem(HTTPStatus.NOT_FOUND, "There is nothing at this address."),
    Trouble.METHOD_NOT_ALLOWED: Problem(HTTPStatus.METHOD_NOT_ALLOWED, "This address does not know this method."),
    Trouble.BODY_TIMEOUT: Problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time."),
    Trouble.NOT_HEARD_OF_YET: Problem(HTTPStatus.CONFLICT, "This was made moments ago; its news is on the way.", 1),
    Trouble.STALE_VERSION: Problem(HTTPStatus.PRECONDITION_FAILED, "It has changed since the version named."),
    Trouble.VERSION_MALFORMED: Problem(HTTPStatus.BAD_REQUEST, 'If-Match must be one version, as in "3".'),
    Trouble.BODY_TOO_LARGE: Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than what is taken here."),
    Trouble.BODY_INCOMPLETE: Problem(HTTPStatus.BAD_REQUEST, "The body is not as long as its Content-Length says."),
    Trouble.UNSUPPORTED_MEDIA_TYPE: Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another media type than is taken here, or compressed."
    ),
    Trouble.INVALID_JSON: Problem(HTTPStatus.BAD_REQUEST, "The body is not JSON in UTF-8, or names a member twice."),
    Trouble.INVALID_INPUT: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The input does not fit; see errors."),
    Trouble.KEY_MISSING: Problem(HTTPStatus.BAD_REQUEST, "A command needs an Idempotency-Key."),
    Trouble.KEY_MALFORMED: Problem(
        HTTPStatus.BAD_REQUEST, "An Idempotency-Key is 1 to 128 letters, digits and the signs . _ : -"
    ),
    Trouble.KEY_REUSED: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key belongs to another command."),
    Trouble.TOO_MANY_REQUESTS: Problem(HTTPStatus.TOO_MANY_REQUESTS, "This caller asks too often.", 1),
    Trouble.HEADERS_TOO_LARGE: Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large."),
    Trouble.SKIP_FOREIGN: Problem(
        HTTPStatus.CONFLICT, "What another party has said is never skipped: try it again, or end what it is about."
    ),
    Trouble.SKIP_MISSING_BEFORE: Problem(
        HTTPStatus.CONFLICT, "An event before it is missing: the lane goes on when that has come."
    ),
    Trouble.SKIP_NOT_FIRST: Problem(HTTPStatus.CONFLICT, "This event is not the first that waits in its lane."),
    Trouble.SKIP_SAME_PERSON: Problem(HTTPStatus.CONFLICT, "Skipping this takes two people, and this one has asked."),
    Trouble.BUG: Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something is broken here; instance names the log entry."),
    Trouble.OVERLOADED: Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too much is waiting; nothing was done.", 1),
    Trouble.UNAVAILABLE: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "The database is away; send the same again under the same key.", 2
    ),
    Trouble.RESTORED: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "The database is older than what this service has said; it is being mended.", 60
    ),
    Trouble.UNCHECKED: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "Whether the database knows all this service has said is not known yet.", 2
    ),
    Trouble.CATCHING_UP: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "The database was restored, and has not heard again yet what it had heard.", 2
    ),
}

OF_THE_MECHANISM = "http"  # stands in `type` where a service's name stands for its own reasons


class Turned(Exception):  # an answer, not an error
    """A request that goes no further, and why."""

    def __init__(self, reason: StrEnum, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(reason)
        self.reason, self.errors = reason, errors


class Problems:
    """All the ways one service says no: its own reasons and those of the mechanism."""

    def __init__(self, service: str, own: Mapping[Any, Problem]) -> None:
        if twice := [str(reason) for reason in own if reason in TROUBLES]:
            raise ValueError(f"reasons of the mechanism cannot be a service's own: {twice}")
        self.service = service
        self._rows: dict[StrEnum, tuple[str, Problem]] = {
            reason: (f"/problems/{OF_THE_MECHANISM}/{reason}", problem) for reason, problem in TROUBLES.items()
        }
        self._rows |= {reason: (f"/problems/{service}/{reason}", problem) for reason, problem in own.items()}

    def status(self, reason: StrEnum) -> HTTPStatus:
        """The status that goes with a reason; KeyError for one that has no row."""
        return self._rows[reason][1].status

    def pages(self) -> Mapping[str, Problem]:
        """Every `type` there is, with its row: all resolve to a page."""
        return dict(self._rows.values())

    def statuses(self) -> Mapping[int, Sequence[str]]:
        """Every status with the types that come with it."""
        found: dict[int, list[str]] = {}
        for type_, problem in self._rows.values():
            found.setdefault(int(problem.status), []).append(type_)
        return found

    def refused(self, refused: Refused) -> Answer:
        """The answer to a refusal: with the present state and what is possible in it."""
        more: dict[str, Any] = {}
        if refused.state is not None:
            more = {"state": refused.state, "allowed": list(refused.allowed)}
        return self.answer(refused.reason, more)

    def turned(self, turned: Turned) -> Answer:
        """The answer to a request that went no further."""
        return self.answer(turned.reason, {"errors": list(turned.errors)[:ERRORS_MAX]} if turned.errors else {})

    def answer(self, reason: StrEnum, more: Mapping[str, Any] | None = None) -> Answer:
        """The document of one reason; `more` holds ids, states and codes only."""
        type_, problem = self._rows[reason]
        document = {"type": type_, "title": problem.title, "status": int(problem.status), **(more or {})}
        headers: tuple[tuple[str, str], ...] = (("content-type", MEDIA_TYPE),)
        if problem.retry_after_seconds is not None:
            headers += (("retry-after", str(problem.retry_after_seconds)),)
        if problem.status is HTTPStatus.UNAUTHORIZED:
            headers += (("www-authenticate", "Bearer"),)
        return Answer(int(problem.status), json.dumps(document, ensure_ascii=False).encode(), headers)
