"""Ports are chosen once, and anew only where somebody else has taken them."""

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen

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


CHOOSES = """
import sys
from pathlib import Path
from deploy.embedded import ports
ports.RANGE = range(20_000, 20_020)
print(*ports.remembered(Path(sys.argv[1]), ["client-1", "controller-1", "postgres"]).values(), flush=True)
sys.stdin.read()
"""


def test_two_who_start_at_once_never_choose_the_same(tmp_path: Path) -> None:
    """Nobody listens on what either has chosen yet."""
    with ExitStack() as running:
        chosen: list[str] = []
        for name in ("one", "other", "third"):
            start = [sys.executable, "-c", CHOOSES, str(tmp_path / name)]
            it = running.enter_context(Popen(start, stdin=PIPE, stdout=PIPE, text=True))  # noqa: S603  # our own program
            assert it.stdout is not None
            chosen += it.stdout.readline().split()
    assert len(chosen) == len(set(chosen)) == 9
