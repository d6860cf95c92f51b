"""What an operator does from the command line: look at held lanes over all services and try them again."""

from __future__ import annotations

from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from contracts.new_ids import new_id
from deploy.installation import SERVICES, Installation
from deploy.tokens import access_token

ROLE = "operator"


class Operator:
    """Speaks to the services over HTTP like anybody else, with a token of the role `operator`."""

    def __init__(self, installation: Installation, console: Console) -> None:
        self._installation, self._console = installation, console

    async def list(self, agency: str | None) -> None:
        """One line per held lane of every service."""
        table = Table(
            "service", "topic", "key", "events", "first", "class", "reason", "since", box=None, pad_edge=False
        )
        for one in self._installation.agencies if agency is None else (agency,):
            for name in SERVICES:
                for lane in (await self._get(one, name, "/parked"))["lanes"]:
                    table.add_row(
                        f"{one}.{name}",
                        lane["topic"],
                        lane["key"],
                        str(lane["events"]),
                        lane["type"],
                        lane["error_class"],
                        lane["reason"],
                        lane["since"],
                    )
        self._console.print(table if table.row_count else "no lane is held")

    async def show(self, agency: str, name: str, topic: str, key: str) -> None:
        """Every event of one lane."""
        self._console.print_json(data=await self._get(agency, name, f"/parked/{topic}/{key}"))

    async def retry(self, agency: str, name: str, topic: str, key: str) -> bool:
        """Try the lane again; whether it is free now."""
        async with httpx.AsyncClient(timeout=30.0) as client:
            answer = await client.post(
                f"{self._installation.url(agency, name)}/parked/{topic}/{key}/retry",
                json={},
                headers=self._headers(agency, name) | {"idempotency-key": str(new_id())},
            )
        answer.raise_for_status()
        result = answer.json()
        self._console.print(
            f"{result['done']} went through" + (f", then: {result['stopped_by']}" if result["stopped_by"] else "")
        )
        return result["stopped_by"] is None

    async def _get(self, agency: str, name: str, path: str) -> Any:
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(
                f"{self._installation.url(agency, name)}{path}", headers=self._headers(agency, name)
            )
        answer.raise_for_status()
        return answer.json()

    def _headers(self, agency: str, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {access_token(self._installation, agency, name, [ROLE], 'operator')}"}
