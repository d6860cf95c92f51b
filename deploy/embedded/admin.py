"""Topics and access lists of any Kafka, over mutual TLS with the administrator's certificate.

aiokafka has no public call for access lists, kafka-python has. Its calls block: run them in a thread.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Literal, cast

from deploy.embedded.pki import Tls
from deploy.mistakes import MistakeError

with warnings.catch_warnings():
    # kafka-python 3.0 loads its schemas with a call that Python 3.11 and 3.12 deprecate and 3.13 has taken back.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.admin import (  # type: ignore[import-untyped]  # ships no types
        ACL,
        ACLFilter,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ConfigResource,
        ConfigResourceType,
        KafkaAdminClient,
        ResourcePattern,
        ResourcePatternFilter,
        ResourceType,
    )
    from kafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

Operation = Literal["READ", "WRITE", "DESCRIBE", "CREATE", "ALTER", "DELETE", "IDEMPOTENT_WRITE", "DESCRIBE_CONFIGS"]
Resource = Literal["TOPIC", "GROUP", "CLUSTER"]
Pattern = Literal["LITERAL", "PREFIXED"]

CLUSTER = "kafka-cluster"  # the one name that the resource type CLUSTER has
ANY_HOST = "*"
IN_FORCE_SECONDS_MAX = 20.0  # a broker that follows its controller so late is ill
LOOK_SECONDS = 0.05
INTERNAL = "__"  # Kafka's own topics begin so


class ClusterNotReachedError(MistakeError):
    """Nobody answers there, or the certificate is not accepted: the two look the same from outside."""


class NotInForceError(MistakeError):
    """The cluster has agreed to a change and does not act by it."""


class AclsRefusedError(MistakeError):
    """The cluster did not take all entries of an access list."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be or as it is; `configs` has only what differs from the cluster's defaults."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One permission, from any host. `principal` without Kafka's "User:": `<agency>.<service>`."""

    principal: str
    operation: Operation
    resource_type: Resource
    name: str
    pattern: Pattern = "LITERAL"


class Admin:
    """An open connection of the administrator."""

    def __init__(self, client: KafkaAdminClient) -> None:
        self._client = client

    def topics(self) -> dict[str, TopicSpec]:
        """All topics but Kafka's own, by name."""
        names = [name for name in self._client.list_topics() if not name.startswith(INTERNAL)]
        if not names:
            return {}
        configs = self.configs(names)
        found = self._client.describe_topics(names)
        return {topic["name"]: _topic(topic, configs[topic["name"]]) for topic in found}

    def brokers(self) -> int:
        """How many brokers the cluster has at the moment."""
        return len(self._client.describe_cluster()["brokers"])

    def configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """What was set for each topic itself."""
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        if not wanted:
            return {}
        found = self._client.describe_configs(wanted, config_filter="all")["topic"]
        return {name: _set_for_the_topic(entries) for name, entries in found.items()}

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics and wait until each partition has a leader; raises kafka.errors.TopicAlreadyExistsError."""
        wanted = {spec.name: _new_topic(spec) for spec in specs}
        if wanted:
            self._client.create_topics(wanted, wait_for_metadata=True)

    def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics with everything in them."""
        wanted = list(names)
        if wanted:
            self._client.delete_topics(wanted)

    def alter_configs(self, topic: str, configs: Mapping[str, str]) -> None:
        """Set these configs of a topic, leave the others as they are, and wait until they are in force."""
        self._client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(configs))])
        _until(lambda: configs.items() <= self.configs([topic])[topic].items())

    def acls(self) -> frozenset[Acl]:
        """Everything that is allowed to anybody."""
        everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
        wanted = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ALLOW, everything)
        found, _ = self._client.describe_acls(wanted)
        return frozenset(map(_acl, found))

    def create_acls(self, acls: Iterable[Acl]) -> None:
        """Allow, and wait until it is in force; what is allowed already stays so. Raises AclsRefusedError."""
        allowed = frozenset(acls)
        wanted = [_kafka_acl(acl) for acl in allowed]
        if not wanted:
            return
        failed = self._client.create_acls(wanted)["failed"]
        if failed:
            raise AclsRefusedError(f"{len(failed)} of {len(wanted)} entries refused: {failed[0].__name__}")
        _until(lambda: allowed <= self.acls())

    def delete_acls(self, acls: Iterable[Acl]) -> None:
        """Allow no longer; connections that are open are refused from the next call on. Raises AclsRefusedError."""
        gone = frozenset(acls)
        wanted = [_kafka_filter(acl) for acl in gone]
        if not wanted:
            return
        failed = [error for _, _, error in self._client.delete_acls(wanted) if error.errno]
        if failed:
            raise AclsRefusedError(f"{len(failed)} of {len(wanted)} entries not deleted: {failed[0].__name__}")
        _until(lambda: gone.isdisjoint(self.acls()))


@contextmanager
def connected(bootstrap: str, tls: Tls) -> Iterator[Admin]:
    """Connect as the principal of a certificate, which has to be a super user of the cluster."""
    try:
        client = _client(bootstrap, tls)
    except KafkaError as error:
        raise ClusterNotReachedError(
            f"no cluster answers at {bootstrap} for this certificate ({type(error).__name__})"
        ) from error
    try:
        yield Admin(client)
    finally:
        client.close()


def _client(bootstrap: str, tls: Tls) -> KafkaAdminClient:
    return KafkaAdminClient(
        bootstrap_servers=bootstrap.split(","),
        security_protocol="SSL",
        ssl_cafile=str(tls.ca),
        ssl_certfile=str(tls.certificate),
        ssl_keyfile=str(tls.key),
    )


def _until(in_force: Callable[[], bool]) -> None:
    """A controller has agreed before the broker that is asked has heard of it: half a second at most, usually."""
    end = monotonic() + IN_FORCE_SECONDS_MAX
    while not in_force():
        if monotonic() > end:
            raise NotInForceError(f"agreed to, but not in force after {IN_FORCE_SECONDS_MAX:.0f} s")
        sleep(LOOK_SECONDS)


def _topic(found: Mapping[str, object], configs: Mapping[str, str]) -> TopicSpec:
    partitions = cast(list[Mapping[str, list[int]]], found["partitions"])
    return TopicSpec(str(found["name"]), len(partitions), len(partitions[0]["replica_nodes"]), configs)


def _set_for_the_topic(entries: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {key: entry["value"] for key, entry in entries.items() if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"}


def _new_topic(spec: TopicSpec) -> dict[str, object]:
    return {
        "num_partitions": spec.partitions,
        "replication_factor": spec.replication,
        "configs": dict(spec.configs),
    }


def _kafka_acl(acl: Acl) -> ACL:
    pattern = ResourcePattern(ResourceType[acl.resource_type], acl.name, ACLResourcePatternType[acl.pattern])
    return ACL(f"User:{acl.principal}", ANY_HOST, ACLOperation[acl.operation], ACLPermissionType.ALLOW, pattern)


def _kafka_filter(acl: Acl) -> ACLFilter:
    pattern = ResourcePatternFilter(ResourceType[acl.resource_type], acl.name, ACLResourcePatternType[acl.pattern])
    return ACLFilter(f"User:{acl.principal}", ANY_HOST, ACLOperation[acl.operation], ACLPermissionType.ALLOW, pattern)


def _acl(found: ACL) -> Acl:
    pattern = found.resource_pattern
    return Acl(
        principal=found.principal.removeprefix("User:"),
        operation=found.operation.name,
        resource_type=pattern.resource_type.name,
        name=pattern.resource_name,
        pattern=pattern.pattern_type.name,
    )
