"""What the pages about a receipt say, in every language there is: adding one is one more `Texts` in `TEXTS`.

German is Einfache Sprache, to be read at fifteen: short sentences, one thought each, no word of the law that has an
everyday one. Codes are said by their labels (`contracts/labels.py` in German); names of German norms stay German.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Final

from contracts.calendar import GERMANY
from contracts.codes import ConsentState, Giver, LegalBasis, RetentionNorm
from contracts.labels import label
from services.consent.domain.receipts import Stands


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. Braces are filled in; `said` has one sentence for each way a consent can stand."""

    language: str
    name: str
    label: Callable[[Enum], str]
    months: tuple[str, ...]
    moment: str
    # the receipt
    receipt: str
    said: Mapping[ConsentState | Stands, str]
    said_for: Mapping[ConsentState | Stands, str]
    giver: Mapping[Giver, str]
    allowed: str
    allowed_before: str
    recipient: str
    categories: str
    purpose: str
    until: str
    until_at: str
    from_until: str
    not_known: str
    was_until: str
    taken_back: str
    entrusted: str
    free: str
    free_why: str
    how: str
    how_why: str
    by_phone: str
    by_phone_typed: str
    scan: str
    your_code: str
    keep_code: str
    in_person: str
    told: str
    told_link: str
    told_version: str
    proves: str
    as_of: str
    number: str
    # the page on a phone
    title: str
    code: str
    code_hint: str
    show: str
    your_consent: str
    nothing_stands: str
    still_there: str
    take_back_one: str
    take_back_all: str
    sure: str
    sure_one: str
    sure_all: str
    sure_over: str
    yes: str
    no: str
    done: str
    done_one: str
    done_over: str
    sent: str
    nothing_sent: str
    older: str
    sent_at: str
    basis: str
    maybe: str
    perhaps: str
    answers: str
    erased: str
    retained: str
    further_erased: str
    further_retained: str
    awaited: str
    overdue: str
    lapsed: str
    # a no
    unknown_code: str
    too_many: str
    not_right: str
    not_now: str
    again: str

    def at(self, moment: datetime) -> str:
        """A point in time as people here write it."""
        there = moment.astimezone(GERMANY)
        month = self.months[there.month - 1]
        return self.moment.format(day=there.day, month=month, year=there.year, clock=f"{there:%H:%M}")


DE: Final = Texts(
    language="de",
    name="Deutsch",
    label=label,
    months=(
        "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
        "Dezember",
    ),
    moment="{day}. {month} {year}, {clock} Uhr",
    receipt="Beleg über deine Einwilligung",
    said=MappingProxyType({
        ConsentState.GIVEN: "Du hast Ja gesagt: {agency} darf anderen etwas über dich sagen. ({at})",
        ConsentState.REFUSED: "Du hast Nein gesagt. Das ist in Ordnung. ({at})",
        ConsentState.WITHDRAWN: "Du hast deine Erlaubnis zurückgenommen. Sie gilt nicht mehr. ({at})",
        ConsentState.EXPIRED: "Die Zeit deiner Erlaubnis ist vorbei. Sie gilt nicht mehr. ({at})",
        ConsentState.REPLACED: "Es gibt eine neue Erlaubnis. Diese hier gilt nicht mehr. ({at})",
        ConsentState.INVALIDATED: "{agency} hat einen Fehler gefunden. Diese Erlaubnis gilt nicht. ({at})",
        Stands.LATER: "Du hast Ja gesagt. Deine Erlaubnis gilt aber noch nicht. ({at})",
        Stands.OVER: "Du hast einmal Ja gesagt. Davon gilt nichts mehr. ({at})",
        Stands.ONLY_ASKED: "Du hast nichts erlaubt. Die Frage wurde zurückgenommen. ({at})",
    }),
    said_for=MappingProxyType({
        ConsentState.GIVEN: "Für dich wurde Ja gesagt: {agency} darf anderen etwas über dich sagen. ({at})",
        ConsentState.REFUSED: "Für dich wurde Nein gesagt. Das ist in Ordnung. ({at})",
        ConsentState.WITHDRAWN: "Die Erlaubnis wurde zurückgenommen. Sie gilt nicht mehr. ({at})",
        ConsentState.EXPIRED: "Die Zeit der Erlaubnis ist vorbei. Sie gilt nicht mehr. ({at})",
        ConsentState.REPLACED: "Es gibt eine neue Erlaubnis. Diese hier gilt nicht mehr. ({at})",
        ConsentState.INVALIDATED: "{agency} hat einen Fehler gefunden. Diese Erlaubnis gilt nicht. ({at})",
        Stands.LATER: "Für dich wurde Ja gesagt. Die Erlaubnis gilt aber noch nicht. ({at})",
        Stands.OVER: "Für dich wurde einmal Ja gesagt. Davon gilt nichts mehr. ({at})",
        Stands.ONLY_ASKED: "Für dich wurde nichts erlaubt. Die Frage wurde zurückgenommen. ({at})",
    }),
    giver=MappingProxyType({
        Giver.SELF: "Du hast das selbst entschieden.",
        Giver.GUARDIAN: "Deine Eltern oder andere Sorgeberechtigte haben für dich unterschrieben.",
    }),
    allowed="Was {agency} weitersagen darf",
    allowed_before="Was {agency} weitersagen durfte",
    recipient="Wem?",
    categories="Was?",
    purpose="Wofür?",
    until="Wie lange?",
    until_at="bis {at}",
    from_until="von {begin} bis {at}",
    not_known="Das wissen wir nicht mehr",
    was_until="vorbei seit {at}",
    taken_back="zurückgenommen am {at}",
    entrusted="Auch, was du uns im Vertrauen gesagt hast.",
    free="Du musst nichts erlauben",
    free_why="Deine Erlaubnis ist freiwillig. Du kannst Nein sagen. Du kannst sie jederzeit zurücknehmen. "
    "Beides hat keine Nachteile für dich.",
    how="So nimmst du deine Erlaubnis zurück",
    how_why="Du musst keinen Grund sagen. Ab dann sagt {agency} auf deine Erlaubnis hin nichts mehr weiter. Was vorher "
    "weitergesagt wurde, war erlaubt. Wer etwas bekommen hat, muss es löschen oder sagen, warum er es behalten darf.",
    by_phone="Mit dem Handy: Scanne das Bild, oder öffne diese Adresse:",
    by_phone_typed="Dort gibst du diesen Code ein:",
    scan="Bild mit der Adresse {page}",
    your_code="Dein Code",
    keep_code="Wer den Code kennt, kann alles sehen und zurücknehmen. Pass gut auf ihn auf.",
    in_person="Oder sag es uns:",
    told="Was wir dir vorher gesagt haben",
    told_link="Die Information zum Nachlesen",
    told_version="Fassung vom {at}",
    proves="Auf diesem Beleg steht, was {agency} aufgeschrieben hat. Er beweist nicht, dass die Erlaubnis gültig ist.",
    as_of="Stand: {at}",
    number="Nummer: {id}",
    title="Deine Einwilligung ansehen",
    code="Code von deinem Beleg",
    code_hint="12 Zeichen, zum Beispiel ABCD-EFGH-JKMN. Groß oder klein ist egal.",
    show="Ansehen",
    your_consent="Deine Einwilligung bei {agency}",
    nothing_stands="Auf diese Erlaubnis hin wird nichts mehr weitergesagt.",
    still_there="Etwas wurde aber schon weitergesagt. Du kannst die Erlaubnis dafür noch zurücknehmen. Wer etwas "
    "bekommen hat, muss es dann löschen oder sagen, warum er es behalten darf.",
    take_back_one="Zurücknehmen: {recipient}, {purpose}",
    take_back_all="Alles zurücknehmen",
    sure="Wirklich zurücknehmen?",
    sure_one="{recipient} bekommt dann auf diese Erlaubnis hin nichts mehr für: {purpose}.",
    sure_all="Dann bekommt auf diese Erlaubnis hin niemand mehr etwas.",
    sure_over="Wer auf diese Erlaubnis hin etwas bekommen hat, muss es dann löschen oder sagen, warum er es behalten "
    "darf.",
    yes="Ja, zurücknehmen",
    no="Nein, zurück",
    done="Zurückgenommen. {agency} sagt jetzt auf diese Erlaubnis hin nichts mehr weiter.",
    done_one="Zurückgenommen. Das geht nicht mehr: {recipient}, {purpose}.",
    done_over="Zurückgenommen. Wer etwas bekommen hat, wird jetzt gefragt, ob es gelöscht ist.",
    sent="Wer etwas bekommen hat",
    nothing_sent="Auf diese Erlaubnis hin hat bisher niemand etwas bekommen, soweit wir wissen.",
    older="Ältere ansehen",
    sent_at="Wann?",
    basis="Warum durfte das sein?",
    maybe="Vielleicht ist nicht alles angekommen.",
    perhaps="Ob es auf diese Erlaubnis hin war, wissen wir nicht mehr.",
    answers="Antworten auf deine Rücknahme",
    erased="{agency} hat gelöscht, was zurückgenommen wurde. ({at})",
    retained="{agency} behält, was zurückgenommen wurde. Der Grund: {norm}. ({at})",
    further_erased="Sie hatte es an eine andere Stelle weitergegeben. Die hat es auch gelöscht.",
    further_retained="Sie hatte es an eine andere Stelle weitergegeben. Die behält es. Der Grund: {norm}.",
    awaited="{agency} muss bis {at} antworten.",
    overdue="{agency} hat noch nicht geantwortet. Die Frist war {at}.",
    lapsed="Die Übergabe an {agency} ist beendet. Von dort ist nichts mehr zu löschen.",
    unknown_code="Diesen Code kennen wir nicht. Schau auf deinen Beleg und versuche es noch einmal.",
    too_many="Hier probieren gerade zu viele einen Code aus. Versuche es in zehn Sekunden noch einmal.",
    not_right="Da hat etwas nicht gestimmt. Fang bitte noch einmal von vorn an.",
    not_now="Das geht gerade nicht. Versuche es gleich noch einmal. Oder sag es der Stelle, von der du den Beleg hast.",
    again="Code eingeben",
)

_ENGLISH: Final[Mapping[Enum, str]] = MappingProxyType({
    LegalBasis.CONSENT_SGB_X_67B: "your consent (§ 67b SGB X)",
    RetentionNorm.GDPR_17_3_B: "a duty by law or a public task (Art. 17(3)(b) GDPR)",
    RetentionNorm.GDPR_17_3_E: "legal claims (Art. 17(3)(e) GDPR)",
    RetentionNorm.SGB_X_84: "restricted instead of erased (§ 84 SGB X)",
})


def _in_english(code: Enum) -> str:
    """The code is an English word itself; a norm that has no English name is said as the law says it."""
    if code in _ENGLISH:
        return _ENGLISH[code]
    return label(code) if isinstance(code, LegalBasis) else str(code.value).replace("_", " ")


EN: Final = Texts(
    language="en",
    name="English",
    label=_in_english,
    months=(
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    moment="{day} {month} {year}, {clock}",
    receipt="Receipt for your consent",
    said=MappingProxyType({
        ConsentState.GIVEN: "You said yes: {agency} may tell others something about you. ({at})",
        ConsentState.REFUSED: "You said no. That is all right. ({at})",
        ConsentState.WITHDRAWN: "You took your permission back. It no longer counts. ({at})",
        ConsentState.EXPIRED: "The time of your permission is over. It no longer counts. ({at})",
        ConsentState.REPLACED: "There is a new permission. This one no longer counts. ({at})",
        ConsentState.INVALIDATED: "{agency} has found a mistake. This permission does not count. ({at})",
        Stands.LATER: "You said yes. Your permission does not count yet. ({at})",
        Stands.OVER: "You once said yes. Nothing of it counts any more. ({at})",
        Stands.ONLY_ASKED: "You allowed nothing. The question was taken back. ({at})",
    }),
    said_for=MappingProxyType({
        ConsentState.GIVEN: "Somebody said yes for you: {agency} may tell others something about you. ({at})",
        ConsentState.REFUSED: "Somebody said no for you. That is all right. ({at})",
        ConsentState.WITHDRAWN: "The permission was taken back. It no longer counts. ({at})",
        ConsentState.EXPIRED: "The time of the permission is over. It no longer counts. ({at})",
        ConsentState.REPLACED: "There is a new permission. This one no longer counts. ({at})",
        ConsentState.INVALIDATED: "{agency} has found a mistake. This permission does not count. ({at})",
        Stands.LATER: "Somebody said yes for you. The permission does not count yet. ({at})",
        Stands.OVER: "Somebody once said yes for you. Nothing of it counts any more. ({at})",
        Stands.ONLY_ASKED: "Nothing was allowed for you. The question was taken back. ({at})",
    }),
    giver=MappingProxyType({
        Giver.SELF: "You decided this yourself.",
        Giver.GUARDIAN: "Your parents or other guardians signed for you.",
    }),
    allowed="What {agency} may pass on",
    allowed_before="What {agency} was allowed to pass on",
    recipient="To whom?",
    categories="What?",
    purpose="What for?",
    until="Until when?",
    until_at="until {at}",
    from_until="from {begin} until {at}",
    not_known="We no longer know",
    was_until="over since {at}",
    taken_back="taken back on {at}",
    entrusted="Also what you told us in confidence.",
    free="You do not have to allow anything",
    free_why="Your permission is voluntary. You can say no. You can take it back at any time. "
    "Neither has any disadvantage for you.",
    how="How to take your permission back",
    how_why="You need not give a reason. From then on {agency} passes nothing more on by your permission. What was "
    "passed on before was allowed. Whoever received something must erase it or say why they may keep it.",
    by_phone="With a phone: scan the picture, or open this address:",
    by_phone_typed="There you type this code:",
    scan="Picture with the address {page}",
    your_code="Your code",
    keep_code="Whoever knows the code can see everything and take it back. Keep it safe.",
    in_person="Or tell us:",
    told="What we told you before",
    told_link="The notice, to read again",
    told_version="Version of {at}",
    proves="This receipt says what {agency} has written down. It does not prove that the permission is valid.",
    as_of="As of {at}",
    number="Number: {id}",
    title="See your consent",
    code="Code on your receipt",
    code_hint="12 characters, for example ABCD-EFGH-JKMN. Capital or small letters do not matter.",
    show="See it",
    your_consent="Your consent at {agency}",
    nothing_stands="By this permission nothing more is passed on.",
    still_there="But something was passed on before. You can still take the permission for it back. Whoever received "
    "something must then erase it or say why they may keep it.",
    take_back_one="Take back: {recipient}, {purpose}",
    take_back_all="Take everything back",
    sure="Really take it back?",
    sure_one="{recipient} then receives nothing more by this permission for: {purpose}.",
    sure_all="Then nobody receives anything more by this permission.",
    sure_over="Whoever received something by this permission must then erase it or say why they may keep it.",
    yes="Yes, take it back",
    no="No, go back",
    done="Taken back. {agency} now passes on nothing more by this permission.",
    done_one="Taken back. This no longer goes on: {recipient}, {purpose}.",
    done_over="Taken back. Whoever received something is now asked whether it is erased.",
    sent="Who has received something",
    nothing_sent="By this permission nobody has received anything so far, as far as we know.",
    older="See what is older",
    sent_at="When?",
    basis="Why was that allowed?",
    maybe="Perhaps not everything has arrived.",
    perhaps="Whether it was by this permission, we no longer know.",
    answers="Answers to your taking back",
    erased="{agency} has erased what was taken back. ({at})",
    retained="{agency} keeps what was taken back. The reason: {norm}. ({at})",
    further_erased="It had passed this on to another office, which has erased it, too.",
    further_retained="It had passed this on to another office, which keeps it. The reason: {norm}.",
    awaited="{agency} has to answer by {at}.",
    overdue="{agency} has not answered yet. It should have by {at}.",
    lapsed="The handover to {agency} has ended. Nothing of it is left there to be erased.",
    unknown_code="We do not know this code. Look at your receipt and try again.",
    too_many="Too many are trying codes here just now. Try again in ten seconds.",
    not_right="Something was not right. Please start again.",
    not_now="This does not work right now. Try again soon, or tell the office that gave you the receipt.",
    again="Type the code",
)

TEXTS: Final[Mapping[str, Texts]] = MappingProxyType({texts.language: texts for texts in (DE, EN)})
DEFAULT: Final = DE


def texts_in(language: str | None) -> Texts:
    """The texts of this language (BCP 47), by its first part; German where there are none."""
    return TEXTS.get((language or "").partition("-")[0].lower(), DEFAULT)
