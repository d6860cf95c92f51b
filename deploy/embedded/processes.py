"""Start a server as a child of ours, and stop it."""

import asyncio
import logging
import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.embedded.guard import STOP_SECONDS_MAX, Guard, end
from deploy.mistakes import MistakeError

log = logging.getLogger(__name__)

LOG_LINES_SHOWN = 15
# Nothing of ours: what stands in our environment (PGOPTIONS, JAVA_TOOL_OPTIONS, secrets) is not for the servers.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}  # UTF-8: folders have umlauts


class ServerDiedError(MistakeError):
    """A server ended although nobody asked it to; the text holds the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is run."""

    name: str
    argv: Sequence[str]
    stop: signal.Signals
    log: Path
    output: Path  # what it says before its own log is open
    environment: Mapping[str, str] = field(default_factory=dict)  # besides ENVIRONMENT; nothing is inherited
    user: str | None = None


class Server:
    """One running server."""

    def __init__(self, program: Program, guard: Guard) -> None:
        self._program = program
        if program.output.exists():  # what it said before a crash is kept until the start after next
            program.output.replace(program.output.with_name(f"{program.output.name}.before"))
        with program.output.open("wb") as output:
            self._process = subprocess.Popen(
                list(program.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**ENVIRONMENT, **program.environment},
                user=program.user,
                group=None if program.user is None else _group_of(program.user),
                extra_groups=None if program.user is None else [],
                start_new_session=True,  # Ctrl-C is for us; we stop the servers in order
            )
        try:
            guard.watch(self._process.pid, program.stop)
        except (OSError, ValueError):  # the start was given up in the meantime: nobody would end this server
            self.kill()
            raise

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._program.name

    @property
    def pid(self) -> int:
        """Its number in the list of processes."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def must_run(self) -> None:
        """Raise ServerDiedError, with the end of the log, if it is gone."""
        if not self.runs:
            raise ServerDiedError(
                f"{self._program.name} ended with code {self._process.returncode}; "
                f"see {self._program.log}\n{_last_lines(self._program)}"
            )

    @property
    def code(self) -> int | None:
        """With which code it has ended, a signal as a negative number; None while it runs."""
        return self._process.poll()

    def tell_to_stop(self) -> None:
        """Ask it to end; does not wait."""
        self.tell(self._program.stop)

    def tell(self, number: signal.Signals) -> None:
        """Send it this signal, if it is still there."""
        if self.runs:
            self._process.send_signal(number)

    async def stopped(self, seconds_max: float) -> None:
        """Wait until it has ended; kill it when it takes longer."""
        try:
            await asyncio.to_thread(self._process.wait, seconds_max)
        except subprocess.TimeoutExpired:
            log.warning("%s did not end within %s s and is killed", self.name, seconds_max)
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()


def end_leftovers(
    is_one: Callable[[Sequence[str]], bool], stop: signal.Signals, seconds_max: float = STOP_SECONDS_MAX
) -> None:
    """End what a crashed starter left running on the same data, known by its arguments.

    Its guard normally has done so already, or is about to; this waits for it.
    """
    found = [process for process in psutil.process_iter(["cmdline"]) if is_one(process.info["cmdline"] or ())]
    end([(process, stop) for process in found], seconds_max)


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _last_lines(program: Program) -> str:
    for path in (program.log, program.output):
        text = path.read_text(errors="replace") if path.exists() else ""
        if text.strip():
            return "\n".join(text.splitlines()[-LOG_LINES_SHOWN:])
    return ""
