"""Certificates for the tests: an authority of their own, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_LIFE = timedelta(days=2)


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, in the PEM files NAME.pem and NAME.key.pem; `chain` has both."""

    certificate: Path
    key: Path
    chain: Path


class Authority:
    """Signs certificates, and writes them into a folder."""

    def __init__(self, folder: Path, name: str = "Test authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        made = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / f"{name.replace(' ', '-')}.pem"
        self.certificate.write_bytes(made.public_bytes(Encoding.PEM))

    def sign(self, name: str, *hosts: str, password: str = "") -> Signed:
        """A certificate of `name` for these hosts, with its key, which a password encrypts."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(name), key)
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        made = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        encryption: KeySerializationEncryption = (
            BestAvailableEncryption(password.encode()) if password else NoEncryption()
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        files = Signed(*(self._folder / f"{name}{kind}.pem" for kind in ("", ".key", ".chain")))
        files.certificate.write_bytes(made)
        files.key.write_bytes(secret)
        files.key.chmod(0o600)  # as PostgreSQL wants it
        files.chain.write_bytes(secret + made)
        return files

    def revoke(self, signed: Signed) -> Path:
        """A list of what is revoked, with this one in it."""
        now, named = datetime.now(UTC), x509.load_pem_x509_certificate(signed.certificate.read_bytes())
        entry = x509.RevokedCertificateBuilder().serial_number(named.serial_number)
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - _LIFE)
            .next_update(now + _LIFE)
            .add_revoked_certificate(entry.revocation_date(now - _LIFE / 2).build())
            .sign(self._key, hashes.SHA256())
        )
        file = signed.certificate.with_suffix(".crl")
        file.write_bytes(made.public_bytes(Encoding.PEM))
        return file

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _LIFE)
            .not_valid_after(now + _LIFE)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
