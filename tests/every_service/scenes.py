"""How subjects get where a command or an event means something: short stories, each beginning with nobody known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa

from chassis.envelope import Record
from chassis.http.routes import Route
from contracts import consent, handover, intake, offers
from contracts.events import Event
from contracts.new_ids import new_id
from tests.every_service.bodies import whole_body
from tests.every_service.running import OTHER, THIRD, Running

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"


@dataclass(frozen=True)
class Hears:
    """An event arrives; the subject it is about becomes known as `gives`."""

    event: type[Event]
    gives: str | None = None


@dataclass(frozen=True)
class Asks:
    """Somebody sends the command of that route; its answer's id becomes known as `gives`."""

    route: str
    gives: str | None = None


@dataclass(frozen=True)
class Leaves:
    """An item has left by the door on the consent; its lease is closed."""


@dataclass(frozen=True)
class Finds:
    """What has come into being by itself becomes known as `gives`: the id of the handover's row in that table."""

    gives: str


@dataclass(frozen=True)
class FindsAll:
    """What has come into being beside `of` becomes known as `gives`: the ids of its rows in that table."""

    gives: str
    table: str
    of: str


@dataclass(frozen=True)
class Comes:
    """A dossier has come for the case and is stored: the line of its release stands."""


Act = Hears | Asks | Leaves | Comes | Finds | FindsAll
Scene = tuple[Act, ...]

# --- intake -----------------------------------------------------------------------------------------------------------

REGISTERED: Scene = (Asks("register", "case"),)
CLARIFYING: Scene = (*REGISTERED, Asks("assign_contact_person"))
ACTIVE: Scene = (*CLARIFYING, Asks("confirm_responsibility"))
RESTING: Scene = (*ACTIVE, Asks("pause"))
CLOSED: Scene = (*ACTIVE, Asks("close"))
ANNOUNCED: Scene = (Hears(handover.HandoverChanged, "case"),)  # what a handover creates has its reference as id
STORED: Scene = (*ANNOUNCED, Comes())

# --- consent ----------------------------------------------------------------------------------------------------------

PERSON: Scene = (Hears(intake.CaseRegistered), Asks("publish", "notice"))
REQUESTED_CONSENT: Scene = (*PERSON, Asks("request", "consent"))
GIVEN: Scene = (*PERSON, Asks("give", "consent"))
ENTRUSTED: Scene = (*GIVEN, FindsAll("grants", "consent_grant", "consent"))
CLEARED: Scene = (*ENTRUSTED, Asks("clear"))
RESTRICTED: Scene = (*PERSON, Asks("restrict", "restriction"))
WAIVED: Scene = (*PERSON, Asks("give_waiver", "waiver"))
TRANSMISSION: Scene = (*GIVEN, Hears(handover.HandoverProposed))
RECEPTION: Scene = (Hears(handover.HandoverChanged),)
AWAITING_ANSWER: Scene = (*TRANSMISSION, Leaves(), Asks("withdraw"), Finds("duty"))
OWING: Scene = (*RECEPTION, Hears(intake.CaseDossierStored), Hears(consent.ConsentWithdrawalNotified))

# --- handover ---------------------------------------------------------------------------------------------------------

CASE: Scene = (Hears(intake.CaseActivated),)
DRAFT: Scene = (*CASE, Asks("draft", "handover"))
PROPOSED: Scene = (*DRAFT, Asks("propose"))
AWAITING: Scene = (*PROPOSED, Hears(consent.TransmissionPartly))
REQUESTED: Scene = (*PROPOSED, Hears(consent.TransmissionPermitted))
INQUIRED: Scene = (*REQUESTED, Hears(handover.HandoverInquiryMade))
REDIRECTING: Scene = (*REQUESTED, Hears(handover.HandoverRedirectProposed))
ACCEPTED: Scene = (*REQUESTED, Hears(handover.HandoverAcceptanceDeclared))
CANCELLING: Scene = (*ACCEPTED, Asks("request_cancel"))
MET: Scene = (*ACCEPTED, Hears(handover.HandoverFirstContactMade))
MET_RESTING: Scene = (*MET, Hears(handover.HandoverPaused))
VOIDED: Scene = (*ACCEPTED, Asks("void"))

TO_US: Scene = (Hears(handover.HandoverRequested),)
TO_US_ASKED: Scene = (*TO_US, Asks("ask"))
TO_US_REDIRECTING: Scene = (*TO_US, Asks("propose_redirect"))
TO_US_ACCEPTING: Scene = (*TO_US, Asks("accept"))
TO_US_ACCEPTED: Scene = (*TO_US_ACCEPTING, Hears(handover.HandoverAcceptanceConfirmed))
TO_US_CANCELLING: Scene = (*TO_US_ACCEPTED, Hears(handover.HandoverCancelRequested))
TO_US_MET: Scene = (*TO_US_ACCEPTED, Asks("record_first_contact"))
TO_US_RESTING: Scene = (*TO_US_MET, Asks("pause"))

# --- offers -----------------------------------------------------------------------------------------------------------

WRITTEN: Scene = (Asks("draft", "offer"),)
SUBMITTED: Scene = (*WRITTEN, Asks("submit"))
PUBLISHED: Scene = (*SUBMITTED, Asks("publish"))
SUSPENDED: Scene = (*PUBLISHED, Asks("suspend"))

NOTHING: Scene = ()

BEFORE_COMMAND: Mapping[str, Mapping[str, Scene]] = {
    "intake": {
        "register": NOTHING,
        "register_announced": ANNOUNCED,
        "assign_contact_person": REGISTERED,
        "record_contact": CLARIFYING,
        "record_need": REGISTERED,
        "resolve_need": REGISTERED,
        "record_school_facts": REGISTERED,
        "override_phase": REGISTERED,
        "add_items": REGISTERED,
        "protect_address": REGISTERED,
        "confirm_responsibility": CLARIFYING,
        "declare_not_responsible": CLARIFYING,
        "pause": ACTIVE,
        "resume": RESTING,
        "close": ACTIVE,
        "reopen": CLOSED,
        "fetch_dossier": ANNOUNCED,
        "record_information": STORED,
        "excuse_information": STORED,
        "record_guardian_information": REGISTERED,
        "excuse_guardian_information": REGISTERED,
        "write": NOTHING,
    },
    "consent": {
        "publish": NOTHING,
        "give": PERSON,
        "request": PERSON,
        "declare": REQUESTED_CONSENT,
        "refuse": REQUESTED_CONSENT,
        "invalidate": GIVEN,
        "withdraw": GIVEN,
        "state_task": TRANSMISSION,
        "answer_on_data": (*OWING, Finds("duty")),
        "clear": ENTRUSTED,
        "withdraw_clearance": CLEARED,
        "note_insight": PERSON,
        "restrict": PERSON,
        "lift": RESTRICTED,
        "give_waiver": PERSON,
        "withdraw_waiver": WAIVED,
    },
    "handover": {
        "draft": CASE,
        "propose": DRAFT,
        "cut_package": AWAITING,
        "discard": DRAFT,
        "withdraw": REQUESTED,
        "answer": INQUIRED,
        "confirm_redirect": REDIRECTING,
        "request_cancel": ACCEPTED,
        "void": ACCEPTED,
        "accept": TO_US,
        "reject": TO_US,
        "ask": TO_US,
        "waitlist": TO_US,
        "propose_redirect": TO_US,
        "record_first_contact": TO_US_ACCEPTED,
        "record_not_reached": TO_US_ACCEPTED,
        "give_back": TO_US_ACCEPTED,
        "confirm_cancel": TO_US_CANCELLING,
        "deny_cancel": TO_US_CANCELLING,
        "pause": TO_US_MET,
        "resume": TO_US_RESTING,
        "complete": TO_US_MET,
    },
    "offers": {
        "draft": NOTHING,
        "change": WRITTEN,
        "submit": WRITTEN,
        "publish": SUBMITTED,
        "reject": SUBMITTED,
        "suspend": PUBLISHED,
        "resume": SUSPENDED,
        "retire": PUBLISHED,
    },
}
"""service -> name of a command's route -> the scene in which it succeeds."""

BEFORE_EVENT: Mapping[str, Mapping[type[Event], Scene]] = {
    "intake": {
        handover.HandoverChanged: NOTHING,
        consent.ConsentErasureDemanded: ANNOUNCED,
    },
    "consent": {
        intake.CaseRegistered: NOTHING,
        intake.CaseChanged: PERSON,
        intake.CaseDossierStored: RECEPTION,
        intake.CaseItemsErased: OWING,
        handover.HandoverProposed: GIVEN,
        handover.HandoverChanged: NOTHING,
        consent.ConsentStorageConfirmed: TRANSMISSION,
        consent.ConsentWithdrawalNotified: RECEPTION,
        consent.ConsentDataAnswered: AWAITING_ANSWER,
    },
    "handover": {
        handover.HandoverRequested: NOTHING,
        handover.HandoverAnswered: TO_US_ASKED,
        handover.HandoverWithdrawn: TO_US,
        handover.HandoverExpired: TO_US,
        handover.HandoverRedirectConfirmed: TO_US_REDIRECTING,
        handover.HandoverAcceptanceConfirmed: TO_US_ACCEPTING,
        handover.HandoverCancelRequested: TO_US_ACCEPTED,
        handover.HandoverStopped: TO_US_ACCEPTED,
        handover.HandoverVoided: TO_US_ACCEPTED,
        handover.HandoverInquiryMade: REQUESTED,
        handover.HandoverWaitlisted: REQUESTED,
        handover.HandoverRedirectProposed: REQUESTED,
        handover.HandoverAcceptanceDeclared: REQUESTED,
        handover.HandoverRejected: REQUESTED,
        handover.HandoverFirstContactMade: ACCEPTED,
        handover.HandoverNotReached: ACCEPTED,
        handover.HandoverGivenBack: ACCEPTED,
        handover.HandoverCancelConfirmed: CANCELLING,
        handover.HandoverCancelDenied: CANCELLING,
        handover.HandoverPaused: MET,
        handover.HandoverResumed: MET_RESTING,
        handover.HandoverCompleted: MET,
        handover.HandoverEndHeard: VOIDED,
        consent.TransmissionPermitted: PROPOSED,
        consent.TransmissionPartly: PROPOSED,
        consent.TransmissionDenied: PROPOSED,
        consent.TransmissionReduced: PROPOSED,
        consent.TransmissionEnded: ACCEPTED,
        intake.CaseAnnounced: NOTHING,
        intake.CaseRegistered: NOTHING,
        intake.CaseClarifying: CASE,
        intake.CaseFoundNotResponsible: CASE,
        intake.CaseActivated: NOTHING,
        intake.CaseChanged: CASE,
        intake.CasePaused: CASE,
        intake.CaseClosed: REQUESTED,
        intake.CaseHandedOver: CASE,
        intake.CaseDiscarded: CASE,
    },
    "offers": {
        offers.OfferPublished: NOTHING,
        offers.OfferSuspended: NOTHING,
        offers.OfferRetired: NOTHING,
    },
}
"""service -> event -> the scene in which it has an effect."""


def nobody_yet() -> dict[str, Any]:
    """Fresh ids, and what bodies must say to be accepted where a made-up value would not be."""
    ids = (
        "person", "handover", "duty", "transmission", "notice", "consent", "offer", "copy", "restriction", "waiver",
    )
    now, items = datetime.now(UTC), [str(new_id()) for _ in range(2)]
    channels: Sequence[str] = ("phone", "letter", "in_person")
    case, release = str(new_id()), str(new_id())
    return {
        **{name: str(new_id()) for name in ids},
        "party": "nobody",
        "case": case,
        "release": release,
        "InformationBody.releases": [release],
        "GuardianInformationBody.informed_at": None,
        "ExemptionBody.releases": [release],
        "items": items,
        "keep": items[:1],
        "alliance": "musterland",
        "counterpart": str(OTHER),
        "recipient": str(OTHER),
        "to": str(THIRD),
        "quality_owner": str(OTHER),
        "purpose": "stabilisation",  # agreed in both directions
        "code": "orientation",
        "topic": "jobcenter.handover.events",
        "key": case,
        "local_number": f"4711-{case[-12:]}",
        "NoticeBody.language": f"de-{case[-8:]}",  # one notice per language is the one that is valid
        "valid_from": None,
        "valid_until": None,
        "NoticeBody.valid_from": (now - timedelta(days=1)).isoformat(),
        "replaces": None,
        "WithdrawalBody.grants": None,
        "ClearanceBody.by": "guardian",  # not whoever gives the consent
        "TaskBody.norm": "§ 13 SGB VIII",
        "TaskBody.categories": ["contact"],
        "birth_date": f"{now.year - 16}-01-01",  # a guardian is concerned
        "school": {"grade": 10},
        "RegisterBody.no_needs": False,
        "assured_date": (now - timedelta(days=10)).date().isoformat(),
        "attempts": [{"at": (now - timedelta(seconds=1)).isoformat(), "channel": channel} for channel in channels],
    }


LEFT = (
    """INSERT INTO release SELECT :release, person, handover, id, alliance, 1, recipient, purpose, 1, 'complete',
        clock_timestamp(), clock_timestamp(), true, 1 FROM transmission WHERE handover = :handover""",
    """INSERT INTO ledger SELECT :release, :item, person, categories[1], '', jsonb_build_array(jsonb_build_object(
        'norm', 'consent_sgb_x_67b', 'consent', consent, 'grant', id, 'task', null, 'until', null
        )), null FROM consent_grant WHERE consent = :consent""",
)

CAME = (
    """INSERT INTO received_release ("case", id, sender, items, stored_at)
        VALUES (:case, :release, 'jobcenter', 1, clock_timestamp())""",
)


@dataclass
class Story:
    """One set of subjects and what has been heard of them."""

    running: Running
    known: dict[str, Any] = field(default_factory=nobody_yet)
    heard: list[Record] = field(default_factory=list)

    async def play(self, scene: Scene) -> Story:
        """Let all of it happen; AssertionError where something of it does not."""
        for act in scene:
            await self.do(act)
        return self

    async def do(self, act: Act) -> None:
        """Let one thing happen."""
        match act:
            case Hears():
                await self._hear(act)
            case Asks():
                await self._ask(act)
            case Leaves():
                rows = {name: self.known[name] for name in ("handover", "consent", "release")}
                await self._write(LEFT, rows | {"item": self.known["items"][0]})
            case Comes():
                await self._write(CAME, {name: self.known[name] for name in ("case", "release")})
            case Finds():
                (row,) = await self.running.rows(
                    f"SELECT id FROM {act.gives} WHERE handover = :handover",  # noqa: S608  # our own names
                    handover=self.known["handover"],
                )
                self.known[act.gives] = str(row.id)
            case FindsAll():
                found = await self.running.rows(
                    f"SELECT id FROM {act.table} WHERE {act.of} = :of",  # noqa: S608  # our own names
                    of=self.known[act.of],
                )
                self.known[act.gives] = [str(row.id) for row in found]

    async def _write(self, statements: Sequence[str], rows: Mapping[str, str]) -> None:
        async with self.running.engine.begin() as tx:
            for statement in statements:
                await tx.execute(sa.text(statement), rows)

    async def _ask(self, act: Asks) -> None:
        answer = await self.ask(self.route(act.route))
        assert answer.is_success, (act.route, answer.text)
        self.learn(act, answer)

    async def _hear(self, act: Hears) -> None:
        record, key = self.record(act.event), self.key(act.event)
        await self.running.executor.hear([record])
        assert await self.running.parked(key) == [], act.event.type
        self.heard.append(record)
        if act.gives is not None:
            self.known[act.gives] = str(key)

    def learn(self, act: Asks, answer: httpx.Response) -> None:
        """Keep the id of what has come into being."""
        if act.gives is not None:
            self.known[act.gives] = answer.json()["id"]

    def route(self, name: str) -> Route:
        """The address of that name."""
        return next(route for route in self.running.routes if route.handler.__name__ == name)

    def path(self, route: Route) -> str:
        """Its path with the ids that are known here."""
        return route.path.format(**{name: self.known[name] for name in route.path_adapters})

    def body(self, route: Route) -> dict[str, Any] | None:
        """A whole body for it."""
        return None if route.body is None else whole_body(route.body, self.known)

    async def ask(self, route: Route, **changed: Any) -> httpx.Response:
        """Send it as somebody who may, once; what is said otherwise stands in `changed`."""
        said: dict[str, Any] = {"json": self.body(route), "headers": {"Idempotency-Key": str(new_id())}} | changed
        said["headers"] = self.running.admitted(route) | said["headers"]
        return await self.running.client.request(route.method, self.path(route), **said)

    def event(self, of: type[Event]) -> Event:
        """Its example, about our subjects."""
        example = json.loads((EXAMPLES / f"{of.type}.json").read_text("utf-8"))
        return of.model_validate_json(json.dumps(self.about_ours(example)))

    def key(self, of: type[Event]) -> UUID:
        """The subject such an event is about."""
        return self.event(of).key

    def record(self, of: type[Event], **how: Any) -> Record:
        """The event as it comes from the broker."""
        return self.running.record(self.event(of), **how)

    def about_ours(self, example: dict[str, Any]) -> dict[str, Any]:
        """An example's body with the ids that are known here."""
        told: dict[str, Any] = {}
        for name, value in example.items():
            match name, value:
                case "items", list():
                    told[name] = [_with_id(part, ours) for part, ours in zip(value, self.known["items"], strict=False)]
                case "releases", list():
                    told[name] = [self.known["release"]]
                case "offer", dict():
                    told[name] = value | {"id": self.known["copy"]}
                case _, str() if name in self.known:
                    told[name] = self.known[name]
                case _:
                    told[name] = value
        return told


def _with_id(part: object, ours: str) -> object:
    return {**part, "id": ours} if isinstance(part, dict) else ours
