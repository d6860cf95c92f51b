"""The page on a phone: who has the code of a receipt sees that consent and takes it back, without an account.

The code is typed into a form and sent in its body. It stands in no address, so no log of ours or of a proxy, no history
and no Referer ever holds it; a fragment would need a script to be read, and there is none. There is no cookie either:
each form of the page brings the code along, so that nothing a browser sends by itself can do anything.

Guessing: sixty bits, five wrong codes at once from one address, then one a minute (`chassis.http.Tries`). A code that
nobody has printed and what cannot be a code at all get the same answer.
"""

from ipaddress import IPv6Address, ip_address
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import transaction
from chassis.executor import Answer, Bug
from chassis.http import Body, Call, Routes, anyone
from chassis.transitions import Refused
from contracts.ids import GrantId, ReleaseId
from services.consent.api.receipts import screens
from services.consent.api.receipts.parties import PAGE, parties
from services.consent.api.receipts.pieces import Seen, to_take_back
from services.consent.api.receipts.texts import texts_in
from services.consent.domain import Reason
from services.consent.domain.words import Grant
from services.consent.door import Resources, withdraw
from services.consent.store import receipts
from services.consent.store.receipts import OnRecord

routes = Routes()

PLACE_CHARACTERS_MAX = 64  # longer than any address; a proxy may pass on what it was told
PREFIX_BITS = 64  # of IPv6: what one household or one machine is given, and can choose addresses from


class CodeFields(Body):
    """The code as it was typed, and in which language to answer."""

    code: str
    language: str | None = None


class LookFields(CodeFields):
    """Of what has left only what left before that release; without it, the latest."""

    before: ReleaseId | None = None


class WithdrawalFields(CodeFields):
    """What is taken back: one grant, or all; `sure` is the second tap. No reason is asked."""

    grant: GrantId | None = None
    sure: Literal["yes"] | None = None


@routes.page(PAGE, allow=anyone(), shown=screens.said_no)
async def enter_code(call: Call, tx: AsyncConnection, language: str | None = None) -> Answer:
    """Where the code of a receipt is typed in."""
    return screens.entry(texts_in(language))


@routes.form(PAGE, allow=anyone(), fields=LookFields, shown=screens.said_no, reads=True)
async def see_consent(call: Call, resources: Resources, body: LookFields) -> Answer | Refused:
    """What the consent is about, who has received something on it, what they have answered to a withdrawal."""
    found = await _opened(call, resources, body, body.before)
    return found if isinstance(found, Refused) else screens.overview(found, body.code)


@routes.form(screens.WITHDRAWAL, allow=anyone(), fields=WithdrawalFields, shown=screens.said_no)
async def take_back(call: Call, resources: Resources, body: WithdrawalFields) -> Answer | Refused:
    """Ask once whether it is meant, then withdraw; answered when no byte can follow. Twice is as good as once."""
    found = await _opened(call, resources, body)
    if isinstance(found, Refused):
        return found
    grant = next((each for each in found.record.consent.grants if each.id == body.grant), None)
    if body.grant is not None and grant is None:
        return Refused(Reason.UNKNOWN_GRANT)
    if body.sure is None:
        return screens.asks(found, body.code, grant)
    await withdraw(resources, found.record.person, found.record.consent.id, None if grant is None else grant.id)
    return screens.taken_back(await _after(resources, found, grant), body.code, found, grant)


async def _opened(
    call: Call, resources: Resources, body: CodeFields, before: ReleaseId | None = None
) -> Seen | Refused:
    place = place_of(call.address)
    if not resources.tries.begin(place):
        return Refused(Reason.TOO_MANY_TRIES)
    wrong = False
    try:
        found = await _found(resources, body.code, before)
        wrong = found is None
    finally:
        if not wrong:  # nor where nobody could say
            resources.tries.right(place)
    if found is None:
        return Refused(Reason.UNKNOWN_CODE)
    language = body.language or (found.notice.language if found.notice else None)
    return Seen(found, parties(resources), texts_in(language))


async def _found(resources: Resources, code: str, before: ReleaseId | None) -> OnRecord | None:
    async with transaction(resources.tools.engine) as tx:
        consent = await receipts.consent_of_code(tx, code)
        return None if consent is None else await receipts.on_record(tx, consent, before)


async def _after(resources: Resources, before: Seen, grant: Grant | None) -> Seen:
    """How it stands now. Whoever is told that it is taken back must be able to rely on that."""
    async with transaction(resources.tools.engine) as tx:
        record = await receipts.on_record(tx, before.record.consent.id)
    if record is None:
        raise Bug("consent gone")
    after = Seen(record, before.parties, before.texts)
    if any(grant is None or each.id == grant.id for each in to_take_back(after)):
        raise Bug("not withdrawn")
    return after


def place_of(address: str) -> str:
    """For what wrong codes are counted: an address, of IPv6 its first 64 bits."""
    try:
        found = ip_address(address.partition(":")[2])
    except ValueError:
        return address[:PLACE_CHARACTERS_MAX]
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)  # a proxy that listens for both writes it so
    if isinstance(found, IPv6Address):
        return f"{int(found) >> 128 - PREFIX_BITS:x}"
    return str(found)


