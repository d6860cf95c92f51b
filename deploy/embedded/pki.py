"""A certificate authority made on the spot: one certificate per service, for the broker, for the administrator."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.embedded.files import PUBLIC, private_folder, write

BROKER = "broker"
ADMIN = "admin"
CERTIFICATE_DAYS = 90
RENEW_DAYS = 30  # renewed at a start when less is left
AUTHORITY_DAYS = 5 * 365
PRINCIPAL = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")  # the broker's rule maps nothing else
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of what a client shows and trusts, all PEM; the key has no password and is readable by its owner alone."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """The key that signs, and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class Pki:
    """The folder with the authority and all certificates of one cluster."""

    folder: Path
    cluster: str
    hosts: tuple[str, ...] = ()  # names under which the broker is reached, beside this machine's own

    @property
    def ca(self) -> Path:
        """The certificate everybody trusts."""
        return self.folder / "ca.pem"

    @property
    def broker(self) -> Path:
        """Key and certificate of the broker in one file, as Kafka wants it."""
        return self.folder / "broker.keystore.pem"

    def tls(self, principal: str) -> Tls:
        """The files of a principal, `<agency>.<service>` or `admin`; FileNotFoundError when it was never made."""
        tls = Tls(self.ca, self.folder / f"{principal}.pem", self.folder / f"{principal}.key")
        if not tls.certificate.exists():
            raise FileNotFoundError(f"no certificate was made for {principal}")
        return tls

    def provide(self, principals: Sequence[str], now: datetime) -> None:
        """Make what is missing, renew what has less than 30 days left. Raises ValueError for a name of another form."""
        for name in principals:
            if not PRINCIPAL.fullmatch(name):
                raise ValueError(f"{name} is no name that Kafka would recognise: {PRINCIPAL.pattern}")
        private_folder(self.folder)
        authority = self._authority(now)
        for name in (BROKER, ADMIN, *principals):
            if not self._is_good(name, authority, now):
                self._issue(name, authority, now)
        key, certificate = self.folder / f"{BROKER}.key", self.folder / f"{BROKER}.pem"
        write(self.broker, key.read_bytes() + certificate.read_bytes())

    def _authority(self, now: datetime) -> Authority:
        key_file = self.folder / "ca.key"
        if key_file.exists() and self.ca.exists():
            authority = Authority(_load_key(key_file), x509.load_pem_x509_certificate(self.ca.read_bytes()))
            if authority.certificate.not_valid_after_utc > now + timedelta(days=CERTIFICATE_DAYS):
                return authority  # outlives whatever it signs today
        authority = _new_authority(self.cluster, now)
        write(key_file, _pem(authority.key))
        write(self.ca, authority.certificate.public_bytes(Encoding.PEM), PUBLIC)
        return authority

    def _is_good(self, name: str, authority: Authority, now: datetime) -> bool:
        file = self.folder / f"{name}.pem"
        if not (file.exists() and (self.folder / f"{name}.key").exists()):
            return False
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        try:
            certificate.verify_directly_issued_by(authority.certificate)
        except (ValueError, InvalidSignature):  # of an authority that is no longer ours
            return False
        lasts = certificate.not_valid_after_utc > now + timedelta(days=RENEW_DAYS)
        named = name != BROKER or set(self.hosts) <= _hosts_of(certificate)
        return lasts and named and certificate.subject == _subject(self.cluster, name)

    def _issue(self, name: str, authority: Authority, now: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(self.cluster, name), key.public_key(), now, CERTIFICATE_DAYS)
        builder = _for_broker(builder, self.hosts) if name == BROKER else _for_client(builder)
        issuer = authority.certificate
        certificate = (
            builder.issuer_name(issuer.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(_issuer_id(issuer), critical=False)
            .sign(authority.key, hashes.SHA256())
        )
        write(self.folder / f"{name}.key", _pem(key))
        write(self.folder / f"{name}.pem", certificate.public_bytes(Encoding.PEM), PUBLIC)


def _new_authority(cluster: str, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(cluster, "authority")
    certificate = (
        _builder(name, key.public_key(), now, AUTHORITY_DAYS)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def _builder(
    subject: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _hosts_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


def _for_broker(builder: x509.CertificateBuilder, hosts: Sequence[str]) -> x509.CertificateBuilder:
    """Both usages: the broker is the client of the controller, too."""
    here = [*map(x509.DNSName, ("localhost", *hosts)), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return builder.add_extension(x509.SubjectAlternativeName(here), critical=False).add_extension(
        x509.ExtendedKeyUsage(both), critical=False
    )


def _for_client(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)


def _subject(cluster: str, name: str) -> x509.Name:
    """Name, then cluster: Java reads it backwards, `O=<cluster>,CN=<name>`, on which the broker's rule is anchored."""
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster)]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{file.name} holds no key on an elliptic curve")
    return key
