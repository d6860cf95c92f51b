"""Brings a cluster's access list to what the alliance files say: a plan to read, and the same plan applied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.alliance import Alliance
from contracts.topics import Operation, Resource, acls
from deploy.embedded.admin import Acl, Admin


@dataclass(frozen=True, slots=True)
class AclPlan:
    """What has to be allowed, and what is allowed although no alliance file says so."""

    allow: tuple[Acl, ...]
    revoke: tuple[Acl, ...]

    def lines(self) -> Iterable[str]:
        """One line per change, as an operator reads it before saying yes."""
        for sign, entries in (("+", self.allow), ("-", self.revoke)):
            for acl in entries:
                star = "*" if acl.pattern == "PREFIXED" else ""
                yield f"{sign} {acl.principal}  {acl.operation.lower()}  {acl.resource_type.lower()} {acl.name}{star}"


def plan(kafka: Admin, alliances: Iterable[Alliance]) -> AclPlan:
    """Compare what the alliances allow with what the cluster allows."""
    wanted = {
        Acl(
            str(rule.principal),
            "READ" if rule.operation is Operation.READ else "WRITE",
            "TOPIC" if rule.resource is Resource.TOPIC else "GROUP",
            rule.name,
            "PREFIXED" if rule.prefixed else "LITERAL",
        )
        for rule in acls(*alliances)
    }
    present = kafka.acls()
    return AclPlan(allow=tuple(sorted(wanted - present)), revoke=tuple(sorted(present - wanted)))


def apply(kafka: Admin, what: AclPlan) -> None:
    """Allow first, then revoke: who moves from one rule to another is never without."""
    kafka.create_acls(what.allow)
    kafka.delete_acls(what.revoke)
