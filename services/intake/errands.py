"""What the intake service does over the network: it fetches a dossier at the sender's door."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import httpx
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, OKPKey
from joserfc.registry import HeaderParameter
from pydantic import JsonValue, ValidationError

from chassis.auth import sign_party
from chassis.crashpoints import reached
from chassis.errands import Again, ErrandCall, Functions
from chassis.executor import Step
from chassis.service import Tools
from contracts.codes import END_STATES, Completeness, HandoverState, ItemFlag, Service, Sphere
from contracts.dossier import CONTENT_BYTES_MAX, Dossier, DossierItem
from contracts.ids import AgencyId, ReleaseId
from contracts.new_ids import new_id
from contracts.topics import Principal
from services.intake.domain.case import DossierReason
from services.intake.domain.commands import NoteRefusal, StoreDossier, StorePart
from services.intake.domain.dossiers import as_content, part_of, person_in
from services.intake.domain.facts import FETCH_DOSSIER
from services.intake.domain.items import CollectedFrom, Item, Provenance
from services.intake.domain.limits import may_be_kept
from services.intake.settings import Settings
from services.intake.store import CASE

log = logging.getLogger(__name__)

SEALED_BYTES_MAX: Final = 512 * 1024  # the door seals at most 256 KB; base64 makes a third more of it
NOT_OPEN_TRIES_MAX: Final = 60  # about an hour: the sender's copy has long heard of its own confirmation by then
HALVE_SECONDS: Final = 1.0  # a line that was cut is asked for half at once: that ends soon, in success or at one item
ONE_ITEM_BYTES: Final = 1024  # so little is asked for where only the smallest item is wanted, whatever it weighs
SELDOM_SECONDS_MAX: Final = 3600.0  # every try costs the other side a release: what does not fit is tried less and less
UNREADABLE_TRIES_MAX: Final = 8  # about two minutes: a body cut on its way comes whole another time
# Only in these states may bytes be kept when they arrive (models/README.md, StoreDossier).
KEEPING: Final = frozenset(
    {HandoverState.ACCEPTED, HandoverState.CANCELLING, HandoverState.ACTIVE, HandoverState.PAUSED}
)
ALGORITHMS: Final = ["ECDH-ES+A256KW", "A256GCM"]
FOR_GOOD: Final[Mapping[int, DossierReason]] = {
    httpx.codes.FORBIDDEN: DossierReason.NOTHING_PERMITTED,
    httpx.codes.NOT_FOUND: DossierReason.NOT_KNOWN_THERE,
    httpx.codes.GONE: DossierReason.USED_UP,
}
BYTES_AT_MOST: Final = "bytes_at_most"  # what the line was found to carry: in the errand, and asked of the door
CONSENT_WITHDRAWN: Final = "consent-withdrawn"


class _CutError(Exception):
    """The door's answer had begun and did not come whole."""


class _UnreadableError(Exception):
    """Not sealed to us, not whole, or not what was asked for."""


async def fetch_dossier(call: ErrandCall) -> Step | None:
    """Ask the door; what comes back becomes one command. Busy doors are asked again, cut ones for less."""
    tools: Tools = call.resources
    settings: Settings = tools.settings
    sender = AgencyId(call.about["sender"])
    if "after" in call.about and call.attempt == 1:
        raise Again("part_stored")  # the door leaves out only what it has heard to be stored here
    door = settings.door_of(sender, call.about["alliance"])
    if door is None:
        return _refused(call, DossierReason.NO_DOOR)
    if call.attempt > 1 and await _own_copy(tools, call.subject) in END_STATES:
        return None  # it ended meanwhile: the door has nothing for us any more, and is not asked
    try:
        status, body = await _ask(tools.client, door, call, _token(settings, sender))
    except _CutError as error:
        raise _for_less(call.about) from error
    if status != httpx.codes.OK:
        return _no(call, status, body)
    reached("dossier.after_fetch")
    try:
        dossier = unsealed(body, settings.sealing_keys(), call.subject, settings.agency)
    except _UnreadableError as error:
        if call.attempt < UNREADABLE_TRIES_MAX:
            raise Again("unreadable") from error
        return _refused(call, DossierReason.UNREADABLE)
    state = await _own_copy(tools, call.subject)
    if state in END_STATES:
        return None  # it ended meanwhile: dropped unread; the end itself is told by its own event
    if state not in KEEPING:
        raise Again("own_copy_behind")
    return _stored(call, settings, sender, dossier)


def _token(settings: Settings, sender: AgencyId) -> str:
    return sign_party(
        settings.signing_key(),
        party=settings.agency,
        role=Service.INTAKE,
        audience=str(Principal(sender, Service.CONSENT)),
    )


def _clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  # when the bytes arrived; no decision rests on it


async def _ask(client: httpx.AsyncClient, door: str, call: ErrandCall, token: str) -> tuple[int, bytes]:
    """Status and whole body; a body that is cut or too long is none."""
    headers = {"authorization": f"Bearer {token}", "accept-encoding": "identity"}  # nothing sealed gets smaller
    asked: dict[str, str | int] = {"handover": str(call.subject)}
    if BYTES_AT_MOST in call.about:
        asked[BYTES_AT_MOST] = int(call.about[BYTES_AT_MOST])
    begun = False
    try:
        async with client.stream("POST", f"{door}/releases", json=asked, headers=headers) as answer:
            begun = True
            body = b""
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > SEALED_BYTES_MAX:
                    raise Again("too_long")
            return answer.status_code, body
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Again("unreachable") from error
    except httpx.TransportError as error:
        raise (_CutError() if begun else _seldom("no_answer", call.about)) from error


def _for_less(about: Mapping[str, str]) -> Again:
    """The door tears its answer down after two seconds, so a slow line gets nothing of a long one: ask for half of it.

    Where the smallest item alone is too much, nobody gives up, but tries become seldom and operators see why.
    """
    asked = int(about.get(BYTES_AT_MOST, CONTENT_BYTES_MAX))
    if asked > ONE_ITEM_BYTES:
        learned = {BYTES_AT_MOST: str(max(asked // 2, ONE_ITEM_BYTES))}
        return Again("line_cut", seconds=HALVE_SECONDS, learned=learned)
    return _seldom("line_too_slow_for_one_item", about)


def _seldom(reason: str, about: Mapping[str, str]) -> Again:
    """Again after 2, 4, 8 … seconds up to an hour: never longer than it has been tried in vain."""
    tries = int(about.get("in_vain", 0)) + 1
    return Again(reason, seconds=min(2.0 ** min(tries, 12), SELDOM_SECONDS_MAX), learned={"in_vain": str(tries)})


def _no(call: ErrandCall, status: int, body: bytes) -> Step:
    """What a refusal means: for good, or only for now. The body of a problem names its type, nothing else is read."""
    if status in FOR_GOOD:
        return _refused(call, FOR_GOOD[status])
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        raise _seldom("too_large", call.about)
    if status != httpx.codes.CONFLICT:
        raise Again(f"status_{status}")
    if CONSENT_WITHDRAWN.encode() in body:
        return _refused(call, DossierReason.CONSENT_WITHDRAWN)
    if call.attempt < NOT_OPEN_TRIES_MAX:
        raise Again("not_open")
    return _refused(call, DossierReason.NOT_OPEN)


def _refused(call: ErrandCall, reason: DossierReason) -> Step:
    return Step(CASE, call.subject, NoteRefusal(reason))


def unsealed(body: bytes, keys: Mapping[str, OKPKey], handover: UUID, recipient: AgencyId) -> Dossier:
    """Open the seal with the key it names and check that it was made for this handover and for us."""
    try:
        sealed = jwe.decrypt_compact(body.strip(), lambda guest: _named(keys, guest), registry=_registry())
        header = sealed.protected
        dossier = Dossier.model_validate_json(sealed.plaintext or b"")
    except (JoseError, ValidationError, ValueError, KeyError) as error:
        raise _UnreadableError from error
    bound = (header.get("handover"), header.get("recipient"), header.get("release"))
    if bound != (str(handover), recipient, str(dossier.release)) or dossier.handover != handover:
        raise _UnreadableError
    return dossier


def _named(keys: Mapping[str, OKPKey], guest: GuestProtocol) -> OKPKey:
    header = guest.headers()
    if not {"zip", "crit"}.isdisjoint(header):
        raise _UnreadableError  # compressed (a bomb, whatever else it is), or asking for what is not known here
    return keys[str(header.get("kid"))]


def _registry() -> jwe.JWERegistry:
    """What a seal may look like: one algorithm, no compression, no parameter that is not known here."""
    known = {
        "handover": HeaderParameter("Handover reference the dossier belongs to", "str", required=True),
        "recipient": HeaderParameter("Agency it is sealed to", "str", required=True),
        "release": HeaderParameter("What left through the door", "str", required=True),
    }
    registry = jwe.JWERegistry(header_registry=known, algorithms=ALGORITHMS)
    registry.max_ciphertext_length = SEALED_BYTES_MAX  # the library's 64 KB are less than one answer of a door
    return registry


async def _own_copy(tools: Tools, handover: UUID) -> str:
    """State of the own copy of the handover, asked after the bytes have arrived."""
    settings: Settings = tools.settings
    audience = str(Principal(settings.agency, Service.HANDOVER))
    headers = {"authorization": f"Bearer {tools.signed_for(audience)}"}
    try:
        answer = await tools.client.get(f"{settings.handover_url}/internal/handovers/{handover}", headers=headers)
    except httpx.TransportError as error:
        raise Again("own_handover_unreachable") from error
    if answer.status_code != httpx.codes.OK:
        raise Again(f"own_handover_{answer.status_code}")
    return str(answer.json()["state"])


def _stored(call: ErrandCall, settings: Settings, sender: AgencyId, dossier: Dossier) -> Step:
    now = _clock()
    kept = _listed(dossier.items, settings.sphere_of(sender, call.about["alliance"]), settings.sphere)
    if len(kept) < len(dossier.items):
        said = {"count": len(dossier.items) - len(kept), "reason": DossierReason.NOT_LISTED, "party": sender}
        log.error("items not kept", extra={**said, "subject": str(call.subject)})
    if dossier.items and not kept:
        return _refused(call, DossierReason.NOT_LISTED)
    items = tuple(_item(one, dossier.release, sender, now) for one in kept)
    person = person_in(((item.part, item.content) for item in items), call.subject, dossier.release)
    if dossier.completeness is not Completeness.MORE:
        return Step(CASE, call.subject, StoreDossier(dossier.release, settings.sphere, items, person))
    slow = int(call.about[BYTES_AT_MOST]) if BYTES_AT_MOST in call.about else None
    return Step(CASE, call.subject, StorePart(dossier.release, settings.sphere, items, person, slow))


def _listed(items: Sequence[DossierItem], sender: Sphere | None, receiver: Sphere) -> list[DossierItem]:
    """What may be collected on its basis. The rest is stored nowhere, and its sender is told of what is stored only."""
    return [item for item in items if may_be_kept(item.category, item.bases, sender, receiver)]


def _item(sealed: DossierItem, release: ReleaseId, sender: AgencyId, now: datetime) -> Item:
    """A received item under an id of our own: an id that others choose must never hit a row of ours."""
    collected_from, _, basis = sealed.collected_from.partition(":")
    content = _as_kept(sealed.content)
    return Item(
        id=new_id(),
        category=sealed.category,
        content=content,
        hash=sealed.hash,
        recorded_at=now,
        part=part_of(sealed.category, content),
        entrusted=ItemFlag.ENTRUSTED in sealed.flags,
        special=ItemFlag.SPECIAL in sealed.flags,
        professional_secret=ItemFlag.PROFESSIONAL_SECRET in sealed.flags,
        collected_from=CollectedFrom(collected_from),
        collection_basis=basis or None,
        provenance=Provenance(release, sealed.id, sender, sealed.purpose, sealed.bases, now),
    )


def _as_kept(content: JsonValue) -> str:
    """JSON text, whatever was sent: a sender of ours sends the text it keeps, another one may send anything."""
    if isinstance(content, str):
        try:
            json.loads(content)
        except (ValueError, RecursionError):
            return as_content(content)
        return content
    return as_content(content)


ERRANDS: Final[Functions] = {FETCH_DOSSIER: fetch_dossier}
