"""Ports are chosen once, and anew only where somebody else has taken them."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.ports import HOST, is_free, remembered

NAMES = ("client-1", "controller-1", "postgres")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ports.json"


@pytest.fixture
def taken(file: Path) -> Iterator[int]:
    """The port remembered for PostgreSQL, on which somebody else listens by now."""
    with socket.create_server((HOST, remembered(file, NAMES)["postgres"])) as other:
        yield other.getsockname()[1]


def test_each_name_gets_a_free_port_of_its_own(file: Path) -> None:
    ports = remembered(file, NAMES)
    assert len(set(ports.values())) == len(NAMES)
    assert all(map(is_free, ports.values()))


def test_the_ports_of_last_time_are_taken_again(file: Path) -> None:
    assert remembered(file, NAMES) == remembered(file, NAMES)


def test_a_port_that_somebody_else_has_taken_is_replaced_and_the_others_stay(file: Path, taken: int) -> None:
    ports = remembered(file, NAMES)
    assert ports["postgres"] != taken
    assert remembered(file, NAMES) == ports
