"""What an operator does from the command line: look at held lanes over all services and try them again.

Each service is asked, whatever the others do: one that does not answer is named, and the rest is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import product
from typing import Any

import httpx
from rich.console import Console

from deploy.desk import ProblemError, read
from deploy.installation import SERVICES, Installation
from deploy.mistakes import CannotTellError
from deploy.tokens import access_token

ROLE = "operator"


class Operator:
    """Speaks to the services over HTTP like anybody else, with a token of the role `operator`."""

    def __init__(self, installation: Installation, console: Console, by: str = ROLE) -> None:
        self._installation, self._console, self._by = installation, console, by
        self.unasked: set[str] = set()
        """Services that did not answer, or said no: of what they hold nothing was shown."""

    async def list(self, agency: str | None) -> None:
        """One line per held lane of every service, to be pasted into `show` and `retry`."""
        held = 0
        for one, name in self._services(agency, None):
            with self._going_on(one, name):
                found = await self._get(one, name, "/parked")
                for lane in found["lanes"]:
                    held += 1
                    where = f"--agency {one} --service {name} {lane['topic']} {lane['key']}"
                    what = f"{lane['events']} event(s) since {lane['since']}, first {lane['type']}"
                    again = f", again at {lane['next_attempt_at']}" if lane["next_attempt_at"] else ""
                    why = f"{lane['error_class']} ({lane['reason']}){again}"
                    self._say(f"{where}  {what}: {why}")
                self._say_more(one, name, ["lanes"] if found["more"] else [])
        if not held:
            self._say_nothing("no lane is held")

    async def waiting(self, agency: str | None) -> None:
        """Everything else that waits, service by service."""
        for one, name in self._services(agency, None):
            with self._going_on(one, name):
                found = await self._get(one, name, "/waiting")
                said = {what: value for what, value in found.items() if value}
                self._say(f"{one}.{name}: {'nothing waits' if not said else ''}")
                if said:
                    self._console.print_json(data=said)
                self._say_more(one, name, found["more"])

    async def show(self, agency: str, name: str, topic: str, key: str) -> None:
        """Every event of one lane."""
        self._console.print_json(data=await self._get(agency, name, f"/parked/{topic}/{key}"))

    async def retry(self, agency: str, name: str, topic: str, key: str) -> bool:
        """Try the lane again; whether it is free now."""
        result = await self._post(agency, name, f"/parked/{topic}/{key}/retry", {})
        self._console.print(
            f"{result['done']} went through" + (f", then: {result['stopped_by']}" if result["stopped_by"] else "")
        )
        return result["stopped_by"] is None

    async def retry_class(self, error_class: str, agency: str | None, service: str | None) -> bool:
        """Try all lanes again that this class holds, service by service; whether all are free now."""
        all_free = True
        for one, name in self._services(agency, service):
            with self._going_on(one, name):
                all_free = await self._retry_class(one, name, error_class) and all_free
        if all_free:
            self._say_nothing(f"no lane is held by {error_class}")
        return all_free

    async def _retry_class(self, agency: str, name: str, error_class: str) -> bool:
        lanes = free = 0
        stopped: Counter[tuple[str, str]] = Counter()
        asking: dict[str, Any] = {"error_class": error_class}
        while asking:
            found = await self._post(agency, name, "/parked/retry", asking)
            lanes, free = lanes + found["lanes"], free + found["free"]
            stopped.update({(each["error_class"], each["reason"]): each["lanes"] for each in found["stopped"]})
            asking = asking | {"tried_before": found["tried_before"]} if found["more"] else {}
        if lanes:
            self._say(f"{agency}.{name}: {lanes} lane(s) tried, {free} free")
        for (class_, reason), count in stopped.most_common():
            self._say(f"  {count} stopped: {class_} ({reason})")
        return free == lanes

    async def skip(self, agency: str, name: str, lane: tuple[str, str], event: str, reason: str) -> bool:
        """Let go of the first event of a lane; whether it is skipped now."""
        topic, key = lane
        body = {"event_id": event, "reason": reason}
        skipped: bool = (await self._post(agency, name, f"/parked/{topic}/{key}/skip", body))["skipped"]
        self._console.print("skipped" if skipped else "asked: a second person must say the same")
        return skipped

    async def skips(self, agency: str | None) -> None:
        """Who let go of what and why, in every service."""
        found = 0
        for one, name in self._services(agency, None):
            with self._going_on(one, name):
                listed = await self._get(one, name, "/skips")
                for each in listed["skips"]:
                    found += 1
                    what = f"{each['topic']} {each['key']} {each['seq']} {each['type']} ({each['error_class']})"
                    said = f"{each['said_at']} {each['said_by']} {each['word']}"
                    self._say(f"{one}.{name}  {said}: {what}")
                    self._console.print(f"  {each['reason']}", soft_wrap=True, markup=False)
                self._say_more(one, name, ["skips"] if listed["more"] else [])
        if not found:
            self._say_nothing("nothing was skipped")

    async def brakes(self, agency: str | None) -> bool:
        """The services whose consumer is stopped; whether there is none."""
        free = True
        for one, name in self._services(agency, None):
            with self._going_on(one, name):
                waiting = await self._get(one, name, "/waiting")
                for on in (waiting["brake"], *waiting["unheard"]):
                    if on is not None:
                        free = False
                        whom = f"does not hear {on['party']}" if on["party"] else "stopped"
                        what = f"{on['lanes']} lane(s) of {on['cause']}" if on["lanes"] else on["cause"]
                        self._say(f"--agency {one} --service {name}  {whom}: {what}, since {on['since']}")
        if free:
            self._say_nothing("no consumer is stopped")
        return free

    async def release(self, agency: str, name: str) -> None:
        """Let the consumer of a service go on."""
        released = (await self._post(agency, name, "/brake/release", {}))["released"]
        self._console.print("released" if released else "it was not stopped")

    def _services(self, agency: str | None, service: str | None) -> Iterable[tuple[str, str]]:
        """(agency, service) of those asked for: one, or all there are."""
        agencies = self._installation.agencies if agency is None else (agency,)
        return product(agencies, SERVICES if service is None else (service,))

    @contextmanager
    def _going_on(self, agency: str, name: str) -> Iterator[None]:
        """Who does not answer is named and remembered; the others are asked all the same."""
        try:
            yield
        except CannotTellError as error:
            self.unasked.add(f"{agency}.{name}")
            self._say(str(error))
        except ProblemError as error:
            self.unasked.add(f"{agency}.{name}")
            self._say(f"{agency}.{name} says no: {error}")

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def _say_more(self, agency: str, name: str, of: Sequence[str]) -> None:
        """A list that was cut is not taken for the whole."""
        if of:
            self._say(f"{agency}.{name}: and more, of {', '.join(of)} only the first are shown")

    def _say_nothing(self, words: str) -> None:
        """There is nothing, as far as was answered."""
        self._say(f"{words}, of those that answered" if self.unasked else words)

    async def _post(self, agency: str, name: str, path: str, body: Mapping[str, Any]) -> Any:
        async with _asking(agency, name), httpx.AsyncClient(timeout=60.0) as client:
            answer = await client.post(
                f"{self._installation.url(agency, name)}{path}", json=body, headers=self._headers(agency, name)
            )
        return read(answer)

    async def _get(self, agency: str, name: str, path: str) -> Any:
        async with _asking(agency, name), httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(
                f"{self._installation.url(agency, name)}{path}", headers=self._headers(agency, name)
            )
        return read(answer)

    def _headers(self, agency: str, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {access_token(self._installation, agency, name, [ROLE], self._by)}"}


@asynccontextmanager
async def _asking(agency: str, name: str) -> AsyncIterator[None]:
    """A service that does not answer is named."""
    try:
        yield
    except httpx.TransportError as error:
        raise CannotTellError(f"{agency}.{name} does not answer") from error
