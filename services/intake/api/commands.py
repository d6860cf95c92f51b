"""What the intake service is asked to do with a case: one request, one command."""

from uuid import UUID

from chassis.executor import Step
from chassis.http import Call, Routes
from chassis.service import Tools
from contracts.codes import Need
from services.intake.api.bodies import (
    ActivationBody,
    CaseAnswer,
    CloseBody,
    ContactBody,
    ContactPersonBody,
    ItemsBody,
    NeedBody,
    NotResponsibleBody,
    PauseBody,
    PhaseBody,
    ProtectionBody,
    RegisterBody,
    ReopenBody,
    SchoolBody,
    WordsAnswer,
    WordsBody,
    new_item,
)
from services.intake.api.callers import STAFF
from services.intake.domain import commands
from services.intake.domain.case import Contact
from services.intake.domain.dossiers import CATEGORY_OF, contents_of
from services.intake.domain.words import Write
from services.intake.store import CASE, WORDS

routes = Routes()


@routes.command("POST", "/cases", allow=STAFF, status=201, answer=CaseAnswer)
def register(call: Call, body: RegisterBody, resources: Tools) -> Step:
    """Register a case: somebody has come. The answer warns of an unexpected age and of a possible duplicate."""
    return Step(CASE, call.new_id(), _registration(call, body, call.new_id(), resources))


@routes.command("POST", "/cases/{case}/registration", allow=STAFF, answer=CaseAnswer)
def register_announced(call: Call, case: UUID, body: RegisterBody, resources: Tools) -> Step:
    """Register by hand who came by a handover: before the dossier, or instead of what it says of them.

    What the person says themselves is our own, and stays when what came from elsewhere has to go.
    """
    return Step(CASE, case, _registration(call, body, case, resources), call.if_match)


def _registration(call: Call, body: RegisterBody, person: UUID, resources: Tools) -> commands.Register:
    who = body.person.as_person(person)
    repeated = (new_item(call, said, category=CATEGORY_OF[part], part=part) for part, said in contents_of(who).items())
    return commands.Register(
        by=call.caller.name,
        sphere=resources.settings.sphere,
        person=who,
        items=(*repeated, *(item.as_item(call) for item in body.items)),
        needs=tuple(need.as_need(call) for need in body.needs),
        no_needs=body.no_needs,
        target_groups=body.target_groups,
        school=None if body.school is None else body.school.as_facts(),
        local_number=body.local_number,
    )


@routes.command("PUT", "/cases/{case}/contact-person", allow=STAFF, answer=CaseAnswer)
def assign_contact_person(call: Call, case: UUID, body: ContactPersonBody) -> Step:
    """Say who the young person talks to; clarifying whose task it is begins."""
    return Step(CASE, case, commands.AssignContactPerson(body.contact_person), call.if_match)


@routes.command("POST", "/cases/{case}/contacts", allow=STAFF, answer=CaseAnswer)
def record_contact(call: Call, case: UUID, body: ContactBody) -> Step:
    """Record that the young person was tried to be reached, or was."""
    contact = Contact(call.new_id(), body.at, call.caller.name, body.channel, body.place, body.reached)
    return Step(CASE, case, commands.RecordContact(contact), call.if_match)


@routes.command("POST", "/cases/{case}/needs", allow=STAFF, answer=CaseAnswer)
def record_need(call: Call, case: UUID, body: NeedBody) -> Step:
    """Record a need, or see it differently: the latest word about a code counts."""
    return Step(CASE, case, commands.RecordNeed(body.as_need(call)), call.if_match)


@routes.command("DELETE", "/cases/{case}/needs/{code}", allow=STAFF, answer=CaseAnswer)
def resolve_need(call: Call, case: UUID, code: Need) -> Step:
    """Say that a need is no longer there."""
    return Step(CASE, case, commands.ResolveNeed(code), call.if_match)


@routes.command("PUT", "/cases/{case}/school", allow=STAFF, answer=CaseAnswer)
def record_school_facts(call: Call, case: UUID, body: SchoolBody) -> Step:
    """Say how it stands with school and training; the phase follows by rule."""
    return Step(CASE, case, commands.RecordSchoolFacts(call.caller.name, body.as_facts()), call.if_match)


@routes.command("PUT", "/cases/{case}/phase", allow=STAFF, answer=CaseAnswer)
def override_phase(call: Call, case: UUID, body: PhaseBody) -> Step:
    """Set the phase by hand, with the reason."""
    return Step(CASE, case, commands.OverridePhase(call.caller.name, body.phase, body.reason), call.if_match)


@routes.command("POST", "/cases/{case}/items", allow=STAFF, answer=CaseAnswer)
def add_items(call: Call, case: UUID, body: ItemsBody) -> Step:
    """Add what is known, datum by datum."""
    return Step(CASE, case, commands.AddItems(tuple(item.as_item(call) for item in body.items)), call.if_match)


@routes.command("PUT", "/cases/{case}/address-protection", allow=STAFF, answer=CaseAnswer)
def protect_address(call: Call, case: UUID, body: ProtectionBody) -> Step:
    """Say whether the address may leave at all (§ 51 BMG)."""
    return Step(CASE, case, commands.ProtectAddress(body.protected), call.if_match)


@routes.command("POST", "/cases/{case}/activation", allow=STAFF, answer=CaseAnswer)
def confirm_responsibility(call: Call, case: UUID, body: ActivationBody) -> Step:
    """Confirm that the case is ours: it needs a contact person, a phase, and a need or that there are none."""
    return Step(CASE, case, commands.ConfirmResponsibility(body.no_needs), call.if_match)


@routes.command("POST", "/cases/{case}/non-responsibility", allow=STAFF, answer=CaseAnswer)
def declare_not_responsible(call: Call, case: UUID, body: NotResponsibleBody) -> Step:
    """Say that it is somebody else's task (§ 16(2) SGB I)."""
    return Step(CASE, case, commands.DeclareNotResponsible(body.area), call.if_match)


@routes.command("POST", "/cases/{case}/pause", allow=STAFF, answer=CaseAnswer)
def pause(call: Call, case: UUID, body: PauseBody) -> Step:
    """Let work rest until a day."""
    return Step(CASE, case, commands.Pause(body.reason, body.review_on), call.if_match)


@routes.command("POST", "/cases/{case}/resumption", allow=STAFF, answer=CaseAnswer)
def resume(call: Call, case: UUID) -> Step:
    """Go on."""
    return Step(CASE, case, commands.Resume(), call.if_match)


@routes.command("POST", "/cases/{case}/closing", allow=STAFF, answer=CaseAnswer)
def close(call: Call, case: UUID, body: CloseBody) -> Step:
    """End work here."""
    return Step(CASE, case, commands.Close(body.destination), call.if_match)


@routes.command("POST", "/cases/{case}/reopening", allow=STAFF, answer=CaseAnswer)
def reopen(call: Call, case: UUID, body: ReopenBody, resources: Tools) -> Step:
    """Begin again, while the case is kept."""
    return Step(CASE, case, commands.Reopen(body.reason, resources.settings.retention), call.if_match)


@routes.command("POST", "/cases/{case}/dossier", allow=STAFF, answer=CaseAnswer)
def fetch_dossier(call: Call, case: UUID) -> Step:
    """Ask the sender's door once more."""
    return Step(CASE, case, commands.FetchDossier(), call.if_match)


@routes.command("POST", "/handovers/{handover}/words", allow=STAFF, status=201, answer=WordsAnswer)
def write(call: Call, handover: UUID, body: WordsBody) -> Step:
    """Write to the other agency: an event then names the words, and they go by the door like everything else."""
    item = body.words.as_item(call, handover=handover, case=body.case)
    return Step(WORDS, handover, Write(item))
