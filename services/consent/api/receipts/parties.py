"""Who is who on a receipt: the agencies as their alliances' files have them, and where our page is."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from contracts.alliance import Agency
from contracts.ids import AgencyId
from services.consent.door import Resources

PAGE = "/receipts"


@dataclass(frozen=True, slots=True)
class Parties:
    """Our own agency, all those we know, and the address at which people reach this service; none where none is set."""

    own: Agency
    known: Mapping[AgencyId, Agency]
    address: str | None

    @property
    def page(self) -> str | None:
        """Where the code of a receipt is typed in."""
        return None if self.address is None else self.address + PAGE

    def notice_page(self, notice: UUID | None) -> str | None:
        """Where a notice can be read again."""
        return None if self.address is None or notice is None else f"{self.address}/notices/{notice}/page"

    def name(self, agency: AgencyId) -> str:
        """How people call this agency."""
        known = self.known.get(agency)
        return str(agency) if known is None else known.name


def parties(resources: Resources) -> Parties:
    """As the files say that this process has read."""
    known = {agency.id: agency for alliance in resources.alliances.values() for agency in alliance.agencies}
    own = known[resources.agency]
    return Parties(own, known, resources.tools.settings.public_url or own.door_url)
