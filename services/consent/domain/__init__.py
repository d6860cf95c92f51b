"""What consent is and decides: one table per file, `person.py` puts their decisions together."""

from services.consent.domain import memory
from services.consent.domain.clock import LOOK_AGAIN
from services.consent.domain.consents import CONSENTS
from services.consent.domain.duties import DUTIES
from services.consent.domain.notices import NOTICES
from services.consent.domain.person import PERSONS, Law
from services.consent.domain.reasons import Reason
from services.consent.domain.receptions import RECEPTIONS
from services.consent.domain.releases import RELEASES
from services.consent.domain.restrictions import RESTRICTIONS
from services.consent.domain.transmissions import READ_ITEMS, TRANSMISSIONS
from services.consent.domain.waivers import WAIVERS
from services.consent.domain.words import Person

__all__ = [
    "CONSENTS", "DUTIES", "LOOK_AGAIN", "NOTICES", "PERSONS", "READ_ITEMS", "RECEPTIONS", "RELEASES", "RESTRICTIONS",
    "TRANSMISSIONS", "WAIVERS", "Law", "Person", "Reason", "memory",
]
