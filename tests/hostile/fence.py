"""A limit on the memory of each service's process, by what this machine has for it; and what a process has needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from deploy.embedded.processes import Server
from deploy.system import System

MB = 1024 * 1024
LIMIT_BYTES = 512 * MB
PEAK_BYTES_MAX = 400 * MB
SWAP_TOO = "memory.memsw.limit_in_bytes"


class Way(NamedTuple):
    """A control group can be made here, and this file of it takes the limit."""

    name: str
    folder: Path
    limit: str


WAYS = (
    Way("cgroup v2", Path("/sys/fs/cgroup"), "memory.max"),
    Way("cgroup v1", Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
)
RESOURCE_LIMIT = "RLIMIT_DATA"  # counts what is reserved, not what is used, and refuses instead of killing


class Fence:
    """Where the machine lets us, a control group for each process; elsewhere a resource limit."""

    def __init__(self) -> None:
        self._made: set[Path] = set()
        self.kind = ""

    def hold(self, principal: str, pid: int) -> None:
        """From now on this process may not have more. Before it has begun to load anything, or it has it already."""
        for way in WAYS:
            group = way.folder / f"staffel-tests-{os.getpid()}-{principal}"
            try:
                group.mkdir(exist_ok=True)
                self._made.add(group)
                if not (group / way.limit).exists():  # the kernel fills a group; a folder is no group
                    continue
                (group / way.limit).write_text(str(LIMIT_BYTES))
                if (group / SWAP_TOO).exists():
                    (group / SWAP_TOO).write_text(str(LIMIT_BYTES))
                (group / "cgroup.procs").write_text(str(pid))
            except OSError:  # not mounted, not ours to write, or no memory in it: the next way
                continue
            self.kind = way.name
            return
        psutil.Process(pid).rlimit(psutil.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
        self.kind = RESOURCE_LIMIT

    def open(self) -> None:
        """The processes have ended: nothing is left of it."""
        for group in self._made:
            with suppress(OSError):  # made, but not usable
                group.rmdir()
        self._made.clear()


class FencedSystem(System):
    """An installation whose services have 512 MB each, from their first moment on."""

    fence: Fence

    def _server(self, principal: str, name: str, environment: Mapping[str, str]) -> Server:
        server = super()._server(principal, name, environment)
        self.fence.hold(name, server.pid)
        return server


def peak_bytes(pid: int) -> int:
    """The most memory that the process has ever had in use at once."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024
