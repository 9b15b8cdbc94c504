"""Reads the URL of a PostgreSQL database as libpq does
(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS).

SQLAlchemy's form of it can be read too: the scheme `postgresql+asyncpg`, `host=a:5432&host=b:5432`, and `ssl`
for `sslmode`. Errors name the parameter and never quote a value that may hold a password.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

SCHEMES = "postgresql://, postgres:// or postgresql+asyncpg://"
ESCAPE = "in a user or password write @ : / ? # as %40 %3A %2F %3F %23"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
SYSTEM = "system"
_PORTS = range(1, 65536)
_DEFAULT_PORT = 5432
_SCHEME = re.compile(r"postgres(ql(\+asyncpg)?)?://")
# A password in which / ? # are not escaped has always been accepted.
_STRICT = re.compile(
    r"(?:(?P<userinfo>[^@/?]*)@)?(?P<hosts>[^/?@]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
_LOOSE = re.compile(
    r"(?P<userinfo>[^@/:]*:[^@]*)@(?P<hosts>[^/?@]*)(?:/(?P<database>[^?@]*))?(?:\?(?P<query>.*))?"
)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[^:]*)(?::(?P<port>[^:]*))?")

_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# What has a set of values, of which some cannot be served by the driver or by us.
_VALUES: Mapping[str, Sequence[str]] = {
    "sslmode": SSL_MODES,
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "primary"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "gssencmode": ("disable", "prefer"),
    "gsslib": ("gssapi", "sspi"),
    "gssdelegation": ("0",),
    "load_balance_hosts": ("disable",),
    "sslsni": ("1",),
    "sslcompression": ("0",),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8", "auto"),
}
_TLS = (
    "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)  # fmt: skip
_DRIVER = ("passfile", "krbsrvname", "gsslib")
_OWN = (
    "host", "port", "user", "password", "dbname", "connect_timeout", "application_name",
    "fallback_application_name", "options",
)  # fmt: skip
# Bellwire's own time limits end a connection before these would.
_WITHOUT_EFFECT = (
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
)  # fmt: skip
_KNOWN = {*_VALUES, *_TLS, *_DRIVER, *_OWN, *_WITHOUT_EFFECT}
_ALIASES = {"ssl": "sslmode", "database": "dbname"}
_INSTEAD = {
    "schema": "options=-csearch_path%3D…",
    "currentSchema": "options=-csearch_path%3D…",
    "search_path": "options=-csearch_path%3D…",
    "hostaddr": "host",
    "direct_tls": "sslnegotiation=direct",
    "pgbouncer": "BELLWIRE_POSTGRES_POOLER=transaction",
    "prepared_statement_cache_size": "BELLWIRE_POSTGRES_POOLER=transaction",
    "statement_cache_size": "BELLWIRE_POSTGRES_POOLER=transaction",
    "connection_limit": "BELLWIRE_POSTGRES_POOL",
}


class InvalidAddress(ValueError):
    """The URL cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAddress:
    """Where a database is, and how to connect to it. None means the default of the driver."""

    hosts: Sequence[tuple[str, int]]
    """Names, addresses or folders of a socket, each with its port."""
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    tls: Mapping[str, str] = field(repr=False)
    """By libpq's names."""
    direct: bool
    """Whether TLS begins without asking."""
    driver: Mapping[str, str]
    """Arguments of the driver."""
    target_session_attrs: str | None
    connect_seconds: int | None
    """For each host."""
    startup: Mapping[str, str]
    """Parameters with which a session begins, beside Bellwire's own."""

    @property
    def files(self) -> Iterator[tuple[str, str]]:
        """The parameters that name files, with these."""
        for name in FILES:
            path = self.tls.get(name) or self.driver.get(name)
            if path and (name, path) != ("sslrootcert", SYSTEM):
                yield name, path


def read(url: str) -> PostgresAddress:
    """Read a URL. Raises InvalidAddress."""
    scheme = _SCHEME.match(url)
    if not scheme:
        raise InvalidAddress(f"must begin with {SCHEMES}")
    parts = _parts(url[scheme.end() :])
    given = list(_parameters(parts["query"] or ""))
    values = dict(given)
    user, _, password = (parts["userinfo"] or "").partition(":")
    hosts = _hosts(parts["hosts"], [value for name, value in given if name == "host"], values.get("port"))
    return PostgresAddress(
        hosts=hosts,
        user=values.get("user") or _text(user, "the user") or None,
        password=values.get("password") or _text(password, "the password") or None,
        database=values.get("dbname") or _text(parts["database"] or "", "the database") or None,
        tls=_tls(values),
        direct=values.get("sslnegotiation") == "direct",
        driver={name: values[name] for name in _DRIVER if name in values},
        # Bellwire writes: of several servers it needs the one that takes writes.
        target_session_attrs=values.get("target_session_attrs") or ("read-write" if len(hosts) > 1 else None),
        connect_seconds=_seconds(values.get("connect_timeout", "0")),
        startup=_startup(values),
    )


def _parts(rest: str) -> Mapping[str, str | None]:
    strict = _STRICT.fullmatch(rest)
    if strict and _are_hosts(strict["hosts"]) and "@" not in (strict["database"] or ""):
        return strict.groupdict()
    loose = _LOOSE.fullmatch(rest)
    if not loose:
        raise InvalidAddress(_why_not(rest))
    return loose.groupdict()


def _are_hosts(text: str) -> bool:
    """Whether these look like hosts, rather than a user with half of a password."""
    matches = (_HOST.fullmatch(one) for one in text.split(","))
    return all(match and (match["port"] or "").isdecimal() == bool(match["port"]) for match in matches)


def _why_not(rest: str) -> str:
    return f"has {'two @' if rest.count('@') > 1 else 'an invalid host or port'}; {ESCAPE}"


def _text(escaped: str, what: str) -> str:
    """Text with its escapes replaced."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", escaped):
        raise InvalidAddress(f"has a % in {what} that is not followed by two hexadecimal digits: write %25")
    try:
        text = unquote(escaped, errors="strict")
    except UnicodeDecodeError:
        raise InvalidAddress(f"has escapes in {what} that are not UTF-8") from None
    if "\0" in text:
        raise InvalidAddress(f"has a NUL in {what}")
    return text


# --- parameters -------------------------------------------------------------------------------------------


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, query.split("&")):
        key, equals, escaped = pair.partition("=")
        name = _ALIASES.get(key, key)
        if name not in _KNOWN:
            raise InvalidAddress(_unknown(key, quotable="@" not in query))
        if not equals:
            raise InvalidAddress(f"has the parameter {key!r} without a value")
        value = _text(escaped, f"the parameter {key!r}")
        yield name, _checked(key, name, "require" if (key, value) == ("ssl", "true") else value)


def _unknown(key: str, *, quotable: bool) -> str:
    """With an @ behind it, it may be a part of a password."""
    if not quotable:
        return f"has a parameter that is not known; {ESCAPE}"
    instead = f": use {_INSTEAD[key]}" if key in _INSTEAD else ""
    return f"has the parameter {key[:40]!r}, which is not known or cannot be used{instead}"


def _checked(key: str, name: str, value: str) -> str:
    allowed = _VALUES.get(name)
    if value and allowed and value not in allowed:
        raise InvalidAddress(f"has a value of {key} other than {', '.join(allowed)}")
    return value


def _tls(values: Mapping[str, str]) -> Mapping[str, str]:
    found = {name: values[name] for name in _TLS if values.get(name)}
    mode = found.get("sslmode")
    if values.get("channel_binding") == "require":
        # The driver cannot bind a login to the channel, which proves that nobody is in between. So does the
        # server's certificate, if it is verified.
        if mode in {"disable", "allow", "prefer"}:
            raise InvalidAddress(f"has channel_binding=require, which sslmode={mode} does not allow")
        found |= {"sslmode": "verify-full", "sslrootcert": found.get("sslrootcert", SYSTEM)}
    elif found.get("sslrootcert") == SYSTEM:
        if mode not in {None, "verify-full"}:
            raise InvalidAddress(f"has sslrootcert=system, which needs sslmode=verify-full instead of {mode}")
        found["sslmode"] = "verify-full"
    return found


def _startup(values: Mapping[str, str]) -> Mapping[str, str]:
    name = values.get("application_name") or values.get("fallback_application_name")
    found = {"application_name": name, "options": values.get("options")}
    return {key: value for key, value in found.items() if value}


def _seconds(text: str) -> int | None:
    """A time limit; none for 0 and less, which is libpq's way of saying so."""
    if not re.fullmatch(r"-?[0-9]{1,4}", text):
        raise InvalidAddress("has a value of connect_timeout that is not a number of seconds")
    return max(int(text), 0) or None


# --- hosts ------------------------------------------------------------------------------------------------


def _hosts(text: str | None, parameters: Sequence[str], port: str | None) -> Sequence[tuple[str, int]]:
    """The hosts of the parameters, which replace those before the path."""
    names = [name for parameter in parameters for name in parameter.split(",") if name]
    found = [_host(name) for name in names] or [_escaped_host(name) for name in (text or "").split(",")]
    if not all(host for host, _ in found):
        raise InvalidAddress("names no host")
    ports = [_port(one) for one in port.split(",")] if port else [_DEFAULT_PORT]
    if len(ports) == 1:
        ports *= len(found)
    if len(ports) != len(found):
        raise InvalidAddress(f"has {len(found)} hosts and {len(ports)} ports")
    return [(host, own or other) for (host, own), other in zip(found, ports, strict=True)]


def _host(text: str) -> tuple[str, int | None]:
    return (text, None) if text.startswith("/") else _escaped_host(text.replace("%", "%25"))


def _escaped_host(text: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(text)
    if not match:
        raise InvalidAddress(f"has an invalid host or port; {ESCAPE}")
    host = _text(match["host"].removeprefix("[").removesuffix("]"), "a host")
    if not host.startswith("/") and re.search(r"[^\w.:%-]", host):
        raise InvalidAddress(f"has an invalid host; {ESCAPE}")
    return host, _port(match["port"]) if match["port"] else None


def _port(text: str) -> int:
    if not text:
        return _DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) not in _PORTS:
        raise InvalidAddress("has an invalid port")
    return int(text)
