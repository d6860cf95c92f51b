"""What the environment must say to the intake service, beside what it says to every service."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import yaml
from joserfc.jwk import OKPKey
from pydantic import Field

from chassis.auth import read_key
from chassis.service import ServiceSettings
from contracts.alliance import Agency, Alliance
from contracts.codes import Sphere
from contracts.ids import AgencyId


class Settings(ServiceSettings):
    """Whose service this is, with whom that agency works together, and its own keys, which intake holds."""

    agency: AgencyId = Field(description="Id of the agency that runs this service, as in the alliance files")
    alliances: tuple[Path, ...] = Field(description="Files of the alliances this agency belongs to, as a JSON list")
    handover_url: str = Field(description="Base URL of the agency's own handover service")
    party_signing_keys: Path = Field(description="JWK Set with the agency's private signing keys, newest first")
    party_sealing_keys: Path = Field(description="JWK Set with the agency's private sealing keys, newest first")
    reopen_days: int = Field(default=730, ge=1, description="Days after its closing in which a case may be reopened")

    contact: str | None = Field(
        default=None, description="How people reach the agency, as its letters say it; else a line to be filled in"
    )
    officer_contact: str | None = Field(
        default=None, description="How people reach its data-protection officer; else a line to be filled in"
    )

    @cached_property
    def read_alliances(self) -> tuple[Alliance, ...]:
        """The files, each read once; ValueError names the place where one is wrong."""
        return tuple(Alliance.model_validate(yaml.safe_load(file.read_text("utf-8"))) for file in self.alliances)

    @cached_property
    def sphere(self) -> Sphere:
        """Whose law the agency works under; ValueError where no alliance file knows the agency."""
        for alliance in self.read_alliances:
            agency = alliance.agency(self.agency)
            if agency is not None:
                return agency.sphere
        raise ValueError("agency: is in no alliance file")

    @property
    def retention(self) -> timedelta:
        """How long a closed case can be reopened."""
        return timedelta(days=self.reopen_days)

    @cached_property
    def counterparts(self) -> frozenset[AgencyId]:
        """The other agencies of our alliances."""
        known = {agency.id for alliance in self.read_alliances for agency in alliance.agencies}
        return frozenset(known - {self.agency})

    def signing_key(self) -> OKPKey:
        """The agency's newest signing key; read anew, so that a rotation needs no restart."""
        return read_key(self.party_signing_keys)

    def sealing_keys(self) -> dict[str, OKPKey]:
        """The agency's sealing keys (X25519) by name: what was sealed to the older one can still be opened."""
        found = json.loads(self.party_sealing_keys.read_text("utf-8"))["keys"]
        return {jwk["kid"]: OKPKey.import_key(jwk) for jwk in found}

    def door_of(self, sender: AgencyId, alliance: str) -> str | None:
        """Base URL of another agency's door, if the alliance's file names one."""
        return next((agency.door_url for agency in self._known_as(sender, alliance)), None)

    def sphere_of(self, sender: AgencyId, alliance: str) -> Sphere | None:
        """Whose law another agency works under, if the alliance's file knows it."""
        return next((agency.sphere for agency in self._known_as(sender, alliance)), None)

    def _known_as(self, sender: AgencyId, alliance: str) -> Iterator[Agency]:
        found = (known.agency(sender) for known in self.read_alliances if known.id == alliance)
        return (agency for agency in found if agency is not None)
