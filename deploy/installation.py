"""What an installation on this machine consists of: alliance files with keys, addresses, each service's settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from contracts.alliance import Alliance
from contracts.codes import Service
from contracts.topics import CHANNEL_SERVICES
from deploy.embedded.files import PUBLIC, private_folder, write
from deploy.embedded.keys import SEALING, SIGNING, TOKEN, AgencyKeys, service
from deploy.embedded.ports import HOST, remembered
from deploy.mistakes import CannotTellError, MistakeError

if TYPE_CHECKING:  # a service reads its settings here and needs nothing of what starts a broker
    from deploy.embedded.pki import Tls

SERVICES: tuple[str, ...] = tuple(str(each) for each in Service)
FILE = "installation.json"
NO_DOORS: Mapping[str, str] = MappingProxyType({})


class NotInstalledError(CannotTellError):
    """There is no installation in this data folder: whoever asks looks in the wrong one, more often than not."""


class Addresses(Protocol):
    """Where Kafka and PostgreSQL are, and what a service shows them."""

    @property
    def bootstrap(self) -> str:
        """Kafka: `host:port`, separated by commas."""
        ...

    def tls(self, principal: str) -> Tls:
        """Certificate and key of `<agency>.<service>`."""
        ...

    def dsn(self, agency: str, service: str) -> str:
        """postgresql+asyncpg://user:password@host:port/database."""
        ...


@dataclass(frozen=True, slots=True)
class Installation:
    """Where everything of an installation is; written by `staffel up`, read by the other commands."""

    data: Path
    bootstrap: str
    alliances: tuple[Path, ...]
    agencies: tuple[str, ...]
    ports: Mapping[str, int]
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Where a service runs by its principal, as the others reach it; who is not in it runs on this machine."""

    def url(self, agency: str, name: str) -> str:
        """Base URL of a service. MistakeError for one that does not run here."""
        port = self.ports.get(f"{agency}.{name}")
        if port is None:
            raise MistakeError(f"{agency}.{name} does not run here; there are {', '.join(sorted(self.ports))}")
        return f"http://{self.hosts.get(f'{agency}.{name}', HOST)}:{port}"

    def environment_file(self, agency: str, name: str) -> Path:
        """The settings of a service as KEY=value lines, readable by their owner alone."""
        return self.data / "nodes" / agency / f"{name}.env"

    def tls(self, principal: str) -> tuple[Path, Path, Path]:
        """PEM files of a principal: authority, certificate, private key."""
        pki = self.data / "pki"
        found = pki / "ca.pem", pki / f"{principal}.pem", pki / f"{principal}.key"
        if not all(file.exists() for file in found):
            raise MistakeError(f"{principal} has no certificate in {pki}; its name is <agency>.<service>")
        return found

    def keys(self, agency: str) -> AgencyKeys:
        """The agency's own keys."""
        return AgencyKeys(self.data / "keys", agency)

    def save(self) -> None:
        """Remember it for the next command."""
        known = {**asdict(self), "data": str(self.data), "alliances": [str(file) for file in self.alliances]}
        write(self.data / FILE, json.dumps(known, indent=2), PUBLIC)

    @classmethod
    def load(cls, data: Path) -> Installation:
        """The installation in a data folder. Raises NotInstalledError."""
        file = data.resolve() / FILE
        if not file.exists():
            raise NotInstalledError(
                f"there is no installation in {file.parent}: name its folder with --data or STAFFEL_DATA; "
                "services that `staffel up` does not run are asked over HTTP (docs/how-to/answer-an-alarm.md)"
            )
        known: dict[str, Any] = json.loads(file.read_text())
        return cls(
            Path(known["data"]),
            known["bootstrap"],
            tuple(map(Path, known["alliances"])),
            tuple(known["agencies"]),
            known["ports"],
            known.get("hosts", {}),
        )


def read_alliance(file: Path) -> Alliance:
    """An alliance file, validated. MistakeError where there is none."""
    if not file.exists():
        raise MistakeError(f"{file}: there is no such alliance file")
    return Alliance.model_validate(yaml.safe_load(file.read_text("utf-8")))


def install(
    data: Path,
    addresses: Addresses,
    templates: Sequence[Path],
    agencies: Sequence[str],
    doors: Mapping[str, str] = NO_DOORS,
    *,
    hosts: Mapping[str, str] | None = None,
    ports: Mapping[str, int] | None = None,
) -> Installation:
    """Fill keys and door addresses into the alliance files and write every service's settings.

    `doors`: agency -> base URL under which the others reach its door, where that is not the consent service itself.
    `hosts`, `ports`: principal -> where it listens, where it is not this machine and a free port.
    """
    data = data.resolve()
    names = [f"{agency}.{name}" for agency in agencies for name in SERVICES]
    chosen = remembered(data / "service_ports.json", names) if ports is None else ports
    files = tuple(data / "alliances" / template.name for template in templates)
    installation = Installation(data, addresses.bootstrap, files, tuple(agencies), chosen, dict(hosts or {}))
    private_folder(data / "alliances")
    for template, file in zip(templates, files, strict=True):
        write(
            file, yaml.safe_dump(_completed(template, installation, doors), allow_unicode=True, sort_keys=False), PUBLIC
        )
    for agency in agencies:
        private_folder(data / "nodes" / agency)
        for name in SERVICES:
            lines = (f"{key}={value}" for key, value in _settings(installation, addresses, agency, name).items())
            write(installation.environment_file(agency, name), "\n".join(lines) + "\n")
    installation.save()
    return installation


def _completed(template: Path, installation: Installation, doors: Mapping[str, str]) -> dict[str, Any]:
    alliance: dict[str, Any] = yaml.safe_load(template.read_text("utf-8"))
    for agency in alliance["agencies"]:
        keys = installation.keys(agency["id"])
        agency["signing_keys"] = [_listed(key) for key in keys.public(SIGNING)]
        agency["sealing_keys"] = [_listed(key) for key in keys.public(SEALING)]
        if agency["id"] in installation.agencies:
            agency["door_url"] = doors.get(agency["id"]) or installation.url(agency["id"], Service.CONSENT)
            agency["feed_urls"] = {str(name): installation.url(agency["id"], name) for name in CHANNEL_SERVICES}
    return alliance


def _listed(key: Mapping[str, Any]) -> dict[str, Any]:
    public = {name: value for name, value in key.items() if name not in ("nbf", "exp")}
    return {
        "kid": key["kid"],
        "jwk": public,
        "not_before": datetime.fromtimestamp(key["nbf"], UTC).isoformat(),
        "not_after": datetime.fromtimestamp(key["exp"], UTC).isoformat(),
    }


def _settings(installation: Installation, addresses: Addresses, agency: str, name: str) -> dict[str, str]:
    keys = installation.keys(agency)
    tls = addresses.tls(f"{agency}.{name}")
    issuer = next(
        found.issuer for file in installation.alliances for found in read_alliance(file).agencies if found.id == agency
    )
    settings: dict[str, str | int | Path] = {
        "agency": agency,
        "alliances": json.dumps([str(file) for file in installation.alliances]),
        "database": addresses.dsn(agency, name),
        "kafka": installation.bootstrap,
        "kafka_ca": tls.ca,
        "kafka_certificate": tls.certificate,
        "kafka_key": tls.key,
        "issuer": issuer,
        "issuer_keys": _public_set(installation, agency, TOKEN),
        "service_keys": _public_set(installation, agency, *(service(other) for other in SERVICES)),
        "service_key": keys.file(service(name)),
        "sisters": json.dumps({other: installation.url(agency, other) for other in SERVICES}),
        "host": HOST,
        "port": installation.ports[f"{agency}.{name}"],
    }
    passed_on = ("otlp_endpoint", "otlp_share")  # said once to `staffel up`, meant for every service
    settings |= {
        key: os.environ[f"STAFFEL_{key.upper()}"] for key in passed_on if f"STAFFEL_{key.upper()}" in os.environ
    }
    if name in (Service.INTAKE, Service.CONSENT):
        settings["handover_url"] = installation.url(agency, Service.HANDOVER)
        settings["party_signing_keys"] = keys.file(SIGNING)
    if name == Service.CONSENT:
        settings["intake_url"] = installation.url(agency, Service.INTAKE)
    if name == Service.INTAKE:
        settings["party_sealing_keys"] = keys.file(SEALING)
    return {f"STAFFEL_{key.upper()}": str(value) for key, value in settings.items()}


def _public_set(installation: Installation, agency: str, *purposes: str) -> Path:
    """A JWK Set with the public keys of these purposes alone: a service accepts no key it has no use for."""
    keys = installation.keys(agency)
    name = "token" if purposes == (TOKEN,) else "services"
    file = installation.data / "nodes" / agency / f"{name}.public.json"
    private_folder(file.parent)
    write(file, json.dumps({"keys": [key for purpose in purposes for key in keys.public(purpose)]}, indent=2), PUBLIC)
    return file
