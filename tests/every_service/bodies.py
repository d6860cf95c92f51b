"""Valid bodies made from a route's own model: whole ones, with unmistakable words wherever words may stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts.new_ids import new_id

CANARY = "kanari"  # in every word that is made up here; nothing else of ours contains it
WORDS = (
    "Zora Kanari-Zimt",
    "Kanari-4711",
    "Kanari.Zimt@example.org",
    "https://example.org/Kanari",
    "kanari",
    "de",
    "99999",
    "+49 000 112233",
)
Known = Mapping[str, Any]
"""Values for members by name, or by `<model>.<name>`; what is not named here is made up."""


def whole_body(model: type[BaseModel], known: Known, *, other: bool = False) -> dict[str, Any]:
    """Everything the model can say, as far as it can be said at once; ValueError where nothing valid is found.

    `other`: as different as can be from what is made otherwise.
    """
    schema = model.model_json_schema()
    body: dict[str, Any] = _Maker(schema, known, other=other).made(schema, "")
    optional = sorted(_optional(schema, schema, body, ()), key=len, reverse=True)
    wrong = _wrong(model, body)
    for path in optional:
        if not wrong:
            break
        tried = deepcopy(body)
        if not _drop(tried, path):
            continue
        left = _wrong(model, tried)
        if left != wrong:
            body, wrong = tried, left
    if wrong:
        raise ValueError(f"{model.__name__}: no valid body found: {wrong}")
    return body


def words_of(value: object) -> Iterator[str]:
    """Every made-up word in a body."""
    if isinstance(value, str):
        if CANARY in value.lower():
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from words_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from words_of(part)


def spoilt(value: Any, unseen: str) -> Iterator[Any]:
    """The value as often as it has texts, each time with that character in one of them."""
    match value:
        case str():
            yield value + unseen
        case dict():
            for name, part in value.items():
                yield from ({**value, name: other} for other in spoilt(part, unseen))
        case list():
            for place, part in enumerate(value):
                yield from ([*value[:place], other, *value[place + 1 :]] for other in spoilt(part, unseen))


def _wrong(model: type[BaseModel], body: object) -> list[str]:
    try:
        model.model_validate_json(json.dumps(body), strict=True, extra="forbid")
    except ValidationError as error:
        return [f"{'/'.join(map(str, found['loc']))}: {found['type']}" for found in error.errors()]
    return []


@dataclass(frozen=True)
class _Maker:
    """Makes values for pieces of one schema."""

    root: dict[str, Any]
    known: Known
    other: bool

    def made(self, schema: dict[str, Any], name: str) -> Any:
        """A value for that piece."""
        schema = _resolved(schema, self.root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][-1 if self.other else 0]
        plain: Mapping[str | None, object] = {
            "integer": schema.get("minimum", 1) + self.other,
            "boolean": not self.other,
            None: self._words[0],  # anything goes here
        }
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                return [self.made(schema["items"], name) for _ in range(schema.get("minItems", 1) or 1)]
            case "string":
                return self._string(schema)
            case other:
                return plain[other]

    def _object(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "properties" not in schema:
            return {"note": self._words[0]}
        title = schema.get("title", "")
        return {name: self._member(f"{title}.{name}", name, part) for name, part in schema["properties"].items()}

    def _member(self, whole_name: str, name: str, part: dict[str, Any]) -> Any:
        for named in (whole_name, name):
            if named in self.known and self._fits(part, self.known[named]):
                return self.known[named]
        return self.made(part, name)

    def _fits(self, part: dict[str, Any], value: object) -> bool:
        """Whether both are ids and codes or both are whole objects: `person` may be either."""
        part = _resolved(part, self.root)
        if part.get("type") == "array" and isinstance(value, list):
            part, value = _resolved(part["items"], self.root), value[0]
        return value is None or (part.get("type") == "object") == isinstance(value, dict)

    @property
    def _words(self) -> tuple[str, ...]:
        return ("Wanda Kanari", *WORDS[:0:-1]) if self.other else WORDS

    def _string(self, schema: dict[str, Any]) -> str:
        now = datetime.now(UTC)
        match schema.get("format"):
            case "uuid":
                return str(new_id(now - timedelta(days=1)))  # an old one: nobody waits for news of it
            case "date":
                return (now + timedelta(days=10 + self.other)).date().isoformat()
            case "date-time":
                return (now - timedelta(milliseconds=1)).isoformat()
        for word in self._words:
            fits = schema.get("minLength", 0) <= len(word) <= schema.get("maxLength", len(word))
            if fits and re.search(schema.get("pattern", ""), word):
                return word
        raise ValueError(f"no made-up word fits {schema}")


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The piece itself: behind references, and the first kind of value where several may stand."""
    while True:
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            schema = schema["anyOf"][0]
        else:
            return schema


def _optional(
    schema: dict[str, Any], root: dict[str, Any], value: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[str | int, ...]]:
    """The places in a made-up value that may be left out."""
    schema = _resolved(schema, root)
    if isinstance(value, dict):
        for name, part in value.items():
            inside = schema.get("properties", {}).get(name)
            if inside is not None:
                if name not in schema.get("required", ()):
                    yield (*path, name)
                yield from _optional(inside, root, part, (*path, name))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _optional(schema.get("items", {}), root, part, (*path, place))


def _drop(body: Any, path: tuple[str | int, ...]) -> bool:
    """Leave that member out; False where a bigger part around it is gone already."""
    for step in path[:-1]:
        try:
            body = body[step]
        except (KeyError, IndexError):
            return False
    return body.pop(path[-1], None) is not None
