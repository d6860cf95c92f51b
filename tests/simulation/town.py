"""Three agencies of one alliance, and how each of their services is wired: what it hears, where it tells."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from chassis.inbox import Hear, Hearing, Source
from chassis.outbox import Addressing
from contracts.addressing import heard_topics, postmarks
from contracts.alliance import Alliance
from contracts.codes import Service
from contracts.ids import AgencyId
from contracts.topics import Principal
from services.consent.events import HEARS as CONSENT_HEARS
from services.handover.events import HEARS as HANDOVER_HEARS
from services.intake.events import HEARS as INTAKE_HEARS
from services.offers.events import HEARS as OFFERS_HEARS

AGENCIES: Final = (AgencyId("jobcenter"), AgencyId("agentur"), AgencyId("jugendamt"))
HEARS: Final[Mapping[Service, Sequence[Hear]]] = {
    Service.INTAKE: INTAKE_HEARS,
    Service.CONSENT: CONSENT_HEARS,
    Service.HANDOVER: HANDOVER_HEARS,
    Service.OFFERS: OFFERS_HEARS,
}


def _alliance() -> Alliance:
    file = Path(__file__).parents[2] / "deploy" / "alliances" / "musterland.yaml"
    said = yaml.safe_load(file.read_text("utf-8"))
    said["agencies"] = [agency for agency in said["agencies"] if agency["id"] in AGENCIES]
    said["agreements"] = [held for held in said["agreements"] if {held["from"], held["to"]} <= set(AGENCIES)]
    return Alliance.model_validate(said)


ALLIANCE: Final = _alliance()


class Wiring(NamedTuple):
    """What never changes of one service of one agency."""

    principal: Principal
    hears: Sequence[Hear]
    hearing: Hearing
    sources: Mapping[str, Source]
    address: Addressing


@cache
def wiring(agency: AgencyId, service: Service) -> Wiring:
    """As the service's own `app.py` wires it, without its database."""
    heard = heard_topics(agency, service, [ALLIANCE])
    sources = {topic: Source(known.writer, known.origin, known.alliance) for topic, known in heard.items()}
    hearing = Hearing(HEARS[service], sources, scope_attribute="alliance", version_attribute="allianceversion")
    return Wiring(Principal(agency, service), HEARS[service], hearing, sources, postmarks(agency, [ALLIANCE]))
