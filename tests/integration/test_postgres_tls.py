"""PostgreSQL with TLS: the modes of libpq, certificates of servers and of clients, and what is said of wrong
ones.
"""

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import uniform
from secrets import token_hex
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from adapters.postgres.engine import create_engine, driver
from adapters.postgres.errors import explained
from application.errors import Unavailable
from entrypoints.commands import doctor
from entrypoints.commands.findings import Mark
from tests.certificates import Authority
from tests.conftest import as_read, installation
from tests.postgres_servers import TcpPostgres, goes_the_whole_way, installed_versions, running
from tests.product import Product
from workbench.embedded import EmbeddedServers
from workbench.programs import POSTGRES_URL


@dataclass(frozen=True)
class Secured:
    """A server that takes only TLS on its port, and of `cert` only a client with a certificate."""

    server: TcpPostgres
    files: Mapping[str, Path]

    def url(self, query: str, *, host: str = "localhost", user: str = "postgres") -> str:
        """With {name} in the query for a file."""
        return f"postgresql://{user}@{host}:{self.server.port}/bellwire?{query.format(**self.files)}"


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with TemporaryDirectory(prefix="bellwire-tests-") as name:
        folder = Path(name)
        ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
        own, cert = ours.sign("server", "localhost"), ours.sign("cert")
        other, somebody = theirs.sign("stranger"), ours.sign("somebody")
        files = {
            "ca": ours.certificate, "wrong_ca": theirs.certificate, "cert": cert.certificate, "key": cert.key,
            "other": other.certificate, "other_key": other.key, "crl": ours.revoke(own),
            "good_crl": ours.revoke(cert), "somebody": somebody.certificate, "somebody_key": somebody.key,
        }  # fmt: skip
        with running(installed=_with_tls()) as server:
            for source in (own.certificate, own.key, ours.certificate):
                _give(server, source)
            for setting, value in {
                "ssl_cert_file": "server.pem", "ssl_key_file": "server.key.pem", "ssl_ca_file": "ours.pem",
                "ssl": "on",
            }.items():  # fmt: skip
                server.sql(f"ALTER SYSTEM SET {setting} = '{value}'")
            server.sql("CREATE ROLE cert LOGIN")
            server.sql("CREATE ROLE plain LOGIN")
            server.rules(
                "hostssl all cert all cert",
                'hostssl all "an@odd:user/name" all scram-sha-256',
                "host all plain all trust",
                "hostssl all postgres all trust",
            )
            yield Secured(server, files)


def _with_tls() -> Path:
    """The wheel's server was built without it."""
    found = installed_versions()
    return found[max(found)] if found else pytest.skip("PostgreSQL with TLS: apt install postgresql")


def _give(server: TcpPostgres, source: Path) -> None:
    copy = server._data / source.name
    shutil.copy(source, copy)
    copy.chmod(0o600)
    if server._run_as:
        os.chown(copy, server._run_as.pw_uid, server._run_as.pw_gid)


async def tls_of(url: str) -> str:
    """Whether a connection is encrypted, or why there is none."""
    engine = create_engine(url, pool_size=1, application="tests", jitter=uniform)
    try:
        async with driver(engine) as connection:
            query = "SELECT coalesce(client_dn, '') || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            return str(await connection.fetchval(query))
    except Unavailable as error:
        return explained(error).detail
    finally:
        await engine.dispose()


WORKS = {
    "prefer, without being asked": ("", "postgres", "true"),
    "require": ("sslmode=require", "postgres", "true"),
    "ssl=require, as before": ("ssl=require", "postgres", "true"),
    "require with an authority verifies": ("sslmode=require&sslrootcert={ca}", "postgres", "true"),
    "verify-ca": ("sslmode=verify-ca&sslrootcert={ca}", "postgres", "true"),
    "verify-full": ("sslmode=verify-full&sslrootcert={ca}", "postgres", "true"),
    "channel_binding=require": ("channel_binding=require&sslrootcert={ca}", "postgres", "true"),
    "a list of revoked certificates": (
        "sslmode=verify-full&sslrootcert={ca}&sslcrl={good_crl}", "postgres", "true",
    ),
    "a certificate of the client": (
        "sslmode=verify-full&sslrootcert={ca}&sslcert={cert}&sslkey={key}", "cert", "/CN=certtrue",
    ),
    "TLS 1.3": ("sslmode=require&ssl_min_protocol_version=TLSv1.3", "postgres", "true"),
    "disable, where it is allowed": ("sslmode=disable", "plain", "false"),
    "allow, where it is not needed": ("sslmode=allow", "plain", "false"),
    "allow, where it is needed": ("sslmode=allow", "postgres", "true"),
}  # fmt: skip


@pytest.mark.parametrize(("query", "user", "said"), WORKS.values(), ids=WORKS)
async def test_a_mode_works(secured: Secured, query: str, user: str, said: str) -> None:
    assert await tls_of(secured.url(query, user=user)) == said


async def test_tls_begins_without_asking(secured: Secured) -> None:
    if int(secured.server.sql("SHOW server_version_num")) < 170000:
        pytest.skip("new in PostgreSQL 17: tests/postgres/fetch")
    assert await tls_of(secured.url("sslmode=require&sslnegotiation=direct")) == "true"


async def test_the_authorities_of_the_system_are_trusted(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "certificate" in await tls_of(secured.url("sslrootcert=system"))

    monkeypatch.setenv("SSL_CERT_FILE", str(secured.files["ca"]))
    assert await tls_of(secured.url("sslrootcert=system")) == "true"
    with_client = "sslrootcert=system&sslcert={cert}&sslkey={key}&sslcrl={good_crl}"
    assert await tls_of(secured.url(with_client, user="cert")) == "/CN=certtrue"
    assert "certificate revoked" in await tls_of(secured.url("sslrootcert=system&sslcrl={crl}"))
    assert await tls_of(secured.url("sslmode=require&channel_binding=require")) == "true"


_CA = "sslmode=verify-full&sslrootcert={ca}"
_REFUSED = "its certificate is not accepted: "
FAILS = {
    "another authority": (
        "sslmode=verify-full&sslrootcert={wrong_ca}",
        _REFUSED + "self-signed certificate in certificate chain",
    ),
    "revoked": (_CA + "&sslcrl={crl}", _REFUSED + "certificate revoked"),
    "no certificate of the client": (_CA, "connection requires a valid client certificate (28000)"),
    "one of a stranger": (  # with 1.3 the answer may be lost: it comes after the handshake
        _CA + "&sslcert={other}&sslkey={other_key}&ssl_max_protocol_version=TLSv1.2",
        "unknown ca",
    ),
    "one of another user": (
        _CA + "&sslcert={somebody}&sslkey={somebody_key}",
        'certificate authentication failed for user "cert" (28000)',
    ),
    "a key of another certificate": (
        _CA + "&sslcert={cert}&sslkey={other_key}",
        "sslcert={cert} is not a certificate, or its key is another one or needs sslpassword: [X509",
    ),
    "a file that is no certificate": (
        "sslmode=verify-full&sslrootcert={key}",
        "sslrootcert={key} has no certificate: [X509: NO_CERTIFICATE_OR_CRL_FOUND]",
    ),
    "a file that is no list": (_CA + "&sslcrl={key}", "sslcrl={key} has no list of revoked certificates"),
    "no authority": ("sslmode=verify-full", '/.postgresql/root.crt" does not exist or cannot be accessed'),
    "no TLS": ("sslmode=disable", "no encryption (28000)"),
}


@pytest.mark.parametrize(("query", "said"), FAILS.values(), ids=FAILS)
async def test_what_is_wrong_is_named(secured: Secured, query: str, said: str) -> None:
    assert said.format(**secured.files) in await tls_of(secured.url(query, user="cert"))


async def test_a_host_that_the_certificate_does_not_name_is_named(secured: Secured) -> None:
    said = _REFUSED + "IP address mismatch, certificate is not valid for '127.0.0.1'"

    assert said in await tls_of(secured.url(_CA, host="127.0.0.1"))
    assert await tls_of(secured.url("sslmode=verify-ca&sslrootcert={ca}", host="127.0.0.1")) == "true"


async def test_names_and_passwords_of_special_characters_log_in(secured: Secured) -> None:
    odd, password = "an@odd:user/name", "p@:/?#% ä+"
    name = secured.server.sql(f"SELECT quote_ident('{odd}')").strip()
    secured.server.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    database = quote("a/b?c", safe="")
    secured.server.create_database("a/b?c")
    login = f"{quote(odd, safe='')}:{quote(password, safe='')}"

    url = f"postgresql://{login}@localhost:{secured.server.port}/{database}?sslmode=require"
    assert await tls_of(url) == "true"
    assert "(28P01)" in await tls_of(url.replace(login, f"{quote(odd, safe='')}:wrong"))


async def test_what_the_url_says_of_the_session_counts_but_for_the_limits(secured: Secured) -> None:
    query = "options=-cstatement_timeout%3D1%20-cwork_mem%3D7MB&application_name=bells&connect_timeout=9"
    engine = create_engine(secured.url(query), pool_size=1, application="tests", jitter=uniform)
    try:
        async with driver(engine) as connection:
            names = ("statement_timeout", "work_mem", "application_name")
            found = [await connection.fetchval(f"SHOW {name}") for name in names]
    finally:
        await engine.dispose()

    assert found == ["10s", "7MB", "bells"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("form", ["postgresql://postgres@[::1]:{}/bellwire", "postgresql:///?{}"])
async def test_ipv6(form: str) -> None:
    with running({"listen_addresses": "::1"}) as server:
        port = server.port
        server.rules("host all all ::1/128 trust")
        query = f"host=::1&port={port}&user=postgres&dbname=bellwire"
        assert await tls_of(form.format(port if "[" in form else query)) == "false"


@pytest.mark.parametrize(
    ("query", "host", "fix"),
    [
        ("sslmode=verify-full&sslrootcert={wrong_ca}", "localhost", "name its authority"),
        (_CA, "127.0.0.1", "name a host"),
        (_CA, "localhost", "add sslcert=… and sslkey=…"),
        (_CA + "&sslcert={cert}&sslkey={other_key}", "localhost", "correct this file"),
        ("sslmode=disable", "localhost", "write sslmode=require"),
        (_CA + "&sslcert=/nowhere", "localhost", "correct BELLWIRE_POSTGRES_URL"),
    ],
)
async def test_the_doctor_names_what_to_do(
    secured: Secured, servers: EmbeddedServers, query: str, host: str, fix: str
) -> None:
    environment = installation(servers, secured.url(query, host=host, user="cert"), "nobody")

    found = [finding async for finding in doctor.examine(environment)]

    assert any(finding.mark is Mark.FAIL and fix in finding.fix for finding in found), found


async def test_the_product_runs_with_certificates(
    secured: Secured, servers: EmbeddedServers, tmp_path: Path
) -> None:
    secured.server.sql("ALTER DATABASE bellwire OWNER TO cert")
    url = secured.url("sslmode=verify-full&sslrootcert={ca}&sslcert={cert}&sslkey={key}", user="cert")
    environment = installation(servers, url, f"tls-{token_hex(4)}")
    product = Product(tmp_path, environment, as_read(environment))
    try:
        await product.prepare()
        await goes_the_whole_way(product)
    finally:
        await product.stop()
    assert environment[POSTGRES_URL] == url
