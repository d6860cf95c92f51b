"""Whatever an object of the mechanism keeps beyond one call can grow; so each has a bound, and here stands which."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

CHASSIS = Path(__file__).parents[2] / "chassis"
GROWING = {
    "list", "dict", "set", "deque", "defaultdict", "Counter", "OrderedDict", "Queue", "LifoQueue", "PriorityQueue",
    "cache",
}  # fmt: skip
WIRED, OF_A_BATCH = "written at the start, never later", "gone with its batch, which has at most 200 items"
PARTITIONS = "one per partition of the topics that are heard"
NAMES = "one per name of our own tables, topics or types"
AN_OPERATORS = "lives as long as one call of an operator, who is told how much it reads"
BOUNDS: Mapping[str, str] = {
    "auth.py self._keys": "what stands in one of our own files",
    "auth.py self._remembered": "REMEMBERED_MAX, the oldest goes",
    "brake.py self.unheard": "one per other party",
    "consumer.py self._behind": PARTITIONS,
    "consumer.py self._heard_up_to": PARTITIONS,
    "consumer.py self._held": PARTITIONS,
    "consumer.py self._missing": NAMES,
    "consumer.py self._next_offset": PARTITIONS,
    "consumer.py self._there": NAMES,
    "crashpoints.py self._reached": "one per crash point, and only in proofs",
    "database.py _writing": NAMES,
    "envelope.py _attribute": "maxsize, the oldest goes",
    "envelope.py _is_source": "maxsize, the oldest goes",
    "envelope.py _is_type": "maxsize, the oldest goes",
    "errands.py self._running": "AT_ONCE; what waits, waits in the database",
    "errands.py self._under_way": "one call per kind of errand",
    "executor/batch.py self._answers": OF_A_BATCH,
    "executor/batch.py self._current": OF_A_BATCH,
    "executor/batch.py self._deadlines": OF_A_BATCH,
    "executor/batch.py self._errands": OF_A_BATCH,
    "executor/batch.py self._fired": OF_A_BATCH,
    "executor/batch.py self._freed": OF_A_BATCH,
    "executor/batch.py self._held": OF_A_BATCH,
    "executor/batch.py self._inside": OF_A_BATCH,
    "executor/batch.py self._loaded": OF_A_BATCH,
    "executor/batch.py self._postponed": OF_A_BATCH,
    "executor/batch.py self._returned": OF_A_BATCH,
    "executor/batch.py self._sayings": OF_A_BATCH,
    "executor/batch.py self.deferred": OF_A_BATCH,
    "executor/batch.py self.delivered": OF_A_BATCH,
    "executor/batch.py self.results": OF_A_BATCH,
    "executor/run.py self._busy": "the keys of BATCHES batches",
    "executor/run.py self._commands": "QUEUE_MAX, then Overloaded; their bodies by WORKED_ON_BYTES_MAX",
    "executor/run.py self._events": "the consumer's batch and a page of a feed; for what is tried again EVENTS_MAX",
    "executor/run.py self._workers": "BATCHES",
    "executor/run.py self.after_gap": WIRED,
    "executor/run.py self.after_saying": WIRED,
    "executor/run.py self.after_sending": WIRED,
    "executor/run.py self.freed_lanes": "FREED_LANES_MAX; what does not fit is found again by looking",
    "feed/reading.py FeedPlan.readers": WIRED,
    "feed/reading.py FeedPlan.urls": WIRED,
    "feed/reading.py self._tokens": "one per writer of a topic that is heard",
    "feed/rebuilding.py self._ahead": AN_OPERATORS,
    "http/limits.py self._held": "one per caller whose body is in hand: CONNECTIONS_MAX",
    "http/limits.py self._left": "CALLERS_MAX, the one unused longest goes",
    "http/limits.py self._next_turn": "PLACES_MAX, the one unused longest goes",
    "http/limits.py self._waiting": "WAITERS_MAX",
    "http/limits.py self._wrong": "PLACES_MAX, the one unused longest goes",
    "http/line.py self.resting": "some of the server's connections: LINES_MAX, and gone with theirs",
    "http/parse.py names_of": "one per combination of our own models",
    "http/routes.py Route.headers": WIRED,
    "http/routes.py Routes.listed": WIRED,
    "http/server.py self._coming_in": "LISTEN_BACKLOG, and nobody is let in before they are",
    "inbox.py _Lane.waiting": OF_A_BATCH,
    "inbox.py self._applied": OF_A_BATCH,
    "inbox.py self._known": OF_A_BATCH,
    "inbox.py self._lanes": OF_A_BATCH,
    "inbox.py self._parked": OF_A_BATCH,
    "inbox.py self._redriven": OF_A_BATCH,
    "inbox.py self.tally": OF_A_BATCH,
    "metrics.py self._last": "one per combination of attributes, which are from closed lists",
    "metrics.py self.add": WIRED,
    "recovery/remembering.py Recollection.facts": AN_OPERATORS,
    "recovery/remembering.py Recollection.heard": AN_OPERATORS,
    "recovery/remembering.py Recollection.lost": AN_OPERATORS,
    "recovery/remembering.py Recollection.nobody": AN_OPERATORS,
    "recovery/remembering.py Recollection.subjects": AN_OPERATORS,
    "relay.py _place": "its size, of keys",
    "relay.py self._aside": NAMES,
    "relay.py self._farthest": "one per partition of the topics that are written",
    "relay.py self._partitions": NAMES,
    "service.py Service.deadlines": WIRED,
    "service.py Service.errands": WIRED,
    "service.py Service.undone": WIRED,
    "service.py self._loops": WIRED,
    "service.py self._tasks": WIRED,
    "telemetry.py _is_safe": "maxsize, the oldest goes",
}
"""Where, and by what it ends."""


def test_whatever_is_kept_has_a_bound_and_what_has_one_is_kept() -> None:
    found = {f"{path.relative_to(CHASSIS)} {name}" for path in CHASSIS.rglob("*.py") for name in kept(path)}
    assert found == set(BOUNDS)


def kept(path: Path) -> Iterator[str]:
    """Names of what outlives a call: attributes of objects, fields of classes, what a module or a cache holds."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Attribute() as target], value=value) if grows(value):
                yield ast.unparse(target)
            case ast.AnnAssign(target=ast.Attribute() as target, value=value) if value is not None and grows(value):
                yield ast.unparse(target)
            case ast.ClassDef(name=name):
                yield from (f"{name}.{field}" for field in fields(node))
            case ast.FunctionDef(name=name, decorator_list=decorators):
                yield from (name for decorator in decorators if is_cache(decorator))


def fields(of: ast.ClassDef) -> Iterator[str]:
    for node in of.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=ast.Name(id="field"), keywords=keywords)):
                if any(word.arg == "default_factory" and grows(word.value) for word in keywords):
                    yield name


def grows(value: ast.expr) -> bool:
    """Whether something can be put into it later: empty and made for that."""
    match value:
        case ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
        case ast.Call(func=function):
            return last(function) in GROWING
        case ast.Lambda(body=body):
            return grows(body)
        case ast.Name() | ast.Attribute():
            return last(value) in GROWING
    return False


def is_cache(decorator: ast.expr) -> bool:
    return last(decorator.func if isinstance(decorator, ast.Call) else decorator) in {"cache", "lru_cache"}


def last(name: ast.expr) -> str:
    return ast.unparse(name).rpartition(".")[2].partition("[")[0]
