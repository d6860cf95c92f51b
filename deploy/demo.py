"""The demo: two handovers on real Kafka and PostgreSQL, told step by step while the events go by."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]  # ships no types
from rich.console import Console

from contracts.new_ids import new_id
from deploy.desk import Desk
from deploy.embedded.files import private_folder
from deploy.embedded.ports import remembered
from deploy.installation import SERVICES, Installation
from deploy.mistakes import MistakeError
from deploy.proxy import Connection, Proxy
from deploy.reading import as_table, timelines, tls_of
from deploy.story import Story
from deploy.system import System

SENDER, RECEIVER = "jobcenter", "jugendamt"
REPORTS = 4  # 120 KB: at the throttled speed this takes longer than the story lasts
THROTTLED_BYTES_PER_SECOND = 16_000
ON_ITS_WAY_BYTES = 8_000  # so much has come through when the young person withdraws
QUIET_SECONDS = 3.0  # how long the proxy listens after the answer: longer than any lease


class NotSoError(MistakeError):
    """A step of the story did not happen as told."""


@dataclass
class Teller:
    """Says who does what, and what that led to."""

    console: Console
    began: float = 0.0

    async def step(self, who: str, what: str, doing: Awaitable[Any]) -> Any:
        """One step; its events print themselves while it runs."""
        self.began = time.monotonic()
        self.console.print(f"\n[bold]{who:<10}[/bold] {what}", soft_wrap=True)
        result = await doing
        self.console.print(f"           [dim]done after {self.elapsed_ms():.0f} ms[/dim]")
        return result

    def elapsed_ms(self) -> float:
        """Milliseconds since the present step began."""
        return (time.monotonic() - self.began) * 1000

    def event(self, topic: str, headers: dict[str, str]) -> None:
        """One event as it comes by on its topic."""
        source = headers.get("ce_source", "").removeprefix("urn:staffel:").replace(":", ".")
        kind = headers.get("ce_type", "?").removeprefix("staffel.")
        after, place = f"{self.elapsed_ms():6.0f} ms", f"{topic} #{headers.get('ce_subjectseq')}"
        self.console.print(f"  [cyan]{after}[/cyan]  {source:<20} {kind:<34} [dim]{place}[/dim]", soft_wrap=True)


async def tell(data: Path, *, stay: bool, console: Console) -> int:
    """Run everything, tell both stories; 0 if and only if every step happened."""
    try:
        await _tell(private_folder(data), stay=stay, console=console)
    except (MistakeError, TimeoutError) as error:
        console.print(f"\n[red]not so:[/red] {error}")
        return 1
    return 0


async def _tell(folder: Path, *, stay: bool, console: Console) -> None:
    began = time.monotonic()
    port = remembered(folder / "demo_ports.json", ["door"])["door"]
    async with AsyncExitStack() as running:
        system = System(
            folder, agencies=(SENDER, RECEIVER), doors={SENDER: f"http://127.0.0.1:{port}"}, say=console.print
        )
        console.print("Starting Kafka, PostgreSQL and two agencies' services …")
        installation = await running.enter_async_context(system)
        console.print(f"[dim]after {time.monotonic() - began:.1f} s[/dim]")
        door = urlsplit(installation.url(SENDER, "consent"))
        proxy = Proxy((door.hostname or "", door.port or 0))
        await running.enter_async_context(proxy.running(port))
        teller = Teller(console)
        await running.enter_async_context(_watching(installation, teller))
        client = await running.enter_async_context(httpx.AsyncClient(timeout=10.0))
        references = [
            await _first_story(_story(installation, client, "Zora"), teller),
            await _second_story(_story(installation, client, "Zacharias"), teller, proxy),
        ]
        await _end(installation, references, console)
        if stay:
            console.print("\nAll of it stays up until Ctrl-C.")
            await _until_interrupted(system)


def _story(installation: Installation, client: httpx.AsyncClient, name: str) -> Story:
    return Story(Desk(installation, SENDER, client), Desk(installation, RECEIVER, client), given_names=name)


async def _first_story(story: Story, teller: Teller) -> str:
    """From the first visit to the word of what became of it."""
    step = teller.step
    teller.console.rule("The first story: a case goes from the Jobcenter to the Jugendamt")
    await step(
        "Jobcenter", "registers the case of Zora Beispiel-Zimt (invented, like everybody here)", story.register()
    )
    await step("Jobcenter", "names a contact person", story.assign())
    await step("Jobcenter", "is responsible: the case is active and led here", story.activate())
    await step(
        "Zora", "consents: these four categories, to the Jugendamt, for youth welfare support", story.consent_to()
    )
    await step("Jobcenter", "drafts the handover", story.draft())
    await step(
        "Jobcenter",
        "proposes it; consent decides per item, then the Jugendamt is asked",
        _both(story.propose(), story.receiver_is("requested")),
    )
    preview = (await story.receiver_is("requested"))["preview"]
    teller.console.print(f"           all the Jugendamt knows so far: {preview}")
    if any(name in str(preview) for name in ("Zora", "Beispiel", "psychosocial")):
        raise NotSoError("the preview names somebody, or a sensitive need")
    await step(
        "Jugendamt",
        "accepts; the Jobcenter's copy confirms",
        _both(story.act(story.receiver, "acceptance"), story.receiver_is("accepted")),
    )
    case = await step("Jugendamt", "fetches the dossier at the Jobcenter's consent door", story.dossier_is("stored"))
    if case["person"]["given_names"] != "Zora" or case["leads"]:
        raise NotSoError("the dossier names nobody, or the lead has moved too early")
    await step(
        "Jugendamt", "meets Zora: the lead moves", _both(story.first_contact(), story.sender_is("active", lead=False))
    )
    await step(
        "Jugendamt",
        "tells what became of it",
        _both(story.complete(), story.sender_is("completed", outcome="support_started")),
    )
    return story.handover


async def _second_story(story: Story, teller: Teller, proxy: Proxy) -> str:
    """Consent is withdrawn while the dossier is on its way."""
    step = teller.step
    teller.console.rule("The second story: the young person withdraws while the dossier is on its way")
    story.reports = REPORTS
    await step("Jobcenter", "registers Zacharias, hears his consent, asks the Jugendamt", story.until_requested())
    proxy.bytes_per_second = THROTTLED_BYTES_PER_SECOND
    line = await step(
        "Jugendamt",
        f"accepts, and fetches through a line of {THROTTLED_BYTES_PER_SECOND // 1000} KB/s",
        _both(story.act(story.receiver, "acceptance"), _on_its_way(proxy)),
    )
    teller.console.print(f"           {line.arrived()} bytes of the sealed dossier have come through so far")
    await step("Zacharias", "withdraws his consent", story.withdraw_consent())
    answered, until = line.arrived(), time.monotonic() + QUIET_SECONDS
    teller.console.print("           the answer: [bold]withdrawn[/bold]")
    proxy.bytes_per_second = None
    await step("both", "the handover stops", _both(story.sender_is("stopped"), story.receiver_is("stopped")))
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    later = line.arrived() - answered
    teller.console.print(f"           bytes that followed the answer: [bold]{later}[/bold] ({answered} came before it)")
    if later:
        raise NotSoError(f"{later} bytes followed the answer")
    case = await story.receiver.until("intake", f"/cases/{story.handover}", lambda found: found["state"] == "discarded")
    if case["person"] is not None:
        raise NotSoError("half a dossier was stored")
    owed = await step(
        "Jugendamt",
        "is told that it owes an answer",
        story.receiver.until(
            "consent", "/duties", lambda found: any(duty["handover"] == story.handover for duty in found["duties"])
        ),
    )
    duty = next(duty for duty in owed["duties"] if duty["handover"] == story.handover)
    teller.console.print(f"           duty {duty['id']}: {duty['state']}, by {duty['answer_by']}")
    return story.handover


async def _both(one: Awaitable[Any], other: Awaitable[Any]) -> Any:
    await one
    return await other


async def _on_its_way(proxy: Proxy) -> Connection:
    """Wait until a good part of an answer has come on some connection, which may be one that was open already."""
    before = {id(line): line.arrived() for line in proxy.connections}
    async with asyncio.timeout(20):
        while True:
            for line in proxy.connections:
                if line.arrived() - before.get(id(line), 0) > ON_ITS_WAY_BYTES:
                    return line
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _watching(installation: Installation, teller: Teller) -> AsyncIterator[None]:
    """Print every event of every topic as it goes by; only the cluster's administrator may see all of them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=installation.bootstrap,
        security_protocol="SSL",
        ssl_context=tls_of(installation, "admin"),
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
        group_id=f"demo-{new_id()}",
        auto_offset_reset="latest",
    )
    consumer.subscribe(pattern=r"^[^_].*")
    await consumer.start()
    while not consumer.assignment():  # noqa: ASYNC110  # aiokafka tells nobody
        await asyncio.sleep(0.05)
    for part in consumer.assignment():
        await consumer.position(part)  # from here on nothing is missed

    async def watch() -> None:
        async for record in consumer:
            headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
            teller.event(record.topic, headers)

    watching = asyncio.create_task(watch())
    try:
        yield
        await asyncio.sleep(0.2)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await consumer.stop()


async def _end(installation: Installation, references: list[str], console: Console) -> None:
    for reference in references:
        console.rule(f"Timeline of {reference}, over both agencies")
        found = await timelines(installation, reference)
        console.print(as_table((agency, entry) for agency, entries in found.items() for entry in entries))
    console.rule("What runs")
    for agency in installation.agencies:
        for name in SERVICES:
            console.print(f"  {agency}.{name:<9} {installation.url(agency, name)}/docs")
    ca, certificate, key = installation.tls(f"{RECEIVER}.handover")
    channel = f"musterland.{SENDER}.to.{RECEIVER}.handover"
    console.print("\nLook at the topics yourself:")
    program = Path(sys.executable).with_name("staffel")
    reading = f"topics read --data {installation.data} --as {RECEIVER}.handover {channel}"
    console.print(f"  {program} {reading}", soft_wrap=True)
    console.print(
        f"  kcat -b {installation.bootstrap} -X security.protocol=ssl -X ssl.ca.location={ca} "
        f"-X ssl.certificate.location={certificate} -X ssl.key.location={key} -C -e -t {channel}",
        soft_wrap=True,
    )


async def _until_interrupted(system: System) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        system.mend()
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except TimeoutError:
            continue
