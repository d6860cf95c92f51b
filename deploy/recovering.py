"""`staffel recover` at an operator's desk: says what a restored database is told again, and what nobody can know."""

from __future__ import annotations

from rich.console import Console

from chassis.horizon import OutOfSight
from chassis.recovery.recovering import CannotRecover, Report
from chassis.service import Service, recover

WHAT_IS_LOST = {
    "asked": "which categories were asked about: look at the other agency's question",
    "clearance": "who let go what they had entrusted: the form is in the file; until it is entered it goes no more",
    "consent-not-known": "a consent that was written down after the backup: only that it has ended is known",
    "consent-wording": "for what was consented: the form is in the file; until it is entered again it permits nothing",
    "contact-person": "who became the contact person",
    "dossier": "what came with the dossier: ask the sender for a new handover of it",
    "duty": "a duty that was answered: the sender's word on it is gone from the channel",
    "grant-end": "which of its grants had ended, and how: those that may have are used no more",
    "how-the-guardian-was-informed": "in which way a guardian was informed: nothing is owed any more",
    "invalid-because": "why a consent was found to be none",
    "ledger-bases": "on which bases it left: at a withdrawal its recipient is told in any case",
    "outcome": "what became of it: ask the other agency",
    "person": "name, birth date and contents: register them anew from the file",
    "preview": "what its preview said: propose it again",
    "redirect-to": "whom the other agency proposed instead",
    "restriction-not-known": "something forbidden after the backup: only that it is over is known",
    "restriction-scope": "what was forbidden: until it is lifted nothing goes by law, nor on what was consented before",
    "review-day": "the day of the review: agree on a new one",
    "severity-of-needs": "how severe the needs are",
    "stated-task": "which task was stated, or no longer: none counts until one is stated again for the handover",
    "transmission-proposal": "which items were proposed: the handover must be proposed again",
    "wording": "the wording of a draft",
}


async def recover_service(service: Service, console: Console, *, by: str, apply: bool) -> bool:
    """Recover, and say everything; whether the service can go on now."""
    try:
        report = await recover(service, by=by, apply=apply)
    except OutOfSight as error:
        console.print(f"the broker cannot be asked ({error}): nothing was changed")
        return False
    except CannotRecover as error:
        console.print(str(error), soft_wrap=True)
        return False
    if report is None:
        console.print(f"{service.principal}: the database knows everything the service has said")
        return True
    _say(report, console)
    if apply:
        console.print(f"{service.principal} is recovered: it goes on by itself, or starts")
    else:
        console.print("nothing was changed; with --apply this is done")
    return apply


def _say(report: Report, console: Console) -> None:
    for finding in report.findings:
        where = f"{finding.topic} partition {finding.partition}, offsets {finding.first} to {finding.next}"
        console.print(f"found: {finding.kind} in {where}", soft_wrap=True)
    for topic, count in report.facts.items():
        console.print(f"known again: {count} fact(s) of {topic}", soft_wrap=True)
    for topic, count in report.republished.items():
        console.print(f"sent again, with their ids: {count} fact(s) to {topic}", soft_wrap=True)
    if report.heard:
        console.print(f"heard before and not heard again: {report.heard} event(s)")
    if report.renumbered:
        console.print(f"decided since the restore and not sent: {report.renumbered} fact(s), they follow")
    for fork in report.forks:
        console.print(f"fork: {fork} has the number of another fact; its lane waits at whoever hears it")
    for type_, count in report.nobody.items():
        console.print(f"of nobody known here: {count} × {type_}")
    for subject in report.subjects:
        console.print(f"{subject.kind} {subject.id}: {', '.join(map(_short, subject.facts))}", soft_wrap=True)
        for code in subject.lost:
            console.print(f"  not known: {WHAT_IS_LOST.get(code, code)}", soft_wrap=True)


def _short(type_: str) -> str:
    return type_.removeprefix("staffel.").removesuffix(".v1")
