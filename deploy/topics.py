"""Brings a cluster's topics to what the alliance files say: a plan to read, and the same plan applied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.alliance import Alliance
from contracts.topics import topics
from deploy.embedded.admin import Admin, TopicSpec
from deploy.mistakes import MistakeError


class PartitionsDifferError(MistakeError):
    """A topic has another number of partitions than the alliance file says: keys would move, so nobody changes it."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What is missing, what is set otherwise, and what nobody asked for (never deleted by us)."""

    create: tuple[TopicSpec, ...]
    alter: tuple[TopicSpec, ...]
    unknown: tuple[str, ...]

    def lines(self) -> Iterable[str]:
        """One line per change, as an operator reads it before saying yes."""
        for spec in self.create:
            yield f"+ {spec.name}  partitions={spec.partitions}  {_configs(spec)}"
        for spec in self.alter:
            yield f"~ {spec.name}  {_configs(spec)}"
        for name in self.unknown:
            yield f"? {name}  not in any alliance file; left as it is"


def plan(kafka: Admin, alliances: Iterable[Alliance], replication: int) -> TopicPlan:
    """Compare what the alliances need with what is there. Raises PartitionsDifferError."""
    wanted = {
        topic.name: TopicSpec(topic.name, topic.partitions, replication, dict(topic.configs))
        for topic in topics(*alliances)
    }
    present = kafka.topics()
    for name in wanted.keys() & present.keys():
        if wanted[name].partitions != present[name].partitions:
            raise PartitionsDifferError(
                f"{name} has {present[name].partitions} partitions, not {wanted[name].partitions}"
            )
    return TopicPlan(
        create=tuple(spec for name, spec in wanted.items() if name not in present),
        alter=tuple(
            spec
            for name, spec in wanted.items()
            if name in present and dict(spec.configs).items() - dict(present[name].configs).items()
        ),
        unknown=tuple(sorted(present.keys() - wanted.keys())),
    )


def apply(kafka: Admin, what: TopicPlan) -> None:
    """Create and alter; applying a plan twice changes nothing the second time."""
    kafka.create_topics(what.create)
    for spec in what.alter:
        kafka.alter_configs(spec.name, spec.configs)


def _configs(spec: TopicSpec) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(spec.configs.items()))
