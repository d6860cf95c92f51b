"""One Idempotency-Key, one command: what a key may look like, what it stands for, how its answer is written."""
from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from pydantic import JsonValue
from pydantic_core import to_json

from chassis.executor import Answer
from chassis.http.problems import Problems, Trouble, Turned
from chassis.transitions import Refused

NEWS_SECONDS_MAX = 60  # an id younger than this may be known elsewhere and its news still on the way

# As the service's document says it. The draft has a key in quotes, most clients do without.
KEY_PATTERN = '^("[A-Za-z0-9._:-]{1,128}"|[A-Za-z0-9._:-]{1,128})$'
VERSION_PATTERN = '^"(0|[1-9][0-9]{0,9})"$'
_KEY = re.compile(KEY_PATTERN.encode(), re.ASCII)
_VERSION = re.compile(VERSION_PATTERN.encode(), re.ASCII)


def idempotency_key(headers: Mapping[bytes, bytes]) -> str:
    """The key of a command (draft-ietf-httpapi-idempotency-key-header-07); required."""
    given = headers.get(b"idempotency-key")
    if not given:
        raise Turned(Trouble.KEY_MISSING)
    found = _KEY.fullmatch(given.strip())
    if found is None:
        raise Turned(Trouble.KEY_MALFORMED)
    return found[1].strip(b'"').decode()


def expected_version(headers: Mapping[bytes, bytes]) -> int | None:
    """The version in If-Match: exactly one strong tag, because a command changes exactly one subject."""
    given = headers.get(b"if-match")
    if given is None:
        return None
    found = _VERSION.fullmatch(given.strip())
    if found is None:
        raise Turned(Trouble.VERSION_MALFORMED)
    return int(found[1])


def fingerprint(key: bytes, method: str, path: str, body: bytes) -> bytes:
    """What a key stands for. Keyed, because a plain hash of a body with a name and a birth date could be guessed."""
    return hmac.digest(key, b"\n".join((method.encode(), path.encode(), body)), "sha256")


def etag(version: object) -> str:
    """A version as an entity tag."""
    return f'"{version}"'


def renders(
    problems: Problems, status: int, clock: Callable[[], datetime]
) -> Callable[[Mapping[str, JsonValue] | Refused], Answer]:
    """How the executor makes the answer of a command: the subject's, or the problem."""

    def render(outcome: Mapping[str, JsonValue] | Refused) -> Answer:
        if isinstance(outcome, Refused):
            return refusal(problems, outcome, clock())
        headers = [("content-type", "application/json")]
        if "version" in outcome:
            headers.append(("etag", etag(outcome["version"])))
        return Answer(status, to_json(outcome), tuple(headers))

    return render


def refusal(problems: Problems, refused: Refused, now: datetime | None) -> Answer:
    """The problem of a refusal. An id that nobody has heard of is 404; with `now` a young one may become known."""
    if refused.unknown is not None:
        if now is not None and is_young(refused.unknown, now):
            return problems.answer(Trouble.NOT_HEARD_OF_YET)
        if problems.status(refused.reason) is not HTTPStatus.NOT_FOUND:
            return problems.answer(Trouble.NOT_FOUND)
    return problems.refused(refused)


def is_young(made: UUID, now: datetime) -> bool:
    """Whether a UUIDv7 (RFC 9562, 5.7: the first 48 bits are milliseconds since 1970) was made moments ago."""
    if made.version != 7:  # noqa: PLR2004  # the version of UUID that carries its time
        return False
    return abs(now.timestamp() - (made.int >> 80) / 1000) < NEWS_SECONDS_MAX

