"""What the environment must say to the consent service, beside what it says to every service."""

from functools import cached_property
from pathlib import Path

import yaml
from joserfc.jwk import OKPKey
from pydantic import Field

from chassis.auth import read_key
from chassis.service import ServiceSettings
from contracts.alliance import Alliance
from contracts.ids import AgencyId


class Settings(ServiceSettings):
    """Whose service this is, with whom that agency works together, where its sisters answer, what it signs with."""

    agency: AgencyId = Field(description="Id of the agency that runs this service, as in the alliance files")
    alliances: tuple[Path, ...] = Field(description="Files of the alliances this agency belongs to, as a JSON list")
    intake_url: str = Field(description="Base URL of the agency's own intake service")
    handover_url: str = Field(description="Base URL of the agency's own handover service")
    party_signing_keys: Path = Field(description="JWK Set with the agency's private signing keys, newest first")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+[^\s?#/]$",
        description="Base URL under which young people's phones reach `/receipts`; else the agency's door_url",
    )

    @cached_property
    def read_alliances(self) -> tuple[Alliance, ...]:
        """The files, each read once; ValueError names the place where one is wrong."""
        return tuple(Alliance.model_validate(yaml.safe_load(file.read_text("utf-8"))) for file in self.alliances)

    def signing_key(self) -> OKPKey:
        """The agency's newest signing key; read anew, so that a rotation needs no restart."""
        return read_key(self.party_signing_keys)
