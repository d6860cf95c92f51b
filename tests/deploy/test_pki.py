"""Certificates are renewed in time, and only then."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.embedded.pki import Pki

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WHO = "jobcenter.intake"


def provided(folder: Path, days_later: int = 0) -> Pki:
    pki = Pki(folder, "staffel")
    pki.provide([WHO], NOW + timedelta(days=days_later))
    return pki


def certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_a_certificate_names_cluster_agency_and_service_and_lasts_ninety_days(tmp_path: Path) -> None:
    found = certificate(provided(tmp_path).tls(WHO).certificate)
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == WHO
    assert found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "staffel"
    assert found.not_valid_after_utc == NOW + timedelta(days=90)


def test_a_service_s_certificate_cannot_pose_as_a_server(tmp_path: Path) -> None:
    found = certificate(provided(tmp_path).tls(WHO).certificate)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize(("days_later", "renewed"), [(0, False), (59, False), (61, True), (400, True)])
def test_a_certificate_is_renewed_when_less_than_thirty_days_are_left(
    tmp_path: Path,
    days_later: int,
    renewed: bool,  # a column of the table above
) -> None:
    before = certificate(provided(tmp_path).tls(WHO).certificate)
    after = certificate(provided(tmp_path, days_later).tls(WHO).certificate)
    assert (before != after) is renewed


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    years_later = 5 * 365 - 60  # the authority would end before a certificate made on this day
    before = provided(tmp_path).ca.read_bytes()
    pki = provided(tmp_path, years_later)
    assert pki.ca.read_bytes() != before
    certificate(pki.tls(WHO).certificate).verify_directly_issued_by(certificate(pki.ca))
    certificate(pki.folder / "broker.pem").verify_directly_issued_by(certificate(pki.ca))


def test_who_was_never_named_has_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        provided(tmp_path).tls("jugendamt.intake")


@pytest.mark.parametrize("name", ["Jobcenter.intake", "jobcenter", "admin", "jobcenter.intake\n", "job_center.intake"])
def test_a_name_that_the_broker_would_not_recognise_gets_no_certificate(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Pki(tmp_path, "staffel").provide([name], NOW)
