"""Commands of either side, each a noun under the handover: request in, one command out."""

import asyncio
from typing import Any, Final
from uuid import UUID

from chassis.executor import Answer, Step
from chassis.http import Call, Routes, people
from contracts.codes import Role
from contracts.ids import HandoverRef
from services.handover.api.bodies import (
    CancelBody,
    CompletionBody,
    DraftBody,
    FirstContactBody,
    GiveBackBody,
    InquiryBody,
    NotReachedBody,
    PackageBody,
    PauseBody,
    RedirectBody,
    RejectionBody,
    RequestBody,
    VoidBody,
    WaitingListBody,
)
from services.handover.domain import Matter, commands
from services.handover.domain.commands import Command
from services.handover.store import HANDOVER

STAFF: Final = people(Role.CASEWORKER, Role.TEAM_LEAD)
TEAM_LEADS: Final = people(Role.TEAM_LEAD)
RELEASE_SECONDS_MAX = 2.2  # a release that began before is over after this, or cut off: 2 s and a margin

routes = Routes()


# --- commands of the sender -------------------------------------------------------------------------------------------


def _on(handover: UUID, command: Command) -> Step:
    return Step(HANDOVER, handover, command)


@routes.command("POST", "/handovers", allow=STAFF, status=201)
def draft(call: Call, body: DraftBody) -> Step:
    """Begin a handover. Nobody is asked yet; the answer names the reference that both agencies will know."""
    matter = Matter(
        alliance=body.alliance,
        counterpart=body.recipient,
        kind=body.kind,
        purpose=body.purpose,
        urgency=body.urgency,
        competence_area=body.competence_area,
    )
    return _on(call.new_id(), commands.Draft(body.case, matter, body.items))


@routes.command("POST", "/handovers/{handover}/request", allow=STAFF)
def propose(call: Call, handover: HandoverRef, body: RequestBody) -> Step:
    """Ask the receiver, as soon as consent permits every item; until then it is proposed, or awaits a legal basis."""
    return _on(handover, commands.Propose(body.case))


@routes.command("POST", "/handovers/{handover}/package-cut", allow=STAFF)
def cut_package(call: Call, handover: HandoverRef, body: PackageBody) -> Step:
    """Keep only these items, for example those for which there is a legal basis."""
    return _on(handover, commands.CutPackage(body.keep))


@routes.command("POST", "/handovers/{handover}/discard", allow=STAFF)
def discard(call: Call, handover: HandoverRef) -> Step:
    """Drop what was never sent; nobody is told."""
    return _on(handover, commands.Discard())


@routes.command("POST", "/handovers/{handover}/withdrawal", allow=STAFF)
def withdraw(call: Call, handover: HandoverRef) -> Step:
    """No longer ask. An acceptance on its way loses."""
    return _on(handover, commands.Withdraw())


@routes.command("POST", "/handovers/{handover}/answer", allow=STAFF)
def answer(call: Call, handover: HandoverRef) -> Step:
    """Say that the receiver's question is answered; it is the receiver's turn again."""
    return _on(handover, commands.Answer())


@routes.command("POST", "/handovers/{handover}/redirect-confirmation", allow=STAFF)
def confirm_redirect(call: Call, handover: HandoverRef) -> Step:
    """End here and ask elsewhere; the new handover needs its own legal basis. To say no, withdraw."""
    return _on(handover, commands.ConfirmRedirect())


@routes.command("POST", "/handovers/{handover}/cancel-request", allow=STAFF)
def request_cancel(call: Call, handover: HandoverRef, body: CancelBody) -> Step:
    """Ask the receiver to undo what both have agreed. The door stays closed until it has answered."""
    return _on(handover, commands.RequestCancel(body.reason))


async def until_no_release_runs(call: Call, resources: Any, answer: Answer) -> None:
    """Hold the answer back until every release that may have seen the older state has ended; a repeated answer, too.

    Counted from here, which is after the commit: the times of database and process need not agree.
    """
    if answer.status == 200:  # noqa: PLR2004  # the only status of a command that was carried out
        await asyncio.sleep(RELEASE_SECONDS_MAX)


@routes.command("POST", "/handovers/{handover}/void", allow=TEAM_LEADS, after=until_no_release_runs)
def void(call: Call, handover: HandoverRef, body: VoidBody) -> Step:
    """Entered in error: the door closes at once, the receiver erases. The answer comes when no byte can follow it."""
    return _on(handover, commands.Void(body.reason))


# --- commands of the receiver -----------------------------------------------------------------------------------------


@routes.command("POST", "/handovers/{handover}/acceptance", allow=STAFF)
def accept(call: Call, handover: HandoverRef) -> Step:
    """Say that we will take it. No dossier and no contact until the sender has confirmed; the sender still leads."""
    return _on(handover, commands.Accept())


@routes.command("POST", "/handovers/{handover}/rejection", allow=STAFF)
def reject(call: Call, handover: HandoverRef, body: RejectionBody) -> Step:
    """Say that we do not take it, and why. The preview is erased here."""
    return _on(handover, commands.Reject(body.reason))


@routes.command("POST", "/handovers/{handover}/inquiry", allow=STAFF)
def ask(call: Call, handover: HandoverRef, body: InquiryBody) -> Step:
    """Ask about categories of data before answering; one question at a time."""
    return _on(handover, commands.Ask(body.categories))


@routes.command("POST", "/handovers/{handover}/waiting-list", allow=STAFF)
def waitlist(call: Call, handover: HandoverRef, body: WaitingListBody) -> Step:
    """Not now: name the day on which it is looked at again."""
    return _on(handover, commands.Waitlist(body.review_on))


@routes.command("POST", "/handovers/{handover}/redirect", allow=STAFF)
def propose_redirect(call: Call, handover: HandoverRef, body: RedirectBody) -> Step:
    """Propose another agency; once, and only before any other answer."""
    return _on(handover, commands.ProposeRedirect(body.to))


@routes.command("POST", "/handovers/{handover}/first-contact", allow=STAFF)
def record_first_contact(call: Call, handover: HandoverRef, body: FirstContactBody) -> Step:
    """We have met the young person: from now on we lead."""
    return _on(handover, commands.RecordFirstContact(body.at, body.channel))


@routes.command("POST", "/handovers/{handover}/not-reached", allow=STAFF)
def record_not_reached(call: Call, handover: HandoverRef, body: NotReachedBody) -> Step:
    """Nobody could be reached in at least three attempts by at least two channels. The sender still leads."""
    attempts = tuple(commands.Attempt(attempt.at, attempt.channel) for attempt in body.attempts)
    return _on(handover, commands.RecordNotReached(attempts))


@routes.command("POST", "/handovers/{handover}/give-back", allow=STAFF)
def give_back(call: Call, handover: HandoverRef, body: GiveBackBody) -> Step:
    """Give the case back before anybody was met. Afterwards a return is a new handover."""
    return _on(handover, commands.GiveBack(body.reason))


@routes.command("POST", "/handovers/{handover}/cancel-confirmation", allow=STAFF)
def confirm_cancel(call: Call, handover: HandoverRef) -> Step:
    """Undo it, as the sender asks: nobody was met, what was received is erased."""
    return _on(handover, commands.ConfirmCancel())


@routes.command("POST", "/handovers/{handover}/cancel-denial", allow=STAFF)
def deny_cancel(call: Call, handover: HandoverRef) -> Step:
    """Go on in spite of the sender's wish; it may ask anew."""
    return _on(handover, commands.DenyCancel())


@routes.command("POST", "/handovers/{handover}/pause", allow=STAFF)
def pause(call: Call, handover: HandoverRef, body: PauseBody) -> Step:
    """Let work rest until a day. The lead stays here."""
    return _on(handover, commands.Pause(body.reason, body.review_on))


@routes.command("POST", "/handovers/{handover}/resumption", allow=STAFF)
def resume(call: Call, handover: HandoverRef) -> Step:
    """Go on."""
    return _on(handover, commands.Resume())


@routes.command("POST", "/handovers/{handover}/completion", allow=STAFF)
def complete(call: Call, handover: HandoverRef, body: CompletionBody) -> Step:
    """Tell the sender what became of it."""
    return _on(handover, commands.Complete(body.outcome))
