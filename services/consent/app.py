"""Puts the rooms of the consent service together."""

from importlib.metadata import version
from types import MappingProxyType

from chassis.auth import keys_by
from chassis.deadlines import Deadline
from chassis.executor import Step
from chassis.feed import FeedPlan
from chassis.inbox import Source
from chassis.service import Service, Tools
from contracts.addressing import feed_urls, heard_topics, postmarks, signing_jwks, told_topics
from contracts.codes import Service as Name
from contracts.ids import DutyId
from contracts.new_ids import new_id
from contracts.topics import Principal, written_by
from services.consent.api import routes
from services.consent.domain import LOOK_AGAIN, Law
from services.consent.domain.commands import LookAgain
from services.consent.door import Resources, sweep
from services.consent.errands import ERRANDS
from services.consent.events import HEARS, REMEMBERS
from services.consent.problems import PROBLEMS
from services.consent.settings import Settings
from services.consent.store.leases import intended_age, untold_age
from services.consent.store.persons import NOTICES, PERSON, persons


def service(settings: Settings) -> Service:
    """The consent service of one agency."""
    alliances = settings.read_alliances
    known = MappingProxyType({alliance.id: alliance for alliance in alliances})
    heard = heard_topics(settings.agency, Name.CONSENT, alliances)

    def resources(tools: Tools) -> Resources:
        return Resources(tools, settings.agency, known)

    return Service(
        name=Name.CONSENT,
        principal=str(Principal(settings.agency, Name.CONSENT)),
        settings=settings,
        version=version("staffel"),
        kinds=(persons(Law(settings.agency, known)), NOTICES),
        hears=HEARS,
        remembers=REMEMBERS,
        sources={topic: Source(*known) for topic, known in heard.items()},
        writes=written_by(settings.agency, Name.CONSENT, *alliances),
        feeds=FeedPlan(
            told_topics(settings.agency, Name.CONSENT, alliances), tuple(Name), feed_urls(alliances), Name.INTAKE
        ),
        address=postmarks(settings.agency, alliances),
        new_id=new_id,
        routes=routes,
        problems=PROBLEMS,
        scope_attribute="alliance",
        version_attribute="allianceversion",
        deadlines={LOOK_AGAIN: Deadline(lambda person: Step(PERSON, person, LookAgain(DutyId(new_id()))))},
        errands=ERRANDS,
        party_keys=keys_by(signing_jwks(alliances)),
        resources=resources,
        background=(sweep,),
        undone={"withdrawal": intended_age, "release": untold_age},
    )
