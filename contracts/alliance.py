"""The alliance file: which agencies cooperate, on which agreements and which approved statutory bases.

`Alliance.model_validate(dict)` is the only way in; a refusal names the place in the file.
"""

import hashlib
import json
from datetime import date, datetime
from itertools import combinations, permutations
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.codes import (
    AgencyKind,
    DataCategory,
    EntrustedException,
    JobcenterKind,
    Kind,
    LegalBasis,
    Purpose,
    Service,
    Sphere,
)
from contracts.ids import AgencyId, AllianceId

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+[^\s?#/]$", max_length=200)]
Days = Annotated[int, Field(ge=1, le=366)]
# The name of an officer stands in one cell of a table with other parts, which a line or an upright stroke separates.
Officer = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^|\r\n]+$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]  # SHA-256

SPHERE_OF: dict[AgencyKind, Sphere] = {
    AgencyKind.JOBCENTER: Sphere.SGB_II,
    AgencyKind.AGENTUR: Sphere.SGB_III,
    AgencyKind.JUGENDAMT: Sphere.SGB_VIII,
    AgencyKind.SCHULE: Sphere.SCHULE,
    AgencyKind.PROVIDER: Sphere.DRITTE,
}
STATUTORY_BASES = frozenset({
    LegalBasis.SGB_X_69_1_1, LegalBasis.SGB_II_50_1, LegalBasis.SGB_III_31A, LegalBasis.SGB_VIII_65_EXCEPTION,
    LegalBasis.STATE_LAW,
})
# § 35 SGB I binds the social agencies only: schools and third parties need the law of the Land or § 31a SGB III. What
# was entrusted to a youth office may reach third parties by § 65 SGB VIII, never schools: see the next table.
OUTSIDE_SOCIAL_LAW = frozenset({Sphere.SCHULE, Sphere.DRITTE})
BASES_OUTSIDE_SOCIAL_LAW = frozenset(
    {LegalBasis.SGB_III_31A, LegalBasis.SGB_VIII_65_EXCEPTION, LegalBasis.STATE_LAW}
)
# § 65(1) SGB VIII: Nr. 3 is from youth office to youth office, Nr. 4 to those who help it to assess a risk (§ 8a).
# Nr. 5 names no receiver; schools are left out, as with everything else of the social code.
RECEIVERS_OF_65: dict[EntrustedException, frozenset[Sphere]] = {
    EntrustedException.RESPONSIBILITY_CHANGED: frozenset({Sphere.SGB_VIII}),
    EntrustedException.RISK_ASSESSED: frozenset({Sphere.SGB_VIII, Sphere.DRITTE}),
    EntrustedException.AS_UNDER_203_STGB: frozenset(Sphere) - {Sphere.SCHULE},
}
# § 31a SGB III lists its fields: to the Agentur name, birth date, sex, address and (expected) school certificate; back
# to the Land, where the offer was not used and nobody objected, name, birth date and address. It knows no other way.
FIELDS_OF_31A: dict[tuple[Sphere, Sphere], frozenset[DataCategory]] = {
    (Sphere.SCHULE, Sphere.SGB_III): frozenset({DataCategory.MASTER_DATA, DataCategory.SCHOOL}),
    (Sphere.SGB_III, Sphere.SCHULE): frozenset({DataCategory.MASTER_DATA}),
}
PRIVATE_JWK_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})  # RFC 7518, 6; RFC 8037, 2


class FilePart(BaseModel):
    """A piece of the file. A misspelt field would silently switch a rule off, so unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PublicKey(FilePart):
    """A public key of an agency and when it is valid; two at a time, overlapping, make a rotation."""

    kid: Line
    jwk: dict[str, str]
    not_before: AwareDatetime
    not_after: AwareDatetime

    @model_validator(mode="after")
    def _public_and_in_order(self) -> Self:
        if private := sorted(PRIVATE_JWK_MEMBERS & self.jwk.keys()):
            raise ValueError(f"jwk: holds private members {', '.join(private)}")
        if self.jwk.get("kty") not in {"OKP", "EC", "RSA"}:
            raise ValueError("jwk: kty must be OKP, EC or RSA")
        if self.not_after <= self.not_before:
            raise ValueError("not_after: must be later than not_before")
        return self

    def valid(self, at: datetime) -> bool:
        """Whether the key may be used at that instant."""
        return self.not_before <= at < self.not_after


Keys = Annotated[tuple[PublicKey, ...], Field(max_length=2)]


class Office(FilePart):
    """Where people reach an agency (Art. 13(1)(a) GDPR): always an office, never a person."""

    street: Line
    postal_code: Line
    city: Line
    phone: Line
    email: Line


class Agency(FilePart):
    """One organisation: one sphere, one controller under data-protection law, one node."""

    id: AgencyId
    name: Line
    kind: AgencyKind
    sphere: Sphere
    jobcenter_kind: JobcenterKind | None = None
    office: Office | None = None  # stands on receipts and notices
    issuer: Line  # `iss` of every token this agency signs
    door_url: Address | None = None  # base address of its consent service; an installation may fill it in
    # Base addresses of its services whose feeds others read what they missed from; an installation may fill them in.
    feed_urls: dict[Service, Address] = Field(default_factory=dict)
    data_protection_agreement_until: date | None = None  # § 61(3) SGB VIII: a free provider needs one
    signing_keys: Keys = ()
    sealing_keys: Keys = ()

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.sphere is not SPHERE_OF[self.kind]:
            raise ValueError(f"sphere: a {self.kind} works under {SPHERE_OF[self.kind]}")
        if (self.kind is AgencyKind.JOBCENTER) != (self.jobcenter_kind is not None):
            raise ValueError("jobcenter_kind: ge or zkt for a jobcenter, for nobody else")
        if self.kind is AgencyKind.PROVIDER and self.data_protection_agreement_until is None:
            raise ValueError("data_protection_agreement_until: a free provider needs one (§ 61(3) SGB VIII)")
        if Service.INTAKE in self.feed_urls:
            raise ValueError("feed_urls: nobody but the agency itself reads what its intake says")
        for field, keys in (("signing_keys", self.signing_keys), ("sealing_keys", self.sealing_keys)):
            if len({key.kid for key in keys}) != len(keys):
                raise ValueError(f"{field}: two keys with one kid")
        return self

    def may_receive(self, on: date) -> bool:
        """Whether data may go there at all: a free provider's data-protection agreement ends with its last day."""
        until = self.data_protection_agreement_until
        return until is None or on <= until


class Deadlines(FilePart):
    """How long one side waits for the other, agreed per pair. Days are calendar days unless named otherwise."""

    remind_days: Days = 3
    escalate_days: Days = 7
    respond_days: Days = 14  # then the request expires; `protection` escalates instead
    inquiry_days: Days = 7  # the longest an open question stops that clock
    redirect_days: Days = 7
    waitlist_days: Days = 30  # the latest review, and what is waited after the second missed one
    contact_working_days: Days = 10
    duty_answer_days: Days = 14

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.remind_days < self.escalate_days < self.respond_days:
            raise ValueError("remind_days: must be less than escalate_days, and that less than respond_days")
        return self


class Agreement(FilePart):
    """An interface agreement: what `from` may hand over to `to`, for what, and how long each waits.

    The other direction needs an agreement of its own; answering is part of both, so the channels run both ways.
    """

    id: Line
    sender: AgencyId = Field(alias="from")
    receiver: AgencyId = Field(alias="to")
    kinds: tuple[Kind, ...] = Field(min_length=1)
    purposes: tuple[Purpose, ...] = Field(min_length=1)
    deadlines: Deadlines = Deadlines()
    contact: Line  # of a function, never of a person
    valid_from: date
    valid_until: date

    @model_validator(mode="after")
    def _between_two_and_in_order(self) -> Self:
        if self.sender == self.receiver:
            raise ValueError("to: an agency has no agreement with itself")
        if self.valid_until < self.valid_from:
            raise ValueError("valid_until: earlier than valid_from")
        return self

    def valid(self, on: date) -> bool:
        """Whether the agreement holds on that day; the last day counts."""
        return self.valid_from <= on <= self.valid_until

    def allows(self, kind: Kind, purpose: Purpose) -> bool:
        """Whether such a handover is agreed; answering one always is."""
        return kind in self.kinds and (purpose in self.purposes or purpose is Purpose.ANSWER_TO_HANDOVER)

    def overlaps(self, other: "Agreement") -> bool:
        """Whether both would hold for one direction on one day."""
        same_direction = (self.sender, self.receiver) == (other.sender, other.receiver)
        return same_direction and self.valid_from <= other.valid_until and other.valid_from <= self.valid_until


class Approval(FilePart):
    """The yes of an agency's data-protection officer to a row as it was then; `digest` says how it was."""

    agency: AgencyId
    officer: Officer
    approved_on: date
    digest: Digest


class StatutoryBasis(FilePart):
    """A row of the matrix: what may go from sphere to sphere without consent, for which task, on which norm.

    Between two agencies it counts when the data-protection officers of both have approved it as it stands: whoever
    changes it afterwards has a proposal, which permits nothing. `ended_on` ends it early and takes away only, so nobody
    is asked again. A duty to cooperate (§ 81 SGB VIII, § 86 SGB X) may be its task, never its basis.

    A row on § 65(1) SGB VIII names its number (`exception`) and lets go what was entrusted, and nothing else; no other
    row lets go anything of that.
    """

    sender: Sphere = Field(alias="from")
    receiver: Sphere = Field(alias="to")
    jobcenter_kind: JobcenterKind | None = None  # of the one side that is a Jobcenter; none named: of either kind
    basis: LegalBasis
    exception: EntrustedException | None = None  # the number, where the basis is § 65(1) SGB VIII
    norm: Line  # of the task, for example "§ 13 SGB VIII"
    task: Line
    categories: tuple[DataCategory, ...] = Field(min_length=1)
    valid_from: date
    valid_until: date
    ended_on: date | None = None
    approvals: tuple[Approval, ...] = ()

    @model_validator(mode="after")
    def _can_be_a_basis(self) -> Self:
        if self.basis not in STATUTORY_BASES:
            raise ValueError("basis: not a statutory basis that a matrix can hold")
        outside = {self.sender, self.receiver} & OUTSIDE_SOCIAL_LAW
        if outside and self.basis not in BASES_OUTSIDE_SOCIAL_LAW:
            raise ValueError("basis: schools and third parties need state_law or sgb_iii_31a")
        if self.basis is LegalBasis.SGB_III_31A:
            self._names_what_31a_lists()
        if self.jobcenter_kind is not None and (self.sender is Sphere.SGB_II) is (self.receiver is Sphere.SGB_II):
            raise ValueError("jobcenter_kind: of one side, and only where that is SGB_II")
        return self

    def _names_what_31a_lists(self) -> None:
        listed = FIELDS_OF_31A.get((self.sender, self.receiver))
        if listed is None:
            raise ValueError("basis: § 31a SGB III is between the school's side and the Agentur only")
        if beyond := set(self.categories) - listed:
            raise ValueError(f"categories: § 31a SGB III does not list {', '.join(sorted(beyond))} on this way")

    @model_validator(mode="after")
    def _fits_65(self) -> Self:
        if not self.of_entrusted:
            if self.exception is not None:
                raise ValueError("exception: only where the basis is sgb_viii_65_exception")
            return self
        if self.exception is None:
            raise ValueError("exception: sgb_viii_65_exception needs the number of § 65(1) SGB VIII")
        if self.sender is not Sphere.SGB_VIII:
            raise ValueError("from: § 65 SGB VIII is about what was entrusted to a youth office")
        if self.receiver not in RECEIVERS_OF_65[self.exception]:
            raise ValueError(f"to: no receiver of {self.exception} of § 65(1) SGB VIII")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.valid_until < self.valid_from:
            raise ValueError("valid_until: earlier than valid_from")
        if self.ended_on is not None and not self.valid_from <= self.ended_on <= self.valid_until:
            raise ValueError("ended_on: not between valid_from and valid_until")
        _refuse_twice("approvals", "agency", [approval.agency for approval in self.approvals])
        return self

    @property
    def of_entrusted(self) -> bool:
        """Whether it lets go what was entrusted, and nothing else; every other row lets go everything but that."""
        return self.basis is LegalBasis.SGB_VIII_65_EXCEPTION

    @property
    def last_day(self) -> date:
        """The last day on which the row can count."""
        return self.ended_on or self.valid_until

    @property
    def digest(self) -> str:
        """SHA-256 of what an officer says yes to: all that the row says, whatever the order of its categories.

        Absent fields are left out, so that a field added in a later version ends no approval.
        """
        said = self.model_dump(mode="json", by_alias=True, exclude={"approvals", "ended_on"}, exclude_none=True)
        said["categories"] = sorted(set(said["categories"]))
        return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def between(self, sender: Agency, receiver: Agency) -> bool:
        """Whether it is about these two: by their spheres, and by the kind of the Jobcenter among them."""
        way = (self.sender, self.receiver) == (sender.sphere, receiver.sphere)
        return way and self.jobcenter_kind in {None, sender.jobcenter_kind, receiver.jobcenter_kind}

    def approval(self, agency: AgencyId) -> Approval | None:
        """That agency's approval of the row as it stands; None where there is none, or of another wording only."""
        return next((yes for yes in self.approvals if yes.agency == agency and yes.digest == self.digest), None)

    def approved(self, approval: Approval) -> Self:
        """The same row with this approval, in the place of an older one by the same agency."""
        others = tuple(yes for yes in self.approvals if yes.agency != approval.agency)
        return self.model_copy(update={"approvals": (*others, approval)})

    def holds(self, sender: Agency, receiver: Agency, on: date) -> bool:
        """Whether this row is one of that way, valid that day, and approved by both until then."""
        if not (self.between(sender, receiver) and self.valid_from <= on <= self.last_day):
            return False
        said = [self.approval(agency.id) for agency in (sender, receiver)]
        return all(yes is not None and yes.approved_on <= on for yes in said)

    def overlaps(self, other: "StatutoryBasis") -> bool:
        """Whether both could count on one way and day for one norm.

        A task is stated by its norm, so the wider row would let go what the narrower one was written to stop; and one
        statement must not let go what was entrusted together with what was not.
        """
        alike = (self.sender, self.receiver, self.norm) == (other.sender, other.receiver, other.norm)
        alike = alike and (self.basis is other.basis or self.of_entrusted or other.of_entrusted)
        kinds = {self.jobcenter_kind, other.jobcenter_kind}
        same_jobcenter = None in kinds or len(kinds) == 1
        return alike and same_jobcenter and self.valid_from <= other.last_day and other.valid_from <= self.last_day


class Partitions(FilePart):
    """Partitions per kind of topic, chosen once: with another count a key would change its partition."""

    own: int = Field(default=3, ge=1, le=96)
    channel: int = Field(default=3, ge=1, le=96)
    catalogue: int = Field(default=1, ge=1, le=96)


class Alliance(FilePart):
    """A cooperation of agencies. It is no legal person and owns no data; this is all there is of it."""

    id: AllianceId
    version: int = Field(ge=1)  # rises with every change; told with every decision and channel event
    name: Line
    cluster: Line  # name of the Kafka cluster it uses
    partitions: Partitions = Partitions()
    agencies: tuple[Agency, ...] = Field(min_length=2)
    agreements: tuple[Agreement, ...] = ()
    matrix: tuple[StatutoryBasis, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        _refuse_twice("agencies", "id", [agency.id for agency in self.agencies])
        _refuse_twice("agencies", "issuer", [agency.issuer for agency in self.agencies])
        _refuse_twice("agreements", "id", [agreement.id for agreement in self.agreements])
        known = {agency.id for agency in self.agencies}
        for number, agreement in enumerate(self.agreements):
            for field, agency in (("from", agreement.sender), ("to", agreement.receiver)):
                if agency not in known:
                    raise ValueError(f"agreements.{number}.{field}: no agency '{agency}' in this alliance")
        for (_, one), (number, other) in combinations(enumerate(self.agreements), 2):
            if one.overlaps(other):
                raise ValueError(f"agreements.{number}.valid_from: overlaps with agreement '{one.id}'")
        return self

    @model_validator(mode="after")
    def _matrix_hangs_together(self) -> Self:
        for number, row in enumerate(self.matrix):
            concerned = {agency.id for agency in self.concerned(row)}
            for approval in row.approvals:
                if approval.agency not in concerned:
                    raise ValueError(f"matrix.{number}.approvals: no agency '{approval.agency}' on either side")
        for (first, one), (number, other) in combinations(enumerate(self.matrix), 2):
            if one.overlaps(other):
                raise ValueError(f"matrix.{number}.valid_from: overlaps with row {first + 1} of the same norm and way")
        return self

    def agency(self, agency: AgencyId) -> Agency | None:
        """The agency of that id; None if it is not in this alliance."""
        return next((known for known in self.agencies if known.id == agency), None)

    def agency_of_issuer(self, issuer: str) -> Agency | None:
        """The agency that signs its tokens with this `iss`; None if there is none."""
        return next((known for known in self.agencies if known.issuer == issuer), None)

    def agreement(self, sender: AgencyId, receiver: AgencyId, on: date) -> Agreement | None:
        """The agreement by which `sender` may hand over to `receiver` on that day; there is at most one."""
        held = (a for a in self.agreements if (a.sender, a.receiver) == (sender, receiver) and a.valid(on))
        return next(held, None)

    def pairs(self) -> tuple[tuple[AgencyId, AgencyId], ...]:
        """All ways between two agencies, both directions of every pair with any agreement in the file, sorted.

        Validity does not count here: a handover may outlive its agreement and must still be finished.
        """
        agreed = {(a.sender, a.receiver) for a in self.agreements}
        return tuple(sorted(agreed | {(receiver, sender) for sender, receiver in agreed}))

    def rows(self, sender: AgencyId, receiver: AgencyId, on: date) -> tuple[StatutoryBasis, ...]:
        """The approved rows of the matrix that hold on that way that day; mostly none."""
        giving, taking = self.agency(sender), self.agency(receiver)
        if giving is None or taking is None:
            return ()
        return tuple(row for row in self.matrix if row.holds(giving, taking, on))

    def concerned(self, row: StatutoryBasis) -> tuple[Agency, ...]:
        """The agencies whose officers a row needs: each that is on one of its sides, whoever is on the other."""
        ways = ((one, other) for one, other in permutations(self.agencies, 2) if row.between(one, other))
        named = {agency.id for way in ways for agency in way}
        return tuple(agency for agency in self.agencies if agency.id in named)

    def signing_key(self, agency: AgencyId, kid: str, at: datetime) -> PublicKey | None:
        """The key with which that agency's signature is checked; None where the answer is `unknown-key`."""
        found = self.agency(agency)
        keys = found.signing_keys if found else ()
        return next((key for key in keys if key.kid == kid and key.valid(at)), None)

    def sealing_key(self, agency: AgencyId, at: datetime) -> PublicKey | None:
        """The key to seal to that agency: of those valid now the one that is valid longest; None if there is none."""
        found = self.agency(agency)
        keys = [key for key in (found.sealing_keys if found else ()) if key.valid(at)]
        return max(keys, key=lambda key: key.not_after, default=None)


def _refuse_twice(place: str, field: str, values: list[str]) -> None:
    seen: set[str] = set()
    for number, value in enumerate(values):
        if value in seen:
            raise ValueError(f"{place}.{number}.{field}: '{value}' is there twice")
        seen.add(value)
