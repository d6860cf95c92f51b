"""Two copies of a handover and two channels, through every order of events, and whether the promises hold.

Runs either law (the table, or the service's own decisions) and knows nothing of it but the promises: what no row says
does not happen. Then one case with two receivers. The promises I1–I11 are explained in README.md.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from tests.models.laws import REPEATABLE, Act, Broken, Copy, Law, ReceiverCopy, SenderCopy
from tests.models.protocol import (
    AGREED,
    ASKED,
    ENDS,
    HALTED,
    LOCAL,
    RECEIVER_STATES,
    SENDER_STATES,
    UNDECIDED,
    ProtocolRow,
    of_the_protocol,
)

DOOR: Final = frozenset({"accepted", "active", "paused"})
ALONE: Final = frozenset({"withdrawn", "expired", "stopped", "voided"})
MET: Final = frozenset({"active", "paused", "completed"})
DRAFTS: Final = LOCAL | {"draft"}
NOT_MET: Final = ENDS - {"completed", "stopped", "voided"} | ASKED | DRAFTS | {"none", "accepting"} | UNDECIDED
UNDONE: Final = frozenset({"not_reached", "given_back", "cancelled", "completed"})

COLUMNS: Final[Mapping[str, AbstractSet[str | None]]] = {
    "side": {"sender", "receiver"},
    "kind": {"command", "fact", "clock"},
    "from_": {"desk", "door", "clock", "consent", "sender", "receiver"},
    "guard": {None, "basis_valid", "owes_answer"},
    "lead": {"unchanged", "takes", "drops"},
    "duty": {"unchanged", "none", "awaits", "owes", "answered"},
    "data": {"unchanged", "preview", "serve", "store", "purge", "keep_or_purge"},
    "records": {None} | ENDS,
}


class Channel(NamedTuple):
    """Messages in order; how far they are read, and how many have ever been applied (redelivery)."""

    messages: tuple[str, ...] = ()
    read: int = 0
    seen: int = 0

    @property
    def on_the_way(self) -> tuple[str, ...]:
        return self.messages[self.seen :]

    def tell(self, facts: tuple[str, ...]) -> "Channel":
        return Channel(self.messages + facts, self.read, self.seen)


class World(NamedTuple):
    """Everything at one moment: copies, channels, consent, a withdrawal unheard, bytes on the wire, the door."""

    sender: SenderCopy
    receiver: ReceiverCopy
    to_receiver: Channel = Channel()
    to_sender: Channel = Channel()
    consent: bool = True
    unheard: bool = False
    wire: bool = False
    door: tuple[str, bool] | None = None


class Found(NamedTuple):
    """What a run has seen."""

    states: frozenset[World]
    steps: int
    crossed: frozenset[tuple[str, str]]
    fired: frozenset[tuple[str, str, str]]


def check_the_table(rows: Iterable[ProtocolRow]) -> None:
    """The table alone: well formed, deterministic, no end ever left, everything told can be heard somewhere."""
    rows = tuple(rows)
    twice = [key for key, times in Counter(row.key for row in rows).items() if times > 1]
    if twice:
        raise Broken(f"two rows for {twice}")
    kinds: dict[str, str] = {}
    for row in rows:
        _check_row(row)
        if kinds.setdefault(row.on, row.kind) != row.kind:
            raise Broken(f"{row.on} is of two kinds")
    heard = {(row.side, row.from_, row.on) for row in rows}
    for row in rows:
        hearer = "receiver" if row.side == "sender" else "sender"
        if unheard := [fact for fact in row.tells if (hearer, row.side, fact) not in heard]:
            raise Broken(f"nobody ever hears {unheard}")


def _check_row(row: ProtocolRow) -> None:
    for column, words in COLUMNS.items():
        if getattr(row, column) not in words:
            raise Broken(f"unknown word in column {column}: {row}")
    if not {row.while_, row.then} <= (SENDER_STATES if row.side == "sender" else RECEIVER_STATES):
        raise Broken(f"unknown state: {row}")
    if row.while_ in ENDS and row.then != row.while_:
        raise Broken(f"I4: an end is left: {row}")
    if row.kind != "fact" and row.then == row.while_ and not row.tells and row.data == "unchanged":
        raise Broken(f"a row that does nothing: {row}")


class Explorer:
    """The steps of one law; remembers which rows have fired."""

    def __init__(self, law: Law, *, redelivery: bool = False, room: int = 3) -> None:
        self.law, self._redelivery, self._room = law, redelivery, room
        self.fired: set[tuple[str, str, str]] = set()

    def steps(self, at: World) -> Iterator[tuple[World, Act | None]]:
        """Every world that can come next, and the act of a copy that leads there."""
        yield from self._sender_acts(at)
        yield from self._receiver_acts(at)
        yield from self._consent_ends(at)
        yield from self._bytes(at)
        yield from self._receiver_hears(at)
        yield from self._sender_hears(at)

    def _sender_acts(self, at: World) -> Iterator[tuple[World, Act | None]]:
        for act in self.law.acts("sender", at.sender):
            # The copy goes by the last word it has heard; only the door asks what is valid at this instant.
            if act.guard == "basis_valid" and not (at.consent or at.unheard):
                continue
            if act.on in REPEATABLE and len(at.to_receiver.messages) >= self._room:
                continue
            yield from self._sender(at, act)

    def _receiver_acts(self, at: World) -> Iterator[tuple[World, Act | None]]:
        for act in self.law.acts("receiver", at.receiver):
            if act.guard == "owes_answer" and at.receiver.duty != "owes":
                continue
            if act.on in REPEATABLE and len(at.to_sender.messages) >= self._room:
                continue
            yield from self._receiver(at, act)

    def _consent_ends(self, at: World) -> Iterator[tuple[World, Act | None]]:
        if at.consent:
            yield at._replace(consent=False, unheard=True), None
        if at.unheard:
            act = self._heard("sender", at.sender, "ConsentWithdrawn")
            yield from self._sender(at._replace(unheard=False), act)

    def _bytes(self, at: World) -> Iterator[tuple[World, Act | None]]:
        opens = self.law.opens(at.sender)
        wanted = not at.wire and self.law.stores(at.receiver) is not None
        if wanted and opens is not None and (at.consent or opens.guard != "basis_valid"):
            yield from self._sender(at._replace(wire=True, door=(at.sender.state, at.consent)), opens)
        if at.wire:
            landed, stores = at._replace(wire=False), self.law.stores(at.receiver)
            if stores is None:
                yield landed, None
            else:
                yield from self._receiver(landed, stores)

    def _receiver_hears(self, at: World) -> Iterator[tuple[World, Act | None]]:
        for channel, fact in self._read(at.to_receiver):
            there = at._replace(to_receiver=channel)
            if fact is None:
                yield there, None
            else:
                yield from self._receiver(there, self._heard("receiver", at.receiver, fact))

    def _sender_hears(self, at: World) -> Iterator[tuple[World, Act | None]]:
        for channel, fact in self._read(at.to_sender):
            there = at._replace(to_sender=channel)
            if fact is None:
                yield there, None
            else:
                yield from self._sender(there, self._heard("sender", at.sender, fact))

    def _read(self, channel: Channel) -> Iterator[tuple[Channel, str | None]]:
        """Read the next message (None: applied before); with redelivery forget the oldest, or the position."""
        messages, read, seen = channel
        if read < len(messages):
            if not self._redelivery:
                yield Channel(messages[1:]), messages[0]
            else:
                new = read + 1 > seen
                yield Channel(messages, read + 1, max(seen, read + 1)), messages[read] if new else None
        if read:
            yield Channel(messages[1:], read - 1, seen - 1), None
            yield Channel(messages, 0, seen), None

    def _heard(self, side: str, copy: Copy, fact: str) -> Act:
        act = self.law.hears(side, copy, fact)
        if act is None:
            raise Broken(f"I6: {side} in {copy.state} hears {fact}: no rule")
        return act

    def _sender(self, at: World, act: Act) -> Iterator[tuple[World, Act | None]]:
        self.fired.add(act.row)
        told = at.to_receiver.tell(act.tells) if act.tells else at.to_receiver
        for copy in act.after:
            assert isinstance(copy, SenderCopy)
            yield World(copy, at.receiver, told, *at[3:]), act

    def _receiver(self, at: World, act: Act) -> Iterator[tuple[World, Act | None]]:
        self.fired.add(act.row)
        told = at.to_sender.tell(act.tells) if act.tells else at.to_sender
        for copy in act.after:
            assert isinstance(copy, ReceiverCopy)
            yield World(at.sender, copy, at.to_receiver, told, *at[4:]), act


# --- the promises -----------------------------------------------------------------------------------------------------


def check(at: World) -> None:
    """Every promise about one moment."""
    _check_lead(at)
    _check_door(at)
    _check_data(at)
    if not at.to_sender.on_the_way and not at.to_receiver.on_the_way:
        _check_quiet(at)


def _check_lead(at: World) -> None:
    s, r = at.sender, at.receiver
    if not (s.lead or r.lead):
        raise Broken("I1: nobody leads")
    if (s.lead and r.lead) != ("FirstContactMade" in at.to_sender.on_the_way):
        raise Broken("I2: both lead without a first contact on its way, or the other way round")
    may_meet = r.lead or r.state in UNDECIDED or "AcceptanceConfirmed" in at.to_receiver.on_the_way
    if s.state in ENDS and s.lead and not s.awaits and may_meet:
        raise Broken("I11: no word is awaited, and the lead may still go")
    wrong_here = (s.state in MET and s.lead) or (s.state in NOT_MET and not s.lead)
    wrong_there = (r.state in MET and not r.lead) or (r.state in NOT_MET and r.lead)
    if wrong_here or wrong_there:
        raise Broken("I8: the lead does not follow first contact")


def _check_door(at: World) -> None:
    if at.door and not (at.door[0] in DOOR and at.door[1]):
        raise Broken(f"I3: the door opened while {at.door}")
    if not at.consent and not at.unheard and at.sender.state not in ENDS | DRAFTS:
        raise Broken("I9: consent was withdrawn, and the handover goes on")


def _check_data(at: World) -> None:
    r = at.receiver
    too_much = r.holds == "dossier" and r.state not in AGREED | {"completed", "stopped"}
    if too_much or (r.holds == "nothing" and r.state in ASKED | AGREED | {"accepting"}):
        raise Broken(f"I7: the receiver holds {r.holds} in {r.state}")
    gone = r.state in ENDS - {"completed", "stopped"} or r.recorded == "voided"
    if r.holds != "nothing" and (gone or ("stopped" in (r.state, r.recorded) and r.duty == "none")):
        raise Broken(f"I7: the receiver still holds {r.holds} in {r.state}")


def _check_quiet(at: World) -> None:
    """Nothing is on its way: the two copies must fit."""
    s, r = at.sender, at.receiver
    same = s.state == r.state and s.recorded == r.recorded == "-"
    never_sent = r.state == "none" and s.state in DRAFTS | {"withdrawn", "stopped"}
    recorded = s.recorded == r.state and r.recorded == s.state
    crossed = (s.state in ALONE and r.state == "rejected") or (s.state in HALTED and r.state in UNDONE)
    if not (same or never_sent or (recorded and crossed)):
        raise Broken(f"I5: all is quiet, but {s.state}/{s.recorded} here and {r.state}/{r.recorded} there")
    if s.lead == r.lead:
        raise Broken("I5: all is quiet, but they do not agree on who leads")
    if (s.duty == "awaits") != (r.duty == "owes") or (s.duty == "answered") != (r.duty == "answered"):
        raise Broken(f"I5: all is quiet, but {s.duty} here and {r.duty} there")
    if s.asked and s.state not in ENDS | {"cancelling"}:
        raise Broken("I10: a cancel request was never answered")
    if s.awaits:
        raise Broken("I11: all is quiet, and the word awaited never came")


def check_step(before: World, after: World) -> None:
    """Every promise about two moments in a row."""
    for a, b in ((before.sender, after.sender), (before.receiver, after.receiver)):
        if a.state in ENDS and a.state != b.state:
            raise Broken("I4: an end was left")
    if before.sender.state in DRAFTS and after.sender.state == "requested" and not (before.consent or before.unheard):
        raise Broken("I3: asked, and the last word heard was that there is no basis")
    if before.unheard and not after.unheard and after.sender.state not in ENDS:
        raise Broken("I9: a withdrawal was heard, and the handover goes on")
    if (before.receiver.lead and not after.receiver.lead) or (after.sender.lead and not before.sender.lead):
        raise Broken("I8: the lead came back")


# --- the runs ---------------------------------------------------------------------------------------------------------


def explore(
    law: Law, *, redelivery: bool = False, room: int = 3, limit: int = 3_000_000, enough: int | None = None
) -> Found:
    """One handover, from a draft with a legal basis and from one without, until nothing new happens.

    More than `limit` states are a law without an end; `enough` states are looked at and no more, the nearest first.
    """
    explorer = Explorer(law, redelivery=redelivery, room=room)
    with_basis = World(law.begins, ReceiverCopy("none", False, "none", "-", "nothing"))
    starts = (with_basis, with_basis._replace(consent=False))
    came_from: dict[World, World | None] = dict.fromkeys(starts)
    todo, steps, crossed, at = deque(starts), 0, set(), with_basis
    try:
        while todo and (enough is None or len(came_from) < enough):
            at = todo.popleft()
            check(at)
            _check_end(len(came_from), limit)
            if at.sender.recorded != "-" and at.receiver.recorded != "-":
                crossed.add((at.sender.state, at.receiver.state))
            for then, _ in explorer.steps(at):
                steps += 1
                check_step(at, then)
                if then not in came_from:
                    came_from[then] = at
                    todo.append(then)
    except Broken as broken:
        broken.path = list(_path(came_from, at))
        raise
    return Found(frozenset(came_from), steps, frozenset(crossed), frozenset(explorer.fired))


def _check_end(states: int, limit: int) -> None:
    if states > limit:
        raise Broken("no end: the exchange can go round for ever")


def _path(came_from: dict[World, World | None], at: World | None) -> Iterator[World]:
    while at is not None:
        yield at
        at = came_from[at]


def in_the_protocol(at: World) -> World:
    """The same moment in the protocol's words: local states are draft, and it knows no baton."""
    return at._replace(sender=at.sender._replace(state=of_the_protocol(at.sender.state), baton=False))


def check_coverage(found: Found, rows: Iterable[ProtocolRow]) -> None:
    """Every row has fired, every state was reached, and a receiver that owes an answer could both erase and retain."""
    if silent := {row.key for row in rows} - found.fired:
        raise Broken(f"rows that never fire: {sorted(silent)}")
    senders = {of_the_protocol(at.sender.state) for at in found.states}
    if missing := (SENDER_STATES - senders) | (RECEIVER_STATES - {at.receiver.state for at in found.states}):
        raise Broken(f"states that are never reached: {sorted(missing)}")
    answered = {(at.receiver.state, at.receiver.holds) for at in found.states if at.receiver.duty == "answered"}
    if lost := {(end, holds) for end in ("stopped", "completed") for holds in ("nothing", "dossier")} - answered:
        raise Broken(f"a receiver may not both erase and retain: {sorted(lost)}")
