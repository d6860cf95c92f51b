"""Tokens: who is believed, and every way in which one is not."""
from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from chassis.auth import (
    REMEMBERED_MAX,
    Caller,
    Gate,
    NotProved,
    UnknownKey,
    issue_bearer,
    key_from,
    key_set,
    new_key,
    read_key,
    read_keys,
    sign_internal,
    sign_party,
    thumbprint_of,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER, AUDIENCE = "https://issuer.example", "north.things"
ISSUER_KEY, SERVICE_KEY, PARTY_KEY, STRANGE_KEY = map(new_key, ("issuer#1", "north.stores#1", "south#1", "issuer#1"))
CERTIFICATE = b"invented certificate"

PERSON: dict[str, Any] = {
    "iss": ISSUER, "sub": "u1", "aud": [AUDIENCE, "north.other"], "client_id": "c1", "jti": "j1",
    "iat": AT, "exp": AT + 300, "roles": ["painter"],
}
SERVICE: dict[str, Any] = {
    "iss": "north.stores", "sub": "north.stores", "aud": AUDIENCE, "iat": AT, "exp": AT + 60,
}
PARTY: dict[str, Any] = {"iss": "south", "sub": "south.yard", "aud": AUDIENCE, "iat": AT, "exp": AT + 60}


class Known:
    """A set of keys that counts how often it is asked."""

    def __init__(self, *keys: OKPKey) -> None:
        self.keys = {key.kid: key for key in keys}
        self.asked = 0

    def find(self, kid: str) -> OKPKey | None:
        """The key of that name."""
        self.asked += 1
        return self.keys.get(kid)


def party_keys(party: str, kid: str, now: datetime) -> OKPKey | None:
    return PARTY_KEY if (party, kid) == ("south", "south#1") and now < NOW + timedelta(days=1) else None


@pytest.fixture
def gate() -> Gate:
    return Gate(
        audience=AUDIENCE, issuer=ISSUER, issuer_keys=Known(ISSUER_KEY), service_keys=Known(SERVICE_KEY),
        party_keys=party_keys,
    )


def signed(claims: dict[str, Any], key: OKPKey = ISSUER_KEY, **header: Any) -> bytes:
    said = {"alg": "Ed25519", "typ": "at+jwt", "kid": key.kid, **header}
    said = {name: value for name, value in said.items() if value is not None}
    return b"Bearer " + jwt.encode(said, claims, key, algorithms=["Ed25519"], default_type=None).encode()


def by_hand(header: dict[str, Any], claims: Any, sign: Callable[[bytes], bytes]) -> bytes:
    def part(content: Any) -> bytes:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    said = part(header) + b"." + part(claims)
    return b"Bearer " + said + b"." + part(sign(said))


def test_a_person_is_known_by_the_issuer_s_token(gate: Gate) -> None:
    token = issue_bearer(
        ISSUER_KEY, issuer=ISSUER, audience=AUDIENCE, subject="u1", client="c1", roles=("b", "a"), now=NOW
    )
    assert gate.caller(f"Bearer {token}".encode(), NOW) == Caller("u1", frozenset({"a", "b"}), "person")


def test_a_service_is_known_by_its_own_key(gate: Gate) -> None:
    token = sign_internal(SERVICE_KEY, issuer="north.stores", audience=AUDIENCE, now=NOW)
    caller = gate.caller(f"bearer {token}".encode(), NOW)
    assert caller == Caller("north.stores", frozenset({"stores"}), "service")
    assert caller.principal == "service:north.stores"


def test_a_party_is_known_by_its_key(gate: Gate) -> None:
    token = sign_party(PARTY_KEY, party="south", role="yard", audience=AUDIENCE, now=NOW)
    assert gate.caller(f"Bearer {token}".encode(), NOW) == Caller("south", frozenset({"yard"}), "party")


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in claims.items() if key != name}


REFUSED: dict[str, bytes | None] = {
    "no header": None,
    "an empty header": b"",
    "no token": b"Bearer ",
    "another scheme": b"Basic dTpw",
    "two parts": b"Bearer a.b",
    "no base64": b"Bearer \xff\xff.\xff.\xff",
    "a header that is no object": by_hand([], PERSON, lambda _: b""),  # type: ignore[arg-type]  # that is the point
    "a header nested deep": by_hand(b"[" * 3000, PERSON, lambda _: b""),  # type: ignore[arg-type]  # that is the point
    "alg none": by_hand({"alg": "none", "typ": "at+jwt", "kid": "issuer#1"}, PERSON, lambda _: b""),
    "HS256 with the public key": by_hand(
        {"alg": "HS256", "typ": "at+jwt", "kid": "issuer#1"}, PERSON,
        lambda said: hmac.new(str(ISSUER_KEY.as_dict(private=False)["x"]).encode(), said, hashlib.sha256).digest(),
    ),
    "the old name of the algorithm": by_hand(
        {"alg": "EdDSA", "typ": "at+jwt", "kid": "issuer#1"}, PERSON, lambda _: b"0" * 64
    ),
    "crit": by_hand(
        {"alg": "Ed25519", "typ": "at+jwt", "kid": "issuer#1", "crit": ["x"], "x": 1}, PERSON, lambda _: b"0" * 64
    ),
    "b64 false": by_hand(
        {"alg": "Ed25519", "typ": "at+jwt", "kid": "issuer#1", "b64": False, "crit": ["b64"]}, PERSON, lambda _: b"0"
    ),
    "a key of its own": signed(PERSON, STRANGE_KEY, jwk=STRANGE_KEY.as_dict(private=False)),
    "a strange key of the same name": signed(PERSON, STRANGE_KEY),
    "no name of a key": signed(PERSON, kid=None),
    "no type": signed(PERSON, typ=None),
    "another type": signed(PERSON, typ="JWT"),
    "an id token": signed(PERSON, typ="id+jwt"),
    "claims that are no object": by_hand(
        {"alg": "Ed25519", "typ": "party+jwt", "kid": "south#1"}, [], lambda _: b"0" * 64
    ),
    "expired": signed({**PERSON, "iat": AT - 400, "exp": AT - 1}),
    "expired this second": signed({**PERSON, "iat": AT - 300, "exp": AT}),
    "issued ten minutes ahead": signed({**PERSON, "iat": AT + 600, "exp": AT + 900}),
    "not yet valid": signed({**PERSON, "nbf": AT + 600}),
    "longer than an hour": signed({**PERSON, "exp": AT + 3601}),
    "expires before it was issued": signed({**PERSON, "iat": AT + 20, "exp": AT + 10}),
    "expires never": signed({**PERSON, "exp": float("inf")}),
    "expires at NaN": signed({**PERSON, "exp": float("nan")}),
    "times as text": signed({**PERSON, "exp": str(AT + 300)}),
    "issued at true": signed({**PERSON, "iat": True}),
    "another audience": signed({**PERSON, "aud": "north.other"}),
    "another issuer": signed({**PERSON, "iss": "https://other.example"}),
    "roles as text": signed({**PERSON, "roles": "painter"}),
    "a subject with a line break": signed({**PERSON, "sub": "u1\r\nx"}),
    "a binding of another kind": signed({**PERSON, "cnf": {"jkt": "x"}}),
    "a binding and no certificate": signed({**PERSON, "cnf": {"x5t#S256": thumbprint_of(CERTIFICATE)}}),
    **{f"no {name}": signed(without(PERSON, name)) for name in ("iss", "sub", "aud", "client_id", "jti", "iat", "exp")},
    "a service that speaks as another": signed(
        {**SERVICE, "iss": "north.other", "sub": "north.other"}, SERVICE_KEY, typ="service+jwt"
    ),
    "a service's token about another": signed({**SERVICE, "sub": "north.other"}, SERVICE_KEY, typ="service+jwt"),
    "a service's token for an hour": signed({**SERVICE, "exp": AT + 3600}, SERVICE_KEY, typ="service+jwt"),
    "a service's token as a person's": signed({**PERSON, "iss": "north.stores"}, SERVICE_KEY),
    "a party that speaks as another": signed(
        {**PARTY, "iss": "east", "sub": "east.yard"}, PARTY_KEY, typ="party+jwt"
    ),
    "a party's token about another": signed({**PARTY, "sub": "east.yard"}, PARTY_KEY, typ="party+jwt"),
    "a party's token without a service": signed({**PARTY, "sub": "south"}, PARTY_KEY, typ="party+jwt"),
    "a party's token for an hour": signed({**PARTY, "exp": AT + 3600}, PARTY_KEY, typ="party+jwt"),
    "a party's token for another door": signed({**PARTY, "aud": "east.things"}, PARTY_KEY, typ="party+jwt"),
    "a party that is a number": signed({**PARTY, "iss": 1}, PARTY_KEY, typ="party+jwt"),
    "a token of 9 KB": signed({**PERSON, "more": "x" * 9000}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_token_that_is_not_right_in_everything_proves_nothing(gate: Gate, name: str) -> None:
    with pytest.raises(NotProved):
        gate.caller(REFUSED[name], NOW)


@pytest.mark.parametrize(
    "token",
    [
        signed(PERSON, kid="issuer#2"),
        signed(SERVICE, SERVICE_KEY, typ="service+jwt", kid="north.other"),
        signed(PARTY, PARTY_KEY, typ="party+jwt", kid="south#2"),
    ],
    ids=["person", "service", "party"],
)
def test_a_key_that_is_not_known_is_told_apart(gate: Gate, token: bytes) -> None:
    with pytest.raises(UnknownKey):
        gate.caller(token, NOW)


def test_a_clock_thirty_seconds_ahead_is_forgiven(gate: Gate) -> None:
    assert gate.caller(signed({**PERSON, "iat": AT + 30}), NOW).name == "u1"


def test_every_changed_bit_of_a_token_is_noticed(gate: Gate) -> None:
    token = signed(PERSON)
    for place in range(len("Bearer "), len(token) - 1):  # the last character has bits that mean nothing
        changed = bytearray(token)
        changed[place] ^= 1
        with pytest.raises(NotProved):
            gate.caller(bytes(changed), NOW)


def test_a_token_bound_to_a_certificate_is_worth_nothing_without_it(gate: Gate) -> None:
    token = signed({**PERSON, "cnf": {"x5t#S256": thumbprint_of(CERTIFICATE)}})
    assert gate.caller(token, NOW, CERTIFICATE).name == "u1"
    for other in (b"other", None):  # also when it has been seen with its certificate
        with pytest.raises(NotProved):
            gate.caller(token, NOW, other)


def test_a_signature_is_checked_once_a_minute_and_the_end_every_time() -> None:
    keys = Known(ISSUER_KEY)
    gate = Gate(audience=AUDIENCE, issuer=ISSUER, issuer_keys=keys, service_keys=Known())
    token = signed({**PERSON, "exp": AT + 90})
    for seconds in (0, 1, 59):
        gate.caller(token, NOW + timedelta(seconds=seconds))
    assert keys.asked == 1
    gate.caller(token, NOW + timedelta(seconds=61))
    assert keys.asked == 2
    with pytest.raises(NotProved):
        gate.caller(token, NOW + timedelta(seconds=90))


def test_a_withdrawn_key_counts_after_a_minute_at_the_latest() -> None:
    keys = Known(ISSUER_KEY)
    gate = Gate(audience=AUDIENCE, issuer=ISSUER, issuer_keys=keys, service_keys=Known())
    token = signed(PERSON)
    gate.caller(token, NOW)
    keys.keys.clear()
    with pytest.raises(UnknownKey):
        gate.caller(token, NOW + timedelta(seconds=60))


def test_what_is_remembered_is_bounded(gate: Gate) -> None:
    token = signed(PERSON)
    proved = gate._read(token.removeprefix(b"Bearer "), NOW)
    for number in range(REMEMBERED_MAX + 10):
        gate._remember(str(number).encode(), proved, NOW)
    assert len(gate._remembered) == REMEMBERED_MAX


def test_a_gate_without_parties_lets_none_in() -> None:
    gate = Gate(audience=AUDIENCE, issuer=ISSUER, issuer_keys=Known(ISSUER_KEY), service_keys=Known(SERVICE_KEY))
    with pytest.raises(NotProved):
        gate.caller(signed(PARTY, PARTY_KEY, typ="party+jwt"), NOW)


def test_a_key_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(key_set([ISSUER_KEY]))
    keys = read_keys(path)
    assert keys.find("issuer#1") is not None
    assert keys.find("issuer#2") is None
    path.write_text(key_set([ISSUER_KEY, new_key("issuer#2")]))
    assert keys.find("issuer#2") is not None
    assert '"d"' not in path.read_text()


def test_a_key_file_that_is_broken_later_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("{}")
    with pytest.raises(KeyError):
        read_keys(path)
    path.write_text(key_set([ISSUER_KEY]))
    keys = read_keys(path)
    path.write_text('{"keys": [')
    assert keys.find("issuer#1") is not None


def test_a_private_key_is_kept_in_a_file_of_one(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(key_set([SERVICE_KEY], private=True))
    assert read_key(path).kid == SERVICE_KEY.kid
    path.write_text(key_set([SERVICE_KEY]))
    with pytest.raises(ValueError, match="private"):
        read_key(path)


def test_only_ed25519_keys_sign_here() -> None:
    with pytest.raises(ValueError, match="Ed25519"):
        key_from(OKPKey.generate_key("X25519").as_dict(private=False))
    with pytest.raises(ValueError, match="Ed25519"):
        key_from(OctKey.generate_key().as_dict())
