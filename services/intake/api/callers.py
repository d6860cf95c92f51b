"""Who may ask the intake service."""

from typing import Final

from chassis.http import people, services
from contracts.codes import Role, Service

STAFF: Final = people(Role.CASEWORKER, Role.TEAM_LEAD)
STAFF_AND_COORDINATION: Final = people(Role.CASEWORKER, Role.TEAM_LEAD, Role.COORDINATION)
OWN_CONSENT: Final = services(Service.CONSENT)
OWN_SERVICES: Final = services(Service.CONSENT, Service.HANDOVER, Service.OFFERS)
