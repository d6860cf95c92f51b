"""What the figures are held against: every goal with the median that was found, and its range."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.history import Grown
from benchmarks.relay import Drained
from benchmarks.sample import Latency, Sample

OURS, YARDSTICK, TUTORIAL = "ours", "yardstick", "tutorial"
PEER: Final = "peer, tuned"
AT_LEAST, AT_MOST = "≥", "≤"


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal; `found` has one figure per round."""

    what: str
    how: str
    wanted: float
    found: Sequence[float]

    @property
    def median(self) -> float:
        """The figure that counts."""
        return statistics.median(self.found)

    @property
    def met(self) -> bool:
        """Whether the median reaches it."""
        return self.median >= self.wanted if self.how == AT_LEAST else self.median <= self.wanted

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "goal": f"{self.what} {self.how} {self.wanted}",
            "found": self.median,
            "least": min(self.found),
            "most": max(self.found),
            "met": self.met,
        }

    def __str__(self) -> str:
        return (
            f"  {'yes' if self.met else 'NO ':<4} {self.what}: {self.median:.2f} "
            f"({min(self.found):.2f} to {max(self.found):.2f}; wanted {self.how} {self.wanted})"
        )


def of_throughput(samples: Sequence[Sample]) -> list[Goal]:
    """Rounds against rounds: the n-th of one contestant beside the n-th of another, at the same number of clients."""
    rounds = rounds_of(samples)
    mine = [one for _, by in rounds for one in by.get(OURS, ())]
    return [
        Goal("throughput, of the yardstick's", AT_LEAST, 0.85, _ratios(rounds, YARDSTICK)),
        Goal("throughput, of the tutorial's", AT_LEAST, 20.0, _ratios(rounds, TUTORIAL)),
        Goal("commits per handover", AT_MOST, 0.6, [one.commits for one in mine]),
        Goal("items per transaction", AT_LEAST, 30.0, [one.items_per_transaction for one in mine]),
        Goal(
            "MB per service process at rest, the largest",
            AT_MOST,
            120.0,
            [max(one.megabytes_at_rest.values()) for one in mine],
        ),
    ]


def rounds_of(samples: Sequence[Sample]) -> list[tuple[int, Mapping[str, Sequence[Sample]]]]:
    """By number of clients: what each contestant has shown, in the order of the rounds."""
    found: dict[int, dict[str, list[Sample]]] = {}
    for one in samples:
        found.setdefault(one.clients, {}).setdefault(one.contestant, []).append(one)
    return sorted(found.items())


def _ratios(rounds: Sequence[tuple[int, Mapping[str, Sequence[Sample]]]], other: str) -> list[float]:
    pairs = [pair for _, by in rounds for pair in zip(by.get(OURS, ()), by.get(other, ()), strict=False)]
    return [mine.per_second / theirs.per_second for mine, theirs in pairs]


def of_latency(latencies: Sequence[Latency], share: float) -> list[Goal]:
    """At the lowest load, rounds against rounds."""
    mine, theirs = (
        [one for one in latencies if (one.contestant, one.share) == (name, share)] for name in (OURS, YARDSTICK)
    )
    pairs = list(zip(mine, theirs, strict=True))
    return [
        Goal(f"p50 at {share:.0%}, of the yardstick's", AT_MOST, 1.5, [a.p50 / b.p50 for a, b in pairs]),
        Goal(f"p99 at {share:.0%}, of the yardstick's", AT_MOST, 2.0, [a.p99 / b.p99 for a, b in pairs]),
    ]


def of_history(few: Grown, many: Grown) -> list[Goal]:
    """Window against window."""
    pairs = zip(many.cpu_ms, few.cpu_ms, strict=True)
    what = f"cost with {many.subjects} subjects, of that with {few.subjects}"
    return [Goal(what, AT_MOST, 1.15, [a / b for a, b in pairs])]


def of_relay(drains: Sequence[Drained]) -> list[Goal]:
    """Rounds against rounds."""
    mine, theirs = ([one.per_second for one in drains if one.contestant == name] for name in (OURS, PEER))
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    return [Goal("relay alone, of faststream-outbox tuned", AT_LEAST, 5.0, ratios)]
