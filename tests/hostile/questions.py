"""Questions made up from a service's own OpenAPI document, what it allows and what it does not; what answers must be.

schemathesis makes them up; but alone it names nobody who is there and stops at the first wrong member. So two questions
of three are about somebody whom a story has brought into the state that the command is for, and bodies are whole ones
with one member changed.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData, Failure, FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from chassis.auth import read_key, sign_internal, sign_party
from chassis.http.routes import Command, Route
from contracts.new_ids import new_id
from deploy.embedded.keys import SIGNING
from deploy.embedded.keys import service as service_key
from deploy.installation import SERVICES
from tests.every_service.addresses import addresses
from tests.every_service.bodies import whole_body
from tests.every_service.running import OTHER
from tests.every_service.scenes import nobody_yet
from tests.hostile.target import AGENCY, Target

Known = Mapping[str, Any]
Operation = APIOperation[Any, Any, Any, Any]
BOTH = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
REFUSING = [400, 401, 403, 404, 405, 408, 412, 413, 415, 422, 429, 431]
"""What may be answered to a question that the document does not allow. No 409: nobody's state is looked at for it."""
CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": REFUSING}}}
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.missing_required_header,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
PROBLEM = "application/problem+json"
SAID_BY_PROBLEMS = {"type", "title", "status", "instance", "state", "allowed", "errors"}
ECHO_CHARACTERS_MIN = 8
ERRORS_FROM = 400
FAILURES_SHOWN = 20
ANSWER_SECONDS_MAX = 30.0
ROLES = ("caseworker", "team_lead", "operator", "young_person", "nobody")
ABOUT_SOMEBODY, ADMITTED, OTHERWISE = 0.8, 0.85, 0.5  # shares of all questions


@dataclass
class Questions:
    """For one service. `known`: name of a route -> whom its stories have brought into being."""

    target: Target
    name: str
    known: Mapping[str, Sequence[Known]]
    seed: int
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed} {self.name}")  # noqa: S311  # guards nothing
        config = SchemathesisConfig.from_dict(CONFIG)
        url = f"{self.target.url(self.name)}/openapi.json"
        self._schema = schemathesis.openapi.from_url(url, config=config)
        self._words = json.dumps(self._schema.raw_schema, ensure_ascii=False)
        self._routes = {route.handler.__name__: route for route in addresses(self.name)}
        self._session = requests.Session()
        self._session.trust_env = False
        keys = self.target.installation.keys
        self._sisters = {name: read_key(keys(AGENCY).file(service_key(name))) for name in SERVICES}
        self._party = read_key(keys(OTHER).file(SIGNING))

    @property
    def asked(self) -> int:
        """How many questions so far."""
        return self.statuses.total()

    def at_the_bounds(self, most: int | None, *, of_all: bool = True) -> None:
        """Every bound that the document draws, on both sides; at most so many of an address, of each kind."""
        for operation in self._operations(of_all=of_all):
            for mode in BOTH:
                for case in islice(self._bounds(operation, mode), most):
                    self._ask(case)

    def at_random(self, each: int) -> None:
        """So many for each address that the document allows, and as many that it does not."""
        for operation in self._operations():
            for mode in BOTH:
                self._made_up(operation, mode, each)

    def _operations(self, *, of_all: bool = True) -> Iterator[Operation]:
        """The addresses; without `of_all` only those that no other service has."""
        own = {route.handler.__name__ for route in addresses(self.name)}
        if not of_all:
            own -= {route.handler.__name__ for route in addresses(next(x for x in SERVICES if x != self.name))}
        for found in self._schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            if operation.definition.raw["operationId"] in own:
                yield operation

    def _bounds(self, operation: Operation, mode: GenerationMode) -> Iterator[Case[Any]]:
        config = GenerationConfig()
        yield from self._schema.iter_coverage_cases(operation, generation_modes=[mode], generation_config=config)

    def _made_up(self, operation: Operation, mode: GenerationMode, most: int) -> None:
        """Never fails itself, so that nothing is asked a second time: the state is another one by then."""

        @seeded(self.seed)
        @settings(
            max_examples=most, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Case[Any]) -> None:
            self._ask(case)

        try:
            ask()
        except Unsatisfiable:  # an address that takes nothing cannot be asked wrongly
            assert mode is GenerationMode.NEGATIVE

    def _ask(self, case: Case[Any]) -> None:
        route = self._routes[case.operation.definition.raw["operationId"]]
        self._about_somebody(case, route)
        headers = {} if _about_no_token(case) else self._caller(route)
        answer = case.call(headers=headers, session=self._session, timeout=ANSWER_SECONDS_MAX)
        self.statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except FailureGroup as group:
            failures: Sequence[Failure] = group.exceptions
        except Failure as one:
            failures = [one]
        else:
            failures = []
        for each in failures:
            if not (isinstance(each, AcceptedNegativeData) and _lost_on_its_way(case, answer)):
                self._failed(case, answer, f"{type(each).__name__}: {each}")
        for wrong in self._wrong(case, answer):
            self._failed(case, answer, wrong)

    def _failed(self, case: Case[Any], answer: Response, what: str) -> None:
        if len(self.failures) < FAILURES_SHOWN:
            self.failures.append(
                f"{case.method} {case.formatted_path} {case.query} {case.headers} {case.body!r:.300}"
                f" -> {answer.status_code} {answer.text:.300}: {what}"
            )

    def _wrong(self, case: Case[Any], answer: Response) -> Iterator[str]:
        """What is wrong with an answer beside what the document says of it."""
        if answer.status_code < ERRORS_FROM:
            return
        kinds = answer.headers.get("content-type", [])
        if kinds != [PROBLEM]:
            yield f"no problem document: {kinds}"
            return
        said = answer.json()
        if said["status"] != answer.status_code or not set(said) <= SAID_BY_PROBLEMS:
            yield "a problem document of another form"
        heard = f"{answer.text}{said}{answer.headers}"
        for text in _texts([case.path_parameters, case.query, case.headers, case.body]):
            if len(text) >= ECHO_CHARACTERS_MIN and text not in self._words and text in heard:
                yield f"echoes {text!r}"

    def _about_somebody(self, case: Case[Any], route: Route) -> None:
        """Put in who is there, and a key that nobody has used, wherever the question is not about just that."""
        about = self._chance.random() < ABOUT_SOMEBODY
        known = self._chance.choice(self.known[route.handler.__name__]) if about else nobody_yet()
        if about and not _wrong_on_purpose(case, ParameterLocation.PATH):
            for name in route.path_adapters:
                if name in known:
                    case.path_parameters[name] = known[name]
        if isinstance(route, Command) and not _wrong_on_purpose(case, ParameterLocation.HEADER):
            case.headers["Idempotency-Key"] = str(new_id())
            if self._chance.random() < ADMITTED:  # or nearly all would be about another version
                case.headers.pop("If-Match", None)
        if route.body is not None and isinstance(case.body, dict) and self._chance.random() < OTHERWISE:
            self._whole_but_for_one(case, whole_body(route.body, known))

    def _whole_but_for_one(self, case: Case[Any], whole: dict[str, Any]) -> None:
        """The body is one that would be taken, but for one member, which is as it was made up."""
        assert isinstance(case.body, dict)
        if _wrong_on_purpose(case, ParameterLocation.BODY):
            return  # which member is the wrong one is not known: it stays as it is
        name = self._chance.choice(sorted({*case.body, *whole}))
        if name in case.body:
            whole[name] = case.body[name]
        elif name in whole:
            del whole[name]
        case.body = whole

    def _caller(self, route: Route) -> dict[str, str]:
        """Mostly somebody who may, or else somebody who may not, or nobody."""
        chance, allow = self._chance.random(), route.allow
        if allow.everyone or chance > (1 + ADMITTED) / 2:
            return {}
        audience = f"{AGENCY}.{self.name}"
        who = [role for role in allow.roles if chance < ADMITTED] or list(ROLES)
        tokens = [self.target.token(self.name, self._chance.choice(sorted(who)))]
        if allow.service_names and chance < ADMITTED:
            name = self._chance.choice(sorted(allow.service_names))
            tokens.append(sign_internal(self._sisters[name], issuer=f"{AGENCY}.{name}", audience=audience))
        if allow.party_roles is not None and chance < ADMITTED:
            tokens.append(sign_party(self._party, party=OTHER, role="intake", audience=audience))
        if not allow.roles and len(tokens) > 1:
            del tokens[0]
        return {"Authorization": f"Bearer {self._chance.choice(tokens)}"}


def _wrong_on_purpose(case: Case[Any], place: ParameterLocation) -> bool:
    """Whether that part of the question is the one that the document does not allow."""
    if case.meta is None:
        return False
    part = case.meta.components.get(place)
    return part is not None and part.mode is GenerationMode.NEGATIVE


def _lost_on_its_way(case: Case[Any], answer: Response) -> bool:
    """Whether of what was wrong nothing went over the line: an object without members is no part of an address.

    And the token is ours, whatever was made up for it.
    """
    wrong = {place for place in ParameterLocation if _wrong_on_purpose(case, place)}
    declared = {parameter.name for parameter in case.operation.headers}
    lost = set[ParameterLocation]()
    if not urlsplit(answer.request.url or "").query:
        lost.add(ParameterLocation.QUERY)
    if declared <= {"Authorization"}:
        lost.add(ParameterLocation.HEADER)
    return bool(wrong) and wrong <= lost


def _about_no_token(case: Case[Any]) -> bool:
    """Whether the question is what becomes of one without any token."""
    return case.meta is not None and getattr(case.meta.phase.data, "parameter", None) == "Authorization"


def _texts(value: object) -> Iterator[str]:
    """Every text in it, names of members included."""
    match value:
        case str():
            yield value
        case Mapping():
            for name, part in value.items():
                yield from _texts(name)
                yield from _texts(part)
        case list() | tuple():
            for part in value:
                yield from _texts(part)
