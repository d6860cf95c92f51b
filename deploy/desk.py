"""A desk at an agency: calls its services over HTTP as the agency's own IT system would, for the demo and the tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from contracts.new_ids import new_id
from deploy.installation import Installation
from deploy.mistakes import MistakeError
from deploy.tokens import access_token

WAIT_SECONDS_MAX = 20.0  # for news that travels over two brokers' hops and two relays; a busy machine needs a few
LOOK_EVERY_SECONDS = 0.05
AGAIN_SECONDS = 0.3  # between two tries of a command that a restarting service could not take
TOKEN_SECONDS = 300
COMES_LATER = {404, 503}  # not known there yet, or the service is just starting


class ProblemError(MistakeError):
    """A service said no: the status and the problem document (RFC 9457)."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(
            f"{status} {document.get('type')} {document.get('errors') or document.get('state') or ''}".strip()
        )
        self.status, self.document = status, document

    @property
    def reason(self) -> str:
        """The last part of the problem's type."""
        return str(self.document.get("type", "")).rpartition("/")[2]


class Desk:
    """`await desk.post("intake", "/cases", {...})`; errors are ProblemError, what is not there yet is waited for."""

    def __init__(
        self,
        installation: Installation,
        agency: str,
        client: httpx.AsyncClient,
        *,
        subject: str = "caseworker-1",
        roles: tuple[str, ...] = ("caseworker",),
        patience_seconds: float = WAIT_SECONDS_MAX,
    ) -> None:
        self.installation, self.agency, self._client = installation, agency, client
        self._subject, self._roles, self._patience_seconds = subject, roles, patience_seconds
        self._tokens: dict[tuple[str, tuple[str, ...]], tuple[float, str]] = {}

    def headers(self, service: str, roles: tuple[str, ...] = ()) -> dict[str, str]:
        """An Authorization header for one of the agency's services."""
        wanted = roles or self._roles
        until, token = self._tokens.get((service, wanted), (0.0, ""))
        if time.monotonic() > until - TOKEN_SECONDS / 2:
            token = access_token(self.installation, self.agency, service, wanted, self._subject, TOKEN_SECONDS)
            self._tokens[service, wanted] = (time.monotonic() + TOKEN_SECONDS, token)
        return {"authorization": f"Bearer {token}"}

    async def post(
        self,
        service: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        roles: tuple[str, ...] = (),
        key: str | None = None,
        if_match: int | None = None,
        method: str = "POST",
    ) -> dict[str, Any]:
        """One command, sent again under the same key while it cannot be taken. Raises ProblemError, TransportError."""
        headers = self.headers(service, roles) | {"idempotency-key": key or str(new_id())}
        if if_match is not None:
            headers["if-match"] = f'"{if_match}"'
        url = f"{self.installation.url(self.agency, service)}{path}"
        until = time.monotonic() + self._patience_seconds
        while True:
            try:
                answer = await self._client.request(method, url, json={} if body is None else body, headers=headers)
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
            else:
                if "retry-after" not in answer.headers or time.monotonic() > until:
                    return read(answer)
            await asyncio.sleep(AGAIN_SECONDS)

    async def get(self, service: str, path: str, *, roles: tuple[str, ...] = ()) -> dict[str, Any]:
        """One view. Raises ProblemError."""
        url = f"{self.installation.url(self.agency, service)}{path}"
        return read(await self._client.get(url, headers=self.headers(service, roles)))

    async def until(self, service: str, path: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look until it holds; what is not there yet, or cannot be asked just now, may come. Raises TimeoutError."""
        last: object = None
        try:
            async with asyncio.timeout(self._patience_seconds):
                while True:
                    try:
                        found = await self.get(service, path)
                        if holds(found):
                            return found
                        last = found
                    except (ProblemError, httpx.TransportError) as error:
                        last = error
                        if isinstance(error, ProblemError) and error.status not in COMES_LATER:
                            raise
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{self.agency} {service} {path} never became so; last: {last}") from error


def read(answer: httpx.Response) -> dict[str, Any]:
    """What a service answered. Raises ProblemError where it said no."""
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    document = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    raise ProblemError(answer.status_code, document)
