"""What the pages about a receipt are made of: one style, one column at 360 pixels, no script, nothing from elsewhere.

Every value is escaped where it is put in (`e`). What can be tapped is at least 44 pixels high; colours have a contrast
of 7 : 1 and more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from html import escape as e
from typing import Final

from chassis.executor import Answer
from chassis.http import html_page
from contracts.codes import ConsentState, Giver
from services.consent.api.receipts.parties import Parties
from services.consent.api.receipts.texts import Texts
from services.consent.domain.receipts import how_it_stands as how
from services.consent.domain.receipts import left
from services.consent.domain.words import Grant, Notice
from services.consent.store.receipts import OnRecord

STYLE: Final = """\
body{margin:0;font:1.125rem/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff}
main{max-width:40rem;margin:0 auto;padding:1rem}
*{overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25}
h2{font-size:1.25rem;margin:2rem 0 .5rem}
h3{font-size:1.125rem;margin:0 0 .5rem}
dl,dd,ul{margin:0}
ul{padding-left:1.25rem}
dt{font-weight:600}
.card{border:1px solid #6b6b6b;border-radius:.5rem;padding:1rem;margin:1rem 0}
.said{border-left:.5rem solid #0b4a8f;padding:.5rem 1rem;background:#f2f6fb}
.wrong{border-left:.5rem solid #8c0014;padding:.5rem 1rem;background:#fdf3f3}
.code{font:700 1.75rem/1.5 ui-monospace,monospace}
.small{font-size:.875rem}
.text{white-space:pre-wrap}
label{display:block;font-weight:600}
input{box-sizing:border-box;width:100%;min-height:3rem;padding:.5rem;margin:.5rem 0;font:inherit;
border:2px solid #1a1a1a;border-radius:.25rem}
button{box-sizing:border-box;width:100%;min-height:3rem;padding:.75rem 1rem;margin:.5rem 0;font:inherit;font-weight:600;
border:2px solid #0b4a8f;border-radius:.25rem;background:#0b4a8f;color:#fff}
button.plain{background:#fff;color:#0b4a8f}
a,summary{display:inline-block;min-height:2.75rem;line-height:2.75rem;color:#0b4a8f}
:focus-visible{outline:3px solid #8a4500;outline-offset:2px}
svg{display:block;width:10rem;height:10rem}
@media print{main{max-width:none;padding:0}body{font-size:11pt}h1,h2,h3,.card{break-after:avoid;break-inside:avoid}
a{color:inherit;min-height:0;line-height:inherit}svg{width:3.5cm;height:3.5cm}}
@page{margin:2cm}
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page is about, in whose words."""

    record: OnRecord
    parties: Parties
    texts: Texts


@dataclass(frozen=True, slots=True)
class Key:
    """What each form of the page brings along: the code, and the ticket that says it was right not long ago."""

    code: str
    ticket: str


def page(title: str, content: str, language: str, status: int = 200) -> Answer:
    """A whole page; its content is escaped already."""
    return html_page(title, content, language=language, style=STYLE, status=status)


def section(heading: str, content: str) -> str:
    """A part of a page with a heading of its own."""
    return f"<section><h2>{e(heading)}</h2>{content}</section>"


def card(heading: str, lines: Iterable[tuple[str, str]], more: str = "") -> str:
    """Names and values about one thing; the values are escaped already."""
    rows = "".join(f"<div><dt>{e(name)}</dt><dd>{value}</dd></div>" for name, value in lines)
    return f'<div class="card"><h3>{e(heading)}</h3><dl>{rows}</dl>{more}</div>'


def filled(text: str, seen: Seen, **more: str) -> str:
    """A sentence with the agency's name and whatever else it names."""
    return e(text.format(agency=seen.parties.own.name, **more))


def words(notice: Notice) -> str:
    """What the notice says, in its own language."""
    return f'<p class="text" lang="{e(notice.language)}">{e(notice.text)}</p>'


def named(seen: Seen, codes: Iterable[Enum | None]) -> str:
    """What codes are called, in their order there; of what is not known any more it says so, last."""
    codes = tuple(codes)
    known = sorted(seen.texts.label(code) for code in codes if code is not None)
    return ", ".join(map(e, (*known, seen.texts.not_known) if None in codes or not codes else known))


def how_it_stands(seen: Seen) -> str:
    """What is so now of the whole consent, and since when."""
    consent, texts = seen.record.consent, seen.texts
    stands = how(consent, seen.record.now)
    if stands is None:
        return ""
    said = texts.said if consent.giver is Giver.SELF else texts.said_for
    return f'<p class="said">{filled(said[stands[0]], seen, at=texts.at(stands[1]))}</p>'


def standing(seen: Seen) -> tuple[Grant, ...]:
    """What is still allowed, or will be."""
    return left(seen.record.consent, seen.record.now)


def to_take_back(seen: Seen) -> tuple[Grant, ...]:
    """What stands, and what is over and was used: whoever received something by it has to answer (Art. 7(3) GDPR)."""
    record, stands = seen.record, standing(seen)
    return tuple(grant for grant in record.consent.grants if grant in stands or grant.id in record.to_be_asked)


def grants(seen: Seen, below: Callable[[Grant], str]) -> str:
    """What is, or was, allowed: to whom, what, what for, until when; and what stands below each."""
    consent, texts = seen.record.consent, seen.texts
    if consent.given_at is None or not consent.grants:
        return ""
    cards = "".join(_grant(seen, grant, below(grant)) for grant in consent.grants)
    return section(filled_heading(texts.allowed if standing(seen) else texts.allowed_before, seen), cards)


def filled_heading(text: str, seen: Seen) -> str:
    """The same for a heading, which is escaped where it is put in."""
    return text.format(agency=seen.parties.own.name)


def _grant(seen: Seen, grant: Grant, below: str) -> str:
    texts = seen.texts
    entrusted = f"<br>{e(texts.entrusted)}" if grant.entrusted_included else ""
    lines = (
        (texts.categories, named(seen, grant.categories) + entrusted),
        (texts.purpose, e(texts.label(grant.purpose))),
        (texts.until, e(_until(seen, grant))),
    )
    return card(seen.parties.name(grant.recipient), lines, below)


def _until(seen: Seen, grant: Grant) -> str:
    """Until when it holds, or since when it does not: taken back by itself, ended with the whole, or over."""
    consent, texts = seen.record.consent, seen.texts
    if grant.withdrawn_at is not None:
        return texts.taken_back.format(at=texts.at(grant.withdrawn_at))
    if grant in standing(seen):
        later = texts.from_until if grant.valid_from > seen.record.now else texts.until_at
        return later.format(begin=texts.at(grant.valid_from), at=texts.at(grant.valid_until))
    over = min(grant.valid_until, consent.ended_at or grant.valid_until)
    taken_back = consent.state is ConsentState.WITHDRAWN and over == consent.ended_at
    return (texts.taken_back if taken_back else texts.was_until).format(at=texts.at(over))
