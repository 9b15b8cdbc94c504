"""TLS as an address wants it, and which of its files cannot be used."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from common.postgres_address import SYSTEM


def arguments(wanted: Mapping[str, str]) -> Mapping[str, Any]:
    """Arguments of asyncpg. For each connection anew, so that certificates may be replaced at any time."""
    if wanted.get("sslrootcert") == SYSTEM:
        return {"ssl": _system_context(wanted)}
    # asyncpg reads the files, and what PGSSL… and ~/.postgresql have of the rest, from an address only.
    return {"dsn": f"postgresql://?{urlencode(wanted)}"} if wanted else {}


def _system_context(wanted: Mapping[str, str]) -> ssl.SSLContext:
    """Verify the server by the authorities that the system trusts, and by its name."""
    context = _context()
    context.set_default_verify_paths()
    context.set_alpn_protocols(["postgresql"])
    context.minimum_version = _version(wanted.get("ssl_min_protocol_version", "TLSv1.2"))
    if "ssl_max_protocol_version" in wanted:
        context.maximum_version = _version(wanted["ssl_max_protocol_version"])
    if "sslcrl" in wanted:
        context.load_verify_locations(wanted["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in wanted:
        _load_own(context, wanted)
    return context


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]


def _load_own(context: ssl.SSLContext, wanted: Mapping[str, str]) -> None:
    context.load_cert_chain(wanted["sslcert"], wanted.get("sslkey"), lambda: wanted.get("sslpassword", ""))


def unusable_file(wanted: Mapping[str, str]) -> str | None:
    """Which of the files cannot be used, and why. OpenSSL's errors do not name the file."""

    def verifies(name: str) -> Callable[[], None]:
        return lambda: _context().load_verify_locations(wanted[name])

    own = "sslcert={sslcert} is not a certificate, or its key is another one or needs sslpassword: {error}"
    tries: Mapping[str, tuple[Callable[[], None], str]] = {
        "sslrootcert": (verifies("sslrootcert"), "sslrootcert={sslrootcert} has no certificate: {error}"),
        "sslcrl": (verifies("sslcrl"), "sslcrl={sslcrl} has no list of revoked certificates: {error}"),
        "sslcert": (lambda: _load_own(_context(), wanted), own),
    }
    for name, (load, text) in tries.items():
        if name in wanted and wanted[name] != SYSTEM:
            try:
                load()
            except OSError as error:
                return text.format(**wanted, error=error.strerror)
    return None
