"""Puts the rooms of the offers service together."""

from importlib.metadata import version

from chassis.auth import keys_by
from chassis.deadlines import Deadline
from chassis.executor import Step
from chassis.feed import FeedPlan, ReadModel
from chassis.inbox import Source
from chassis.service import Service
from contracts.addressing import feed_urls, heard_topics, postmarks, signing_jwks, told_topics
from contracts.codes import Service as Name
from contracts.new_ids import new_id
from contracts.topics import Principal, written_by
from services.offers.api import routes
from services.offers.domain import FUNDING, EndFunding
from services.offers.errands import ERRANDS
from services.offers.events import HEARS, REMEMBERS
from services.offers.problems import PROBLEMS
from services.offers.settings import Settings
from services.offers.store import OFFER, offer_kind


def service(settings: Settings) -> Service:
    """The offers service of one agency."""
    alliances = settings.read_alliances()
    heard = heard_topics(settings.agency, Name.OFFERS, alliances)
    offers = offer_kind(frozenset(alliance.id for alliance in alliances))
    copied = tuple(topic for topic, source in heard.items() if source.origin == "common")
    return Service(
        name=Name.OFFERS,
        principal=str(Principal(settings.agency, Name.OFFERS)),
        settings=settings,
        version=version("staffel"),
        kinds=(offers,),
        hears=HEARS,
        remembers=REMEMBERS,
        sources={topic: Source(*known) for topic, known in heard.items()},
        writes=written_by(settings.agency, Name.OFFERS, *alliances),
        feeds=FeedPlan(
            told_topics(settings.agency, Name.OFFERS, alliances), tuple(Name), feed_urls(alliances), Name.INTAKE
        ),
        read_models=(ReadModel(offers, "offer", copied, part="owner IS NOT NULL"),),
        address=postmarks(settings.agency, alliances),
        new_id=new_id,
        routes=routes,
        problems=PROBLEMS,
        scope_attribute="alliance",
        version_attribute="allianceversion",
        deadlines={FUNDING: Deadline(lambda offer: Step(OFFER, offer, EndFunding()))},
        errands=ERRANDS,
        party_keys=keys_by(signing_jwks(alliances)),
    )
