"""A notice: what people are told before they consent, published once."""

from dataclasses import replace

from chassis.transitions import Context, Row, Table
from services.consent.domain.commands import PublishNotice
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Notice, NoticeState


def _as_published(notice: Notice, command: PublishNotice, context: Context) -> Notice:
    return replace(
        notice,
        language=command.language,
        plain_language=command.plain_language,
        text=command.text,
        sha256=command.sha256,
        valid_from=command.valid_from,
    )


NOTICES = Table[Notice](
    not_now=Reason.NOT_NOW,
    rows=(
        Row(
            NoticeState.NONE, PublishNotice, NoticeState.PUBLISHED, does=(_as_published,),
            because="Art. 13 GDPR: informed before; a consent names the version it was given on",
        ),
    ),
)
