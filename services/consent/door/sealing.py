"""A dossier, sealed so that the recipient alone can open it, and only as what it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from contracts.dossier import Dossier, DossierItem
from contracts.ids import ItemId
from services.consent.domain.words import Transmission
from services.consent.door.neighbours import Content, Resources
from services.consent.store.leases import Lease

ALGORITHMS: Final = ("ECDH-ES+A256KW", "A256GCM")  # X25519; never compressed
BOUND: Final = ("handover", "recipient", "release")  # in the protected header, so that no seal fits elsewhere
REGISTRY: Final = jwe.JWERegistry(
    header_registry={name: HeaderParameter(name, "str") for name in BOUND}, algorithms=list(ALGORITHMS)
)


def key_of(resources: Resources, transmission: Transmission, now: datetime) -> OKPKey | None:
    """The recipient's key as the alliance knows it; None where there is none that can be sealed to."""
    alliance = resources.alliances.get(transmission.alliance)
    public = alliance.sealing_key(transmission.recipient, now) if alliance else None
    if public is None:
        return None
    try:
        return OKPKey.import_key({**public.jwk, "kid": public.kid})
    except (JoseError, ValueError):
        return None


def sealed(lease: Lease, contents: Dossier, key: OKPKey) -> bytes:
    """JWE compact (RFC 7516), bound to handover, recipient and release."""
    of = lease.transmission
    header = {
        "alg": ALGORITHMS[0], "enc": ALGORITHMS[1], "typ": "staffel-dossier+jwe", "kid": key.kid or "",
        "handover": str(of.handover), "recipient": of.recipient, "release": str(lease.id),
    }
    return jwe.encrypt_compact(header, contents.model_dump_json().encode(), key, registry=REGISTRY).encode()


def dossier(lease: Lease, contents: Sequence[Content]) -> Dossier:
    """What the recipient reads: each item with where it was collected, for what it may be used, on which norms."""
    norms = {line.item: tuple(sorted({basis.norm for basis in line.bases})) for line in lease.lines}
    items = tuple(
        DossierItem(
            id=ItemId(content.id), category=content.category, flags=tuple(content.flags),
            collected_from=content.collected_from, purpose=lease.transmission.purpose, bases=norms[ItemId(content.id)],
            hash=content.hash, content=content.content,
        )
        for content in contents
    )
    return Dossier(
        release=lease.id, handover=lease.transmission.handover, completeness=lease.completeness, items=items
    )
