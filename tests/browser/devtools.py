"""A browser that is driven over two pipes (Chrome DevTools Protocol), as a person would: by taps and keys."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.browser.packages import Packages

READS, WRITES = 3, 4  # the numbers of the pipes that `--remote-debugging-pipe` expects
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
PATIENCE_SECONDS = 30.0
ARGUMENTS: Final = (
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-zygote",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--use-gl=angle", "--use-angle=swiftshader", "--hide-scrollbars", "about:blank",
)  # fmt: skip


class BrowserError(Exception):
    """The browser says that something cannot be done."""


@dataclass
class Connection:
    """Commands with their answers, and events as they come."""

    reader: asyncio.StreamReader
    writer: asyncio.WriteTransport
    waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: count[int] = field(default_factory=lambda: count(1))

    async def listen(self) -> None:
        """For ever."""
        while True:
            message = json.loads((await self.reader.readuntil(b"\0"))[:-1])
            if "id" not in message:
                self.events.append((message["method"], message.get("params", {})))
                self.came.set()
                continue
            answer = self.waiting.pop(message["id"])
            if "error" in message:
                answer.set_exception(BrowserError(message["error"]["message"]))
            else:
                answer.set_result(message["result"])

    async def say(self, method: str, session: str | None = None, **params: Any) -> Any:
        """One command and its answer."""
        number = next(self.numbers)
        told: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            told["sessionId"] = session
        self.waiting[number] = asyncio.get_running_loop().create_future()
        self.writer.write(json.dumps(told).encode() + b"\0")
        return await asyncio.wait_for(self.waiting[number], PATIENCE_SECONDS)

    async def until(self, method: str, since: int) -> Mapping[str, Any]:
        """The first event of that name after so many events."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for name, params in self.events[since:]:
                    if name == method:
                        return params
                self.came.clear()
                await self.came.wait()


@dataclass(frozen=True)
class Page:
    """One tab."""

    connection: Connection
    session: str

    async def say(self, method: str, **params: Any) -> Any:
        """A command about this tab."""
        return await self.connection.say(method, self.session, **params)

    async def goto(self, url: str) -> None:
        """Open an address."""
        since = len(self.connection.events)
        await self.say("Page.navigate", url=url)
        await self.connection.until("Page.loadEventFired", since)

    async def find(self, script: str) -> Any:
        """What a script finds out; nothing of the page runs it."""
        answer = await self.say("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def tap(self, text: str) -> None:
        """Tap the button with this text, and wait for the page it leads to."""
        place = await self.find(f"""(() => {{
            const one = [...document.querySelectorAll("button")].find(each => each.textContent.startsWith({text!r}));
            one.scrollIntoView({{block: "center"}});
            const at = one.getBoundingClientRect();
            return {{x: at.x + at.width / 2, y: at.y + at.height / 2}};
        }})()""")
        since = len(self.connection.events)
        await self.say("Input.dispatchTouchEvent", type="touchStart", touchPoints=[place])
        await self.say("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        await self.connection.until("Page.loadEventFired", since)

    async def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        await self.say("Input.insertText", text=text)

    async def press(self, key: str, *, leads_on: bool = False) -> None:
        """Press a key; `leads_on`: another page comes of it."""
        codes = {"Tab": 9, "Enter": 13}
        since = len(self.connection.events)
        text = {"text": "\r"} if key == "Enter" else {}
        said = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        await self.say("Input.dispatchKeyEvent", type="keyDown", **said, **text)
        await self.say("Input.dispatchKeyEvent", type="keyUp", **said)
        if leads_on:
            await self.connection.until("Page.loadEventFired", since)

    @property
    def asked_for(self) -> list[str]:
        """Every address that was asked for."""
        return [
            params["request"]["url"] for name, params in self.connection.events if name == "Network.requestWillBeSent"
        ]


@asynccontextmanager
async def browser(packages: Packages, folder: Path) -> AsyncIterator[Connection]:
    """A browser of its own; at the end it is gone."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    arguments = [str(packages.chromium), f"--user-data-dir={folder}", *ARGUMENTS]
    log = str(folder.with_suffix(".log"))
    process = os.posix_spawn(  # noqa: ASYNC221  # it returns at once; asyncio's own cannot give pipes these numbers
        packages.chromium, arguments, {**os.environ, **packages.environment}, setpgroup=0,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, theirs_in, READS),
            (os.POSIX_SPAWN_DUP2, theirs_out, WRITES),
        ],
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MESSAGE_BYTES_MAX)
    heard, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb", 0))
    writer, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(ours_out, "wb", 0))
    connection = Connection(reader, writer)
    listening = asyncio.create_task(connection.listen())
    try:
        yield connection
    finally:
        listening.cancel()
        writer.close()
        heard.close()
        os.killpg(process, signal.SIGKILL)
        await asyncio.to_thread(os.waitpid, process, 0)


async def phone(connection: Connection, width: int = 360, height: int = 640) -> Page:
    """A tab as wide as a small phone, that is tapped."""
    target = await connection.say("Target.createTarget", url="about:blank")
    attached = await connection.say("Target.attachToTarget", targetId=target["targetId"], flatten=True)
    page = Page(connection, attached["sessionId"])
    for domain in ("Page", "Network", "Runtime"):
        await page.say(f"{domain}.enable")
    await page.say(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True
    )
    await page.say("Emulation.setTouchEmulationEnabled", enabled=True)
    return page
