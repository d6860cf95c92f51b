"""The table of a release once it is over; opening and closing it is the door's, under the lease (`Lease.tla`)."""

from chassis.transitions import Context, Row, Table, Tell
from contracts.consent import TransmissionReleased
from services.consent.domain.commands import TellRelease
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Release, ReleaseState


def _released(release: Release, command: TellRelease, context: Context) -> Tell:
    return Tell(TransmissionReleased(
        handover=release.handover, release=release.id, completeness=release.completeness, items=release.items
    ))


S = ReleaseState

# fmt: off
RELEASES = Table[Release](not_now=Reason.NOT_NOW, by_people=frozenset(), rows=(
    #   while     on           then    tells         because
    Row(S.OPEN,   TellRelease, S.TOLD, (_released,), because="its process died: how much arrived is unknown"),
    Row(S.CLOSED, TellRelease, S.TOLD, (_released,), because="Art. 5(2) GDPR: what left is told"),
    Row(S.TOLD,   TellRelease, S.TOLD, (),           because="told before"),
))
# fmt: on
