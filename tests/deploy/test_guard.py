"""Nothing outlives its starter, whatever ends the starter."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import psutil
import pytest

from deploy.embedded.processes import end_leftovers

SLEEPS = "import time; time.sleep(60)"
STARTS_A_SLEEPER = f"""
import signal, subprocess, sys
from deploy.embedded.guard import Guard
sleeper = subprocess.Popen([sys.executable, "-c", {SLEEPS!r}])
Guard().watch(sleeper.pid, signal.SIGTERM)
print(sleeper.pid, flush=True)
sys.stdin.read()
"""


def python(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  # texts of this file


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with python(SLEEPS, "the-mark-of-this-test") as process:
        yield process
        process.kill()


def is_marked(argv: Sequence[str]) -> bool:
    return argv[-1:] == ["the-mark-of-this-test"]


def test_a_server_ends_when_its_starter_was_killed() -> None:
    with python(STARTS_A_SLEEPER) as starter:
        assert starter.stdout is not None
        sleeper = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    psutil.wait_procs([sleeper], timeout=5)
    assert not sleeper.is_running() or sleeper.status() == psutil.STATUS_ZOMBIE


def test_what_was_left_over_is_known_by_its_arguments_and_ended(sleeper: subprocess.Popen[bytes]) -> None:
    end_leftovers(is_marked, signal.SIGTERM)
    assert sleeper.wait(timeout=5) == -signal.SIGTERM


def test_what_is_not_ours_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    end_leftovers(lambda argv: argv[-1:] == ["another-mark"], signal.SIGTERM)
    assert sleeper.poll() is None


def test_what_does_not_listen_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with python(deaf, "the-mark-of-this-test") as process:
        assert process.stdout is not None
        process.stdout.readline()
        end_leftovers(is_marked, signal.SIGTERM, seconds_max=0.2)
        assert process.wait(timeout=5) == -signal.SIGKILL
