"""The operator's commands over many services: who does not answer is named, and hides nobody behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from chassis.http.operations import (
    BrakeOn,
    HeldLane,
    HeldLanes,
    ParkedEvents,
    Released,
    Retried,
    RetriedClass,
    SaidOfSkipping,
    Skipped,
    Skips,
    Waiting,
)
from contracts.new_ids import new_id
from deploy.cli import app
from deploy.embedded.keys import AgencyKeys
from deploy.embedded.ports import HOST
from deploy.installation import SERVICES, Installation
from deploy.system import ALLIANCES

ALARM_PAGE = Path(__file__).parents[2] / "docs/how-to/answer-an-alarm.md"
NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
KEY = new_id()
TOPIC = "jobcenter.intake.events"
EVENT: dict[str, Any] = {"topic": TOPIC, "key": KEY, "type": "t.v1", "error_class": "refused"}
LANE = HeldLane(**EVENT, events=2, reason="too-late", since=NOW, attempts=1, next_attempt_at=None)
SKIP = SaidOfSkipping(**EVENT, seq=1, event_id=KEY, word="skipped", said_by="s.sommer", reason="done", said_at=NOW)
BRAKE = BrakeOn(cause="KeyError", lanes=21, since=NOW)
RETRIED = RetriedClass(lanes=2, free=2, events=2, stopped=[], tried_before=NOW, more=False)
WAITING = Waiting(
    brake=BRAKE,
    unheard=[],
    oldest_unsent_seconds=0,
    held_subjects=[],
    unreadable=[],
    errands=[],
    deadlines=[],
    more=["errands", "deadlines"],
)
ANSWERS: dict[str, BaseModel] = {
    "/parked": HeldLanes(lanes=[LANE], more=True),
    "/waiting": WAITING,
    "/skips": Skips(skips=[SKIP], more=True),
    "/parked/retry": RETRIED,
    "/parked/{topic}/{key}": ParkedEvents(events=[], more=False),
    "/parked/{topic}/{key}/retry": Retried(done=1, stopped_by=None),
    "/parked/{topic}/{key}/skip": Skipped(skipped=True),
    "/brake/release": Released(released=True),
}
ASKED: list[str] = []
"""What services were asked for."""


class Answering(BaseHTTPRequestHandler):
    """A service that says to an operator what stands in `ANSWERS`."""

    def do_GET(self) -> None:
        path = self.path.replace(f"/{TOPIC}/{KEY}", "/{topic}/{key}")
        ASKED.append(f"{self.command} {path}")
        self._answer(200, ANSWERS[path].model_dump_json().encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """A test says enough."""


class Refusing(Answering):
    """A service whose database is away."""

    def do_GET(self) -> None:
        self._answer(503, json.dumps({"type": "/problems/unavailable"}).encode())


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """Where one service answers, where one says no, and where nobody is: a port that was free a moment ago."""
    handlers = {"well": Answering, "ill": Refusing}
    servers = {word: ThreadingHTTPServer((HOST, 0), handler) for word, handler in handlers.items()}
    gone = ThreadingHTTPServer((HOST, 0), Answering)
    gone.server_close()
    for server in servers.values():
        threading.Thread(target=server.serve_forever).start()
    yield {word: server.server_address[1] for word, server in (*servers.items(), ("dead", gone))}
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    AgencyKeys(tmp_path / "keys", "jobcenter").provide(SERVICES, datetime.now(UTC))
    return tmp_path


def say(data: Path, verb: tuple[str, ...], ports: dict[str, int]) -> tuple[int, str]:
    """What the command says where these services of the Jobcenter are on these ports."""
    named = {f"jobcenter.{name}": port for name, port in ports.items()}
    Installation(data, "", (ALLIANCES / "musterland.yaml",), ("jobcenter",), named).save()
    said = CliRunner().invoke(app, [*verb, "--data", str(data)])
    return said.exit_code, said.output


VERBS = [
    (("parked", "list"), str(KEY)),
    (("waiting",), "KeyError"),
    (("parked", "skips"), "s.sommer"),
    (("brake", "list"), "21 lane(s) of KeyError"),
    (("parked", "retry", "--class", "refused"), "2 lane(s) tried, 2 free"),
]


@pytest.mark.parametrize(("verb", "found"), VERBS, ids=lambda each: " ".join(each) if isinstance(each, tuple) else "")
def test_a_service_that_does_not_answer_hides_none_behind_it(
    data: Path, ports: dict[str, int], verb: tuple[str, ...], found: str
) -> None:
    where = {"intake": "dead", "consent": "ill", "handover": "well", "offers": "well"}
    code, said = say(data, verb, {name: ports[how] for name, how in where.items()})
    assert "jobcenter.intake does not answer\n" in said
    assert "jobcenter.consent says no: 503 /problems/unavailable\n" in said
    assert (said.count(found), code) == (2, 2)


@pytest.mark.parametrize(("verb", "found"), VERBS, ids=lambda each: " ".join(each) if isinstance(each, tuple) else "")
def test_where_all_answer_the_exit_code_says_whether_something_needs_a_human(
    data: Path, ports: dict[str, int], verb: tuple[str, ...], found: str
) -> None:
    code, said = say(data, verb, dict.fromkeys(SERVICES, ports["well"]))
    assert (said.count(found), code) == (4, int(verb == ("brake", "list")))


def test_nothing_is_said_to_be_well_of_a_service_that_does_not_answer(data: Path, ports: dict[str, int]) -> None:
    code, said = say(data, ("parked", "list"), dict.fromkeys(SERVICES, ports["dead"]))
    assert (said.count("does not answer"), code) == (4, 2)
    assert said.endswith("no lane is held, of those that answered\n")


@pytest.mark.parametrize(
    ("verb", "of"),
    [(("parked", "list"), "lanes"), (("waiting",), "errands, deadlines"), (("parked", "skips"), "skips")],
)
def test_a_list_that_was_cut_says_so(data: Path, ports: dict[str, int], verb: tuple[str, ...], of: str) -> None:
    _, said = say(data, verb, dict.fromkeys(SERVICES, ports["well"]))
    assert f"jobcenter.offers: and more, of {of} only the first are shown\n" in said


LANE_OF = ("--agency", "jobcenter", "--service", "intake", TOPIC, str(KEY))
COMMANDS = {
    "parked list": (),
    "parked show": LANE_OF,
    "parked retry <topic> <key>": LANE_OF,
    "parked retry --class": ("refused",),
    "parked skip": (*LANE_OF, str(KEY), "--reason", "done", "--as", "s.sommer"),
    "parked skips": (),
    "waiting": (),
    "brake list": (),
    "brake release": (*LANE_OF[:4], "--as", "s.sommer"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_alarm_page_says_what_a_command_asks_over_http(data: Path, ports: dict[str, int], command: str) -> None:
    (row,) = [line for line in ALARM_PAGE.read_text("utf-8").splitlines() if f"| `staffel {command}` |" in line]
    ASKED.clear()
    verb = command.replace(" <topic> <key>", "").split()
    say(data, (*verb, *COMMANDS[command]), dict.fromkeys(SERVICES, ports["well"]))
    assert {each.split("`")[0] for each in row.split("`")[3:] if each.startswith(("GET", "POST"))} == set(ASKED)


def test_who_lets_a_consumer_go_on_says_who_they_are(data: Path, ports: dict[str, int]) -> None:
    release = ("brake", "release", "--agency", "jobcenter", "--service", "intake")
    code, said = say(data, release, dict.fromkeys(SERVICES, ports["well"]))
    assert (code, "--as" in said, "released" in said) == (2, True, False)
