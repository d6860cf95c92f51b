"""What containers need before their first start: certificates, keys, passwords, settings; then databases and topics.

    python -m deploy.containers prepare <folder> <alliance file> <agency> …    before Kafka and PostgreSQL start
    python -m deploy.containers provide <folder>                               when both run, before the services

Nothing has a default password: whatever is secret is made here by chance, and each container sees its own folder alone:
`<folder>/services/<agency>.<service>`, `<folder>/kafka`, `<folder>/postgres`. Doing either twice changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy import acls, topics
from deploy.embedded import admin
from deploy.embedded.files import PUBLIC, private_folder, write
from deploy.embedded.kafka import escaped, new_cluster_id, replication, security
from deploy.embedded.keys import AgencyKeys
from deploy.embedded.pki import ADMIN, Pki, Tls
from deploy.embedded.postgres import SETTINGS, SUPERUSER
from deploy.embedded.postgres import provide as provide_databases
from deploy.installation import SERVICES, Installation, install, read_alliance
from deploy.migrations import migrate

KAFKA_HOST, KAFKA_PORT, CONTROLLER_PORT = "kafka", 9093, 9094
POSTGRES_HOST, POSTGRES_PORT = "postgres", 5432
PORT = 8080  # of every service, in its own container
EVERYWHERE = "0.0.0.0"  # noqa: S104  # inside a container: who may come is decided by its networks
IN_A_SERVICE = Path("/etc/staffel")  # where a service finds its folder
IN_KAFKA = Path("/etc/staffel")
KAFKA_DATA = "/var/lib/kafka/data"
BROKER_FILES = ("broker.keystore.pem", "ca.pem")


@dataclass(frozen=True, slots=True)
class Containers:
    """An installation whose parts are containers, in one folder."""

    folder: Path

    @property
    def authority(self) -> Path:
        """What only this program sees: all keys, the alliance files as they were completed."""
        return self.folder / "authority"

    @property
    def bootstrap(self) -> str:
        """Where clients of Kafka begin."""
        return f"{KAFKA_HOST}:{KAFKA_PORT}"

    def tls(self, principal: str) -> Tls:
        """Certificate and key of `<agency>.<service>`."""
        return Pki(self.authority / "pki", "", ()).tls(principal)

    def dsn(self, agency: str, service: str) -> str:
        """How a service reaches its database."""
        name = f"{agency}.{service}"
        return self._dsn(name, name)

    def _dsn(self, user: str, database: str) -> str:
        return f"postgresql+asyncpg://{user}:{self.passwords()[user]}@{POSTGRES_HOST}:{POSTGRES_PORT}/{database}"

    def administrator(self) -> str:
        """How the superuser reaches PostgreSQL."""
        return self._dsn(SUPERUSER, "postgres")

    def passwords(self) -> dict[str, str]:
        """Every role's password."""
        file = self.authority / "passwords.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return known

    def prepare(self, templates: Sequence[Path], agencies: Sequence[str], now: datetime) -> Installation:
        """Make whatever is missing, and lay into each container's folder what that container needs and no more."""
        principals = [f"{agency}.{name}" for agency in agencies for name in SERVICES]
        (cluster,) = {read_alliance(template).cluster for template in templates}
        private_folder(self.authority)
        Pki(self.authority / "pki", cluster, (KAFKA_HOST,)).provide(principals, now)
        for agency in agencies:
            AgencyKeys(self.authority / "keys", agency).provide(SERVICES, now)
        self._provide_passwords([SUPERUSER, *principals])
        hosts = {principal: principal.replace(".", "-") for principal in principals}
        ports = dict.fromkeys(principals, PORT)
        installation = install(self.authority, self, templates, agencies, hosts=hosts, ports=ports)
        for agency in agencies:
            for name in SERVICES:
                self._lay_out(installation, agency, name)
        self._lay_out_kafka(cluster)
        self._lay_out_postgres()
        return installation

    async def provide(self) -> None:
        """Databases, roles and tables; topics and access lists. Kafka and PostgreSQL must run."""
        installation = Installation.load(self.authority)
        owners = {f"{agency}.{name}": name for agency in installation.agencies for name in SERVICES}
        await provide_databases(self.administrator(), owners, self.passwords())
        for agency in installation.agencies:
            for name in SERVICES:
                await migrate(self.dsn(agency, name), name)
        await asyncio.to_thread(self._provide_topics, installation)

    def _provide_topics(self, installation: Installation) -> None:
        alliances = [read_alliance(file) for file in installation.alliances]
        with admin.connected(self.bootstrap, self.tls(ADMIN)) as kafka:
            topics.apply(kafka, topics.plan(kafka, alliances, replication=1))
            acls.apply(kafka, acls.plan(kafka, alliances))

    def _provide_passwords(self, users: Sequence[str]) -> None:
        known = self.passwords()
        known |= {user: secrets.token_urlsafe(24) for user in users if user not in known}
        write(self.authority / "passwords.json", json.dumps(known, indent=2))

    def _lay_out(self, installation: Installation, agency: str, name: str) -> None:
        folder = private_folder(self.folder / "services" / f"{agency}.{name}")
        lines = installation.environment_file(agency, name).read_text("utf-8").splitlines()
        said = dict(line.split("=", 1) for line in lines) | {"STAFFEL_HOST": EVERYWHERE}
        settings = "".join(f"{key}={self._brought(value, folder)}\n" for key, value in said.items())
        write(folder / "settings.env", settings)

    def _brought(self, value: str, folder: Path) -> str:
        """A value as it holds in the container: files are brought along, and named as they are called there."""
        if value.startswith("["):
            return json.dumps([self._brought(each, folder) for each in json.loads(value)])
        file = Path(value)
        if not file.is_relative_to(self.authority.resolve()):
            return value
        write(folder / file.name, file.read_bytes())
        return str(IN_A_SERVICE / file.name)

    def _lay_out_kafka(self, cluster: str) -> None:
        """Kafka's image runs as a user of its own, so these files can be read by whoever sees the folder: Kafka."""
        folder = self.folder / "kafka"
        folder.mkdir(exist_ok=True)
        client = f"CLIENT://{KAFKA_HOST}:{KAFKA_PORT}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{KAFKA_HOST}:{CONTROLLER_PORT}",
            "listeners": f"CLIENT://:{KAFKA_PORT},CONTROLLER://:{CONTROLLER_PORT}",
            "advertised.listeners": client,
            "inter.broker.listener.name": "CLIENT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CLIENT:SSL,CONTROLLER:SSL",
            "auto.create.topics.enable": "false",
            "log.dirs": KAFKA_DATA,
            **security(Pki(IN_KAFKA, cluster)),
            **replication(1),
        }
        lines = (f"{key}={escaped(value)}\n" for key, value in settings.items())
        write(folder / "server.properties", "".join(lines), PUBLIC)
        if not (folder / "cluster-id").exists():
            write(folder / "cluster-id", new_cluster_id(), PUBLIC)
        for name in BROKER_FILES:
            write(folder / name, (self.authority / "pki" / name).read_bytes(), PUBLIC)

    def _lay_out_postgres(self) -> None:
        """As above; the settings are those of PostgreSQL from packages, but for where it listens."""
        folder = self.folder / "postgres"
        folder.mkdir(exist_ok=True)
        settings = {**SETTINGS, "listen_addresses": "'*'"}
        del settings["unix_socket_directories"]  # the image prepares its data over its own socket
        lines = (f"{key} = {value}\n" for key, value in settings.items())
        write(folder / "postgresql.conf", "".join(lines), PUBLIC)
        write(folder / "password", self.passwords()[SUPERUSER], PUBLIC)


def main(arguments: Sequence[str]) -> int:
    """Run from the command line."""
    match arguments:
        case ["prepare", folder, alliance, *agencies] if agencies:
            Containers(Path(folder)).prepare([Path(alliance)], agencies, datetime.now(UTC))
        case ["provide", folder]:
            asyncio.run(Containers(Path(folder)).provide())
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
