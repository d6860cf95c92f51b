"""End the servers when the process that started them is gone, however it went.

It runs as a process of its own: it reads `<pid> <time of start> <signal>` lines and waits for the end of its input,
which comes when the starter closes it or dies. PR_SET_PDEATHSIG is no way: it exists on Linux alone, and it fires when
the *thread* that started the server ends. Imports nothing of the project, so that it runs from any folder.
"""

import contextlib
import signal
import subprocess
import sys
import time
from typing import IO

import psutil

STOP_SECONDS_MAX = 10  # three Kafka nodes told together need up to 6 s
LOOK_EVERY_SECONDS = 0.02


class Guard:
    """The starter's end: tells the guard whom to end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # outlives what ends the starter and its terminal
        )

    def watch(self, pid: int, stop: signal.Signals) -> None:
        """End this process with that signal (then SIGKILL) when we are gone."""
        pipe = self._pipe()
        pipe.write(f"{pid} {psutil.Process(pid).create_time()} {int(stop)}\n")
        pipe.flush()

    def close(self) -> None:
        """Let the guard end what is left of the servers and go."""
        self._pipe().close()
        self._process.wait()

    def _pipe(self) -> IO[str]:
        if self._process.stdin is None:
            raise RuntimeError("the guard was started without a pipe")
        return self._process.stdin


def end(servers: list[tuple[psutil.Process, int]], seconds_max: float = STOP_SECONDS_MAX) -> None:
    """Tell all at once (Kafka nodes stopped one by one lose their quorum and hang), wait, then kill what is left."""
    for process, stop in servers:
        with contextlib.suppress(psutil.NoSuchProcess):  # psutil sees when another one has got its number
            process.send_signal(stop)
    until = time.monotonic() + seconds_max
    while not all(_is_gone(process) for process, _ in servers) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_SECONDS)
    for process, _ in servers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _is_gone(process: psutil.Process) -> bool:
    """A zombie is gone: it waits for its parent's attention alone, and in a container nobody may ever give it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait_and_end(lines: IO[str]) -> None:
    servers = []
    for line in lines:
        pid, started, stop = line.split()
        try:
            process = psutil.Process(int(pid))
        except psutil.NoSuchProcess:
            continue
        if process.create_time() == float(started):
            servers.append((process, int(stop)))
    end(servers)


if __name__ == "__main__":
    _wait_and_end(sys.stdin)
