"""Whether what is told today can be read by those who know an older release, and the other way round.

Two judges, because neither sees everything. The policy reads the schemas keyword by keyword: within a version an event
may gain fields that have a default, and nothing else. `jsonsubschema` proves the same from what the schemas mean:

    backward   whatever was said then is accepted now      closed(old) ⊆ open(new)
    forward    whatever is said now is accepted then        closed(new) ⊆ open(old)

`closed` is a schema as its writer knows it, `open` as a tolerant reader takes it. The proof reads draft 4: it knows no
`format` and `const`, and not every regular expression. Those the policy compares as they are written. A schema that the
proof cannot read at all ends the comparison with an error: nothing passes unread.
"""

import json
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

Schema = dict[str, Any]

# What a schema says beside what it demands; whoever reads or writes an event does not notice a change.
ANNOTATIONS: Final = frozenset({"$schema", "$id", "$defs", "title", "description", "examples"})
# What is compared part by part.
PARTS: Final = frozenset({"properties", "required", "items", "anyOf"})
# What the proof cannot judge or does not ask about.
UNKNOWN_TO_THE_PROOF: Final = frozenset({"format", "const", "pattern", "default"})


class Told(NamedTuple):
    """An event as a release published it: where it is told, under which key, and what its body is."""

    owner: str
    topic: str
    subject: str
    key: str
    schema: Schema


def changes(then: Mapping[str, Told], now: Mapping[str, Told]) -> list[str]:
    """What an older release says of the present one: everything that would break somebody, each in one sentence."""
    found = []
    for type_, old in then.items():
        if type_ not in now:
            found.append(f"{type_}: is gone; whoever hears it waits for ever")
            continue
        new = now[type_]
        found += [
            f"{type_}: {field} was {before}, is {after}"
            for field, before, after in zip(Told._fields[:-1], old[:-1], new[:-1], strict=True)
            if before != after
        ]
        found += [f"{type_}: {said}" for said in _body(old.schema, new.schema)]
    return found


def _body(old: Schema, new: Schema) -> Iterable[str]:
    then, now = resolved(old), resolved(new)
    yield from _differences(then, now, "body")
    if then != now:
        yield from _proof("backward", "what was said then would be refused now", then, now)
        yield from _proof("forward", "what is said now would be refused by those of then", now, then)


# --- the policy -------------------------------------------------------------------------------------------------------


def resolved(schema: Schema) -> Schema:
    """The schema with every part in its place and without annotations: classes may be renamed, words mended."""

    def inside(part: Any) -> Any:
        match part:
            case {"$ref": str(ref), **beside}:
                return {**inside(schema["$defs"][ref.rpartition("/")[2]]), **inside(beside)}
            case {"properties": dict(fields), **beside}:
                return {**inside(beside), "properties": {name: inside(field) for name, field in fields.items()}}
            case dict():
                return {word: inside(value) for word, value in part.items() if word not in ANNOTATIONS}
            case list():
                return [inside(each) for each in part]
        return part

    whole: Schema = inside(schema)
    return whole


def _differences(old: Schema, new: Schema, place: str) -> Iterable[str]:
    for word in sorted((old.keys() | new.keys()) - PARTS):
        before, after = _said(old, word), _said(new, word)
        if before != after:
            yield f"{place}: {word} was {before}, is {after}"
    yield from _fields(old, new, place)
    if ("items" in old) != ("items" in new):
        yield f"{place}: items are said of one and not of the other"
    elif "items" in old:
        yield from _differences(old["items"], new["items"], f"{place}[]")
    choices = old.get("anyOf", []), new.get("anyOf", [])
    if len(choices[0]) != len(choices[1]):
        yield f"{place}: anyOf has {len(choices[1])} choices, had {len(choices[0])}"
    else:
        for before, after in zip(*choices, strict=True):
            yield from _differences(before, after, place)


def _said(part: Schema, word: str) -> str:
    """What the part says by that word, as it stands in a file; the order of a list of codes does not matter."""
    if word not in part:
        return "not said"
    return json.dumps(sorted(part[word], key=str) if word == "enum" else part[word])


def _fields(old: Schema, new: Schema, place: str) -> Iterable[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed_then, needed_now = set(old.get("required", ())), set(new.get("required", ()))
    for name, field in before.items():
        if name not in after:
            yield f"{place}.{name}: is gone"
            continue
        if name in needed_then and name not in needed_now:
            yield f"{place}.{name}: may be left out now; those of then need it"
        if name in needed_now and name not in needed_then:
            yield f"{place}.{name}: is needed now; those of then may leave it out"
        yield from _differences(field, after[name], f"{place}.{name}")
    for name in after.keys() - before.keys():
        if name in needed_now or "default" not in after[name]:
            yield f"{place}.{name}: is new and has no default"


# --- the proof --------------------------------------------------------------------------------------------------------


def _proof(name: Literal["backward", "forward"], meaning: str, said: Schema, heard: Schema) -> Iterable[str]:
    with warnings.catch_warnings(action="ignore"):  # its source is written for an older Python
        from jsonsubschema import isSubschema  # type: ignore[import-untyped]  # noqa: PLC0415  # ships no types; see above

    if not isSubschema(_as_draft_4(said, closed=True), _as_draft_4(heard, closed=False)):
        yield f"{name}: {meaning}"


def _as_draft_4(schema: Any, *, closed: bool) -> Any:
    match schema:
        case {"properties": dict(fields), **beside}:
            inside = {name: _as_draft_4(field, closed=closed) for name, field in fields.items()}
            return {**_as_draft_4(beside, closed=closed), "properties": inside, "additionalProperties": not closed}
        case dict():
            return {
                word: _as_draft_4(value, closed=closed)
                for word, value in schema.items()
                if word not in UNKNOWN_TO_THE_PROOF and value != []  # draft 4 has no empty `required`
            }
        case list():
            return [_as_draft_4(each, closed=closed) for each in schema]
    return schema
