"""What holds for every event class, read off the classes, their schemas and their examples."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError, create_model

from contracts import consent, handover, intake, offers
from contracts.codes import SENSITIVE_NEEDS, HandoverState, Service, Trigger
from contracts.events import Event, TopicKind
from contracts.handover import Preview
from contracts.ids import SLUG_PATTERN
from contracts.registry import EVENTS, FACTS

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
PROTOCOL = Path(__file__).parents[1] / "handover" / "handover_protocol.json"  # the model-checked law
FILES = {Service.INTAKE: intake, Service.CONSENT: consent, Service.HANDOVER: handover, Service.OFFERS: offers}
CLOSED_PATTERNS = {SLUG_PATTERN, "^[0-9a-f]{64}$"}
CLOSED_FORMATS = {"uuid", "date", "date-time"}

every_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())


def example(event: type[Event]) -> bytes:
    return (EXAMPLES / f"{event.type}.json").read_bytes()


@every_event
def test_every_event_has_an_example_that_is_read_and_written_unchanged(event: type[Event]) -> None:
    read = event.model_validate_json(example(event))
    assert json.loads(read.model_dump_json()) == json.loads(example(event))


@every_event
def test_every_example_satisfies_the_published_schema(event: type[Event]) -> None:
    Draft202012Validator(event.model_json_schema()).validate(json.loads(example(event)))


def test_no_example_lies_about_without_an_event() -> None:
    assert {file.stem for file in EXAMPLES.iterdir()} == set(EVENTS)


@every_event
def test_every_type_is_written_out_whole_and_once(event: type[Event]) -> None:
    assert re.fullmatch(r"staffel(\.[a-z]+(_[a-z]+)*){2}\.v[1-9]", event.type)
    literal = f'type: ClassVar[str] = "{event.type}"'
    sources = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in FILES.values()]
    assert sum(source.count(literal) for source in sources) == 1


def test_every_event_class_that_has_a_type_is_registered() -> None:
    classes = (thing for module in FILES.values() for thing in vars(module).values() if isinstance(thing, type))
    typed = {thing for thing in classes if issubclass(thing, Event) and hasattr(thing, "type")}
    assert typed == set(EVENTS.values())


@every_event
def test_every_event_lies_in_the_file_of_the_service_that_tells_it(event: type[Event]) -> None:
    assert event.__module__ == FILES[event.owner].__name__


@every_event
def test_the_key_of_every_event_is_an_id_in_its_body(event: type[Event]) -> None:
    told = event.model_validate_json(example(event))
    value = json.loads(example(event))
    for part in event.key_field.split("."):
        value = value[part]
    assert str(told.key) == value
    assert told.subject == f"{event.subject_kind}/{value}"


@every_event
def test_no_channel_event_says_from_whom_or_to_whom_it_goes(event: type[Event]) -> None:
    if event.topic is TopicKind.CHANNEL:
        assert not {"sender", "receiver", "counterpart", "alliance", "case", "person"} & event.model_fields.keys()


@every_event
def test_every_event_says_in_its_docstring_what_happened(event: type[Event]) -> None:
    assert event.__doc__
    assert event.__doc__ != event.__mro__[1].__doc__


@every_event
def test_unknown_fields_pass_by_and_wrong_types_are_refused(event: type[Event]) -> None:
    body = json.loads(example(event))
    read = event.model_validate_json(json.dumps({**body, "told_by_a_newer_writer": 1}))
    assert read == event.model_validate_json(example(event))
    with pytest.raises(ValidationError):
        event.model_validate_json(json.dumps(dict.fromkeys(body, 1.5)))


@every_event
def test_no_event_carries_free_text(event: type[Event]) -> None:
    if event.topic is not TopicKind.CATALOGUE:
        assert list(open_texts(event.model_json_schema())) == []


def test_free_text_would_be_noticed() -> None:
    assert "/Offer/description" in open_texts(offers.OfferPublished.model_json_schema())


@pytest.mark.parametrize("anything", [str, dict[str, int], Any, list[Any], str | None, float])
def test_a_field_that_lets_words_or_anything_through_would_be_noticed(anything: Any) -> None:
    careless = create_model("Careless", handover=(UUID, ...), note=(anything, ...))
    assert list(open_texts(careless.model_json_schema())) in (["/note"], ["/note/*"])


def open_texts(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The places in a schema where a writer could put any words; whatever this test does not know counts as open."""
    for name, part in schema.get("$defs", {}).items():
        yield from open_texts(part, f"{path}/{name}")
    match schema:
        case {"$ref": _} | {"type": "integer" | "boolean" | "null"}:
            return
        case {"anyOf": choices}:
            for choice in choices:
                yield from open_texts(choice, path)
        case {"type": "object", "properties": properties} if "additionalProperties" not in schema:
            for name, part in properties.items():
                yield from open_texts(part, f"{path}/{name}")
        case {"type": "array", "items": items}:
            yield from open_texts(items, f"{path}/*")
        case {"type": "string"} if is_closed(schema):
            return
        case _ if "enum" not in schema:
            yield path


def is_closed(text: dict[str, Any]) -> bool:
    """Whether only ids, codes, times, slugs and hashes fit into this string."""
    return "enum" in text or text.get("format") in CLOSED_FORMATS or text.get("pattern") in CLOSED_PATTERNS


@pytest.mark.parametrize("need", sorted(SENSITIVE_NEEDS))
def test_a_sensitive_need_is_in_no_preview(need: str) -> None:
    told = {"phase": 4, "age_band": "18_20", "needs": [need]}
    with pytest.raises(ValidationError):
        Preview.model_validate_json(json.dumps(told))
    assert not Draft202012Validator(Preview.model_json_schema()).is_valid(told)


@every_event
def test_sensitive_needs_are_no_choice_in_any_schema_but_the_catalogue(event: type[Event]) -> None:
    if event.topic is not TopicKind.CATALOGUE and '"training_dropout"' in json.dumps(event.model_json_schema()):
        assert '"psychosocial"' not in json.dumps(event.model_json_schema())


def test_the_facts_of_the_protocol_are_told_under_their_own_names() -> None:
    told_elsewhere = {"ConsentWithdrawn", "ConsentEnded", "DataAnswered"}
    for name, event in FACTS.items():
        assert EVENTS[event.type] is event
        if name not in told_elsewhere:
            assert (event.__name__, event.type) == (f"Handover{name}", f"staffel.handover.{in_snake_case(name)}.v1")


def test_every_fact_that_the_protocol_tells_or_hears_has_a_class() -> None:
    rows = json.loads(PROTOCOL.read_text(encoding="utf-8"))
    told = {fact for row in rows for fact in row["tells"]}
    heard = {row["on"] for row in rows if row["kind"] == "fact"}
    assert told | heard == set(FACTS)


def test_every_state_and_every_trigger_of_the_protocol_has_its_code() -> None:
    rows = json.loads(PROTOCOL.read_text(encoding="utf-8"))
    of_others = {"ReadDossier", "StoreDossier", "AnswerOnData", "ConsentEnded", "DataAnswered"}  # no copy moves by them
    assert {row["while"] for row in rows} <= set(HandoverState)
    assert {in_snake_case(row["on"]) for row in rows if row["on"] not in of_others} <= set(Trigger)


def in_snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_every_channel_event_of_handover_is_a_fact_of_the_protocol() -> None:
    told = {event for event in EVENTS.values() if (event.owner, event.topic) == (Service.HANDOVER, TopicKind.CHANNEL)}
    assert told <= set(FACTS.values())


def test_an_answer_on_data_names_a_norm_exactly_where_data_are_retained() -> None:
    told = json.loads(example(consent.ConsentDataAnswered))
    for wrong in ({"norm": None}, {"answer": "erased"}):
        with pytest.raises(ValidationError, match="norm"):
            consent.ConsentDataAnswered.model_validate_json(json.dumps(told | wrong))


def test_times_without_a_zone_are_refused_and_others_turned_to_utc() -> None:
    told = json.loads(example(handover.HandoverFirstContactMade))
    with pytest.raises(ValidationError, match="at"):
        handover.HandoverFirstContactMade.model_validate_json(json.dumps(told | {"at": "2026-03-09T13:05:00"}))
    read = handover.HandoverFirstContactMade.model_validate_json(json.dumps(told | {"at": "2026-03-09T14:05:00+01:00"}))
    assert read.at.isoformat() == "2026-03-09T13:05:00+00:00"
