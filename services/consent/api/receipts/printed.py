"""The receipt on paper, and a notice to read again."""

from html import escape as e

import segno

from chassis.executor import Answer
from contracts.alliance import Agency
from services.consent.api.receipts.pieces import Seen, filled, grants, how_it_stands, page, section, words
from services.consent.api.receipts.texts import texts_in
from services.consent.domain.words import Grant, Notice


def printed(seen: Seen, code: str) -> Answer:
    """What the young person takes home: what is on record, how to take it back, and the code for that."""
    texts = seen.texts
    content = "".join((
        how_it_stands(seen), _giver(seen), grants(seen, _nothing),
        section(texts.free, f"<p>{e(texts.free_why)}</p>"),
        section(texts.how, f"<p>{filled(texts.how_why, seen)}</p>{_by_phone(seen, code)}{_in_person(seen)}"),
        _told(seen), _small_print(seen),
    ))
    return page(texts.receipt, content, texts.language)


def notice_page(notice: Notice) -> Answer:
    """A notice as people were told it, in its own language."""
    texts = texts_in(notice.language)
    return page(texts.told, words(notice), texts.language)


def _nothing(_: Grant) -> str:
    return ""


def _giver(seen: Seen) -> str:
    consent = seen.record.consent
    return f"<p>{e(seen.texts.giver[consent.giver])}</p>" if consent.given_at is not None else ""


def _by_phone(seen: Seen, code: str) -> str:
    """The picture holds the address alone: a code in an address would be in the log of every proxy on its way."""
    texts, address = seen.texts, seen.parties.page
    if address is None:
        return ""
    picture = segno.make(address, error="m", micro=False).svg_inline(omitsize=True, svgclass=None, lineclass=None)
    return (
        f'<p>{e(texts.by_phone)}<br>{e(address)}</p><div role="img" aria-label="{e(texts.scan.format(page=address))}">'
        f'{picture}</div><p>{e(texts.by_phone_typed)}</p><p class="code">{e(code)}</p><p>{e(texts.keep_code)}</p>'
    )


def _in_person(seen: Seen) -> str:
    return f"<p>{e(seen.texts.in_person)}<br>{_office(seen.parties.own)}</p>"


def _office(agency: Agency) -> str:
    office = agency.office
    where = () if office is None else (office.street, f"{office.postal_code} {office.city}", office.phone, office.email)
    return "<br>".join(e(line) for line in (agency.name, *where))


def _told(seen: Seen) -> str:
    """Which version of the notice it was, and where it can be read."""
    notice, texts = seen.record.notice, seen.texts
    if notice is None or notice.valid_from is None:
        return ""
    address = seen.parties.notice_page(notice.id)
    link = "" if address is None else f'<p><a href="{e(address)}">{e(texts.told_link)}</a><br>{e(address)}</p>'
    version = texts.told_version.format(at=texts.at(notice.valid_from))
    return section(texts.told, f'{link}<p class="small">{e(version)}<br>SHA-256 {e(notice.sha256)}</p>')


def _small_print(seen: Seen) -> str:
    texts = seen.texts
    as_of = texts.as_of.format(at=texts.at(seen.record.now))
    number = texts.number.format(id=seen.record.consent.id)
    return f'<p class="small">{filled(texts.proves, seen)}<br>{e(as_of)}<br>{e(number)}</p>'
