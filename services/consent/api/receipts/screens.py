"""What is seen on a phone: where the code is typed in, what is behind it, whether it is meant, and every no."""

from collections.abc import Callable
from html import escape as e
from typing import Final

from chassis.executor import Answer
from contracts.codes import Completeness, DutyAnswer
from contracts.ids import GrantId, ReleaseId
from services.consent.api.receipts.parties import PAGE
from services.consent.api.receipts.pieces import (
    Key,
    Seen,
    card,
    filled,
    filled_heading,
    grants,
    how_it_stands,
    named,
    page,
    section,
    standing,
    to_take_back,
    words,
)
from services.consent.api.receipts.texts import DEFAULT, TEXTS, Texts
from services.consent.domain import Reason
from services.consent.domain.words import Duty, DutyState, Grant, PassedOn
from services.consent.store.receipts import Sent

WITHDRAWAL: Final = f"{PAGE}/withdrawal"
SENT: Final = "sent"  # where on the page it stands who has received something

# --- the code ---------------------------------------------------------------------------------------------------------


def entry(texts: Texts) -> Answer:
    """Where the code is typed in."""
    others = "".join(
        f'<p><a href="{PAGE}?language={other.language}" lang="{other.language}" hreflang="{other.language}">'
        f"{e(other.name)}</a></p>"
        for other in TEXTS.values()
        if other is not texts
    )
    return page(texts.title, _entry_form(texts) + others, texts.language)


def _entry_form(texts: Texts) -> str:
    hint = f"hint-{texts.language}"
    return (
        f'<form method="post" action="{PAGE}"><label for="code-{texts.language}">{e(texts.code)}</label>'
        f'<p id="{hint}" class="small">{e(texts.code_hint)}</p>'
        f'<input id="code-{texts.language}" name="code" required autocomplete="off" autocapitalize="characters" '
        f'spellcheck="false" maxlength="40" aria-describedby="{hint}">{_language(texts)}'
        f"<button>{e(texts.show)}</button></form>"
    )


def _language(texts: Texts) -> str:
    return f'<input type="hidden" name="language" value="{texts.language}">'


# --- what is behind it ------------------------------------------------------------------------------------------------


def taken_back(seen: Seen, key: Key, before: Seen, grant: Grant | None) -> Answer:
    """The answer to the second tap: what is taken back, of several grants only that one; then all the rest."""
    if _over(before, grant):
        return overview(seen, key, filled(seen.texts.done_over, seen))
    if grant is None or not standing(seen):
        return overview(seen, key, filled(seen.texts.done, seen))
    recipient, purpose = seen.parties.name(grant.recipient), seen.texts.label(grant.purpose)
    return overview(seen, key, e(seen.texts.done_one.format(recipient=recipient, purpose=purpose)))


def overview(seen: Seen, key: Key, done: str = "") -> Answer:
    """What stands, who has received something, what they have answered; and the way to take it back."""
    texts = seen.texts
    said = f'<p class="said" role="status">{done}</p>' if done else ""
    content = (
        said, how_it_stands(seen), _what_is_left(seen), _whole(seen, key), grants(seen, _buttons(seen, key)),
        _sent(seen, key), _answers(seen), _read_again(seen),
    )
    return page(filled_heading(texts.your_consent, seen), "".join(content), texts.language)


def _what_is_left(seen: Seen) -> str:
    """Once nothing stands of what was given: that, and that it can be taken back where somebody may have something."""
    texts = seen.texts
    if seen.record.consent.given_at is None or standing(seen):
        return ""
    there = f"<p>{e(texts.still_there)}</p>" if to_take_back(seen) else ""
    return f"<p>{e(texts.nothing_stands)}</p>{there}"


def _whole(seen: Seen, key: Key) -> str:
    return _button(WITHDRAWAL, seen.texts, key, seen.texts.take_back_all) if to_take_back(seen) else ""


def _buttons(seen: Seen, key: Key) -> Callable[[Grant], str]:
    """Each of several grants that can be taken back can be so by itself."""
    texts, there = seen.texts, to_take_back(seen)

    def button(grant: Grant) -> str:
        if len(there) < 2 or grant not in there:  # noqa: PLR2004  # the last one is taken back with the whole
            return ""
        recipient, purpose = seen.parties.name(grant.recipient), texts.label(grant.purpose)
        label = texts.take_back_one.format(recipient=recipient, purpose=purpose)
        return _button(WITHDRAWAL, texts, key, label, grant=grant.id)

    return button


def asks(seen: Seen, key: Key, grant: Grant | None) -> Answer:
    """The second of two taps; no reason is asked."""
    texts, what = seen.texts, seen.texts.sure_all
    if _over(seen, grant):
        what = texts.sure_over
    elif grant is not None:
        recipient, purpose = seen.parties.name(grant.recipient), texts.label(grant.purpose)
        what = texts.sure_one.format(recipient=recipient, purpose=purpose)
    yes = _button(WITHDRAWAL, texts, key, texts.yes, grant=None if grant is None else grant.id, sure=True)
    no = _button(PAGE, texts, key, texts.no, plain=True)
    return page(texts.sure, f"<p>{e(what)}</p>{yes}{no}", texts.language)


def _over(seen: Seen, grant: Grant | None) -> bool:
    """Whether taking it back stops nothing any more, and only asks for an answer."""
    stands = standing(seen)
    over = not stands if grant is None else grant not in stands
    return over and bool(to_take_back(seen))


def _button(  # what its form sends, by name
    to: str, texts: Texts, key: Key, label: str, *, grant: GrantId | None = None, before: ReleaseId | None = None,
    sure: bool = False, plain: bool = False,
) -> str:
    """A form of one button. The key goes along in the body, never in an address."""
    sent = {"code": key.code, "ticket": key.ticket, "grant": grant, "before": before, "sure": "yes" if sure else None}
    fields = "".join(
        f'<input type="hidden" name="{name}" value="{e(str(value))}">' for name, value in sent.items() if value
    )
    look = ' class="plain"' if plain else ""
    return f'<form method="post" action="{to}">{fields}{_language(texts)}<button{look}>{e(label)}</button></form>'


def _sent(seen: Seen, key: Key) -> str:
    """Who received something, newest first; what is older is one tap further."""
    texts, sent = seen.texts, seen.record.sent
    cards = "".join(_one_sent(seen, each) for each in sent)
    older = _button(f"{PAGE}#{SENT}", texts, key, texts.older, before=sent[-1].release, plain=True) \
        if seen.record.older else ""
    return f'<div id="{SENT}">{section(texts.sent, cards or f"<p>{e(texts.nothing_sent)}</p>")}{older}</div>'


def _one_sent(seen: Seen, sent: Sent) -> str:
    """When, what for, what, on which basis; who it was at either agency is nobody's business here."""
    texts = seen.texts
    lines = (
        (texts.sent_at, e(texts.at(sent.at))),
        (texts.purpose, e(texts.label(sent.purpose))),
        (texts.categories, named(seen, sent.categories)),
        (texts.basis, named(seen, sent.norms)),
    )
    perhaps = f"<p>{e(texts.perhaps)}</p>" if None in sent.norms else ""
    maybe = f"<p>{e(texts.maybe)}</p>" if sent.completeness is Completeness.UNKNOWN else ""
    return card(seen.parties.name(sent.recipient), lines, perhaps + maybe)


def _answers(seen: Seen) -> str:
    if not seen.record.duties:
        return ""
    items = "".join(f"<li>{e(_answer(seen, duty))}</li>" for duty in seen.record.duties)
    return section(seen.texts.answers, f"<ul>{items}</ul>")


def _answer(seen: Seen, duty: Duty) -> str:
    """What a recipient has answered to the withdrawal, or by when it has to."""
    texts, agency, now = seen.texts, seen.parties.name(duty.counterpart), seen.record.now
    if duty.answered_at is not None:
        norm = "" if duty.norm is None else texts.label(duty.norm)
        answered = texts.retained if duty.answer is DutyAnswer.RETAINED else texts.erased
        own = answered.format(agency=agency, norm=norm, at=texts.at(duty.answered_at))
        return " ".join((own, *(_further(seen, each) for each in duty.passed_on)))
    if duty.state is DutyState.LAPSED:
        return texts.lapsed.format(agency=agency)
    by = duty.answer_by or now
    return (texts.overdue if by < now else texts.awaited).format(agency=agency, at=texts.at(by))


def _further(seen: Seen, passed_on: PassedOn) -> str:
    """What somebody answered to whom that recipient had passed it on; who that is, nobody tells us."""
    if passed_on.norm is None:
        return seen.texts.further_erased
    return seen.texts.further_retained.format(norm=seen.texts.label(passed_on.norm))


def _read_again(seen: Seen) -> str:
    notice, texts = seen.record.notice, seen.texts
    if notice is None:
        return ""
    return section(texts.told, f"<details><summary>{e(texts.told_link)}</summary>{words(notice)}</details>")


# --- no ---------------------------------------------------------------------------------------------------------------

_NO: Final = {Reason.UNKNOWN_CODE: "unknown_code", Reason.TOO_MANY_TRIES: "too_many"}
_ABOUT_WHAT_WAS_SENT: Final = range(400, 429)


def said_no(status: int, type_: str) -> Answer:
    """Any no to a browser, in every language: in which one was asked may be just what could not be read."""
    reason = type_.rpartition("/")[2]
    name = next((name for of, name in _NO.items() if of == reason), None)
    name = name or ("not_right" if status in _ABOUT_WHAT_WAS_SENT else "not_now")
    parts = "".join(
        f'<section lang="{texts.language}"><p class="wrong" role="alert">{e(getattr(texts, name))}</p>'
        f"{_entry_form(texts)}</section>"
        for texts in TEXTS.values()
    )
    return page(" · ".join(texts.again for texts in TEXTS.values()), parts, DEFAULT.language, status)
