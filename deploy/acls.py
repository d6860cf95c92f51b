"""Brings a cluster's access list to what the alliance files say: a plan to read, and the same plan applied.

A cluster may carry alliances whose files are not at hand: what is theirs is shown and left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.alliance import Alliance
from contracts.topics import Operation, Resource, acls, parse
from deploy.embedded.admin import Acl, Admin


@dataclass(frozen=True, slots=True)
class AclPlan:
    """What has to be allowed, what must be no longer, and what is none of these alliances' business (never revoked)."""

    allow: tuple[Acl, ...]
    revoke: tuple[Acl, ...]
    unknown: tuple[Acl, ...]

    def lines(self) -> Iterable[str]:
        """One line per change, as an operator reads it before saying yes."""
        yield from (f"+ {_line(acl)}" for acl in self.allow)
        yield from (f"- {_line(acl)}" for acl in self.revoke)
        yield from (f"? {_line(acl)}  of no alliance file that was named; left as it is" for acl in self.unknown)


def _line(acl: Acl) -> str:
    star = "*" if acl.pattern == "PREFIXED" else ""
    return f"{acl.principal}  {acl.operation.lower()}  {acl.resource_type.lower()} {acl.name}{star}"


def plan(kafka: Admin, alliances: Iterable[Alliance]) -> AclPlan:
    """Compare what the alliances allow with what the cluster allows."""
    return compared(list(alliances), kafka.acls())


def compared(alliances: Sequence[Alliance], present: frozenset[Acl]) -> AclPlan:
    """What is wanted and not present, and what is present and not wanted: ours to revoke, or somebody else's."""
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
    too_much = sorted(present - wanted)
    ours = [acl for acl in too_much if _is_ours(acl, alliances)]
    return AclPlan(tuple(sorted(wanted - present)), tuple(ours), tuple(acl for acl in too_much if acl not in ours))


def _is_ours(acl: Acl, alliances: Sequence[Alliance]) -> bool:
    """On a topic of these alliances anybody's rule is (an agency may have left); elsewhere those of their agencies.

    An agency's rules on the topics of another alliance are that one's.
    """
    try:
        alliance = parse(acl.name).alliance if acl.resource_type == "TOPIC" else None
    except ValueError:  # not the name of a topic of ours
        alliance = None
    if alliance is not None:
        return alliance in {each.id for each in alliances}
    return acl.principal.partition(".")[0] in {agency.id for each in alliances for agency in each.agencies}


def apply(kafka: Admin, what: AclPlan) -> None:
    """Allow first, then revoke: who moves from one rule to another is never without."""
    kafka.create_acls(what.allow)
    kafka.delete_acls(what.revoke)
