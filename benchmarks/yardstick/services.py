"""What each of the four services does in the bench handover, by hand: dictionaries and one statement per table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from benchmarks.flow import ALLIANCE, CHANNEL, CHANNEL_BACK, RECEIVER, SENDER
from benchmarks.yardstick.engine import Asked, Back, Event, Fetch, Meaning, Said, View, Written, child
from chassis.auth import read_key, sign_internal
from contracts.calendar import GERMANY
from contracts.new_ids import new_id

SATURDAY = 5


def _json(value: Any) -> bytes:
    return bytes(to_json(value))


def working_days(moment: datetime, days: int) -> datetime:
    """So many days later that are no weekend in Germany."""
    there = moment.astimezone(GERMANY)
    while days:
        there += timedelta(days=1)
        days -= there.weekday() < SATURDAY
    return there.astimezone(UTC)


def _upsert(table: str, names: Sequence[str], *, key: str = "id") -> str:
    """All rows of a batch in one parameter; rows that exist get the other columns anew."""
    columns = ", ".join(f'"{name}"' for name in names)
    anew = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name != key)
    return (
        f'INSERT INTO "{table}" ({columns}) SELECT {columns} '  # names from this file
        f'FROM json_populate_recordset(NULL::"{table}", $1::json) ON CONFLICT ({key}) DO UPDATE SET {anew}'
    )


class Offers:
    """Hears that handovers move and has nothing to do with it."""

    hears: frozenset[str] = frozenset()
    errands: Mapping[str, Fetch] = {}
    views: Mapping[bytes, View] = {}

    async def run(
        self, tx: Any, now: datetime, asked: Sequence[Asked], heard: Sequence[Event], back: Sequence[Back]
    ) -> Written:
        """Nothing."""
        return Written()


# --- handover ---------------------------------------------------------------------------------------------------------

CHANGED = "staffel.handover.changed.v1"
HANDOVER_COLUMNS = (
    "id",
    "version",
    "side",
    "state",
    "alliance",
    "counterpart",
    "kind",
    "purpose",
    "urgency",
    "competence_area",
    "case",
    "person",
    "items",
    "verdicts",
    "preview",
    "lead",
    "recorded",
    "awaits_word",
    "holds_baton",
    "asked",
    "review_on",
    "redirect_to",
    "reason",
    "outcome",
    "due",
    "struck",
    "drafted_at",
    "changed_at",
    "requested_at",
    "accepted_at",
    "met_at",
    "ended_at",
)
BLANK: dict[str, Any] = {
    **dict.fromkeys(HANDOVER_COLUMNS),
    "items": [],
    "verdicts": [],
    "lead": False,
    "awaits_word": False,
    "holds_baton": True,
    "asked": [],
    "struck": [],
    "due": {},
    "version": 0,
    "alliance": ALLIANCE,
}


def as_requested(said: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What the receiver's copy has from the sender's word."""
    told = {name: said[name] for name in ("kind", "purpose", "urgency", "competence_area", "preview")}
    return {"side": "receiver", "counterpart": SENDER, **told, "drafted_at": now, "requested_at": now}


class Handover(Offers):
    """Requested, accepted, confirmed."""

    hears = frozenset(
        {
            "staffel.transmission.permitted.v1",
            "staffel.handover.requested.v1",
            "staffel.handover.acceptance_declared.v1",
            "staffel.handover.acceptance_confirmed.v1",
            "staffel.case.announced.v1",
        }
    )

    def __init__(self, agency: str) -> None:
        self._own = f"{agency}.handover.events"
        self._run: Mapping[str, Callable[..., None]] = {
            "staffel.transmission.permitted.v1": self._permitted,
            "staffel.handover.requested.v1": self._requested,
            "staffel.handover.acceptance_declared.v1": self._declared,
            "staffel.handover.acceptance_confirmed.v1": self._confirmed,
        }

    async def run(
        self, tx: Any, now: datetime, asked: Sequence[Asked], heard: Sequence[Event], back: Sequence[Back]
    ) -> Written:
        """Load, move, save."""
        written = Written()
        cases = [event for event in heard if event.type == "staffel.case.announced.v1"]
        moving = [event for event in heard if event.type != "staffel.case.announced.v1"]
        ids = sorted({one.subject for one in asked} | {event.key for event in moving})
        rows = {row["id"]: _read(row) for row in await tx.fetch(_HANDOVERS, ids)} if ids else {}
        proposed = [one for one in asked if one.name == "request"]
        profiles = {}
        if proposed:
            profiles = {
                row["id"]: row for row in await tx.fetch(_PROFILES, [rows[one.subject]["case"] for one in proposed])
            }
        for one in asked:
            (self._propose if one.name == "request" else self._accept)(rows[one.subject], one, profiles, now, written)
        for event in moving:
            row = rows.setdefault(event.key, {**BLANK, "id": event.key})
            self._run[event.type](row, event, now, written)
        if rows:
            await tx.execute(_SAVE_HANDOVERS, _json([rows[id] for id in ids]).decode())
        if cases:
            await tx.execute(_KNOW_CASES, sorted(event.key for event in cases))
        return written

    def _move(
        self,
        row: dict[str, Any],
        state: str,
        on: str,
        trace: str,
        cause: UUID | None,
        now: datetime,
        due: Mapping[str, datetime],
        written: Written,
    ) -> None:
        before = row["state"] or "none"
        for clock in row["due"]:
            written.deadlines[clock, row["id"]] = None
        for clock, at in due.items():
            written.deadlines[clock, row["id"]] = at
        row |= {
            "state": state,
            "version": row["version"] + 1,
            "changed_at": now,
            "due": {k: v.isoformat() for k, v in due.items()},
        }
        told = {
            "handover": row["id"],
            "case": row["case"],
            "side": row["side"],
            "alliance": ALLIANCE,
            "counterpart": row["counterpart"],
            "kind": row["kind"],
            "purpose": row["purpose"],
            "urgency": row["urgency"],
            "before": before,
            "state": state,
            "on": on,
            "lead": row["lead"],
            "recorded": None,
            "preview": row["preview"] if row["side"] == "receiver" else None,
        }
        written.said.append(Said(self._own, "handovers", CHANGED, row["id"], _json(told), cause, child(trace)))

    def _propose(
        self, row: dict[str, Any], asked: Asked, profiles: Mapping[UUID, Any], now: datetime, written: Written
    ) -> None:
        case = profiles[row["case"]]
        if row["state"] != "draft" or case["state"] != "active":
            raise RuntimeError("not a draft of an active case")
        row |= {
            "holds_baton": True,
            "preview": {"phase": case["phase"], "age_band": case["age_band"], "needs": sorted(case["needs"])},
        }
        written.reservations.append(("baton", str(row["case"]), row["id"]))
        told = {
            "handover": row["id"],
            "case": row["case"],
            "person": row["person"],
            "alliance": ALLIANCE,
            "recipient": row["counterpart"],
            "kind": row["kind"],
            "purpose": row["purpose"],
            "items": row["items"],
        }
        written.said.append(
            Said(
                self._own, "handovers", "staffel.handover.proposed.v1", row["id"], _json(told), None, child(asked.trace)
            )
        )
        self._move(row, "proposed", "propose", asked.trace, None, now, {}, written)
        self._answer(row, asked, ["Discard"], written)

    def _accept(
        self, row: dict[str, Any], asked: Asked, _: Mapping[UUID, Any], now: datetime, written: Written
    ) -> None:
        if row["state"] != "requested":
            raise RuntimeError("nothing to accept")
        written.said.append(
            Said(
                CHANNEL_BACK,
                "handovers",
                "staffel.handover.acceptance_declared.v1",
                row["id"],
                _json({"handover": row["id"]}),
                None,
                child(asked.trace),
                scope=True,
            )
        )
        self._move(row, "accepting", "accept", asked.trace, None, now, {"confirm": now + timedelta(hours=1)}, written)
        self._answer(row, asked, [], written)

    @staticmethod
    def _answer(row: dict[str, Any], asked: Asked, allowed: Sequence[str], written: Written) -> None:
        body = _json({"id": row["id"], "state": row["state"], "version": row["version"], "allowed": allowed})
        headers = json.dumps([["content-type", "application/json"], ["etag", f'"{row["version"]}"']])
        written.answers.append((asked, row["version"], body, headers))  # type: ignore[arg-type]  # as the column wants it

    def _permitted(self, row: dict[str, Any], event: Event, now: datetime, written: Written) -> None:
        verdicts = event.body["items"]
        permitted = {item["id"] for item in verdicts if item["verdict"] == "permit"}
        if row["state"] != "proposed" or not permitted.issuperset(map(str, row["items"])):
            raise RuntimeError("no basis")
        row |= {"verdicts": verdicts, "requested_at": now}
        told = {
            "handover": row["id"],
            "kind": row["kind"],
            "purpose": row["purpose"],
            "urgency": row["urgency"],
            "competence_area": row["competence_area"],
            "preview": row["preview"],
        }
        written.said.append(
            Said(
                CHANNEL,
                "handovers",
                "staffel.handover.requested.v1",
                row["id"],
                _json(told),
                event.id,
                child(event.trace),
                scope=True,
            )
        )
        due = {
            "respond": now + timedelta(days=14),
            "remind": now + timedelta(days=3),
            "escalate": now + timedelta(days=7),
        }
        self._move(row, "requested", "request", event.trace, event.id, now, due, written)

    def _declared(self, row: dict[str, Any], event: Event, now: datetime, written: Written) -> None:
        if row["state"] != "requested":
            raise RuntimeError("not asked")
        row["accepted_at"] = now
        written.said.append(
            Said(
                CHANNEL,
                "handovers",
                "staffel.handover.acceptance_confirmed.v1",
                row["id"],
                _json({"handover": row["id"]}),
                event.id,
                child(event.trace),
                scope=True,
            )
        )
        self._move(
            row,
            "accepted",
            "acceptance_declared",
            event.trace,
            event.id,
            now,
            {"contact": working_days(now, 10)},
            written,
        )

    def _requested(self, row: dict[str, Any], event: Event, now: datetime, written: Written) -> None:
        if row["state"] is not None:
            raise RuntimeError("asked twice")
        row |= as_requested(event.body, now)
        written.reservations.append(("baton", str(row["id"]), row["id"]))
        due = {"remind": now + timedelta(days=3), "escalate": now + timedelta(days=7)}
        self._move(row, "requested", "requested", event.trace, event.id, now, due, written)

    def _confirmed(self, row: dict[str, Any], event: Event, now: datetime, written: Written) -> None:
        if row["state"] != "accepting":
            raise RuntimeError("not accepting")
        row |= {"case": row["id"], "accepted_at": now}
        self._move(
            row,
            "accepted",
            "acceptance_confirmed",
            event.trace,
            event.id,
            now,
            {"contact": working_days(now, 10)},
            written,
        )


def _read(row: Any) -> dict[str, Any]:
    read = dict(row)
    for name in ("verdicts", "preview", "due"):
        read[name] = None if read[name] is None else json.loads(read[name])
    return read


_HANDOVERS = "SELECT * FROM handover WHERE id = ANY($1) ORDER BY id FOR UPDATE"
_PROFILES = "SELECT id, state, phase, age_band, needs FROM known_case WHERE id = ANY($1)"
_SAVE_HANDOVERS = _upsert("handover", HANDOVER_COLUMNS)
_KNOW_CASES = """
    INSERT INTO known_case (id, version, state, needs)
    SELECT id, 1, 'announced', '{}' FROM unnest($1::uuid[]) AS new (id)
"""

# --- consent ----------------------------------------------------------------------------------------------------------


class Consent(Offers):
    """Decides whether the items may go; at the receiver remembers that something may come."""

    def __init__(self, agency: str) -> None:
        self.errands = {"read_items": self._items} if agency == SENDER else {}
        self.hears = frozenset({CHANGED, "staffel.handover.proposed.v1"})
        self._own = f"{agency}.consent.events"
        self._sender = agency == SENDER
        self._line: Any = None

    async def run(
        self, tx: Any, now: datetime, asked: Sequence[Asked], heard: Sequence[Event], back: Sequence[Back]
    ) -> Written:
        """At the sender transmissions, at the receiver receptions."""
        if not self._sender:
            return await self._at_receiver(tx, heard)
        written = Written()
        handovers = sorted({event.key for event in heard} | {UUID(one.about["handover"]) for one in back})
        if not handovers:
            return written
        rows = {row["handover"]: _read_transmission(row) for row in await tx.fetch(_TRANSMISSIONS, handovers)}
        people = {row["person"] for row in rows.values()}
        people |= {UUID(event.body["person"]) for event in heard if event.type == "staffel.handover.proposed.v1"}
        persons = {row["id"]: row["version"] for row in await tx.fetch(_PERSONS, sorted(people))}
        for n, event in enumerate(heard):
            if event.type == CHANGED:
                row = rows[event.key]
                row |= {
                    "version": row["version"] + 1,
                    "handover_state": event.body["state"],
                    "recorded": event.body["recorded"],
                }
            else:
                row = rows[event.key] = self._opened(event, written)
            persons[row["person"]] += 1
            written.heard_by[n] = row["person"]
        if back:
            await self._decide(tx, now, [(rows[UUID(one.about["handover"])], one) for one in back], persons, written)
        await tx.execute(_SAVE_TRANSMISSIONS, _json(list(rows.values())).decode())
        await tx.execute(_SAVE_PERSONS, list(persons), list(persons.values()))
        return written

    @staticmethod
    def _opened(event: Event, written: Written) -> dict[str, Any]:
        said = event.body
        row = {
            "id": event.id,
            "person": UUID(said["person"]),
            "handover": event.key,
            "version": 1,
            "state": "undecided",
            "case": said["case"],
            "alliance": ALLIANCE,
            "recipient": said["recipient"],
            "purpose": said["purpose"],
            "proposal": event.id,
            "asked": said["items"],
            "items": [],
            "verdicts": [],
            "handover_state": None,
            "recorded": None,
            "stored": [],
        }
        about = {"handover": str(event.key), "proposal": str(event.id), "items": ",".join(said["items"])}
        written.errands.append(("read_items", row["person"], str(event.key), json.dumps(about), event.trace))
        return row

    async def _decide(
        self,
        tx: Any,
        now: datetime,
        pairs: Sequence[tuple[dict[str, Any], Back]],
        persons: dict[UUID, int],
        written: Written,
    ) -> None:
        grants: dict[UUID, list[Any]] = {}
        for grant in await tx.fetch(_GRANTS, [row["person"] for row, _ in pairs], now):
            grants.setdefault(grant["person"], []).append(grant)
        decisions, items = [], []
        for row, one in pairs:
            decision, verdicts = new_id(), []
            for item in one.found:
                bases = [
                    {
                        "norm": "consent_sgb_x_67b",
                        "consent": str(grant["consent"]),
                        "grant": str(grant["id"]),
                        "task": None,
                        "exception": None,
                        "until": grant["valid_until"].isoformat(),
                    }
                    for grant in grants.get(row["person"], ())
                    if (grant["recipient"], grant["purpose"]) == (row["recipient"], row["purpose"])
                    and item["category"] in grant["categories"]
                    and not item["entrusted"]
                ]
                if not bases:
                    raise RuntimeError("no basis")
                verdicts.append({"id": item["id"], "verdict": "permit", "reason": "consent", "bases": bases})
                items.append(
                    {"decision": decision, "item": item["id"], "verdict": "permit", "reason": "consent", "bases": bases}
                )
            row |= {"version": row["version"] + 2, "state": "permitted", "items": one.found, "verdicts": verdicts}
            persons[row["person"]] += 1
            decisions.append(
                {
                    "id": decision,
                    "person": row["person"],
                    "transmission": row["id"],
                    "release": None,
                    "at": now,
                    "alliance": ALLIANCE,
                    "alliance_version": 1,
                }
            )
            said = [{name: each[name] for name in ("id", "verdict", "reason")} for each in verdicts]
            told = _json({"handover": row["handover"], "transmission": row["id"], "items": said})
            written.said.append(
                Said(
                    self._own,
                    "handovers",
                    "staffel.transmission.permitted.v1",
                    row["handover"],
                    told,
                    one.id,
                    child(one.trace),
                    scope=True,
                )
            )
            written.done.append(one.id)
        await tx.execute(_DECISIONS, _json(decisions).decode())
        await tx.execute(_DECISION_ITEMS, _json(items).decode())

    async def _at_receiver(self, tx: Any, heard: Sequence[Event]) -> Written:
        if heard:
            states: dict[UUID, tuple[str, int]] = {}
            for event in heard:
                states[event.key] = event.body["state"], states.get(event.key, ("", 0))[1] + 1
            ids = sorted(states)
            columns = ids, [states[id][0] for id in ids], [states[id][1] for id in ids]
            await tx.execute(_HEARD_OF, columns[0], columns[2])
            await tx.execute(_RECEPTIONS, *columns)
        return Written()

    async def _items(self, engine: Any, several: Sequence[Mapping[str, str]]) -> Sequence[Any]:
        """Ask own intake for all of them at once."""
        url = engine.settings["STAFFEL_INTAKE_URL"].removeprefix("http://")
        host, _, port = url.partition(":")
        token = sign_internal(
            read_key(Path(engine.settings["STAFFEL_SERVICE_KEY"])),
            issuer=engine.principal,
            audience=f"{engine.agency}.intake",
        )
        wanted = [about["items"].split(",") for about in several]
        body = json.dumps({"items": [item for items in wanted for item in items]}).encode()
        if self._line is None:
            self._line = await asyncio.open_connection(host, int(port), limit=1 << 24)
        reader, writer = self._line
        writer.write(
            b"POST /internal/items/flags HTTP/1.1\r\nhost: intake\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (token.encode(), len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        known = {item["id"]: item for item in json.loads(await reader.readexactly(length))}
        return [[known[item] for item in items] for items in wanted]


def _read_transmission(row: Any) -> dict[str, Any]:
    return {**row, "items": json.loads(row["items"]), "verdicts": json.loads(row["verdicts"])}


_TRANSMISSIONS = "SELECT * FROM transmission WHERE handover = ANY($1)"
_PERSONS = "SELECT id, version FROM person WHERE id = ANY($1) ORDER BY id FOR UPDATE"
_GRANTS = """
    SELECT consent_grant.* FROM consent_grant JOIN consent ON consent.id = consent_grant.consent
    WHERE consent_grant.person = ANY($1) AND consent.state = 'given' AND withdrawn_at IS NULL
      AND valid_from <= $2 AND $2 < valid_until
"""
_SAVE_TRANSMISSIONS = _upsert(
    "transmission",
    (
        "id",
        "person",
        "handover",
        "version",
        "state",
        "case",
        "alliance",
        "recipient",
        "purpose",
        "proposal",
        "asked",
        "items",
        "verdicts",
        "handover_state",
        "recorded",
        "stored",
    ),
)
_SAVE_PERSONS = """
    UPDATE person SET version = new.version FROM unnest($1::uuid[], $2::int[]) AS new (id, version)
    WHERE person.id = new.id
"""
_DECISIONS = _upsert("decision", ("id", "person", "transmission", "release", "at", "alliance", "alliance_version"))
_DECISION_ITEMS = """
    INSERT INTO decision_item (decision, item, verdict, reason, bases)
    SELECT decision, item, verdict, reason, bases FROM json_populate_recordset(NULL::decision_item, $1::json)
"""
_HEARD_OF = """
    INSERT INTO person (id, version, state, insight_noted)
    SELECT id, n, 'heard_of', false FROM unnest($1::uuid[], $2::int[]) AS new (id, n)
    ON CONFLICT (id) DO UPDATE SET version = person.version + excluded.version
"""
_RECEPTIONS = f"""
    INSERT INTO reception (id, person, version, state, sender, alliance, handover_state, stored)
    SELECT id, id, n, 'heard', '{SENDER}', '{ALLIANCE}', state, '[]'
    FROM unnest($1::uuid[], $2::text[], $3::int[]) AS new (id, state, n)
    ON CONFLICT (id) DO UPDATE
    SET version = reception.version + excluded.version, handover_state = excluded.handover_state
"""

# --- intake -----------------------------------------------------------------------------------------------------------


class Intake(Offers):
    """Says what items are; at the receiver opens a case nobody has a name in."""

    hears = frozenset({CHANGED})

    def __init__(self, agency: str) -> None:
        self._own = f"{agency}.intake.events"
        self._receiver = agency == RECEIVER
        self.views = {b"/internal/items/flags": self._flags}

    async def run(
        self, tx: Any, now: datetime, asked: Sequence[Asked], heard: Sequence[Event], back: Sequence[Back]
    ) -> Written:
        """Announce what has been accepted."""
        written = Written()
        accepted = [event for event in heard if self._receiver and event.body["state"] == "accepted"]
        if not self._receiver:
            # The lead stays here, so there is nothing to do; whose case it was is remembered by the handover.
            return written
        if not accepted:
            return written
        cases, needs = [], []
        for event in accepted:
            preview = event.body["preview"]
            cases.append(
                {
                    "id": event.key,
                    "version": 1,
                    "state": "announced",
                    "handover": event.key,
                    "sender": event.body["counterpart"],
                    "alliance": ALLIANCE,
                    "leads": False,
                    "phase": preview["phase"],
                    "phase_source": "preview",
                    "age_band": preview["age_band"],
                    "no_needs": False,
                    "target_groups": [],
                    "opened_at": now,
                    "dossier": "pending",
                    "has_own": False,
                    "person": event.key,
                    "local_number": local_number(event.key),
                }
            )
            needs += [
                {
                    "case": event.key,
                    "code": code,
                    "severity": 0,
                    "entrusted": False,
                    "received": True,
                    "recorded_at": now,
                }
                for code in preview["needs"]
            ]
            written.reservations.append(("local_number", local_number(event.key), event.key))
            told = _json({"case": event.key, "handover": event.key})
            trace = child(event.trace)
            written.said.append(Said(self._own, "cases", "staffel.case.announced.v1", event.key, told, event.id, trace))
            about = json.dumps({"sender": event.body["counterpart"], "alliance": ALLIANCE})
            written.errands.append(("fetch_dossier", event.key, "", about, trace))
        await tx.execute(_CASES, _json(cases).decode())
        await tx.execute(_NEEDS, _json(needs).decode())
        return written

    async def _flags(self, connection: Any, body: bytes) -> bytes:
        """Categories and flags of items."""
        return _json([dict(row) for row in await connection.fetch(_FLAGS, json.loads(body)["items"])])


_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def local_number(case: UUID) -> str:
    """Eight signs that people can read to each other."""
    return "".join(_SIGNS[(case.int >> shift) & 31] for shift in range(35, -1, -5))


_CASE_COLUMNS = (
    "id",
    "version",
    "state",
    "handover",
    "sender",
    "alliance",
    "leads",
    "phase",
    "phase_source",
    "age_band",
    "no_needs",
    "target_groups",
    "opened_at",
    "dossier",
    "has_own",
    "person",
    "local_number",
)
_CASES = _upsert("case", _CASE_COLUMNS)
_NEEDS = """
    INSERT INTO need ("case", code, severity, entrusted, received, recorded_at)
    SELECT "case", code, severity, entrusted, received, recorded_at FROM json_populate_recordset(NULL::need, $1::json)
"""
_FLAGS = """
    SELECT item.id, item.category, item.entrusted, item.special, item.professional_secret, item.entruster, item.hash
    FROM item JOIN "case" ON "case".id = item."case" LEFT JOIN person ON person.id = "case".person
    WHERE item.id = ANY($1::text[]::uuid[])
      AND NOT coalesce(person.address_protected AND item.category = 'contact', false)
"""

MEANINGS: Mapping[str, Callable[[str], Meaning]] = {
    "intake": Intake,
    "consent": Consent,
    "handover": Handover,
    "offers": lambda _: Offers(),
}
