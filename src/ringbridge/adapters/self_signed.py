"""A certificate of one's own making, for HTTPS on a laptop (`--https self-signed`): trusted by who is told to alone.

It is kept in the data folder and made again when it has run out or the names on it are others, so that whoever has
told a client to trust it need not do so at every start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringbridge.adapters.data_folder import write_secret

LIFE: Final = timedelta(days=397)
"""What browsers take at the most."""
RENEWED_BEFORE: Final = timedelta(days=7)
ALWAYS_NAMED: Final = ("localhost", "127.0.0.1", "::1")


class CertificateFiles(NamedTuple):
    """PEM files of a certificate and its private key."""

    certificate: Path
    private_key: Path


def ensure_self_signed(folder: Path, names: Sequence[str], *, now: datetime | None = None) -> CertificateFiles:
    """Return the certificate for `names`, addresses or host names, in `folder`; made where it has to be.

    Raises:
        OSError: the folder cannot be written.
    """
    now = now or datetime.now(UTC)
    wanted = tuple(dict.fromkeys((*ALWAYS_NAMED, *names)))
    files = CertificateFiles(folder / "certificate.pem", folder / "private-key.pem")
    if not _is_good(files, wanted, now):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(files, wanted, now)
    return files


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _is_good(files: CertificateFiles, names: Sequence[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = serialization.load_pem_private_key(files.private_key.read_bytes(), None)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    is_pair = key.public_key() == certificate.public_key()
    return (
        is_pair and set(held) == set(_general_names(names)) and certificate.not_valid_after_utc > now + RENEWED_BEFORE
    )


def _make(files: CertificateFiles, names: Sequence[str], now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ringbridge, self-signed")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(files.private_key, private.decode())
    files.certificate.write_bytes(certificate.public_bytes(pem))
