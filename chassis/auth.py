"""Who is asking: three kinds of signed tokens, one gate that reads them, the functions that issue them.

    person   an access token of the node's own issuer (RFC 9068, `typ` at+jwt), with roles
    service  another service of the same node, at most 60 s (`typ` service+jwt), `iss` = `sub` = its principal
    party    another party, at most 60 s (`typ` party+jwt), `iss` = the party, `sub` = `<party>.<service>`

All three are Ed25519 (RFC 9864) and nothing else, and travel as `Authorization: Bearer`. Roles are opaque strings here.
"""
from __future__ import annotations

import hashlib
import json
import logging
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Literal, Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

log = logging.getLogger(__name__)

ALGORITHM = "Ed25519"  # the fully specified name of RFC 9864; its predecessor `EdDSA` is deprecated
TOKEN_BYTES_MAX = 8 * 1024  # more than any token of ours; refused before anything is decoded
SHORT_SECONDS_MAX = 60  # life of a token between services or parties: replay is worth a minute at most
LONG_SECONDS_MAX = 3600  # life of an access token
LEEWAY_SECONDS = 30  # an issuer's clock may be this much ahead; `exp` gets no leeway
REMEMBERED_MAX = 2048  # verified tokens kept, so that a signature (half a millisecond) is checked once, not per request
REMEMBERED_SECONDS = 60  # and how long: after this a withdrawn key counts

Kind = Literal["person", "service", "party", "anyone"]
PartyKeys = Callable[[str, str, datetime], OKPKey | None]
"""(party, kid, now) -> its key, if it has one of that name that is valid now."""

JwkOf = Callable[[str, str, datetime], Mapping[str, Any] | None]
"""The same as plain data: a public JWK."""

_PRINTABLE = re.compile(r"[!-~]{1,128}", re.ASCII)  # names go into keys and answers: nothing that needs quoting
# All that a token's header may say; jwk, jku, x5u, crit, b64 and zip could only be attacks here.
_HEADER = frozenset({"alg", "kid", "typ"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as proved by a token: `name` is unique within `kind`."""

    name: str
    roles: frozenset[str]
    kind: Kind

    @property
    def principal(self) -> str:
        """The caller as a key, unique over all kinds."""
        return f"{self.kind}:{self.name}"


ANYONE = Caller("anyone", frozenset(), "anyone")


class NotProved(Exception):  # an answer, not an error
    """The token does not prove who is asking; why is nobody's business but the issuer's."""


class UnknownKey(NotProved):
    """The token names a key that is not known here (yet, or any more)."""


# --- keys -------------------------------------------------------------------------------------------------------------


def new_key(kid: str) -> OKPKey:
    """A new signing key. For services `kid` is `<principal>` or `<principal>#<anything>`: it says whose key it is."""
    return OKPKey.generate_key("Ed25519", {"kid": kid, "use": "sig"})


def key_from(jwk: Mapping[str, Any]) -> OKPKey:
    """A key from its JWK (RFC 8037); ValueError when it is no Ed25519 key."""
    if (jwk.get("kty"), jwk.get("crv")) != ("OKP", ALGORITHM):
        raise ValueError("only Ed25519 keys sign here")
    return OKPKey.import_key(dict(jwk))


def keys_by(jwk_of: JwkOf) -> PartyKeys:
    """The keys of other parties from where they are written down as plain data."""

    def found(party: str, kid: str, now: datetime) -> OKPKey | None:
        jwk = jwk_of(party, kid, now)
        return None if jwk is None else key_from(jwk)

    return found


def key_set(keys: Iterable[OKPKey], *, private: bool = False) -> str:
    """The keys as a JWK Set (RFC 7517), the format of all key files; public halves only, unless said otherwise."""
    return json.dumps({"keys": [key.as_dict(private=private) for key in keys]}, indent=2) + "\n"


class KeyFile:
    """The public keys of a JWK Set in a file, read again when it has changed.

    Two keys at once overlap for rotation; nothing has to be started anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = (-1, -1)
        self._keys: dict[str, OKPKey] = {}

    def find(self, kid: str) -> OKPKey | None:
        """The key of that name, if the file has one now."""
        status = self._path.stat()
        changed = (status.st_mtime_ns, status.st_size)
        if changed != self._changed:
            self._read()
            self._changed = changed
        return self._keys.get(kid)

    def _read(self) -> None:
        try:
            found = json.loads(self._path.read_text("utf-8"))["keys"]
            self._keys = {jwk["kid"]: key_from(jwk) for jwk in found}
        except (ValueError, KeyError, TypeError):
            if not self._keys:
                raise
            log.error("key file unreadable, the keys known before stay in force", extra={"file": self._path.name})  # noqa: TRY400  # a key file's content is not for the log


def read_keys(path: Path) -> KeyFile:
    """The public keys in a JWK Set file; a file that cannot be read fails here, at the start."""
    keys = KeyFile(path)
    keys.find("")
    return keys


def read_key(path: Path) -> OKPKey:
    """The private key to sign with: the first of a JWK Set file, which lists the newest first."""
    key = key_from(json.loads(path.read_text("utf-8"))["keys"][0])
    if not key.is_private:
        raise ValueError("a signing key must be private")
    return key


class Keys(Protocol):
    """Where public keys are found by their name."""

    def find(self, kid: str) -> OKPKey | None:
        """The key of that name, if there is one."""
        ...


# --- reading ----------------------------------------------------------------------------------------------------------


class Reader(Protocol):
    """One kind of token: who it is from, when all it says is right."""

    @property
    def typ(self) -> str:
        """The `typ` of its header, without "application/"."""
        ...

    def read(self, token: bytes, kid: str, now: datetime) -> Proved:
        """Verify signature and claims; raises NotProved."""
        ...


@dataclass(frozen=True, slots=True)
class Proved:
    """A verified token: the caller, until when, and the certificate it is bound to (RFC 8705), if any."""

    caller: Caller
    until: datetime
    thumbprint: str | None = None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Access tokens of one issuer for one audience."""

    issuer: str
    audience: str
    keys: Keys
    typ: str = field(default="at+jwt", init=False)

    def read(self, token: bytes, kid: str, now: datetime) -> Proved:
        """RFC 9068, 4: issuer, audience, times, subject, client; `roles` as in its 2.2.3.1."""
        claims = _verified(token, _known(self.keys.find(kid)))
        _check(claims, now, LONG_SECONDS_MAX, iss=self.issuer, aud=self.audience, needs=("sub", "client_id", "jti"))
        roles = claims.get("roles", [])
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise NotProved
        caller = Caller(_name(claims["sub"]), frozenset(roles), "person")
        return Proved(caller, _time(claims["exp"]), _thumbprint(claims))


@dataclass(frozen=True, slots=True)
class Internal:
    """Tokens between the services of one node; the caller's name is its principal, its role the last part of it."""

    audience: str
    keys: Keys
    typ: str = field(default="service+jwt", init=False)

    def read(self, token: bytes, kid: str, now: datetime) -> Proved:
        """The key's name says whose it is, so that no service can speak as another one."""
        claims = _verified(token, _known(self.keys.find(kid)))
        _check(claims, now, SHORT_SECONDS_MAX, iss=kid.partition("#")[0], aud=self.audience, needs=("sub",))
        if claims["sub"] != claims["iss"]:
            raise NotProved
        name = _name(claims["iss"])
        return Proved(Caller(name, frozenset({name.rpartition(".")[2]}), "service"), _time(claims["exp"]))


@dataclass(frozen=True, slots=True)
class Parties:
    """Tokens of other parties; the caller's name is the party, its role which of its services asks."""

    audience: str
    keys: PartyKeys
    typ: str = field(default="party+jwt", init=False)

    def read(self, token: bytes, kid: str, now: datetime) -> Proved:
        """The key is looked up by the party the token claims to be from, and must then verify it."""
        party = _part(token, 1).get("iss")
        if not isinstance(party, str):
            raise NotProved
        claims = _verified(token, _known(self.keys(party, kid, now)))
        _check(claims, now, SHORT_SECONDS_MAX, iss=party, aud=self.audience, needs=("sub",))
        name, dot, role = str(claims["sub"]).rpartition(".")
        if name != party or not dot or not role:
            raise NotProved
        return Proved(Caller(_name(party), frozenset({role}), "party"), _time(claims["exp"]))


class Gate:
    """Turns the Authorization header into a caller, or into a no. `audience` is the principal of this service."""

    def __init__(
        self, *, audience: str, issuer: str, issuer_keys: Keys, service_keys: Keys, party_keys: PartyKeys | None = None
    ) -> None:
        readers: list[Reader] = [Bearer(issuer, audience, issuer_keys), Internal(audience, service_keys)]
        if party_keys is not None:
            readers.append(Parties(audience, party_keys))
        self._readers = {reader.typ: reader for reader in readers}
        self._remembered: OrderedDict[bytes, Proved] = OrderedDict()

    def caller(self, authorization: bytes | None, now: datetime, certificate: bytes | None = None) -> Caller:
        """Who asks; raises NotProved. `certificate` is the client's, in DER, where the transport knows it."""
        if authorization is None or len(authorization) > TOKEN_BYTES_MAX:
            raise NotProved
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise NotProved
        proved = self._proved(token.strip(), now)
        if proved.thumbprint is not None and proved.thumbprint != thumbprint_of(certificate):
            raise NotProved
        return proved.caller

    def _proved(self, token: bytes, now: datetime) -> Proved:
        digest = hashlib.sha256(token).digest()
        known = self._remembered.get(digest)
        if known is not None and now < known.until:
            return known
        proved = self._read(token, now)
        self._remember(digest, proved, now)
        return proved

    def _remember(self, digest: bytes, proved: Proved, now: datetime) -> None:
        until = min(proved.until, now + timedelta(seconds=REMEMBERED_SECONDS))
        self._remembered[digest] = replace(proved, until=until)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _read(self, token: bytes, now: datetime) -> Proved:
        header = _part(token, 0)
        if not set(header) <= _HEADER or header.get("alg") != ALGORITHM:
            raise NotProved
        typ, kid = header.get("typ"), header.get("kid")
        if not isinstance(typ, str) or not isinstance(kid, str):
            raise NotProved
        reader = self._readers.get(typ.lower().removeprefix("application/"))
        if reader is None:
            raise NotProved
        return reader.read(token, kid, now)


def thumbprint_of(certificate: bytes | None) -> str | None:
    """`x5t#S256` of a certificate in DER (RFC 8705, 3.1)."""
    if certificate is None:
        return None
    return urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()


def _known(key: OKPKey | None) -> OKPKey:
    if key is None:
        raise UnknownKey
    return key


def _part(token: bytes, index: int) -> Mapping[str, Any]:
    """One part of a token before anything is verified: only good for finding the key."""
    parts = token.split(b".")
    if len(parts) != 3:  # noqa: PLR2004  # header, claims, signature (RFC 7515, 3.1)
        raise NotProved
    try:
        part = json.loads(urlsafe_b64decode(parts[index] + b"=="))
    except (ValueError, NotBase64, RecursionError) as error:
        raise NotProved from error
    if not isinstance(part, dict):
        raise NotProved
    return part


def _verified(token: bytes, key: OKPKey) -> Mapping[str, Any]:
    try:
        return jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError, RecursionError) as error:
        raise NotProved from error


def _check(  # what differs between the kinds of tokens, by name
    claims: Mapping[str, Any], now: datetime, seconds_max: int, *, iss: str, aud: str, needs: tuple[str, ...]
) -> None:
    """What every kind of token must say. `jwt.decode` of joserfc checks the signature only, not even `exp`."""
    registry = JWTClaimsRegistry(
        int(now.timestamp()),
        LEEWAY_SECONDS,
        iss={"essential": True, "value": iss},
        aud={"essential": True, "value": aud},
        exp={"essential": True},
        iat={"essential": True},
        **dict.fromkeys(needs, ClaimsOption(essential=True)),
    )
    try:
        registry.validate(dict(claims))
    except JoseError as error:
        raise NotProved from error
    issued, expires = claims["iat"], claims["exp"]
    if expires <= now.timestamp() or not 0 < expires - issued <= seconds_max:
        raise NotProved


def _name(value: object) -> str:
    if not isinstance(value, str) or _PRINTABLE.fullmatch(value) is None:
        raise NotProved
    return value


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise NotProved from error


def _thumbprint(claims: Mapping[str, Any]) -> str | None:
    """The certificate a token is bound to; a binding of a kind not known here cannot be checked: it does not hold."""
    if "cnf" not in claims:
        return None
    bound = claims["cnf"]
    if not isinstance(bound, dict) or not isinstance(bound.get("x5t#S256"), str):
        raise NotProved
    return str(bound["x5t#S256"])


# --- issuing ----------------------------------------------------------------------------------------------------------


def issue_bearer(  # the claims of RFC 9068, by name
    key: OKPKey,
    *,
    issuer: str,
    audience: str | list[str],
    subject: str,
    client: str,
    roles: Iterable[str],
    seconds: int = 300,
    now: datetime | None = None,
) -> str:
    """An access token for a person (RFC 9068), five minutes long unless said otherwise."""
    claims = {"iss": issuer, "sub": subject, "aud": audience, "client_id": client, "roles": sorted(roles)}
    return _signed(key, "at+jwt", {**claims, "jti": token_urlsafe(16)}, seconds, now)


def sign_internal(
    key: OKPKey, *, issuer: str, audience: str, seconds: int = SHORT_SECONDS_MAX, now: datetime | None = None
) -> str:
    """A token with which one service of a node asks another; both are named by their principals."""
    return _signed(key, "service+jwt", {"iss": issuer, "sub": issuer, "aud": audience}, seconds, now)


def sign_party(  # the claims, by name
    key: OKPKey, *, party: str, role: str, audience: str, seconds: int = SHORT_SECONDS_MAX, now: datetime | None = None
) -> str:
    """A token with which the service `role` of a party asks a service of another party (`audience`: its principal)."""
    return _signed(key, "party+jwt", {"iss": party, "sub": f"{party}.{role}", "aud": audience}, seconds, now)


def _signed(key: OKPKey, typ: str, claims: Mapping[str, Any], seconds: int, now: datetime | None) -> str:
    issued = int((now or datetime.now(UTC)).timestamp())
    times = {"iat": issued, "exp": issued + seconds}
    return jwt.encode({"alg": ALGORITHM, "typ": typ, "kid": key.kid}, {**claims, **times}, key, algorithms=[ALGORITHM])
