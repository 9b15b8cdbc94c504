"""Addresses of PostgreSQL, as libpq reads them and managed servers print them."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given as examples
from hypothesis import strategies

from common.postgres_address import InvalidAddress, PostgresAddress, read
from entrypoints import addresses

SECRET = "a-password"

HOSTS = {
    "postgresql://h": [("h", 5432)],
    "postgres://u:p@h:6000/db": [("h", 6000)],
    "postgresql://h:/db": [("h", 5432)],
    "postgresql://a,b:2,c/db": [("a", 5432), ("b", 2), ("c", 5432)],
    "postgresql://u:p@a:1,[::1]:2/db?target_session_attrs=read-write": [("a", 1), ("::1", 2)],
    "postgresql://[2001:db8::1]/db": [("2001:db8::1", 5432)],
    "postgresql:///db?host=::1": [("::1", 5432)],
    "postgresql:///db?host=[::1]:7": [("::1", 7)],
    "postgresql:///db?host=a,b&port=1,2": [("a", 1), ("b", 2)],
    "postgresql:///db?host=a,b&port=6000": [("a", 6000), ("b", 6000)],
    "postgresql:///db?host=a,b&port=,6000": [("a", 5432), ("b", 6000)],
    "postgresql+asyncpg://u@/db?host=a:1&host=b:2": [("a", 1), ("b", 2)],
    "postgresql://ignored/db?host=h": [("h", 5432)],
    "postgresql:///db?host=/var/run/postgresql": [("/var/run/postgresql", 5432)],
    "postgresql://%2Fvar%2Frun%2Fpostgresql/db": [("/var/run/postgresql", 5432)],
    "postgresql://%2Frun:6000/db": [("/run", 6000)],
    "postgresql:///db?host=/run/a,/run/b&port=1,2": [("/run/a", 1), ("/run/b", 2)],
}

NAMES = {
    "postgresql://h": (None, None, None),
    "postgresql://u@h/": ("u", None, None),
    "postgresql://u:@h/db": ("u", None, "db"),
    "postgresql://u%40server:p%40%3A%2F%3F%23%25@h/d%2Fb": ("u@server", "p@:/?#%", "d/b"),
    "postgresql://u:p#1/2?3@h/db": ("u", "p#1/2?3", "db"),
    "postgresql://u:1/2@h/db": ("u", "1/2", "db"),
    "postgresql://h:5432/db?user=a@b&password=c:d": ("a@b", "c:d", "db"),
    "postgresql://u:p@h/db?user=v&password=q&dbname=e": ("v", "q", "e"),
    "postgresql://h?database=e": (None, None, "e"),
    "postgresql://u:p+1@h/a+b": ("u", "p+1", "a+b"),
}

TLS = {
    "sslmode=disable": {"sslmode": "disable"},
    "ssl=require": {"sslmode": "require"},
    "ssl=true": {"sslmode": "require"},
    "sslmode=verify-ca&sslrootcert=/ca&sslcert=/c&sslkey=/k&sslpassword=x&sslcrl=/crl": {
        "sslmode": "verify-ca", "sslrootcert": "/ca", "sslcert": "/c", "sslkey": "/k", "sslpassword": "x",
        "sslcrl": "/crl",
    },
    "sslrootcert=system": {"sslmode": "verify-full", "sslrootcert": "system"},
    "sslmode=require&channel_binding=prefer": {"sslmode": "require"},
    "sslmode=require&channel_binding=require": {"sslmode": "verify-full", "sslrootcert": "system"},
    "channel_binding=require&sslrootcert=/ca": {"sslmode": "verify-full", "sslrootcert": "/ca"},
    "sslmode=require&ssl_min_protocol_version=TLSv1.3&sslnegotiation=direct": {
        "sslmode": "require", "ssl_min_protocol_version": "TLSv1.3",
    },
    "keepalives=1&keepalives_idle=30&gssencmode=disable&sslsni=1&client_encoding=utf8": {},
}  # fmt: skip

BAD = {
    "": "must begin with postgresql://, postgres:// or postgresql+asyncpg://",
    "mysql://h/db": "must begin with postgresql://, postgres:// or postgresql+asyncpg://",
    "postgresql://": "names no host",
    "postgresql:///db": "names no host",
    "postgresql://a,,b/db": "names no host",
    f"postgresql://u:{SECRET}@x@h/db": "has two @; in a user",
    f"postgresql://u:{SECRET}@h:99999/db": "has an invalid port",
    f"postgresql://u:{SECRET}@h x/db": "has an invalid host",
    f"postgresql://u:{SECRET}%@h/db": "has a % in the password",
    f"postgresql://u:{SECRET}%ff@h/db": "has escapes in the password that are not UTF-8",
    f"postgresql://u:{SECRET}%00@h/db": "has a NUL in the password",
    "postgresql://a,b,c/db?port=1,2": "has 3 hosts and 2 ports",
    "postgresql://h/db?colour=red": "has the parameter 'colour', which is not known",
    "postgresql://h/db?schema=app": "which is not known or cannot be used: use options=-csearch_path",
    "postgresql://h/db?pgbouncer=true": "use BELLWIRE_POSTGRES_POOLER=transaction",
    "postgresql://h/db?require_auth=scram-sha-256": "has the parameter 'require_auth', which is not known or",
    f"postgresql://u:1?{SECRET}=2@h/db": "has a parameter that is not known; in a user",
    "postgresql://h/db?sslmode": "has the parameter 'sslmode' without a value",
    "postgresql://h/db?sslmode=full": "has a value of sslmode other than disable, allow, prefer",
    "postgresql://h/db?ssl=1": "has a value of ssl other than disable",
    "postgresql://h/db?target_session_attrs=standby": "has a value of target_session_attrs other than any",
    "postgresql://h/db?connect_timeout=soon": "has a value of connect_timeout that is not a number",
    "postgresql://h/db?sslmode=require&sslrootcert=system": "needs sslmode=verify-full instead of require",
    "postgresql://h/db?sslmode=prefer&channel_binding=require": "which sslmode=prefer does not allow",
    "postgresql://h/db?gssencmode=require": "has a value of gssencmode other than disable, prefer",
}


@pytest.mark.parametrize(("url", "hosts"), HOSTS.items())
def test_hosts_are_read_as_libpq_reads_them(url: str, hosts: list[tuple[str, int]]) -> None:
    assert read(url).hosts == hosts


@pytest.mark.parametrize(("url", "names"), NAMES.items())
def test_users_passwords_and_databases_are_read_as_libpq_reads_them(
    url: str, names: tuple[str | None, ...]
) -> None:
    address = read(url)

    assert (address.user, address.password, address.database) == names


@pytest.mark.parametrize(("query", "tls"), TLS.items())
def test_what_an_address_says_of_tls(query: str, tls: dict[str, str]) -> None:
    address = read(f"postgresql://h/db?{query}")

    assert address.tls == tls
    assert address.direct == ("direct" in query)


@pytest.mark.parametrize(("url", "why"), BAD.items())
def test_what_cannot_be_used_is_named_without_the_password(url: str, why: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        read(url)

    assert why in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_of_several_hosts_that_which_takes_writes_is_meant() -> None:
    assert read("postgresql://a,b/db").target_session_attrs == "read-write"
    assert read("postgresql://a,b/db?target_session_attrs=any").target_session_attrs == "any"
    assert read("postgresql://a/db").target_session_attrs is None


def test_what_a_session_begins_with() -> None:
    query = "options=-csearch_path%3Dapp%20-c%20jit%3Don&connect_timeout=7&application_name=bells"
    address = read(f"postgresql://h/db?{query}")

    assert address.startup == {"options": "-csearch_path=app -c jit=on", "application_name": "bells"}
    assert address.connect_seconds == 7
    assert read("postgresql://h?connect_timeout=0").connect_seconds is None
    assert read("postgresql://h?fallback_application_name=x").startup == {"application_name": "x"}


def test_neither_the_password_nor_that_of_the_key_is_shown() -> None:
    address = read(f"postgresql://u:{SECRET}@h/db?sslpassword={SECRET}")

    assert SECRET not in repr(address)


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    with pytest.raises(addresses.Unusable, match=f"^has {name}={file}, and there is no such file$"):
        addresses.postgres_url(f"postgresql://h/db?{name}={quote(str(file))}")

    file.touch()
    addresses.postgres_url(f"postgresql://h/db?{name}={quote(str(file))}")
    addresses.postgres_url("postgresql://h/db?sslrootcert=system")


@examples(*[strategies.text(strategies.characters(exclude_categories=["Cs"], exclude_characters="\0"))] * 3)
def test_whatever_is_escaped_is_read_as_it_was(user: str, password: str, database: str) -> None:
    parts = (quote(part, safe="") for part in (user, password, database))

    address: PostgresAddress = read("postgresql://{}:{}@h/{}".format(*parts))

    assert (address.user or "", address.password or "", address.database or "") == (user, password, database)


@examples(strategies.text())
def test_whatever_is_given_is_read_or_refused(rest: str) -> None:
    with suppress(InvalidAddress):
        assert read(f"postgresql://{rest}").hosts
