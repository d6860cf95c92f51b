"""Every numbered bad input against the running services: the right no, never a word of it, and everything serves on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx
import pytest

from deploy.installation import SERVICES
from tests.every_service.bodies import CANARY
from tests.hostile.inputs import INPUTS, Absent, Elsewhere, Sent
from tests.hostile.target import SERVING, Target

ROOT = Path(__file__).parents[2]
SENT = [(number, name) for number, each in INPUTS.items() if isinstance(each, Sent) for name in each.to]
HUNG_UP = 0  # stands for a status where the connection is torn down before there could be one


def test_each_of_the_84_is_tried_here_or_there_or_has_a_reason_why_not() -> None:
    kinds = Counter(type(each) for each in INPUTS.values())
    assert sorted(INPUTS) == list(range(1, 85))
    assert kinds.total() == kinds[Sent] + kinds[Elsewhere] + kinds[Absent] == 84
    assert all(each.because for each in INPUTS.values() if isinstance(each, Absent))


@pytest.mark.parametrize("number", [number for number, each in INPUTS.items() if isinstance(each, Elsewhere)])
def test_what_is_tried_elsewhere_is_tried_there(number: int) -> None:
    named = INPUTS[number]
    assert isinstance(named, Elsewhere)
    assert f"def {named.test}(" in (ROOT / named.file).read_text("utf-8")


@pytest.mark.parametrize(("number", "name"), SENT)
async def test_a_bad_input_gets_the_right_answer_and_no_echo(target: Target, number: int, name: str) -> None:
    sent = INPUTS[number]
    assert isinstance(sent, Sent)
    before = await target.set_aside(name)
    try:
        answer = await target.send(name, sent.make(target.body(name)), sent.headers)
    except httpx.TransportError:
        assert sent.status == HUNG_UP, sent.what
    else:
        assert answer.status_code == sent.status, (sent.what, answer.text)
        assert CANARY not in f"{answer.text}{answer.headers}".lower()
        assert answer.is_success or answer.headers["content-type"] == "application/problem+json"
    assert await target.set_aside(name) == before


async def test_after_all_of_them_every_service_serves(target: Target) -> None:
    assert await target.serves() == SERVING
    assert {name: server.runs for name, server in target.system.servers.items()} == dict.fromkeys(
        (f"jobcenter.{name}" for name in SERVICES), True
    )
