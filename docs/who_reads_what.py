"""Who can read what: the page for data-protection officers, made from the alliance file and the services' routes.

`python -m docs.who_reads_what <alliance file> …` prints the chapters on topics and agreements for your own alliances.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from chassis.http.operations import OPERATOR
from chassis.http.routes import Form, Route, Stream
from contracts.alliance import Alliance
from contracts.codes import Role, Service
from contracts.events import TopicKind
from contracts.labels import LABELS
from contracts.topics import CONFIGS, DAY_MS, Operation, Principal, Resource, Topic, acls, topics
from deploy.installation import read_alliance
from docs import services
from docs.openapi import operators, routes
from docs.reference import MADE

EXAMPLE: Final = Path(__file__).parent.parent / "deploy" / "alliances" / "musterland.yaml"

KINDS: Final = {
    TopicKind.OWN: (
        "own topic",
        "`<agency>.<service>.events`",
        "services of the same agency that need it",
        "ids, codes, times: what happened to a case, a consent, a handover of this agency",
    ),
    TopicKind.CHANNEL: (
        "channel",
        "`<alliance>.<from>.to.<to>.<service>`",
        "the same service of the agency `<to>`, nobody else",
        "the handover reference, codes, times: what both must know of one handover",
    ),
    TopicKind.CATALOGUE: (
        "catalogue",
        "`<alliance>.<agency>.catalogue`",
        "the offers services of all agencies of the alliance",
        "published offers, which are public; the contacts are of offices, never of persons",
    ),
}
OPENING: Final = """\
For everybody who has to say who may see which data of a young person, and for how long. There are three ways on which
anything leaves a service, and this page lists all of them: **topics** (chapters 1 to 3), **the door** between two
agencies (chapter 4), and **HTTP** (chapter 5). Whoever is not named here is refused: by the broker, or by the service.

**Names, birth dates, addresses and free text about a young person are on no topic**, nor in a log, a trace or an error
message. They are in the database of intake (and, as consents, of consent) of the agencies that have them, and go to
another agency through the door alone."""
CHAPTER_1: Final = """\
## 1 Topics: the rule

Every topic has exactly one writer; the writer may read it, too, to see after a restore what it has said. A service
proves who it is by a certificate of its own, and the broker refuses whatever is not in this list. Bodies are in the
[event catalogue](../../contracts/generated/catalogue.md), word for word in the
[AsyncAPI documents](../../contracts/generated/asyncapi/)."""
CHAPTER_4: Final = """\
## 4 The door: from agency to agency

Personal data goes from one agency to another in answer to `POST /releases` of the sender's consent service, and no
other way. The caller is the intake service of the receiving agency, proved by the agency's key in the alliance file; it
must be the recipient of an accepted handover; then consent decides item by item, at that moment, and writes down what
left. The answer is sealed to the receiving agency. Without an agreement below nobody is the recipient of anything."""
CHAPTER_5: Final = """\
## 5 HTTP: who may ask a service of an agency

Callers are people of the same agency (by role, with a token of the agency's issuer), the agency's own services, or
other agencies. No token of one agency's issuer is taken by a service of another. `R` reads, `C` commands: the answer to
a command holds ids, states and versions, and nothing about a person. What has no mark is refused."""
CHAPTER_6: Final = """\
## 6 Who else

* **The administrator of the Kafka cluster** can read every topic: ids, codes and times, and offers. Nothing there names
  a person, but whoever also has an agency's database can join the two.
* **The administrator of a database** can read that database. There is one database and one role per service and agency;
  no service can open another's.
* **Operators** of an agency (role `operator`) see facts that wait for a human: type, ids, codes, and why they wait.
* **Traces and metrics** hold times, routes, topics and counts from a list of allowed attributes, no id of a person, no
  key and no body.
* **Who has the code of a receipt** sees at consent what one consent is about and what became of it (which agencies,
  which categories, when, on which basis, their answers; no name and no item), and can take it back. The code stands on
  the printed receipt and nowhere else; guessing is limited.
* **Without a token** a service answers `GET /health`, `/ready`, `/docs`, `/openapi.json` and the pages of `/problems`:
  nothing about anybody. The offers of the catalogue and the notices people are given are public."""


def page() -> str:
    """The whole page, for the alliance that comes along as an example."""
    chapters = (*about_alliances([read_alliance(EXAMPLE)]), _http(), CHAPTER_6)
    return "\n\n".join(["# Who can read what", MADE, OPENING, CHAPTER_1, _kinds(), *chapters]) + "\n"


def about_alliances(alliances: Sequence[Alliance]) -> Iterable[str]:
    """Chapters 2 to 4: topics, services, agreements."""
    names = ", ".join(f"{alliance.name} (`{alliance.id}`, version {alliance.version})" for alliance in alliances)
    found = topics(*alliances)
    yield f"## 2 Topics: all of them\n\n{names}. A name is `<agency>.<service>`."
    for agency, owned in groupby(sorted(found, key=_writer), key=lambda topic: topic.writer.agency):
        yield f"### written by {agency}\n\n{_topics(owned)}"
    yield f"## 3 Services: what each may do on the cluster\n\n{_principals(alliances)}"
    yield f"{CHAPTER_4}\n\n{_agreements(alliances)}"


def _writer(topic: Topic) -> tuple[Principal, str]:
    return topic.writer, topic.name


def _kinds() -> str:
    lines = [f"| {' | '.join((*KINDS[kind], _kept(kind)))} |" for kind in TopicKind]
    return _table(("kind", "name", "read by", "what stands there", "kept"), lines)


def _kept(kind: TopicKind) -> str:
    configs = CONFIGS[kind]
    if configs["cleanup.policy"] == "compact":
        return "the latest word on each offer"
    return f"{int(configs['retention.ms']) // DAY_MS} days"


def _topics(found: Iterable[Topic]) -> str:
    lines = [f"| `{topic.name}` | {topic.writer} | {', '.join(map(str, _others(topic)))} |" for topic in found]
    return _table(("topic", "written by", "read by, beside its writer"), lines)


def _others(topic: Topic) -> list[Principal]:
    return [reader for reader in topic.readers if reader != topic.writer]


def _principals(alliances: Sequence[Alliance]) -> str:
    rules = acls(*alliances)
    lines = []
    for principal in sorted({rule.principal for rule in rules}):
        mine = [rule for rule in rules if rule.principal == principal]
        writes = [rule.name for rule in mine if rule.operation is Operation.WRITE]
        reads = [rule.name for rule in mine if (rule.operation, rule.resource) == (Operation.READ, Resource.TOPIC)]
        groups = [f"{rule.name}{'*' if rule.prefixed else ''}" for rule in mine if rule.resource is Resource.GROUP]
        lines.append(f"| {principal} | {_names(writes)} | {_names(set(reads) - set(writes))} | {_names(groups)} |")
    heads = ("service", "writes, and reads again", "reads", "consumer groups")
    return _table(heads, lines)


def _names(names: Iterable[str]) -> str:
    return "<br>".join(f"`{name}`" for name in sorted(names)) or "–"


def _agreements(alliances: Sequence[Alliance]) -> str:
    lines = [
        f"| {one.sender} | {one.receiver} | {', '.join(one.kinds)} | {', '.join(one.purposes)} "
        f"| {one.valid_from} – {one.valid_until} |"
        for alliance in alliances
        for one in sorted(alliance.agreements, key=lambda each: (each.sender, each.receiver))
    ]
    return _table(("from", "to", "kinds", "purposes", "valid"), lines)


# --- HTTP -------------------------------------------------------------------------------------------------------------

PEOPLE: Final = (*map(str, Role), OPERATOR)


def _http() -> str:
    each = [f"### {service}\n\n{_addresses(routes(service))}" for service in Service]
    return "\n\n".join([CHAPTER_5, _roles(), *each, f"### in every service\n\n{_addresses(operators())}"])


def _roles() -> str:
    lines = [f"| {role} | {LABELS[Role][role.value]} |" for role in Role] + [f"| {OPERATOR} | Betrieb |"]
    return _table(("role", "German"), lines)


def _addresses(listed: Sequence[Route]) -> str:
    asked = [role for role in PEOPLE if any(role in route.allow.roles for route in listed)]
    heads = ("address", "what", *(role.replace("_", " ") for role in asked), "own services", "other agencies")
    return _table(heads, [_row(route, asked) for route in listed])


def _row(route: Route, asked: Sequence[str]) -> str:
    reads = route.method == "GET" or _hands_out(route) or (isinstance(route, Form) and route.reads)
    mark = "R" if reads else "C"
    people = [mark if route.allow.everyone or role in route.allow.roles else "" for role in asked]
    own = f"{mark}: {', '.join(sorted(route.allow.service_names))}" if route.allow.service_names else ""
    party = route.allow.party_roles
    others = "" if party is None else f"{mark}: their {', '.join(sorted(party)) or 'services'}"
    if route.allow.everyone:
        own = others = f"{mark}: anyone"
    what = services.said(route.handler)
    return f"| `{route.method} {route.path}` | {what} | {' | '.join((*people, own, others))} |"


def _hands_out(route: Route) -> bool:
    """A request with a body whose answer is content: the door, and what own services ask for it."""
    return isinstance(route, Stream) and not route.allow.roles


def _table(heads: Sequence[str], lines: Iterable[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines])


def main(files: Sequence[str]) -> int:
    """Run from the command line."""
    if not files:
        sys.stderr.write("name at least one alliance file\n")
        return 2
    alliances = [read_alliance(Path(file)) for file in files]
    sys.stdout.write("\n\n".join(about_alliances(alliances)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
