"""What was released stays as it was, and what is told today fits all of it."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from contracts.registry import EVENTS
from docs.release import (
    RELEASED,
    ReleaseError,
    broken,
    freeze,
    goldens,
    present,
    read,
    version,
    versions,
)

FIRST = "2026.11.0"
GOLDENS = [(each, event, body) for each, event, body in goldens()]


def test_the_events_of_today_break_no_release() -> None:
    assert broken(present()) == []


def test_there_is_a_first_release_and_nothing_is_frozen_that_is_still_to_come() -> None:
    assert versions()[0] == FIRST
    assert versions()[-1] <= version()


@pytest.mark.parametrize(("each", "event", "body"), GOLDENS, ids=[f"{each}-{event.type}" for each, event, _ in GOLDENS])
def test_every_event_that_was_ever_released_is_still_read_and_keeps_its_key(
    each: str, event: type, body: bytes
) -> None:
    read_today = EVENTS[event.type].model_validate_json(body)  # type: ignore[attr-defined]  # an event class
    said = json.loads(body)
    for part in read_today.key_field.split("."):
        said = said[part]
    assert str(read_today.key) == said


def test_what_is_frozen_is_what_was_told(tmp_path: Path) -> None:
    folder = freeze("2026.12.0", tmp_path)
    assert read("2026.12.0", tmp_path) == present()
    assert {file.stem for file in (folder / "examples").iterdir()} == set(EVENTS)


def test_a_release_is_frozen_once(tmp_path: Path) -> None:
    freeze("2026.12.0", tmp_path)
    with pytest.raises(ReleaseError, match="is frozen"):
        freeze("2026.12.0", tmp_path)
    freeze("2026.12.0", tmp_path, again=True)


@pytest.mark.parametrize("kind", ["schemas", "examples"])
def test_a_file_that_was_changed_after_the_release_is_noticed(tmp_path: Path, kind: str) -> None:
    file = freeze("2026.12.0", tmp_path) / kind / "staffel.case.closed.v1.json"
    file.write_text(file.read_text("utf-8") + " ", encoding="utf-8")
    with pytest.raises(ReleaseError, match=rf"{kind}/staffel\.case\.closed\.v1\.json is not as it was frozen"):
        broken(present(), tmp_path)
    file.unlink()
    with pytest.raises(ReleaseError, match="has other files than were frozen"):
        broken(present(), tmp_path)


def test_every_release_is_asked_and_not_only_the_last(tmp_path: Path) -> None:
    """A field that came, was released, and is gone again: only the release between knows it."""
    for number in ("2026.12.0", "2027.1.0"):
        freeze(number, tmp_path)
    name = "staffel.case.closed.v1"
    between = tmp_path / "2026.12.0"
    schema = json.loads((between / "schemas" / f"{name}.json").read_text("utf-8"))
    schema["properties"]["note"] = {"type": "integer", "default": 0}
    _put(between, name, json.dumps(schema))
    assert broken(present(), tmp_path) == [f"2026.12.0: {name}: body.note: is gone"]
    with pytest.raises(ReleaseError, match="note: is gone"):
        freeze("2027.2.0", tmp_path)


def _put(folder: Path, name: str, schema: str) -> None:
    """As if that release had been made with this schema."""
    (folder / "schemas" / f"{name}.json").write_text(schema, encoding="utf-8")
    listed = json.loads((folder / "events.json").read_text("utf-8"))
    listed[name]["schemas"] = sha256(schema.encode()).hexdigest()
    (folder / "events.json").write_text(json.dumps(listed), encoding="utf-8")


def test_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    for number in ("2026.9.0", "2026.11.0", "2026.10.0"):
        (tmp_path / number).mkdir()
    assert versions(tmp_path) == ["2026.9.0", "2026.10.0", "2026.11.0"]
    assert RELEASED.name == "released"
