"""Fetching a dossier at a door that says yes, no, not now, half of it, or something else altogether."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from joserfc import jwe
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from chassis.auth import Parties
from chassis.errands import Again, ErrandCall
from chassis.executor import Step
from chassis.service import Tools
from contracts.codes import END_STATES, HandoverState, Side
from contracts.dossier import CONTENT_BYTES_MAX
from contracts.new_ids import new_id
from services.intake.domain.case import DossierReason
from services.intake.domain.commands import NoteRefusal, StoreDossier, StorePart
from services.intake.domain.dossiers import CATEGORY_OF, contents_of
from services.intake.errands import HALVE_SECONDS, NOT_OPEN_TRIES_MAX, UNREADABLE_TRIES_MAX, fetch_dossier
from tests.intake.builders import NOW, a_person, changed
from tests.intake.conftest import DOOR, Intake, Keys, sealing_key

S = HandoverState
REFERENCE = UUID("019b0000-0000-7000-8000-000000000001")
HEADERS = {name: HeaderParameter("", "str") for name in ("handover", "recipient", "release")}


def sealed(key: OKPKey, body: dict[str, Any] | None = None, **header: Any) -> bytes:
    """What the sender's door gives out."""
    dossier = a_dossier() if body is None else body
    protected = {
        "alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": key.kid, "typ": "staffel-dossier+jwe",
        "handover": str(REFERENCE), "recipient": "jugendamt", "release": dossier["release"], **header,
    }
    registry = jwe.JWERegistry(
        header_registry=HEADERS, algorithms=["ECDH-ES+A256KW", "A256GCM", "DEF"], strict_check_header=False
    )
    return jwe.encrypt_compact(protected, json.dumps(dossier), key, registry=registry).encode()


def a_dossier(**changed: Any) -> dict[str, Any]:
    """Everything about somebody who does not exist."""
    items = [
        {
            "id": str(new_id()), "category": CATEGORY_OF[part], "collected_from": "third_party:sgb_x_67a_2_1",
            "flags": ["entrusted"], "bases": ["consent_sgb_x_67b"],
            "purpose": "stabilisation", "hash": "ab" * 32, "content": said,
        }
        for part, said in contents_of(a_person()).items()
    ]
    return {
        "release": str(new_id()), "handover": str(REFERENCE), "completeness": "complete", "items": items,
        "of_a_newer_release": 1, **changed,
    }


@dataclass
class Outside:
    """The sender's door and the own handover service, as the errand meets them."""

    door: Callable[[], httpx.Response]
    state: str = S.ACCEPTED
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One answer."""
        self.asked.append(request)
        if request.url.host == "handover":
            return httpx.Response(200, json={"state": self.state, "side": "receiver"})
        return self.door()


async def fetch(tools: Tools, outside: Outside, *, attempt: int = 1, **about: str) -> Step | None:
    """Run the errand once against these."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(outside)) as client:
        said = {"sender": "jobcenter", "alliance": "musterland", **about}
        return await fetch_dossier(ErrandCall(REFERENCE, said, attempt, replace(tools, client=client)))


def gives(body: bytes, status: int = 200) -> Outside:
    return Outside(lambda: httpx.Response(status, stream=httpx.ByteStream(body)))


def says_no(status: int, reason: str = "") -> Outside:
    return gives(json.dumps({"type": f"/problems/consent/{reason}"}).encode(), status)


def refusal(step: Step | None) -> DossierReason:
    assert step is not None
    assert isinstance(step.command, NoteRefusal), step
    return step.command.reason


async def test_a_dossier_sealed_to_either_key_becomes_one_command(tools: Tools, keys: Keys) -> None:
    for key in keys.sealing:
        step = await fetch(tools, gives(sealed(key)))
        assert step is not None
        assert step.subject == REFERENCE
        command = step.command
        assert type(command) is StoreDossier
        assert command.person is not None
        assert (command.person.id, command.person.given_names) == (REFERENCE, "Zora")
        item = command.items[0]
        assert item.provenance is not None
        assert (item.entrusted, item.collection_basis, item.hash) == (True, "sgb_x_67a_2_1", "ab" * 32)
        assert (item.provenance.agency, item.provenance.bases) == ("jobcenter", ("consent_sgb_x_67b",))


async def test_the_door_is_asked_in_the_agencys_name_and_the_own_copy_afterwards(tools: Tools, keys: Keys) -> None:
    outside = gives(sealed(keys.sealing[0]))
    await fetch(tools, outside)
    door, own = outside.asked
    assert (str(door.url), json.loads(door.content)) == (f"{DOOR}/releases", {"handover": str(REFERENCE)})
    token = door.headers["authorization"].removeprefix("Bearer ").encode()
    reader = Parties("jobcenter.consent", lambda party, kid, now: keys.signing if party == "jugendamt" else None)
    caller = reader.read(token, str(keys.signing.kid), NOW.now(NOW.tzinfo)).caller
    assert (caller.name, caller.roles) == ("jugendamt", frozenset({"intake"}))
    assert str(own.url) == f"http://handover/internal/handovers/{REFERENCE}"
    assert own.headers["authorization"] == "Bearer signed for jugendamt.handover"


async def test_a_door_that_has_more_is_asked_again_after_it_has_heard_of_the_part(tools: Tools, keys: Keys) -> None:
    outside = gives(sealed(keys.sealing[0], a_dossier(completeness="more")))
    step = await fetch(tools, outside)
    assert step is not None
    assert isinstance(step.command, StorePart)
    with pytest.raises(Again, match="part_stored"):
        await fetch(tools, outside, after=str(new_id()))
    assert await fetch(tools, outside, attempt=2, after=str(new_id())) is not None


async def test_bytes_are_dropped_unread_where_the_own_copy_says_otherwise(tools: Tools, keys: Keys) -> None:
    body = sealed(keys.sealing[0])
    for state in set(S) - {S.ACCEPTED, S.CANCELLING, S.ACTIVE, S.PAUSED}:
        outside = replace(gives(body), state=state)
        if state in END_STATES:
            assert await fetch(tools, outside) is None, state
        else:
            with pytest.raises(Again, match="own_copy_behind"):
                await fetch(tools, outside)


async def test_a_body_that_is_cut_is_no_dossier(tools: Tools, keys: Keys) -> None:
    whole = sealed(keys.sealing[0])
    assert await cut(tools) == ("line_cut", HALVE_SECONDS, {"bytes_at_most": str(CONTENT_BYTES_MAX // 2)})
    with pytest.raises(Again, match="unreadable"):
        await fetch(tools, gives(whole[:-20]))


async def cut(tools: Tools, **about: str) -> tuple[str, float | None, dict[str, str]]:
    """What is said, for how long, and what was learned, when the line is cut in the middle of an answer."""
    async with half_a_door(b"x" * 1000) as address, httpx.AsyncClient(transport=redirected(address)) as client:
        said = {"sender": "jobcenter", "alliance": "musterland", **about}
        with pytest.raises(Again) as again:
            await fetch_dossier(ErrandCall(REFERENCE, said, 1, replace(tools, client=client)))
    return again.value.reason, again.value.seconds, dict(again.value.learned)


async def test_a_door_that_takes_the_question_and_never_answers_is_told_from_a_slow_line(tools: Tools) -> None:
    def silent() -> httpx.Response:
        raise httpx.ReadTimeout("nothing came")

    with pytest.raises(Again, match="no_answer") as again:
        await fetch(tools, Outside(silent))
    assert again.value.learned == {"in_vain": "1"}
    with pytest.raises(Again, match="no_answer") as again:
        await fetch(tools, Outside(silent), attempt=1, bytes_at_most="1024", in_vain="4")
    assert again.value.seconds == 32


async def test_a_line_that_is_cut_is_asked_for_half_until_only_one_item_is_asked_for(tools: Tools) -> None:
    about: dict[str, str] = {}
    asked = []
    for _ in range(9):
        reason, _, learned = await cut(tools, **about)
        about |= learned
        asked.append((reason, int(about["bytes_at_most"])))
    fewer = [("line_cut", most) for most in (92160, 46080, 23040, 11520, 5760, 2880, 1440, 1024)]
    assert asked == [*fewer, ("line_too_slow_for_one_item", 1024)]


async def test_an_item_that_never_fits_is_tried_less_and_less_often_but_never_given_up(tools: Tools) -> None:
    about = {"bytes_at_most": "1024"}
    waited = []
    for _ in range(14):
        reason, seconds, learned = await cut(tools, **about)
        assert reason == "line_too_slow_for_one_item"
        about |= learned
        waited.append(seconds)
    assert waited == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]
    with pytest.raises(Again, match="too_large") as again:
        await fetch(tools, says_no(413, "too-large"), attempt=1, **about)
    assert again.value.seconds == 3600


async def test_what_the_line_was_found_to_carry_is_asked_for_and_kept_for_the_next_part(
    tools: Tools, keys: Keys
) -> None:
    outside = gives(sealed(keys.sealing[0], a_dossier(completeness="more")))
    step = await fetch(tools, outside, bytes_at_most="5760", in_vain="3")
    assert json.loads(outside.asked[0].content) == {"handover": str(REFERENCE), "bytes_at_most": 5760}
    assert step is not None
    assert isinstance(step.command, StorePart)
    assert step.command.bytes_at_most == 5760


@asynccontextmanager
async def half_a_door(body: bytes) -> AsyncIterator[str]:
    """A real server that promises a body, sends half of it and cuts the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        half = body[: len(body) // 2]
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/jose\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + f"{len(half):x}\r\n".encode() + half + b"\r\n")
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def redirected(address: str) -> httpx.AsyncBaseTransport:
    """A transport that finds every host at that address."""

    class Redirected(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            request.url = request.url.copy_with(host="127.0.0.1", port=httpx.URL(address).port)
            return await super().handle_async_request(request)

    return Redirected()


@pytest.mark.parametrize(
    ("status", "reason", "shown"),
    [
        (409, "consent-withdrawn", DossierReason.CONSENT_WITHDRAWN),
        (404, "unknown-handover", DossierReason.NOT_KNOWN_THERE),
        (410, "already-stored", DossierReason.USED_UP),
        (403, "nothing-permitted", DossierReason.NOTHING_PERMITTED),
    ],
)
async def test_a_no_for_good_is_shown_at_the_case(
    tools: Tools, status: int, reason: str, shown: DossierReason
) -> None:
    assert refusal(await fetch(tools, says_no(status, reason))) is shown


@pytest.mark.parametrize("status", [400, 401, 422, 429, 500, 502, 503])
async def test_a_no_for_now_is_asked_again(tools: Tools, status: int) -> None:
    with pytest.raises(Again, match=str(status)):
        await fetch(tools, says_no(status))


async def test_a_door_that_is_not_open_yet_is_asked_for_a_while(tools: Tools) -> None:
    with pytest.raises(Again, match="not_open"):
        await fetch(tools, says_no(409, "not-open"))
    last = await fetch(tools, says_no(409, "not-open"), attempt=NOT_OPEN_TRIES_MAX)
    assert refusal(last) is DossierReason.NOT_OPEN


async def test_the_door_is_not_asked_again_once_the_handover_has_ended(tools: Tools) -> None:
    for end in END_STATES:
        outside = says_no(409, "not-open")
        outside.state = end
        assert await fetch(tools, outside, attempt=2) is None
        assert [request.url.host for request in outside.asked] == ["handover"]


async def test_a_door_that_cannot_be_reached_is_asked_again(tools: Tools) -> None:
    def nobody() -> httpx.Response:
        raise httpx.ConnectError("nobody there")

    with pytest.raises(Again, match="unreachable"):
        await fetch(tools, Outside(nobody))


async def test_an_agency_without_a_door_is_shown(tools: Tools) -> None:
    assert refusal(await fetch(tools, says_no(500), sender="agentur")) is DossierReason.NO_DOOR


async def test_a_body_without_end_is_not_read_to_its_end(tools: Tools) -> None:
    with pytest.raises(Again, match="too_long"):
        await fetch(tools, gives(b"x" * 1024 * 1024))


def made_wrong(keys: Keys) -> dict[str, bytes]:
    ours = keys.sealing[0]
    stranger = sealing_key("jugendamt.sealing#3")
    impostor = sealing_key(str(ours.kid))
    item = a_dossier()["items"][0]
    return {
        "another handover": sealed(ours, handover=str(new_id())),
        "another recipient": sealed(ours, recipient="agentur"),
        "another handover inside": sealed(ours, a_dossier(handover=str(new_id()))),
        "no recipient": sealed(ours, recipient=""),
        "a key of nobody": sealed(stranger),
        "a key of somebody else": sealed(impostor),
        "compressed": sealed(ours, zip="DEF"),
        "a header nobody knows": sealed(ours, crit=["b64"], b64=True),
        "no JSON inside": sealed(ours, {"release": "x"}),
        "a hash that is none": sealed(ours, a_dossier(items=[{**item, "hash": "short"}])),
        "collected from nowhere": sealed(ours, a_dossier(items=[{**item, "collected_from": "gossip"}])),
        "not sealed": json.dumps(a_dossier()).encode(),
        "nothing": b"",
        "noise": b"\xff\x00.\xff..",
    }


async def test_what_was_not_sealed_for_this_handover_and_us_is_never_stored(tools: Tools, keys: Keys) -> None:
    for name, body in made_wrong(keys).items():
        with pytest.raises(Again, match="unreadable"):
            await fetch(tools, gives(body))
        last = await fetch(tools, gives(body), attempt=UNREADABLE_TRIES_MAX)
        assert refusal(last) is DossierReason.UNREADABLE, name


async def test_what_the_errand_brings_back_registers_the_case(intake: Intake, keys: Keys) -> None:
    event = changed(Side.RECEIVER, S.ACCEPTING, S.ACCEPTED, handover=REFERENCE)
    await intake.hear(event, 1)
    step = await fetch(intake.tools, gives(sealed(keys.sealing[0])))
    assert step is not None
    await intake.run(step)
    seen = (await intake.get(f"/cases/{REFERENCE}")).json()
    assert (seen["state"], seen["person"]["given_names"]) == ("registered", "Zora")
    (dossier,) = await intake.rows(
        "SELECT convert_from(payload, 'UTF8')::jsonb AS body FROM event_log WHERE type LIKE '%dossier_stored%'"
    )
    assert [item["hash"] for item in dossier.body["items"]] == ["ab" * 32] * 3
