"""Keeps a service shut whose database is older than what it has said; opens it when that is mended.

The state is a row in the database (`restoration`), so every replica and every restart sees it. As long as the broker
has not been asked, nobody but people and the service itself is answered: whoever gives data out on our word must be
able to rely on it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import transaction
from chassis.horizon import Horizon, OutOfSight
from chassis.recovery.noticing import Finding, Topics, catching_up, made_anew, notice

WHAT_TO_DO = "database and topics do not belong together: shut until `staffel recover` has mended it, `reason` says why"

log = logging.getLogger(__name__)


class Standing(StrEnum):
    """What is known of this database: nothing yet, that it is whole, or that it is older than what it has said.

    Or that it was, and has not heard again yet what it had heard: it speaks and hears, and gives nothing out.
    """

    UNASKED = "unasked"
    SOUND = "sound"
    RESTORED = "restored"
    CATCHING_UP = "catching-up"

    @property
    def speaks(self) -> bool:
        """Whether a service on such a database may hear and say things."""
        return self in {Standing.SOUND, Standing.CATCHING_UP}


class Guard:
    """Knows how one service's database stands; `look` asks the broker, `refresh` only the database."""

    def __init__(self, engine: AsyncEngine, horizon: Horizon, topics: Topics) -> None:
        self._engine, self._horizon, self._topics = engine, horizon, topics
        self.standing = Standing.UNASKED

    async def look(self) -> Standing:
        """Compare database and topics now. A broker that is away leaves open what was open."""
        await self._ask()
        return self.standing

    async def may_speak(self) -> bool:
        """Asked by the relay before it publishes anything, each time it begins to lead."""
        return (await self._ask()).speaks

    async def _ask(self) -> Standing:
        if await self.refresh() is Standing.RESTORED:
            return self.standing
        try:
            findings = await notice(self._engine, self._horizon, self._topics)
            behind = not findings and await self._catching_up()
        except OutOfSight as error:
            log.warning("the broker cannot be asked whether this database is whole", extra={"error_class": str(error)})
            return Standing.UNASKED
        if findings:
            await self._write_down(findings)
        else:
            self.standing = Standing.CATCHING_UP if behind else Standing.SOUND
        return self.standing

    async def _catching_up(self) -> bool:
        """Asked until it was answered no: who has caught up once has caught up."""
        sound = self.standing is Standing.SOUND
        return not sound and await catching_up(self._engine, self._horizon, self._topics)

    async def made_anew(self, topic: str) -> None:
        """Told by the relay. Written down at once: a topic that grows on soon looks as if it had lost nothing.

        Where nothing was remembered that lay there nothing is lost: what was sent goes out again by itself.
        """
        findings = await made_anew(self._engine, topic)
        if findings:
            await self._write_down(findings)

    async def _write_down(self, findings: Sequence[Finding]) -> None:
        async with transaction(self._engine) as tx:
            await write_down(tx, findings)
        self._shut(findings)

    async def refresh(self) -> Standing:
        """What the database says: another replica may have noticed something, or `recover` may have mended it."""
        async with self._engine.connect() as tx:
            found = await present(tx)
        if found is not None:
            if self.standing is not Standing.RESTORED:
                self._shut([Finding(**each) for each in found["findings"]])
        elif self.standing is Standing.RESTORED:
            log.info("what the service had said is known again")
            self.standing = Standing.UNASKED
        return self.standing

    def _shut(self, findings: Sequence[Finding]) -> None:
        self.standing = Standing.RESTORED
        for finding in findings:
            told = {"topic": finding.topic, "offset": finding.first, "reason": str(finding.kind)}
            log.error(WHAT_TO_DO, extra=told)


async def write_down(tx: AsyncConnection, findings: Sequence[Finding]) -> None:
    """From now on this database is restored, for every replica, until it is mended; once for each time."""
    await tx.execute(_WRITE_DOWN, {"findings": json.dumps([asdict(finding) for finding in findings])})


async def present(tx: AsyncConnection) -> dict[str, Any] | None:
    """The restoration that is not mended yet."""
    row = (await tx.execute(_PRESENT)).mappings().first()
    return None if row is None else dict(row)


async def history(tx: AsyncConnection) -> list[dict[str, Any]]:
    """Every restoration this database knows of, the latest first, with what could not be known again."""
    return [dict(row) for row in (await tx.execute(_HISTORY)).mappings()]


_WRITE_DOWN = sa.text("INSERT INTO restoration (findings) VALUES (CAST(:findings AS jsonb)) ON CONFLICT DO NOTHING")
_PRESENT = sa.text("SELECT id, found_at, findings FROM restoration WHERE recovered_at IS NULL")
_HISTORY = sa.text("""
    SELECT found_at, findings, recovered_at, recovered_by, report FROM restoration ORDER BY id DESC LIMIT 20
""")
