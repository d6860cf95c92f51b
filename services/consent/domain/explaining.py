"""Why items may go to somebody or not: every reason, and the consents that would help. Permits and keeps nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.codes import AgeBand, ConsentForm, DataCategory, DecisionReason, Giver
from contracts.ids import ItemId
from services.consent.domain.consents import rightful
from services.consent.domain.decision import (
    Question,
    against,
    decide_item,
    gone,
    source_ended,
    strong_enough,
)
from services.consent.domain.words import Item, ItemDecision


@dataclass(frozen=True, slots=True)
class Explained:
    """What would be decided about one item, and all that stands in its way: the first is the decision's reason."""

    decision: ItemDecision
    against: tuple[DecisionReason, ...] = ()


@dataclass(frozen=True, slots=True)
class Help:
    """One consent on which some items could go: who could give it, in which forms, for what.

    Two may give it where the age alone does not say: from 15 to 17 it depends on insight (§ 36 SGB I). `cleared_by`:
    who has entrusted the items, and must let them go by this grant in one of these forms, too (§ 65 SGB VIII).
    """

    givers: frozenset[Giver]
    forms: frozenset[ConsentForm]
    entrusted_included: bool
    cleared_by: Giver | None
    categories: frozenset[DataCategory]
    items: tuple[ItemId, ...]


def explained(asked: tuple[ItemId, ...], items: Mapping[ItemId, Item], about: Question) -> tuple[Explained, ...]:
    """One per item asked about, in that order; what own intake no longer has is denied."""
    return tuple(
        Explained(decide_item(items[wanted], about), against(items[wanted], about))
        if wanted in items
        else Explained(gone(wanted), (DecisionReason.ITEM_GONE,))
        for wanted in asked
    )


def helps(
    denied: tuple[ItemId, ...], items: Mapping[ItemId, Item], about: Question, age_band: AgeBand | None
) -> tuple[Help, ...]:
    """The consents that would let these items go, as few as there can be; none where no consent helps.

    None does where the recipient may receive nothing at all, where the agency an item came from has said that its basis
    ended, nor where it was entrusted by somebody who is neither the young person nor the guardian (§ 65 SGB VIII).
    """
    if not about.recipient_eligible or age_band is None:
        return ()
    able = frozenset(rightful(age_band, insight=insight) for insight in (True, False))
    together: dict[tuple[frozenset[Giver], frozenset[ConsentForm], bool, Giver | None], list[Item]] = defaultdict(list)
    known = (items[wanted] for wanted in denied if wanted in items)
    for item in (each for each in known if not source_ended(each, about)):
        forms = frozenset(form for form in ConsentForm if strong_enough(form, item.category, special=item.special))
        for givers, cleared_by in _ways(item, able):
            together[givers, forms, item.entrusted, cleared_by].append(item)
    return tuple(
        Help(*how, frozenset(item.category for item in of), tuple(item.id for item in of))
        for how, of in together.items()
    )


def _ways(item: Item, able: frozenset[Giver]) -> Iterable[tuple[frozenset[Giver], Giver | None]]:
    """Who may give a consent for it, and who has to let it go besides: nobody where its entruster gives the consent."""
    if not item.entrusted:
        yield able, None
    elif item.entruster is not None:
        for givers, cleared_by in ((able & {item.entruster}, None), (able - {item.entruster}, item.entruster)):
            if givers:
                yield givers, cleared_by
