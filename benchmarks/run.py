"""`make bench`: the product beside its opponents, in turns, in one run; text to read and a report in JSON beside it.

Before anything is measured all must leave the same rows and records behind; an opponent that does less has no score.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeVar

import psutil
import uvloop

from benchmarks import goals, relay, sample
from benchmarks.backlog import DOWN, Backlog, backlog
from benchmarks.conformance import differences, left_behind
from benchmarks.contestants import CONTESTANTS
from benchmarks.door import Whole, whole
from benchmarks.flow import DELIVERIES, MESSAGES, WORK_ITEMS
from benchmarks.goals import OURS, TUTORIAL, YARDSTICK, Goal, rounds_of
from benchmarks.ground import Ground, ground
from benchmarks.history import Grown, grown, remember
from benchmarks.machine import LOAD
from benchmarks.relay import Drained
from benchmarks.sample import Latency, Sample

REPORT: Final = Path(__file__).with_name("report.json")
SEED: Final = 20261122
LOADS: Final = (0.05, 0.5)
CAPACITY_UNKNOWN: Final = 300.0  # handovers per second, where latency is asked for without throughput
FEW_SUBJECTS: Final = 1000
S = TypeVar("S", Sample, Latency, Grown, Drained, Backlog, Whole)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: dict[int, int]
    """By number of clients. Contestants run A B C in even rounds, C B A in odd ones."""
    handovers: int
    handovers_slow: int
    """Of the tutorial, which needs ten times as long for a tenth."""
    latency_seconds: float
    latency_rounds: int
    subjects: int
    windows: int
    window_handovers: int
    relay_rounds: int
    relay_rows: int
    relay_rows_slow: int
    """Of the peer as it comes, which has a fixed pace; the rate is what counts."""
    backlog: int
    whole: int
    again_most: int
    """A noisy sample is taken again so often; then it is kept and marked."""


FULL: Final = Size({64: 4, 32: 2}, 4000, 200, 20.0, 2, 1_000_000, 3, 1500, 3, 15_000, 2000, 100_000, 300, 2)
SHORT: Final = Size({64: 1}, 1000, 40, 8.0, 1, 20_000, 1, 800, 1, 5000, 500, 2000, 60, 0)


@dataclass(slots=True)
class Found:
    """What has been found so far."""

    ground: Ground
    size: Size
    report: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    capacity: float = CAPACITY_UNKNOWN


async def main(arguments: argparse.Namespace) -> int:
    """Run everything that was asked for; 1 where the contestants do not do the same."""
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="staffel-bench-") as folder:
        async with ground(Path(folder)) as made:
            found = Found(made, arguments.size)
            found.report["machine"] = machine()
            say(
                f"A bench handover: 2 commands, {MESSAGES} messages, {sum(DELIVERIES.values())} deliveries, "
                f"{WORK_ITEMS} items. Seed {SEED}."
            )
            for name in arguments.only:
                if not await PARTS[name](found):
                    return 1
    report(found, perf_counter() - began)
    return 0


def report(found: Found, seconds: float) -> None:
    """Say how it went with the goals, and write all of it down."""
    say("\nGoals: median (range)")
    for goal in found.goals:
        say(str(goal))
    found.report |= {"goals": [goal.as_json() for goal in found.goals], "seconds": round(seconds)}
    REPORT.write_text(json.dumps(found.report, indent=2) + "\n", "utf-8")
    say(f"\nAfter {seconds / 60:.0f} min; the report is in {REPORT}")


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
        "seed": SEED,
    }


# --- parts ------------------------------------------------------------------------------------------------------------


async def conformance(found: Found) -> bool:
    """Whether all contestants leave behind what the product leaves behind."""
    expected = await left_behind(found.ground, OURS)
    for contestant in CONTESTANTS:
        if contestant == OURS:
            continue
        lines = differences(expected, await left_behind(found.ground, contestant))
        for line in lines:
            say(line)
        if lines:
            return False
        say(f"{contestant} leaves the same rows and records behind.")
    return True


async def throughput(found: Found) -> bool:
    """As many as go, all contestants in turns."""
    size, samples = found.size, []
    for clients, rounds in size.rounds.items():
        say(f"\nClosed loop, {clients} clients, {size.handovers} handovers ({size.handovers_slow} of the {TUTORIAL})")
        for turn in range(rounds):
            for contestant in (OURS, YARDSTICK, TUTORIAL) if turn % 2 == 0 else (TUTORIAL, YARDSTICK, OURS):
                count = size.handovers_slow if contestant == TUTORIAL else size.handovers
                taken = await quiet(partial(sample.closed, found.ground, contestant, count, clients), size.again_most)
                samples.append(taken)
                say(line_of(taken))
    for clients, by in rounds_of(samples):
        say(f"\nCPU ms per handover by process, medians at {clients} clients")
        for contestant, taken_by in by.items():
            medians = {
                name: statistics.median(one.cpu_ms_of[name] for one in taken_by) for name in taken_by[0].cpu_ms_of
            }
            each = "  ".join(f"{name} {value:.2f}" for name, value in medians.items() if name != LOAD)
            say(f"  {contestant:<10} {each}")
    found.capacity = statistics.median(one.per_second for one in samples if one.contestant == OURS)
    found.report["closed"] = [one.as_json() for one in samples]
    found.goals += goals.of_throughput(samples)
    return True


async def latency(found: Found) -> bool:
    """How long one handover takes at a load below what is possible."""
    latencies: list[Latency] = []
    for share in LOADS:
        rate = found.capacity * share
        count = max(50, int(rate * found.size.latency_seconds))
        say(f"\nOpen loop at {share:.0%} of {found.capacity:.0f}/s")
        for turn in range(found.size.latency_rounds):
            for contestant in (OURS, YARDSTICK) if turn % 2 == 0 else (YARDSTICK, OURS):
                take = partial(sample.open_loop, found.ground, contestant, count, rate, share, SEED)
                taken = await quiet(take, found.size.again_most)
                latencies.append(taken)
                say(f"  {contestant:<10} p50 {taken.p50:7.1f} ms  p99 {taken.p99:7.1f} ms{noise(taken)}")
    found.report["open"] = [one.as_json() for one in latencies]
    found.goals += goals.of_latency(latencies, LOADS[0])
    return True


async def history(found: Found) -> bool:
    """What a handover costs where a million have been before."""
    await remember(found.ground)
    size, both = found.size, []
    for subjects in (FEW_SUBJECTS, size.subjects):
        say(f"\nWith {subjects} subjects that have been through it before")
        take = partial(grown, found.ground, subjects, size.window_handovers, size.windows)
        # What takes minutes to prepare is not taken again.
        taken = await quiet(take, size.again_most if subjects == FEW_SUBJECTS else 0)
        both.append(taken)
        say(
            f"  prepared in {taken.prepared_seconds:.0f} s, {taken.gigabytes:.1f} GB;  "
            f"{_spread(taken.per_second, '.0f')}/s  {_spread(taken.cpu_ms, '.2f')} ms CPU{noise(taken)}"
        )
    found.report["history"] = [one.as_json() for one in both]
    found.goals += goals.of_history(*both)
    return True


async def relays(found: Found) -> bool:
    """Outboxes carried to Kafka, ours and a library's, in turns."""
    size, drains = found.size, []
    say(f"\nRelay alone, {size.relay_rows} rows of 1 KiB ({size.relay_rows_slow} of the peer as it comes)")
    for turn in range(size.relay_rounds):
        for contestant in list(relay.RELAYS)[:: 1 if turn % 2 == 0 else -1]:
            rows = size.relay_rows_slow if contestant == "peer" else size.relay_rows
            taken = await quiet(partial(relay.drained, found.ground, contestant, rows), size.again_most)
            drains.append(taken)
            say(
                f"  {contestant:<12} {taken.per_second:7.0f}/s   µs CPU per record: client {taken.client_us:.0f}  "
                f"PostgreSQL {taken.postgres_us:.0f}  Kafka {taken.kafka_us:.0f}{noise(taken)}"
            )
    found.report["relay"] = [one.as_json() for one in drains]
    found.goals += goals.of_relay(drains)
    return True


async def backlogs(found: Found) -> bool:
    """A service that was down works off what it has missed, while new handovers come."""
    await remember(found.ground)
    say(f"\n{DOWN} comes back to {found.size.backlog} events")
    taken = await quiet(partial(backlog, found.ground, found.size.backlog, SEED), found.size.again_most)
    say(
        f"  {taken.per_second:.0f} events/s for {taken.seconds:.1f} s; {taken.new} new handovers meanwhile: "
        f"p50 {taken.p50:.0f} ms  p99 {taken.p99:.0f} ms (after it: {taken.p50_after:.0f} and {taken.p99_after:.0f});  "
        f"at most {taken.megabytes_most:.0f} MB{noise(taken)}"
    )
    found.report["backlog"] = taken.as_json()
    return True


async def door(found: Found) -> bool:
    """From the registration through the door to the first contact."""
    say("\nThe whole flow, from the registration through the door to the first contact (no goal)")
    taken = await quiet(partial(whole, found.ground, found.size.whole), found.size.again_most)
    say(
        f"  {taken.handovers} handovers, {taken.at_once} at once: {taken.per_second:.1f}/s  "
        f"p50 {taken.p50:.0f} ms  p99 {taken.p99:.0f} ms  {taken.cpu_ms:.1f} ms CPU{noise(taken)}"
    )
    found.report["whole"] = taken.as_json()
    return True


PARTS: Final[dict[str, Callable[[Found], Awaitable[bool]]]] = {
    "conformance": conformance,
    "throughput": throughput,
    "latency": latency,
    "relay": relays,
    "backlog": backlogs,
    "door": door,
    "history": history,  # last: a million subjects leave a large disk behind
}

# --- samples ----------------------------------------------------------------------------------------------------------


async def quiet(take: Callable[[], Awaitable[S]], again_most: int) -> S:
    """A sample of a machine that was ours; the last one where it never was."""
    for _ in range(again_most):
        taken = await take()
        if taken.quiet:
            return taken
    return await take()


def noise(taken: S) -> str:
    """How much others took, where that was too much."""
    return "" if taken.quiet else f"  (noisy: others took {taken.foreign:.0%})"


def _spread(figures: Sequence[float], how: str) -> str:
    return f"{statistics.median(figures):{how}} ({min(figures):{how}} to {max(figures):{how}})"


def line_of(taken: Sample) -> str:
    """One sample in one line."""
    return (
        f"  {taken.contestant:<10} {taken.per_second:7.1f}/s  {taken.cpu_ms:6.2f} ms CPU  "
        f"{taken.commits:5.2f} commits  {taken.items_per_transaction:5.1f} items per transaction  "
        f"{max(taken.megabytes_at_rest.values()):4.0f} MB"
        f"{noise(taken)}"
    )


def arguments() -> argparse.Namespace:
    """What may be said on the command line. Ends the program where a part has no such name."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--short", action="store_true", help="a look in a few minutes: one round, few handovers")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--subjects", type=int, default=0, help="how many subjects the large history has")
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    given.size = SHORT if given.short else FULL
    if given.subjects:
        given.size = replace(given.size, subjects=given.subjects)
    return given


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
