"""From bytes to arguments: strict JSON bodies, path and query parameters; errors say where and which, never what."""
from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError

from chassis.http.problems import ERRORS_MAX, Trouble, Turned

ERRORS_COUNTED_MAX = 1000  # with more, not one is listed: making the list would cost more than the request
INTEGER_DIGITS_MAX = 18  # fits 64 bits, as every integer of the database does
QUERY_FIELDS_MAX = 50
FORM_FIELDS_MAX = 20
PATH_CHARACTERS_MAX = 200
_UUID_CHARACTERS = 36  # only the usual form, so that one thing has one address

M = TypeVar("M", bound=BaseModel)


def parse_body(model: type[M], body: bytes, names: frozenset[str]) -> M:
    """The body as the model, strictly; `names` are the member names that may appear in an error."""
    check_json(body)
    try:
        return model.model_validate_json(body, strict=True, extra="forbid")
    except ValidationError as error:
        raise _turned(error, names) from None


def check_json(body: bytes) -> None:
    """What all JSON parsers take but no two read alike: members named twice, NaN, numbers that do not fit."""
    try:
        _EXACTLY.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Turned(Trouble.INVALID_JSON) from None
    if rb"\u0000" in body and _holds_nul(json.loads(body)):
        raise Turned(Trouble.INVALID_INPUT, [{"field": "", "code": "text_unseen"}])


def _holds_nul(value: object) -> bool:
    """Whether a text in it has the one character that no text of PostgreSQL can hold."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(_holds_nul(part) for member in value.items() for part in member)
        case list():
            return any(map(_holds_nul, value))
        case _:
            return False


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
        raise ValueError("a member is named twice")


def _integer(digits: str) -> int:
    if len(digits) > 4300:  # noqa: PLR2004  # where Python's own limit is; the answer is the same whatever its setting
        raise ValueError("no number")
    if len(digits) > INTEGER_DIGITS_MAX + 1:
        raise Turned(Trouble.INVALID_INPUT, [{"field": "", "code": "number_range"}])
    return 0


def _float(digits: str) -> float:
    if math.isinf(float(digits)):
        raise Turned(Trouble.INVALID_INPUT, [{"field": "", "code": "number_range"}])
    return 0.0


def _constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON (RFC 8259, 6)


_EXACTLY = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)


@cache
def names_of(*models: type[BaseModel] | None) -> frozenset[str]:
    """Every member name that the models know, at any depth: what else stands in a location came from the caller."""
    found: set[str] = set()
    for model in models:
        if model is not None:
            schema = model.model_json_schema()
            for part in (schema, *schema.get("$defs", {}).values()):
                found.update(part.get("properties", ()))
    return frozenset(found)


def _turned(error: ValidationError, names: frozenset[str]) -> Turned:
    if error.error_count() > ERRORS_COUNTED_MAX:
        return Turned(Trouble.INVALID_INPUT, [{"field": "", "code": "too_many_errors"}])
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if any(found["type"] == "json_invalid" for found in errors):
        return Turned(Trouble.INVALID_JSON)
    told = [{"field": _pointer(found["loc"], names), "code": found["type"]} for found in errors[:ERRORS_MAX]]
    return Turned(Trouble.INVALID_INPUT, told)


def _pointer(location: Sequence[int | str], names: Iterable[str]) -> str:
    """A JSON Pointer (RFC 6901) as far as the names are ours; it ends before the first that is not."""
    pointer = ""
    for part in location:
        if isinstance(part, str) and part not in names:
            break
        pointer += "/" + str(part).replace("~", "~0").replace("/", "~1")
    return pointer


def path_parameters(given: Mapping[str, str], wanted: Mapping[str, TypeAdapter[Any] | None]) -> dict[str, Any]:
    """Path parameters, typed (None: a UUID); one that cannot be is no address of ours: 404, not 422."""
    found: dict[str, Any] = {}
    for name, adapter in wanted.items():
        text = given[name]
        try:
            if adapter is None:
                found[name] = _uuid(text)
            elif len(text) <= PATH_CHARACTERS_MAX and text.isprintable():
                found[name] = adapter.validate_strings(text)
            else:
                raise Turned(Trouble.NOT_FOUND)
        except ValueError:
            raise Turned(Trouble.NOT_FOUND) from None
    return found


def _uuid(text: str) -> UUID:
    if len(text) != _UUID_CHARACTERS:
        raise ValueError
    return UUID(text)


def query_parameters(
    query: bytes, model: type[BaseModel], lists: frozenset[str], names: frozenset[str]
) -> dict[str, Any]:
    """Query parameters as the model says; `lists` are those that may be given more than once."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="strict"
        )
    except ValueError:
        raise Turned(Trouble.INVALID_INPUT, [{"field": "", "code": "query_malformed"}]) from None
    given = _given(pairs, lists, names)
    try:
        parsed = model.model_validate(given, extra="forbid")
    except ValidationError as error:
        raise _turned(error, names) from None
    return {name: getattr(parsed, name) for name in type(parsed).model_fields}


# What browsers send, and no more: whatever else stands in a form was put together by somebody who reads it otherwise.
_FORM = re.compile(rb"(?:[A-Za-z0-9*._~=&+-]|%[0-9A-Fa-f]{2})*")


def parse_form(model: type[M], body: bytes, names: frozenset[str]) -> M:
    """What a page's form has sent as the model: each field once at most, none that it does not know."""
    malformed = Turned(Trouble.INVALID_INPUT, [{"field": "", "code": "form_malformed"}])
    if _FORM.fullmatch(body) is None:
        raise malformed
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=FORM_FIELDS_MAX,
            errors="strict",
        )
    except ValueError:
        raise malformed from None
    try:
        return model.model_validate_strings(_given(pairs, frozenset(), names), extra="forbid")
    except ValidationError as error:
        raise _turned(error, names) from None


def _given(pairs: Iterable[tuple[str, str]], lists: frozenset[str], names: frozenset[str]) -> dict[str, Any]:
    """Names and values; only those among `lists` may be named more than once."""
    given: dict[str, Any] = {}
    for name, value in pairs:
        field = f"/{name}" if name in names else ""
        if "\0" in value:  # no text of the database holds it
            raise Turned(Trouble.INVALID_INPUT, [{"field": field, "code": "text_unseen"}])
        if name in lists:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise Turned(Trouble.INVALID_INPUT, [{"field": field, "code": "given_twice"}])
        else:
            given[name] = value
    return given
