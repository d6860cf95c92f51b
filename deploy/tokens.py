"""The local issuer of access tokens, for the demo, the tests and an installation without an identity provider."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from chassis.auth import issue_bearer, read_key
from contracts.ids import AgencyId
from deploy.embedded.keys import TOKEN
from deploy.installation import SERVICES, Installation, read_alliance
from deploy.mistakes import MistakeError

CLIENT = "staffel-local"  # the OAuth client these tokens are for


def access_token(
    installation: Installation, agency: str, service: str, roles: Iterable[str], subject: str, seconds: int = 300
) -> str:
    """A token of the agency's issuer for one of its services. MistakeError for one that nobody knows."""
    known = {found.id: found.issuer for file in installation.alliances for found in read_alliance(file).agencies}
    if agency not in known:
        raise MistakeError(f"no alliance file knows the agency {agency}; there are {', '.join(sorted(known))}")
    if service not in SERVICES:
        raise MistakeError(f"{service} is no service; there are {', '.join(SERVICES)}")
    return issue_bearer(
        read_key(installation.keys(agency).file(TOKEN)),
        issuer=known[AgencyId(agency)],
        audience=f"{agency}.{service}",
        subject=subject,
        client=CLIENT,
        roles=roles,
        now=datetime.now(UTC),
        seconds=seconds,
    )
