"""The keys of an agency (signing, sealing, tokens) and of its services, as JWK Sets.

`<folder>/<agency>/<purpose>.json` has the private keys of one purpose, newest first, `<folder>/<agency>/public.json`
the public halves of all. Each key carries `nbf` and `exp` (seconds since 1970): from when until when it may be used.
Two keys of a purpose overlap after a rotation: those who have not read the new one yet still know the old one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from joserfc.jwk import OKPKey

from deploy.embedded.files import PUBLIC, private_folder, write

SIGNING = "signing"  # intake speaks for the agency, consent signs its receipts
SEALING = "sealing"  # others seal a dossier to the agency
TOKEN = "token"  # noqa: S105  # a word, no password: the agency's own systems and caseworkers get their access tokens signed with it
SERVICE = "service."
KEY_DAYS = 365
RENEW_DAYS = 30
KEYS_MAX = 2

Jwk = dict[str, Any]  # a JSON Web Key, RFC 7517; the values are text, numbers or lists

ED25519: tuple[Literal["Ed25519"], Mapping[str, str]] = ("Ed25519", {"use": "sig", "alg": "Ed25519"})  # RFC 9864
X25519: tuple[Literal["X25519"], Mapping[str, str]] = ("X25519", {"use": "enc", "alg": "ECDH-ES+A256KW"})


def service(name: str) -> str:
    """The purpose of a service's own key, with which it signs calls to its sisters of the same agency."""
    return f"{SERVICE}{name}"


@dataclass(frozen=True, slots=True)
class AgencyKeys:
    """All keys of one agency in one folder."""

    folder: Path
    agency: str

    def file(self, purpose: str) -> Path:
        """Where the private keys of a purpose are: a JWK Set, the one to use first; readable by its owner alone."""
        return self.folder / self.agency / f"{purpose}.json"

    @property
    def public_file(self) -> Path:
        """Where the public halves of all purposes are: a JWK Set; `kid` is `<agency>.<purpose>#<thumbprint>`."""
        return self.folder / self.agency / "public.json"

    def public(self, purpose: str) -> tuple[Jwk, ...]:
        """The public halves of a purpose, newest first."""
        return tuple(_without_secret(key) for key in self._keys(purpose))

    def provide(self, services: Sequence[str], now: datetime) -> None:
        """Make the keys that are missing; rotate those that end within 30 days."""
        private_folder(self.folder / self.agency)
        for purpose in (SIGNING, SEALING, TOKEN, *map(service, services)):
            keys = self._keys(purpose)
            if not keys or keys[0]["exp"] < (now + timedelta(days=RENEW_DAYS)).timestamp():
                self.rotate(purpose, now)
        self._publish()

    def rotate(self, purpose: str, now: datetime) -> str:
        """Add a new key, valid from now on; keep the one before it until its end; return the new `kid`."""
        new = self._generate(purpose, now)
        keys = [new, *(key for key in self._keys(purpose) if key["exp"] > now.timestamp())][:KEYS_MAX]
        write(self.file(purpose), json.dumps({"keys": keys}, indent=2))
        self._publish()
        return str(new["kid"])

    def _keys(self, purpose: str) -> list[Jwk]:
        file = self.file(purpose)
        keys: list[Jwk] = json.loads(file.read_text())["keys"] if file.exists() else []
        return keys

    def _generate(self, purpose: str, now: datetime) -> Jwk:
        curve, members = X25519 if purpose == SEALING else ED25519
        key = OKPKey.generate_key(curve, private=True)
        return {
            **key.as_dict(private=True),
            **members,
            "kid": f"{self.agency}.{purpose.removeprefix(SERVICE)}#{key.thumbprint()[:16]}",
            "nbf": int(now.timestamp()),
            "exp": int((now + timedelta(days=KEY_DAYS)).timestamp()),
        }

    def _publish(self) -> None:
        files = sorted(file for file in (self.folder / self.agency).glob("*.json") if file != self.public_file)
        keys = [_without_secret(key) for file in files for key in self._keys(file.stem)]
        write(self.public_file, json.dumps({"keys": keys}, indent=2), PUBLIC)


def _without_secret(key: Jwk) -> Jwk:
    return {member: value for member, value in key.items() if member != "d"}
