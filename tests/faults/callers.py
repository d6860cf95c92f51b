"""An ear on the callers' line: every error they see, with its time."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

ID = re.compile("[0-9a-f]{8}-[0-9a-f-]{27}")
REASON = re.compile(rb'"type": *"[^"]*/([a-z-]+)"')


class Error(NamedTuple):
    """A caller asked a service and got no answer, or one that says that the fault is ours."""

    asked_at: float
    ended_at: float
    principal: str
    what: str
    """The status, or the class of the broken connection."""
    comes_again: bool
    """Whether the answer says when to ask again."""
    asked: str
    """Method and address, with ids left out."""
    reason: str = ""
    """What the problem document calls it."""


@dataclass
class Callers(httpx.AsyncBaseTransport):
    """The transport of all clients: passes everything on and writes down what callers see as an error."""

    principals: dict[int, str] = field(default_factory=dict)
    """Who listens on which port."""
    errors: list[Error] = field(default_factory=list)
    answers: list[tuple[float, str]] = field(default_factory=list)
    """When a service gave an answer that is no error, and which."""
    inner: httpx.AsyncHTTPTransport = field(default_factory=lambda: httpx.AsyncHTTPTransport(trust_env=False))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        asked_at = time.monotonic()
        principal = self.principals.get(request.url.port or 0, str(request.url.port))
        asked = f"{request.method} {ID.sub('…', request.url.path)}"
        try:
            answer = await self.inner.handle_async_request(request)
        except httpx.TransportError as error:
            what = type(error).__name__
            self.errors.append(Error(asked_at, time.monotonic(), principal, what, comes_again=False, asked=asked))
            raise
        if answer.is_server_error:
            again = "retry-after" in answer.headers
            said, ended_at = REASON.search(await answer.aread()), time.monotonic()
            reason = "" if said is None else said[1].decode()
            self.errors.append(Error(asked_at, ended_at, principal, str(answer.status_code), again, asked, reason))
        else:
            self.answers.append((time.monotonic(), principal))
        return answer

    async def aclose(self) -> None:
        """No more."""
        await self.inner.aclose()

    def answering_after(self, moment: float) -> float:
        """Seconds from that moment until each service of which callers saw an error before it has answered well."""
        first: dict[str, float] = {}
        for at, principal in self.answers:
            if at > moment:
                first.setdefault(principal, at)
        hit = {each.principal for each in self.errors if each.asked_at < moment}
        return max((first.get(principal, float("inf")) - moment for principal in hit), default=0.0)

    def since(self, errors: int) -> Seen:
        """What callers have seen since there were that many errors."""
        return Seen(self.errors[errors:])


@dataclass(frozen=True)
class Seen:
    """The errors of one fault."""

    errors: list[Error]

    @property
    def seconds(self) -> float:
        """From the first question that ended in an error to the end of the last."""
        if not self.errors:
            return 0.0
        return max(each.ended_at for each in self.errors) - min(each.asked_at for each in self.errors)

    @property
    def kinds(self) -> Counter[str]:
        """How many of which."""
        return Counter(f"{each.what} {each.reason}".strip() for each in self.errors)

    def later_than(self, moment: float) -> list[Error]:
        """Errors of questions that were asked after that moment."""
        return [each for each in self.errors if each.asked_at > moment]

    @property
    def bad_manners(self) -> list[Error]:
        """Answers that do not say that asking again helps; a cut connection is no answer."""
        return [each for each in self.errors if each.what.isdigit() and not (each.what == "503" and each.comes_again)]
