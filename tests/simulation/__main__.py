"""`python -m tests.simulation --seed N` tells one history; `--from A --count N` runs many and counts what they saw."""

import argparse
import sys

from tests.simulation.history import History
from tests.simulation.runner import run


def tell(seed: int) -> int:
    """One history, line by line, and which law it breaks."""
    story: list[str] = []
    history = History(seed, story)
    broken: BaseException | None = None
    try:
        history.run()
    except Exception as found:  # noqa: BLE001  # a law, or whatever a service raises: it belongs to the story
        broken = found
    story.append(f"seed {seed}: {history.steps} steps, {history.mood}")
    story.append(f"BROKEN: {broken!r}" if broken else "every law held")
    sys.stdout.write("\n".join(story) + "\n")
    return 1 if broken else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="the history to tell")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first seed of many")
    parser.add_argument("--count", type=int, default=1000, help="how many")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    if asked.seed is not None:
        return tell(asked.seed)
    found = run(asked.first, asked.count, asked.processes)
    sys.stdout.write(found.summary() + "\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
