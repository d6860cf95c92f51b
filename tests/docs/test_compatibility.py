"""What would break somebody who knows an older release is named; what only adds is let through."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from docs.compatibility import Schema, Told, changes, resolved
from docs.release import present

CHANGED, PUBLISHED = "staffel.handover.changed.v1", "staffel.offer.published.v1"
Change = Callable[[Schema], None]


PRESENT = present()
TOUCHED = {
    *("handover", "case", "alliance", "lead", "kind", "preview", "phase", "needs"),
    *("offer", "alert", "jba", "mandatory"),
}


def _field(schema: Schema, path: str) -> dict[str, Any]:
    """A field of a body without references: `preview.needs`."""
    for name in path.split("."):
        schema = schema["properties"][name]
        schema = next((each for each in schema.get("anyOf", ()) if "properties" in each), schema)
    return schema


def _small(schema: Schema) -> Schema:
    """Without most of what the changes here do not touch: the proof takes its time over each field and code."""
    kept = {name: _small(field) for name, field in schema.get("properties", {}).items() if name in TOUCHED}
    needed = [name for name in schema.get("required", ()) if name in kept]
    return {**schema, "properties": kept, "required": needed} if kept else schema


def after(change: Change, of: str = CHANGED) -> list[str]:
    """What is said of that event when its schema is changed so, without the type in front."""
    told = PRESENT[of]
    schema = _small(resolved(told.schema))
    new = deepcopy(schema)
    change(new)
    now = {of: told._replace(schema=new)}
    return [said.removeprefix(f"{of}: ") for said in changes({of: told._replace(schema=schema)}, now)]


def adds(name: str, **field: Any) -> Change:
    return lambda schema: schema["properties"].update({name: field})


def needs(name: str, **field: Any) -> Change:
    def change(schema: Schema) -> None:
        schema["properties"][name] = field
        schema["required"].append(name)

    return change


def loses(name: str) -> Change:
    def change(schema: Schema) -> None:
        del schema["properties"][name]
        schema["required"] = [each for each in schema["required"] if each != name]

    return change


def becomes(path: str, **field: Any) -> Change:
    return lambda schema: _field(schema, path).update(field)


def narrows(path: str) -> Change:
    return lambda schema: _field(schema, path)["enum"].pop()


def widens(path: str) -> Change:
    return lambda schema: _field(schema, path)["enum"].append("new_code")


BACKWARD, FORWARD = (
    "backward: what was said then would be refused now",
    "forward: what is said now would be refused by those of then",
)
BREAKING: dict[str, tuple[Change, str, set[str]]] = {
    "a required field is added": (needs("x", type="integer"), "body.x: is new and has no default", {BACKWARD}),
    "a field without default is added": (adds("x", type="integer"), "body.x: is new and has no default", set()),
    "a field is removed": (loses("lead"), "body.lead: is gone", {FORWARD}),
    "a field may be left out": (
        lambda schema: schema["required"].remove("lead"),
        "body.lead: may be left out now; those of then need it",
        {FORWARD},
    ),
    "a list of codes is narrowed": (narrows("kind"), "body.kind: enum was", {BACKWARD}),
    "a list of codes grows": (widens("kind"), "body.kind: enum was", {FORWARD}),
    "a number is taken from a list": (narrows("preview.phase"), "body.preview.phase: enum was", {BACKWARD}),
    "a type is changed": (becomes("lead", type="string"), 'body.lead: type was "boolean"', {BACKWARD, FORWARD}),
    "a format is changed": (becomes("handover", format="date"), 'body.handover: format was "uuid"', set()),
    "a pattern is changed": (becomes("alliance", pattern="^x$"), "body.alliance: pattern was", set()),
    "a limit is lowered": (becomes("preview.needs", maxItems=3), "body.preview.needs: maxItems was 50", {BACKWARD}),
    "a limit is raised": (becomes("preview.needs", maxItems=99), "body.preview.needs: maxItems was 50", {FORWARD}),
    "null is no longer allowed": (
        lambda schema: schema["properties"]["case"]["anyOf"].pop(),
        "body.case: anyOf has 1 choices, had 2",
        {BACKWARD},
    ),
}


@pytest.mark.parametrize(("change", "policy", "proof"), BREAKING.values(), ids=BREAKING)
def test_what_breaks_somebody_is_named_by_the_policy_and_by_the_proof_where_it_can(
    change: Change, policy: str, proof: set[str]
) -> None:
    said = after(change)
    assert any(each.startswith(policy) for each in said), said
    assert {each for each in said if each in {BACKWARD, FORWARD}} == proof


ALLOWED: dict[str, Change] = {
    "a field with a default is added": adds("x", type="integer", default=0),
    "a part with a default is added": adds(
        "x", anyOf=[{"type": "object", "properties": {}}, {"type": "null"}], default=None
    ),
    "words are mended": lambda schema: schema.update(title="Another", description="Said better."),
    "codes are put in another order": lambda schema: _field(schema, "kind")["enum"].reverse(),
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED)
def test_what_breaks_nobody_is_let_through(change: Change) -> None:
    assert after(change) == []


def test_a_field_that_may_be_left_out_is_missed_when_it_is_gone() -> None:
    said = after(lambda schema: _field(schema, "offer")["properties"].pop("alert"), PUBLISHED)
    assert said == ["body.offer.alert: is gone"]  # no schema shows it: a reader of then simply finds nothing


def test_another_default_is_another_meaning() -> None:
    said = after(lambda schema: _field(schema, "offer.jba.mandatory").update(default=True), PUBLISHED)
    assert said == ["body.offer.jba.mandatory: default was false, is true"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("key", "case"), ("topic", "{agency}.handover.other"), ("owner", "intake"), ("subject", "cases")],
)
def test_where_and_under_which_key_an_event_is_told_never_changes(field: str, value: str) -> None:
    told = PRESENT[CHANGED]
    (said,) = changes({CHANGED: told}, {CHANGED: Told(**{**told._asdict(), field: value})})
    assert said == f"{CHANGED}: {field} was {getattr(told, field)}, is {value}"


def test_a_type_that_was_released_stays_and_a_new_one_may_come() -> None:
    then = PRESENT
    now = {name: told for name, told in then.items() if name != CHANGED}
    assert changes(then, now) == [f"{CHANGED}: is gone; whoever hears it waits for ever"]
    assert changes(now, then) == []
