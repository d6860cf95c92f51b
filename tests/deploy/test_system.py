"""What is waited for where everything is started: every service, but for one that only `staffel recover` can open."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from deploy import system
from deploy.embedded.ports import HOST
from deploy.embedded.processes import Server
from deploy.installation import Installation
from deploy.system import ALLIANCES, System


class Ready(BaseHTTPRequestHandler):
    """A service that is well."""

    status, body = 200, {"ready": True}

    def do_GET(self) -> None:
        said = json.dumps(self.body).encode()
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args: object) -> None:
        """A test says enough."""


class Restored(Ready):
    """One whose database is older than what it has said."""

    status, body = 503, cast("dict[str, Any]", {"ready": False, "because": "restored"})


class Unasked(Ready):
    """One that may be well in a moment."""

    status, body = 503, cast("dict[str, Any]", {"ready": False, "because": "unasked"})


class Running:
    """A process that is there."""

    def must_run(self) -> None:
        """It does."""


@pytest.fixture
def town(tmp_path: Path) -> Iterator[System]:
    """A Jobcenter whose intake is well, whose consent is restored, and whose offers nobody has asked the broker for."""
    answers = {"intake": Ready, "consent": Restored, "offers": Unasked}
    servers = {f"jobcenter.{name}": ThreadingHTTPServer((HOST, 0), handler) for name, handler in answers.items()}
    for server in servers.values():
        threading.Thread(target=server.serve_forever).start()
    found = System(tmp_path)
    ports = {principal: int(server.server_address[1]) for principal, server in servers.items()}
    found.installation = Installation(tmp_path, "", (ALLIANCES / "musterland.yaml",), ("jobcenter",), ports)
    found.servers = {principal: cast("Server", Running()) for principal in servers}
    yield found
    for server in servers.values():
        server.shutdown()
        server.server_close()


async def test_what_is_restored_is_named_and_nobody_waits_for_it(town: System) -> None:
    assert await town.ready(["jobcenter.intake", "jobcenter.consent"], or_shut=True) == ["jobcenter.consent"]


@pytest.mark.parametrize(("principal", "or_shut"), [("jobcenter.consent", False), ("jobcenter.offers", True)])
async def test_whatever_else_is_not_ready_is_waited_for(
    town: System, monkeypatch: pytest.MonkeyPatch, principal: str, or_shut: bool
) -> None:
    monkeypatch.setattr(system, "READY_SECONDS_MAX", 0.5)
    with pytest.raises(TimeoutError):
        await town.ready([principal], or_shut=or_shut)
