"""The page on a phone: who has the code of a receipt sees that consent and takes it back, without an account.

The code is typed into a form and sent in its body. It stands in no address, so no log of ours or of a proxy, no history
and no Referer ever holds it; a fragment would need a script to be read, and there is none. There is no cookie either:
each form of the page brings the code along, so that nothing a browser sends by itself can do anything.

Guessing: sixty bits, five wrong codes at once from one address, then one a second, in line (`chassis.http.Tries`). Each
form also brings a ticket along that its code was right not long ago: who is in stays in, whoever guesses beside them.
A code that nobody has printed and what cannot be a code at all get the same answer.
"""

import asyncio
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import transaction
from chassis.executor import Answer, Bug
from chassis.http import Body, Call, Routes, Turn, anyone
from chassis.transitions import Refused
from contracts.ids import GrantId, ReleaseId
from services.consent.api.receipts import screens
from services.consent.api.receipts.parties import PAGE, parties
from services.consent.api.receipts.pieces import Key, Seen, to_take_back
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
    """The code as it was typed, in which language to answer, and the ticket that the code was right before."""

    code: str
    ticket: str | None = None
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
    opened = await _opened(call, resources, body, body.before)
    return opened if isinstance(opened, Refused) else screens.overview(*opened)


@routes.form(screens.WITHDRAWAL, allow=anyone(), fields=WithdrawalFields, shown=screens.said_no)
async def take_back(call: Call, resources: Resources, body: WithdrawalFields) -> Answer | Refused:
    """Ask once whether it is meant, then withdraw; answered when no byte can follow. Twice is as good as once."""
    opened = await _opened(call, resources, body)
    if isinstance(opened, Refused):
        return opened
    found, key = opened
    grant = next((each for each in found.record.consent.grants if each.id == body.grant), None)
    if body.grant is not None and grant is None:
        return Refused(Reason.UNKNOWN_GRANT)
    if body.sure is None:
        return screens.asks(found, key, grant)
    await withdraw(resources, found.record.person, found.record.consent.id, None if grant is None else grant.id)
    return screens.taken_back(await _after(resources, found, grant), key, found, grant)


async def _opened(
    call: Call, resources: Resources, body: CodeFields, before: ReleaseId | None = None
) -> tuple[Seen, Key] | Refused:
    if not await _was_right(resources, body, call.now):
        turn = resources.tries.begin(place_of(call.address))
        if turn is None:
            return Refused(Reason.TOO_MANY_TRIES)
        await asyncio.sleep(turn.in_seconds)
        found = await _tried(resources, turn, body, call.now, before)
    else:
        found = await _found(resources, body, call.now, before)
    if found is None:
        return Refused(Reason.UNKNOWN_CODE)
    record, key = found
    language = body.language or (record.notice.language if record.notice else None)
    return Seen(record, parties(resources), texts_in(language)), key


async def _was_right(resources: Resources, body: CodeFields, now: datetime) -> bool:
    if body.ticket is None:
        return False
    async with transaction(resources.tools.engine) as tx:
        return await receipts.was_right(tx, body.code, body.ticket, now)


async def _tried(
    resources: Resources, turn: Turn, body: CodeFields, now: datetime, before: ReleaseId | None
) -> tuple[OnRecord, Key] | None:
    wrong = False
    try:
        found = await _found(resources, body, now, before)
        wrong = found is None
    finally:
        if not wrong:  # nor where nobody could say
            resources.tries.right(turn)
    return found


async def _found(
    resources: Resources, body: CodeFields, now: datetime, before: ReleaseId | None
) -> tuple[OnRecord, Key] | None:
    async with transaction(resources.tools.engine) as tx:
        consent = await receipts.consent_of_code(tx, body.code)
        record = None if consent is None else await receipts.on_record(tx, consent, before)
        return None if record is None else (record, Key(body.code, await receipts.ticket_for(tx, body.code, now)))


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


