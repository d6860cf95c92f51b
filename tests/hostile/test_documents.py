"""Every address of every service by its own OpenAPI document: it answers as it says, to whatever is sent."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import pytest

from deploy.installation import SERVICES
from tests.conftest import Say
from tests.every_service.addresses import addresses
from tests.every_service.scenes import BEFORE_COMMAND, Story
from tests.hostile.questions import Known, Questions
from tests.hostile.remote import remote
from tests.hostile.target import AGENCY, SERVING, Target

SEED = random.SystemRandom().randrange(2**32)  # put a printed one here to be asked the same again
OF_A_BOUND = 4  # questions of each kind and address in the short form
AT_RANDOM = 10  # of each kind and address in the long form
SCENES_PLAYED = 3  # of each in the long form: a command that succeeds leaves its subject in another state
ASKED_MIN = 10_000


async def stories(target: Target, name: str, times: int) -> Mapping[str, Sequence[Known]]:
    """Whom questions may be about: by route, those for whom its scene was played; for views anybody."""
    found: dict[str, list[Known]] = defaultdict(list)
    with alone(target, name):
        async with remote(target, name) as running:
            for address, scene in BEFORE_COMMAND[name].items():
                for _ in range(times):
                    found[address].append((await Story(running).play(scene)).known)
    anybody = [known for each in found.values() for known in each]
    return {route.handler.__name__: found.get(route.handler.__name__, anybody) for route in addresses(name)}


@contextmanager
def alone(target: Target, name: str) -> Iterator[None]:
    """Meanwhile its sisters stand still: what they really say of a story would contradict what it says of them."""
    sisters = [server for principal, server in target.system.servers.items() if principal != f"{AGENCY}.{name}"]
    try:
        for server in sisters:
            server.tell(signal.SIGSTOP)
        yield
    finally:
        for server in sisters:
            server.tell(signal.SIGCONT)


async def test_a_service_answers_as_its_document_says_at_every_bound_that_it_draws(target: Target, say: Say) -> None:
    asked = 0
    for name in SERVICES:
        questions = Questions(target, name, await stories(target, name, 1), SEED)
        await asyncio.to_thread(partial(questions.at_the_bounds, OF_A_BOUND, of_all=name == SERVICES[0]))
        assert questions.failures == []
        asked += questions.asked
    say(f"{asked} questions made up from the services' documents, no fault: seed {SEED}")
    assert await target.serves() == SERVING


@pytest.mark.prove
@pytest.mark.timeout(1800)
async def test_no_question_of_ten_thousand_gets_a_wrong_answer_or_an_echo(target: Target, say: Say) -> None:
    asked = 0
    for name in SERVICES:
        questions = Questions(target, name, await stories(target, name, SCENES_PLAYED), SEED)
        await asyncio.to_thread(questions.at_the_bounds, None)
        await asyncio.to_thread(questions.at_random, AT_RANDOM)
        statuses = ", ".join(f"{status} × {count}" for status, count in sorted(questions.statuses.items()))
        say(f"{name}: {questions.asked} questions, answers {statuses}: seed {SEED}")
        assert questions.failures == []
        asked += questions.asked
    assert asked >= ASKED_MIN
    assert await target.serves() == SERVING
