"""Whoever knows one service finds the way in the others: the same rooms, and no others."""

import pytest

from tests.every_service.anatomy import ROOMS, ROOMS_OF_ONE, SERVICES, files, folder


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms_and_no_others(service: str) -> None:
    entries = {entry.name for entry in folder(service).iterdir()} - {"__init__.py", "__pycache__", "README.md"}
    rooms = {name.removesuffix(".py") for name in entries}
    assert rooms == ROOMS | ROOMS_OF_ONE.get(service, frozenset())
    assert len(rooms) == len(entries), "a room is a file or a package, not both"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_page_about_itself(service: str) -> None:
    assert (folder(service) / "README.md").read_text("utf-8").startswith(f"# {service}\n")


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_begins_with_one_sentence_on_what_it_is_for(service: str) -> None:
    for room in ROOMS:
        for file in files(service, room):
            text = file.read_text("utf-8")
            assert not text or text.startswith('"""'), file


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_raises_a_status_or_catches_what_it_cannot_name(service: str) -> None:
    for file in folder(service).rglob("*.py"):
        text = file.read_text("utf-8")
        assert "HTTPException" not in text, file
        assert "except Exception" not in text, file
        assert ".publish(" not in text, f"{file}: nothing is published outside the outbox"
