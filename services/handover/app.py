"""Puts the rooms of the handover service together."""

from collections.abc import Callable
from importlib.metadata import version
from uuid import UUID

from chassis.auth import keys_by
from chassis.deadlines import Deadline, WaitsFor
from chassis.executor import Step
from chassis.feed import FeedPlan, ReadModel
from chassis.inbox import Source
from chassis.service import Service
from contracts.addressing import feed_urls, heard_topics, postmarks, signing_jwks, told_topics
from contracts.codes import Service as Name
from contracts.ids import AgencyId
from contracts.new_ids import new_id
from contracts.topics import Principal, own, written_by
from services.handover.api import routes
from services.handover.domain import STRIKES, Clock
from services.handover.domain.commands import Command
from services.handover.errands import ERRANDS
from services.handover.events import HEARS, REMEMBERS
from services.handover.problems import PROBLEMS
from services.handover.settings import Settings
from services.handover.store import HANDOVER, KNOWN_CASES, channels_to, decisions_of, handover_kind


def _strikes(command: type[Command]) -> Callable[[UUID], Step]:
    return lambda handover: Step(HANDOVER, handover, command())


def _whose_silence(home: AgencyId, clock: Clock) -> WaitsFor | None:
    """Two clocks end something: asking, because the other agency was silent; waiting, because own consent was."""
    return {Clock.RESPOND: channels_to(home), Clock.BASIS: decisions_of(home)}.get(clock)


def service(settings: Settings) -> Service:
    """The handover service of one agency."""
    alliances = settings.read_alliances
    heard = heard_topics(settings.agency, Name.HANDOVER, alliances)
    return Service(
        name=Name.HANDOVER,
        principal=str(Principal(settings.agency, Name.HANDOVER)),
        settings=settings,
        version=version("staffel"),
        kinds=(handover_kind(settings.agency, alliances), KNOWN_CASES),
        hears=HEARS,
        remembers=REMEMBERS,
        sources={topic: Source(*known) for topic, known in heard.items()},
        writes=written_by(settings.agency, Name.HANDOVER, *alliances),
        feeds=FeedPlan(
            told_topics(settings.agency, Name.HANDOVER, alliances), tuple(Name), feed_urls(alliances), Name.INTAKE
        ),
        read_models=(ReadModel(KNOWN_CASES, "known_case", (str(own(settings.agency, Name.INTAKE)),)),),
        address=postmarks(settings.agency, alliances),
        new_id=new_id,
        routes=routes,
        problems=PROBLEMS,
        scope_attribute="alliance",
        version_attribute="allianceversion",
        deadlines={
            clock: Deadline(_strikes(command), _whose_silence(settings.agency, clock))
            for clock, command in STRIKES.items()
        },
        errands=ERRANDS,
        party_keys=keys_by(signing_jwks(alliances)),
    )
