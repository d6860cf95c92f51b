"""What an operator does from the command line: look at held lanes over all services and try them again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from rich.console import Console

from contracts.new_ids import new_id
from deploy.desk import read
from deploy.installation import SERVICES, Installation
from deploy.mistakes import MistakeError
from deploy.tokens import access_token

ROLE = "operator"


class Operator:
    """Speaks to the services over HTTP like anybody else, with a token of the role `operator`."""

    def __init__(self, installation: Installation, console: Console) -> None:
        self._installation, self._console = installation, console

    async def list(self, agency: str | None) -> None:
        """One line per held lane of every service, to be pasted into `show` and `retry`."""
        held = 0
        for one in self._installation.agencies if agency is None else (agency,):
            for name in SERVICES:
                for lane in (await self._get(one, name, "/parked"))["lanes"]:
                    held += 1
                    where = f"--agency {one} --service {name} {lane['topic']} {lane['key']}"
                    what = f"{lane['events']} event(s) since {lane['since']}, first {lane['type']}"
                    self._console.print(f"{where}  {what}: {lane['error_class']} ({lane['reason']})", soft_wrap=True)
        if not held:
            self._console.print("no lane is held")

    async def waiting(self, agency: str | None) -> None:
        """Everything else that waits, service by service."""
        for one in self._installation.agencies if agency is None else (agency,):
            for name in SERVICES:
                found = await self._get(one, name, "/waiting")
                said = {what: value for what, value in found.items() if value}
                self._console.print(f"{one}.{name}: {'nothing waits' if not said else ''}", soft_wrap=True)
                if said:
                    self._console.print_json(data=said)

    async def show(self, agency: str, name: str, topic: str, key: str) -> None:
        """Every event of one lane."""
        self._console.print_json(data=await self._get(agency, name, f"/parked/{topic}/{key}"))

    async def retry(self, agency: str, name: str, topic: str, key: str) -> bool:
        """Try the lane again; whether it is free now."""
        async with _asking(agency, name), httpx.AsyncClient(timeout=30.0) as client:
            answer = await client.post(
                f"{self._installation.url(agency, name)}/parked/{topic}/{key}/retry",
                json={},
                headers=self._headers(agency, name) | {"idempotency-key": str(new_id())},
            )
        result = read(answer)
        self._console.print(
            f"{result['done']} went through" + (f", then: {result['stopped_by']}" if result["stopped_by"] else "")
        )
        return result["stopped_by"] is None

    async def _get(self, agency: str, name: str, path: str) -> Any:
        async with _asking(agency, name), httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(
                f"{self._installation.url(agency, name)}{path}", headers=self._headers(agency, name)
            )
        return read(answer)

    def _headers(self, agency: str, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {access_token(self._installation, agency, name, [ROLE], 'operator')}"}


@asynccontextmanager
async def _asking(agency: str, name: str) -> AsyncIterator[None]:
    """A service that does not answer is named."""
    try:
        yield
    except httpx.TransportError as error:
        raise MistakeError(f"{agency}.{name} does not answer; is it running (staffel up)?") from error
