"""The own copy of one of intake's cases: whatever intake says of it is taken as said."""

from dataclasses import replace

from chassis.transitions import Context, Decided

from .commands import Learn
from .subject import KnownCase


def learn(case: KnownCase, said: Learn, _context: Context) -> Decided[KnownCase]:
    """Take over what an event says; a copy has no law of its own, so nothing is refused and nothing told."""
    return Decided(
        replace(
            case,
            state=said.state or case.state,
            person=said.person or case.person,
            phase=said.phase or case.phase,
            age_band=said.age_band or case.age_band,
            needs=case.needs if said.needs is None else said.needs,
        )
    )
