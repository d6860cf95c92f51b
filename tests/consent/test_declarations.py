"""What people declare beside a consent, over HTTP and on a real database; what of it stays at home, and what is due."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.codes import AgeBand, DataCategory, Giver, Phase, Role, Sphere
from contracts.ids import AgencyId, CaseId, PersonId
from contracts.intake import CaseChanged, CaseRegistered
from contracts.new_ids import new_id
from services.consent.api import declarations
from services.consent.domain.consents import to_be_renewed
from services.consent.door import intend_restriction, sweeper
from services.consent.store import leases, views
from tests.conftest import Say
from tests.consent.builders import AGENTUR, JUGENDAMT, MUSTER, PURPOSE, TASK
from tests.consent.conftest import DECLARED, Consenting, token
from tests.consent.test_api import reads

WORD = "Quark-Erfunden"
MINOR = AgeBand.FROM_15_TO_17
READERS = 100
NOBODY_COMES_SECONDS = 0.5  # so long a reader waits for the next one before it lets go
ANSWERED_SECONDS_MAX = 4.0  # of a lease that was open, and a busy machine
BY_GUARDIAN = {"giver": "guardian", "insight": False, "young_person_heard": True, "form": "written"}


async def forbid(consenting: Consenting, of: UUID, *, by: str = "self", **changed: Any) -> httpx.Response:
    said = {"by": by, "form": "written", "recipient": JUGENDAMT, "categories": ["contact"], **changed}
    return await consenting.command(f"/persons/{of}/restrictions", said)


async def going_by_law(consenting: Consenting, age_band: AgeBand = MINOR) -> tuple[UUID, UUID, UUID]:
    """Person, item, handover: contact data go to the youth office on a task of the law."""
    person = await consenting.a_person(age_band)
    item = consenting.neighbours.put(category="contact")
    handover = await consenting.proposed(person, [item])
    task = {"person": str(person), "norm": TASK, "categories": ["contact"], "necessity": "needed"}
    assert (await consenting.command(f"/handovers/{handover}/tasks", task)).json()["state"] == "permitted"
    return person, item, handover


async def explained(consenting: Consenting, person: UUID, item: UUID) -> Any:
    said = {
        "person": str(person), "alliance": MUSTER, "recipient": JUGENDAMT, "purpose": PURPOSE, "items": [str(item)],
        "stated": [{"norm": TASK, "categories": ["contact"]}],
    }
    answer = await consenting.client.post("/decisions", json=said, headers=token(Role.CASEWORKER))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def a_consent(consenting: Consenting, person: UUID, form: dict[str, Any], **grant: Any) -> Any:
    said = {
        "alliance": MUSTER, "recipient": JUGENDAMT, "purpose": PURPOSE, "categories": ["master_data", "school"], **grant
    }
    body = {"person": str(person), "notice": await consenting.a_notice(), **form, "grants": [said]}
    answer = await consenting.command("/consents", body)
    assert answer.status_code == 201, answer.text
    return await consenting.get(f"/consents/{answer.json()['id']}")


# --- what must not go -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["self", "guardian"])
async def test_what_is_forbidden_is_refused_at_the_door_and_explained_alike(consenting: Consenting, by: str) -> None:
    """R7, R15, § 36(2) SGB I; § 31a SGB III; Art. 21 GDPR: transmission, question and door say the same."""
    person, item, handover = await going_by_law(consenting)
    assert (await explained(consenting, person, item))["outcome"] == "permit"
    answer = await forbid(consenting, person, by=by)
    assert (answer.status_code, answer.json()["state"]) == (201, "in_force")
    seen = await consenting.get(f"/handovers/{handover}/transmission")
    assert [each["reason"] for each in seen["items"]] == ["restricted"]
    assert (await explained(consenting, person, item))["items"][0]["reasons"] == ["restricted"]
    refused = await consenting.fetch(handover)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/consent/nothing-permitted")

    (listed,) = (await consenting.get(f"/persons/{person}/restrictions"))["restrictions"]
    assert (listed["by"], listed["categories"], listed["ended_at"]) == (by, ["contact"], None)
    path = f"/persons/{person}/restrictions/{listed['id']}/lifting"
    other = "guardian" if by == "self" else "self"
    wrong = await consenting.command(path, {"by": other, "form": "written"})
    assert (wrong.status_code, wrong.json()["type"]) == (403, "/problems/consent/not-the-declarant")
    assert (await consenting.command(path, {"by": by, "form": "written"})).json()["state"] == "lifted"
    assert (await explained(consenting, person, item))["outcome"] == "permit"
    (listed,) = (await consenting.get(f"/persons/{person}/restrictions"))["restrictions"]
    assert (listed["state"], listed["since"] <= listed["ended_at"]) == ("lifted", True)


async def test_that_something_is_forbidden_is_told_and_not_what(consenting: Consenting) -> None:
    person, *_ = await going_by_law(consenting)
    restriction = (await forbid(consenting, person)).json()["id"]
    (told,) = await consenting.rows(
        "SELECT convert_from(payload, 'UTF8') AS said FROM event_log WHERE type = 'staffel.consent.restricted.v1'"
    )
    assert restriction in told.said
    assert not [category for category in DataCategory if category in told.said]


async def test_the_answer_comes_when_no_release_that_was_open_can_run(consenting: Consenting) -> None:
    """Art. 21 GDPR: as after a withdrawal, no byte follows the answer."""
    person, _, handover = await going_by_law(consenting)
    assert (await consenting.fetch(handover)).status_code == 200
    await consenting.rows("UPDATE release SET closed_at = NULL, told = false")
    began = monotonic()
    assert (await forbid(consenting, person)).status_code == 201
    assert 2.1 < monotonic() - began < 3.5


async def an_objection(consenting: Consenting) -> tuple[UUID, Callable[[], Awaitable[httpx.Response]]]:
    """What goes by law, and the word that ends it."""
    person, _, handover = await going_by_law(consenting)
    return handover, lambda: forbid(consenting, person)


async def the_end_of_a_clearance(consenting: Consenting) -> tuple[UUID, Callable[[], Awaitable[httpx.Response]]]:
    """What a guardian entrusted and lets go, and the word that ends it."""
    person = await consenting.a_person(MINOR)
    item = consenting.neighbours.put(category="school", entrusted=True, entruster="guardian")
    handover = await consenting.proposed(person, [item])
    consent = await a_consent(consenting, person, DECLARED, entrusted_included=True)
    said = {"person": str(person), "grants": [consent["grants"][0]["id"]]}
    path = f"/consents/{consent['id']}/clearance"
    cleared = await consenting.command(path, {**said, "by": "guardian", "form": "written"})
    assert cleared.status_code == 200, cleared.text
    return handover, lambda: consenting.command(f"{path}/withdrawal", said)


Forbids = Callable[[Consenting], Awaitable[tuple[UUID, Callable[[], Awaitable[httpx.Response]]]]]


@pytest.mark.parametrize("story", [an_objection, the_end_of_a_clearance])
async def test_overlapping_readers_starve_neither_an_objection_nor_the_end_of_a_clearance(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch, say: Say, story: Forbids
) -> None:
    """Art. 21 GDPR; § 65(1) Nr. 1 SGB VIII: as with a withdrawal; a hundred readers end only when it is answered.

    It waits for nobody who comes after it, and after the answer not one release is opened.
    """
    handover, forbids = await story(consenting)
    hold, look, latest = leases.open_lease, leases.being_forbidden, asyncio.Event()
    looked: dict[Any, float] = {}
    late: list[float] = []

    async def looks(tx: AsyncConnection, of: UUID, recipient: AgencyId) -> bool:
        looked[asyncio.current_task()] = monotonic()
        return await look(tx, of, recipient)

    async def held(tx: AsyncConnection, lease: leases.Lease, now: datetime) -> None:
        """Let go when the next one has the row too: it is hardly ever free while readers come."""
        nonlocal latest
        latest.set()
        latest = mine = asyncio.Event()
        late.extend(at for at in written if at < looked[asyncio.current_task()])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(mine.wait(), NOBODY_COMES_SECONDS)
        await hold(tx, lease, now)

    written = noted(monkeypatch)
    monkeypatch.setattr(leases, "being_forbidden", looks)
    monkeypatch.setattr(leases, "open_lease", held)
    stop = asyncio.Event()
    reading = [asyncio.create_task(reads(consenting, handover, stop)) for _ in range(READERS)]
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if await releases(consenting) > 1:
            break
    began = monotonic()
    answer = await forbids()
    seconds = monotonic() - began
    meanwhile = await releases(consenting)
    await asyncio.sleep(NOBODY_COMES_SECONDS)
    stop.set()
    await asyncio.gather(*reading)
    say(f"{story.__name__} under {READERS} overlapping readers: answered after {seconds:.2f} s")
    assert answer.status_code in {200, 201}, answer.text
    assert (len(written), late) == (1, [])
    assert seconds < ANSWERED_SECONDS_MAX
    assert await releases(consenting) == meanwhile
    assert await consenting.rows("SELECT 1 FROM release WHERE closed_at IS NULL") == []
    assert (await consenting.fetch(handover)).status_code in {403, 409}
    assert await consenting.rows("SELECT 1 FROM forbidding_intent") == []


def noted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When something that forbids was written down, and committed."""
    written: list[float] = []
    for name in ("intend_restriction", "intend_clearance_end"):
        monkeypatch.setattr(declarations, name, noting(getattr(declarations, name), written))
    return written


def noting(intends: Callable[..., Awaitable[None]], written: list[float]) -> Callable[..., Awaitable[None]]:
    async def notes(*said: Any) -> None:
        await intends(*said)
        written.append(monotonic())

    return notes


async def releases(consenting: Consenting) -> int:
    """How many were opened until now."""
    (found,) = await consenting.rows("SELECT count(*) AS n FROM release")
    return int(found.n)


async def test_readers_keep_out_of_the_way_of_what_is_being_forbidden_and_come_again(consenting: Consenting) -> None:
    """It is written down for that recipient, or for everybody; where nobody was answered, it is forgotten."""
    person, _, handover = await going_by_law(consenting)
    await intend_restriction(consenting.resources, new_id(), person, AGENTUR)
    assert (await consenting.fetch(handover)).status_code == 200
    for recipient in (JUGENDAMT, None):
        await intend_restriction(consenting.resources, new_id(), person, recipient)
        refused = await consenting.fetch(handover)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/consent/busy")
        await swept(consenting)
        assert (await consenting.fetch(handover)).status_code == 200
    assert (await forbid(consenting, person, by="guardian", form="electronic")).status_code == 422
    assert (await consenting.fetch(handover)).status_code == 200


async def swept(consenting: Consenting) -> None:
    """Until the sweeper has forgotten whatever was forbidden to nobody's knowledge."""
    sweeping = asyncio.create_task(sweeper.sweep(consenting.resources))
    try:
        for _ in range(200):
            await asyncio.sleep(0.05)
            if not await consenting.rows("SELECT 1 FROM forbidding_intent"):
                return
        pytest.fail("something is left")
    finally:
        sweeping.cancel()


@pytest.fixture(autouse=True)
def _rounds_close_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("age_band", "changed", "status", "reason"),
    [
        (MINOR, {"by": "guardian", "form": "electronic"}, 422, "not-in-writing"),
        (AgeBand.FROM_18_TO_20, {"by": "guardian"}, 422, "wrong-giver"),
        (MINOR, {"recipient": "jugendmat"}, 422, "unknown-agency"),
    ],
)
async def test_what_cannot_be_forbidden_is_refused_by_its_reason(
    consenting: Consenting, age_band: AgeBand, changed: dict[str, Any], status: int, reason: str
) -> None:
    person = await consenting.a_person(age_band)
    answer = await forbid(consenting, person, **changed)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/consent/{reason}")
    assert await consenting.rows("SELECT id FROM restriction") == []


async def test_nothing_is_forbidden_for_somebody_nobody_knows(consenting: Consenting) -> None:
    somebody = UUID("019a0000-0000-7000-8000-000000000000")
    assert (await forbid(consenting, somebody)).status_code == 404
    person = await consenting.a_person()
    path = f"/persons/{person}/restrictions/{somebody}/lifting"
    answer = await consenting.command(path, {"by": "self", "form": "written"})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/consent/unknown-restriction")


# --- who may speak ----------------------------------------------------------------------------------------------------


async def test_who_was_released_from_confidentiality_is_shown_and_told_to_nobody(consenting: Consenting) -> None:
    """R13, § 203 StGB: a record of its own, of which no item goes; it is taken back without a reason."""
    person = await consenting.a_person()
    item = consenting.neighbours.put(category="contact", professional_secret=True)
    handover = await consenting.proposed(person, [item])
    said = {"holder": f"Dr. {WORD}", "toward": "Jugendamt", **DECLARED}
    answer = await consenting.command(f"/persons/{person}/waivers", said)
    assert (answer.status_code, answer.json()["state"]) == (201, "given")
    assert WORD not in answer.text
    assert (await consenting.fetch(handover)).status_code == 403
    (shown,) = (await consenting.get(f"/persons/{person}/waivers"))["waivers"]
    assert (shown["holder"], shown["toward"], shown["ended_at"]) == (f"Dr. {WORD}", "Jugendamt", None)
    path = f"/persons/{person}/waivers/{shown['id']}/withdrawal"
    for _ in range(2):
        answer = await consenting.client.post(path, headers={"Idempotency-Key": str(new_id()), **token(Role.TEAM_LEAD)})
        assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn")
    told = await consenting.rows("SELECT headers::text || convert_from(payload, 'UTF8') AS said FROM event_log")
    assert not [row for row in told if WORD in row.said]


async def test_a_release_from_confidentiality_of_somebody_else_is_unknown(consenting: Consenting) -> None:
    person, other = await consenting.a_person(), await consenting.a_person()
    said = {"holder": WORD, "toward": "Jugendamt", **DECLARED}
    waiver = (await consenting.command(f"/persons/{person}/waivers", said)).json()["id"]
    headers = {"Idempotency-Key": str(new_id()), **token(Role.CASEWORKER)}
    answer = await consenting.client.post(f"/persons/{other}/waivers/{waiver}/withdrawal", headers=headers)
    assert answer.status_code in {404, 409}
    assert [row.state for row in await consenting.rows("SELECT state FROM waiver")] == ["given"]


# --- what was entrusted and may go ------------------------------------------------------------------------------------


async def test_what_a_guardian_entrusted_of_somebody_of_16_goes_on_both_words(consenting: Consenting) -> None:
    """R9, § 65(1) Nr. 1 SGB VIII; § 67b SGB X: what is asked for helps, and the end of either shuts the door."""
    person = await consenting.a_person(MINOR)
    item = consenting.neighbours.put(category="school", entrusted=True, entruster="guardian")
    handover = await consenting.proposed(person, [item])
    helps = (await explained(consenting, person, item))["consents_that_help"]
    assert [(each["givers"], each["cleared_by"]) for each in helps] == [(["guardian"], None), (["self"], "guardian")]
    consent = await a_consent(consenting, person, DECLARED, **{**helps[1]["grant"], "valid_from": None})
    (grant,) = consent["grants"]
    assert (grant["entrusted_included"], grant["cleared"]) == (True, None)
    assert (await consenting.fetch(handover)).status_code == 403

    grants = {"person": str(person), "grants": [grant["id"]]}
    path = f"/consents/{consent['id']}/clearance"
    assert (await consenting.command(path, {**grants, "by": "self", "form": "written"})).status_code == 409
    assert (await consenting.command(path, {**grants, "by": "guardian", "form": "written"})).status_code == 200
    assert (await consenting.fetch(handover)).status_code == 200
    (line,) = await consenting.rows("SELECT bases FROM ledger")
    assert [each["grant"] for each in line.bases] == [grant["id"]]

    ended = await consenting.command(f"{path}/withdrawal", grants, role=Role.DATA_PROTECTION_OFFICER)
    assert (ended.status_code, ended.json()["state"]) == (200, "given")
    refused = await consenting.fetch(handover)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/consent/nothing-permitted")
    (grant,) = (await consenting.get(f"/consents/{consent['id']}"))["grants"]
    assert (grant["cleared"]["by"], grant["cleared"]["ended_at"] is not None) == ("guardian", True)
    (duty,) = (await consenting.get("/duties", state="awaits"))["duties"]
    assert (duty["handover"], duty["counterpart"]) == (str(handover), JUGENDAMT)


# --- insight, and what is due -----------------------------------------------------------------------------------------


async def test_whom_to_ask_anew_is_listed_by_ids_and_nothing_ends_by_it(consenting: Consenting) -> None:
    """R6, § 36 SGB I: noted insight makes a guardian's consent one to be renewed; it holds until it is."""
    person = await consenting.a_person(MINOR)
    consent = await a_consent(consenting, person, BY_GUARDIAN)
    assert (consent["to_be_renewed"], (await consenting.get("/consents/renewals"))["renewals"]) == (False, [])
    answer = await consenting.command(f"/persons/{person}/insight", {"insight": True})
    assert (answer.status_code, answer.json()["state"]) == (200, "known")
    (listed,) = (await consenting.get("/consents/renewals"))["renewals"]
    assert (listed["person"], listed["consent"], listed["age_band"]) == (str(person), consent["id"], "15_17")
    assert set(listed) == {"person", "consent", "age_band", "given_at"}
    shown = await consenting.get(f"/consents/{consent['id']}")
    assert (shown["to_be_renewed"], shown["state"]) == (True, "given")
    newer = await a_consent(consenting, person, DECLARED)
    assert (newer["to_be_renewed"], len((await consenting.get("/consents/renewals"))["renewals"])) == (False, 1)
    await consenting.withdraw(person, consent["id"])
    assert (await consenting.get("/consents/renewals"))["renewals"] == []


async def test_the_list_has_what_the_law_says_is_to_be_renewed(consenting: Consenting) -> None:
    """R6, § 36 SGB I: at every age, by either giver, with and without insight then and now."""
    person = await consenting.a_person()
    await a_consent(consenting, person, DECLARED)
    seen = set()
    for age_band, giver, insight, noted in product(AgeBand, Giver, (True, False), (None, True, False)):
        await consenting.rows("UPDATE person SET age_band = :age, insight_noted = :noted", age=age_band, noted=noted)
        await consenting.rows("UPDATE consent SET giver = :giver, insight = :insight", giver=giver, insight=insight)
        async with consenting.engine.connect() as tx:
            (consent,) = await views.consents_of(tx, person)
            due = to_be_renewed(consent, age_band, insight_noted=bool(noted))
            assert len(await views.renewals(tx, None, 2)) == due, (age_band, giver, insight, noted)
        seen.add(due)
    assert seen == {True, False}


async def test_what_ends_soon_is_listed_until_it_has_ended_or_was_taken_back(consenting: Consenting) -> None:
    person = await consenting.a_person()
    ends = datetime.now(UTC) + timedelta(days=10)
    soon = await a_consent(consenting, person, DECLARED, valid_until=ends.isoformat())
    await a_consent(consenting, person, DECLARED)
    assert (await consenting.get("/consents/expiring", within_days=9))["grants"] == []
    (listed,) = (await consenting.get("/consents/expiring", within_days=11))["grants"]
    assert (listed["consent"], listed["grant"]) == (soon["id"], soon["grants"][0]["id"])
    assert set(listed) == {"person", "consent", "grant", "recipient", "purpose", "valid_until"}
    assert len((await consenting.get("/consents/expiring", within_days=366))["grants"]) == 2
    for days in (0, 367, "many"):
        answer = await consenting.client.get(
            "/consents/expiring", params={"within_days": days}, headers=token(Role.CASEWORKER)
        )
        assert answer.status_code == 422
    await consenting.withdraw(person, soon["id"])
    assert (await consenting.get("/consents/expiring"))["grants"] == []


@pytest.mark.parametrize(
    ("path", "lines", "of", "how"),
    [
        ("/consents/renewals", "renewals", "consent", {}),
        ("/consents/renewals", "renewals", "consent", {"limit": 200}),
        ("/consents/expiring", "grants", "grant", {"within_days": 366}),
        ("/consents/expiring", "grants", "grant", {"within_days": 366, "limit": 7}),
    ],
)  # fmt: skip
async def test_whoever_is_to_be_asked_is_on_one_of_the_pages_once(
    consenting: Consenting, path: str, lines: str, of: str, how: dict[str, int]
) -> None:
    """More than any page holds; many of them end at the same instant, as those do that were given with one form."""
    person = await consenting.a_person(MINOR)
    await a_consent(consenting, person, BY_GUARDIAN)
    await consenting.command(f"/persons/{person}/insight", {"insight": True})
    await consenting.rows("""
        WITH more AS (SELECT n, gen_random_uuid() AS consent FROM generate_series(1, 229) AS n),
        consents AS (INSERT INTO consent SELECT (jsonb_populate_record(one, jsonb_build_object('id', more.consent))).*
            FROM consent AS one, more)
        INSERT INTO consent_grant SELECT (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid(),
            'consent', more.consent, 'valid_until', one.valid_until - make_interval(days => n / 40)))).*
        FROM consent_grant AS one, more
    """)
    found: list[dict[str, str]] = []
    after: dict[str, str] = {}
    while True:
        page = await consenting.get(path, **how, **after)
        assert 0 < len(page[lines]) <= how.get("limit", 50)
        found += page[lines]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert len(found) == len({line[of] for line in found}) == 230
    order = [(line["valid_until"], line[of]) if "valid_until" in line else line[of] for line in found]
    assert order == sorted(order)


async def test_what_ends_soon_is_found_by_the_index_of_what_was_not_taken_back(consenting: Consenting) -> None:
    """However many grants there are, it looks at those that end in time."""
    looked: list[tuple[str, tuple[object, ...]]] = []

    def note(_c: object, _cursor: object, statement: str, values: tuple[object, ...], *_: object) -> None:
        looked.append((statement, values))

    async with consenting.engine.begin() as tx:
        await tx.execute(sa.text("SET LOCAL enable_seqscan = off"))
        sa.event.listen(tx.sync_connection, "before_cursor_execute", note)
        await views.expiring(tx, 30, None, 50)
        ((statement, values),) = looked
        sa.event.remove(tx.sync_connection, "before_cursor_execute", note)
        plan = "\n".join((await tx.exec_driver_sql(f"EXPLAIN {statement}", values)).scalars())
    assert re.search(r"consent_grant_ends.*\n.*Index Cond: \(\(valid_until > .* AND \(valid_until <= ", plan), plan


@pytest.mark.parametrize("path", ["/consents/renewals", "/consents/expiring"])
async def test_whom_to_ask_is_for_those_who_ask(consenting: Consenting, path: str) -> None:
    for role in (Role.COORDINATION, Role.YOUNG_PERSON, Role.PROVIDER, Role.SCHOOL):
        assert (await consenting.client.get(path, headers=token(role))).status_code == 403


async def test_at_the_18th_birthday_the_list_and_the_lapse_follow_from_what_intake_tells(
    consenting: Consenting,
) -> None:
    """R7, § 36(2) SGB I; § 2 BGB: the age band is told at the birthday, nobody has to think of it.

    Nor when the birth date was a typing error and is put right.
    """
    person, item, _ = await going_by_law(consenting)
    await a_consent(consenting, person, BY_GUARDIAN)
    await forbid(consenting, person, by="guardian")
    assert (await explained(consenting, person, item))["outcome"] == "deny"
    (known,) = await consenting.rows("SELECT age_band FROM person")
    assert known.age_band == "15_17"
    case = CaseId(new_id())
    await consenting.hear("jobcenter.intake.events", CaseRegistered(
        case=case, person=PersonId(person), sphere=Sphere.SGB_II, age_band=AgeBand.FROM_18_TO_20, handover=None
    ))
    assert (await explained(consenting, person, item))["outcome"] == "permit"
    (listed,) = (await consenting.get(f"/persons/{person}/restrictions"))["restrictions"]
    assert listed["state"] == "lapsed"
    assert len((await consenting.get("/consents/renewals"))["renewals"]) == 1

    await consenting.hear("jobcenter.intake.events", CaseChanged(
        case=case, person=PersonId(person), phase=Phase.TRANSITION, age_band=MINOR, needs=(), target_groups=()
    ))
    assert (await explained(consenting, person, item))["items"][0]["reasons"] == ["restricted"]
    (listed,) = (await consenting.get(f"/persons/{person}/restrictions"))["restrictions"]
    assert (listed["state"], listed["ended_at"]) == ("in_force", None)
    assert (await consenting.get("/consents/renewals"))["renewals"] == []
    restricted = [kind for _, kind in await consenting.told() if kind.startswith("consent.restrict")]
    assert restricted == ["consent.restricted", "consent.restriction_ended", "consent.restricted"]
