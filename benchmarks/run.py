"""`make bench`: the product beside the yardstick, in turns, in one run; text to read and a report in JSON beside it.

Before anything is measured both must leave the same rows and records behind; an opponent that does less has no score.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil
import uvloop

from benchmarks import sample
from benchmarks.conformance import differences, left_behind
from benchmarks.contestants import CONTESTANTS
from benchmarks.flow import DELIVERIES, MESSAGES, WORK_ITEMS
from benchmarks.ground import HISTORY, Ground, ground
from benchmarks.sample import Latency, Sample

OURS, YARDSTICK = "ours", "yardstick"
REPORT: Final = Path(__file__).with_name("report.json")
AGAIN_MAX: Final = 2  # a noisy sample is taken again so often; then it is kept and marked
SEED: Final = 20261122
LATENCY_SECONDS: Final = 20.0
LOADS: Final = (0.05, 0.5)
GOALS: Final = (
    ("throughput, of the yardstick's", "≥", 0.85),
    ("commits per handover", "≤", 0.6),
    ("items per transaction", "≥", 30.0),
    ("p50 at 5 %, of the yardstick's", "≤", 1.5),
    ("p99 at 5 %, of the yardstick's", "≤", 2.0),
    ("cost with many subjects, of that with 1 000", "≤", 1.15),
    ("MB per service process at rest, the largest", "≤", 120.0),
)
S = TypeVar("S", Sample, Latency)


async def main(arguments: argparse.Namespace) -> int:
    """Run everything; 1 where the contestants do not do the same."""
    with tempfile.TemporaryDirectory(prefix="staffel-bench-") as folder:
        async with ground(Path(folder)) as made:
            say(
                f"A bench handover: 2 commands, {MESSAGES} messages, {sum(DELIVERIES.values())} deliveries, "
                f"{WORK_ITEMS} items."
            )
            if not await same(made):
                return 1
            report = {"machine": machine(), **await measured(made, arguments)}
    REPORT.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    say(f"\nThe report is in {REPORT}")
    return 0


def say(line: str) -> None:
    """Print at once: a run takes a while."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def machine() -> dict[str, Any]:
    """Where it ran."""
    return {
        "processors": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
        "settings": "fsync=on, synchronous_commit=on, acks=all, idempotent producers, mutual TLS",
    }


async def same(made: Ground) -> bool:
    """Whether all contestants leave behind what the product leaves behind."""
    expected = await left_behind(made, OURS)
    await made.keep_template(HISTORY, chassis=True)
    for contestant in CONTESTANTS:
        if contestant == OURS:
            continue
        lines = differences(expected, await left_behind(made, contestant))
        for line in lines:
            say(line)
        if lines:
            return False
        say(f"{contestant} leaves the same rows and records behind.")
    return True


async def measured(made: Ground, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    closed: list[Sample] = []
    for clients in arguments.clients:
        say(f"\nClosed loop, {clients} clients, {arguments.handovers} handovers")
        for turn in range(arguments.rounds):
            order = (OURS, YARDSTICK) if turn % 2 == 0 else (YARDSTICK, OURS)
            for contestant in order:
                taken = await quiet(lambda c=contestant, n=clients: sample.closed(made, c, arguments.handovers, n))
                closed.append(taken)
                say(line_of(taken))
    capacity = statistics.median(one.per_second for one in closed if one.contestant == OURS)
    latencies: list[Latency] = []
    for share in LOADS:
        rate = capacity * share
        count = max(50, int(rate * (LATENCY_SECONDS if arguments.rounds > 1 else LATENCY_SECONDS / 2)))
        say(f"\nOpen loop at {share:.0%} of {capacity:.0f}/s")
        for contestant in (OURS, YARDSTICK):
            found = await quiet(lambda c=contestant, n=count, r=rate: sample.open_loop(made, c, n, r, SEED))
            latencies.append(found)
            say(f"  {contestant:<10} p50 {found.p50:7.1f} ms  p99 {found.p99:7.1f} ms{noise(found)}")
    grown = []
    for subjects in (1000, arguments.subjects):
        say(f"\nWith {subjects} subjects that have been through it before")
        taken = await quiet(lambda n=subjects: sample.closed(made, OURS, arguments.handovers, 64, n))
        grown.append({"subjects": subjects, **taken.as_json()})
        say(line_of(taken))
    goals = judged(closed, latencies, grown)
    return {
        "closed": [one.as_json() for one in closed],
        "open": [one.as_json() for one in latencies],
        "grown": grown,
        "goals": goals,
    }


async def quiet(take: Callable[[], Awaitable[S]]) -> S:
    """A sample of a machine that was ours; the last one where it never was."""
    for _ in range(AGAIN_MAX):
        taken = await take()
        if taken.quiet:
            return taken
    return await take()


def noise(taken: Sample | Latency) -> str:
    """How much others took, where that was too much."""
    return "" if taken.quiet else f"  (noisy: others took {taken.foreign:.0%})"


def line_of(taken: Sample) -> str:
    """One sample in one line."""
    return (
        f"  {taken.contestant:<10} {taken.per_second:7.1f}/s  {taken.cpu_ms:6.2f} ms CPU  "
        f"{taken.commits:5.2f} commits  {taken.items_per_transaction:5.1f} items per transaction  "
        f"{max(taken.megabytes_at_rest.values()):4.0f} MB"
        f"{noise(taken)}"
    )


def judged(
    closed: Sequence[Sample], latencies: Sequence[Latency], grown: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Every goal with what was found."""
    mine, theirs = ([one for one in closed if one.contestant == name] for name in (OURS, YARDSTICK))
    slow_mine, slow_theirs = (next(one for one in latencies if one.contestant == name) for name in (OURS, YARDSTICK))
    found = (
        statistics.median(a.per_second / b.per_second for a, b in zip(mine, theirs, strict=True)),
        statistics.median(one.commits for one in mine),
        statistics.median(one.items_per_transaction for one in mine),
        slow_mine.p50 / slow_theirs.p50,
        slow_mine.p99 / slow_theirs.p99,
        grown[1]["cpu_ms"] / grown[0]["cpu_ms"],
        max(max(one.megabytes_at_rest.values()) for one in mine),
    )
    say("\nGoals")
    goals = []
    for (what, how, goal), value in zip(GOALS, found, strict=True):
        met = value >= goal if how == "≥" else value <= goal
        goals.append({"goal": f"{what} {how} {goal}", "found": value, "met": met})
        say(f"  {'yes' if met else 'NO ':<4} {what}: {value:.2f} (wanted {how} {goal})")
    return goals


def arguments() -> argparse.Namespace:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--short", action="store_true", help="a look in a few minutes: one round, few handovers")
    parser.add_argument("--subjects", type=int, default=0, help="how many subjects the large history has")
    given = parser.parse_args()
    given.rounds, given.handovers, given.clients = (1, 1000, [64]) if given.short else (5, 4000, [32, 64])
    given.subjects = given.subjects or (5_000 if given.short else 100_000)
    return given


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
