"""Puts the rooms of the intake service together."""

from importlib.metadata import version

from chassis.auth import keys_by
from chassis.deadlines import Deadline
from chassis.executor import Step
from chassis.feed import FeedPlan
from chassis.inbox import Source
from chassis.service import Service
from contracts.addressing import feed_urls, heard_topics, postmarks, signing_jwks, told_topics
from contracts.codes import Service as Name
from contracts.new_ids import new_id
from contracts.topics import Principal, written_by
from services.intake.api import routes
from services.intake.domain.commands import EraseOutlived, ReachAgeBand
from services.intake.domain.facts import AGE_BAND, TIME_LIMIT
from services.intake.errands import ERRANDS
from services.intake.events import HEARS, REMEMBERS
from services.intake.problems import PROBLEMS
from services.intake.settings import Settings
from services.intake.store import CASE, CASES, WRITTEN
from services.intake.store.limits import look_after_time_limits


def service(settings: Settings) -> Service:
    """The intake service of one agency."""
    alliances = settings.read_alliances
    heard = heard_topics(settings.agency, Name.INTAKE, alliances)
    return Service(
        name=Name.INTAKE,
        principal=str(Principal(settings.agency, Name.INTAKE)),
        settings=settings,
        version=version("staffel"),
        kinds=(CASES, WRITTEN),
        hears=HEARS,
        remembers=REMEMBERS,
        sources={topic: Source(*known) for topic, known in heard.items()},
        writes=written_by(settings.agency, Name.INTAKE, *alliances),
        feeds=FeedPlan(
            told_topics(settings.agency, Name.INTAKE, alliances), tuple(Name), feed_urls(alliances), Name.INTAKE
        ),
        address=postmarks(settings.agency, alliances),
        new_id=new_id,
        routes=routes,
        problems=PROBLEMS,
        scope_attribute="alliance",
        version_attribute="allianceversion",
        deadlines={
            AGE_BAND: Deadline(lambda case: Step(CASE, case, ReachAgeBand())),
            TIME_LIMIT: Deadline(lambda case: Step(CASE, case, EraseOutlived())),
        },
        errands=ERRANDS,
        background=(look_after_time_limits,),
        party_keys=keys_by(signing_jwks(alliances)),
    )
