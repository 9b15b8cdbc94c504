"""Settings: what the environment says, checked."""

import os
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec

from domain.rates import Rate
from entrypoints import addresses, redis_addresses
from entrypoints.allowed import misspelt, refusal
from entrypoints.environment import OF_OTHERS, given, variables
from entrypoints.environment import PREFIX as _PREFIX
from entrypoints.origins import check_origins
from entrypoints.proxies import Proxies
from entrypoints.strength import check_secret

_CHECKS: Mapping[str, Callable[[str], None]] = {
    "postgres_url": addresses.postgres_url,
    "migration_url": lambda url: addresses.postgres_url(url) if url else None,
    "redis_prefix": addresses.prefix,
    "kafka_bootstrap": addresses.bootstrap,
    "kafka_topic": addresses.topic,
    "kafka_group": addresses.group,
    "allowed_origins": check_origins,
    "allowed_hosts": addresses.hosts,
    "token_jwks": addresses.key_set,
    # Commands write hashes with it, too.
    "erasure_secret": lambda secret: check_secret(secret) if secret else None,
}
_RESERVED_CLAIMS = {"aud", "exp", "iat", "iss", "jti", "nbf", "minted_by"}

_RATES = (
    "limit_publish",
    "limit_requests",
    "limit_marks",
    "limit_tickets",
    "limit_openings",
    "limit_sign_ups",
    "limit_log_ins",
    "limit_failed_log_ins",
    "limit_failures",
    "limit_refused",
)

_SECRETS = ("token_secret", "token_secret_previous", "operator_secret", "redis_secret")

_CREATED_BY = "^(never|(publish|token)([, ]+(publish|token))?)$"
_API_KEY = "^(bw_[a-z0-9]{1,16}_[0-9a-f]{12}_[0-9a-f]{64})?$"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class InvalidSettings(Exception):
    """A setting in the environment cannot be used; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, each read from BELLWIRE_<NAME>; .env.example explains them."""

    postgres_url: str = "postgresql+asyncpg://bellwire@127.0.0.1/bellwire"
    postgres_pool: Positive = 10
    migration_url: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_mode: Literal["server", "sentinel", "cluster"] = "server"
    redis_prefix: str = "bellwire"
    redis_secret: str = ""
    idempotency_keys: Annotated[int, msgspec.Meta(ge=0)] = 2_000_000
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_topic: str = "bellwire.notifications"
    kafka_partitions: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 12
    kafka_replication: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    kafka_group: str = "bellwire"
    kafka_username: str = ""
    kafka_password: str = ""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_session_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 30
    kafka_fetch_wait_ms: Annotated[int, msgspec.Meta(ge=1, le=30_000)] = 100
    host: str = "127.0.0.1"
    port: Port = 8000
    workers: Positive = 1
    consumer_port: Port = 8001
    token_secret: str = ""
    erasure_secret: str = ""
    token_audience: str = "bellwire"  # noqa: S105 - not a secret
    token_seconds: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 3600
    token_secret_previous: str = ""
    token_jwks: str = ""
    token_issuer: str = ""
    token_claim: Annotated[
        str,
        msgspec.Meta(pattern="^[A-Za-z0-9_.:/-]{1,200}$", description="1 to 200 of A-Z a-z 0-9 _ . : / -"),
    ] = "sub"  # noqa: S105
    token_max_seconds: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 315_360_000
    token_skew_seconds: Annotated[int, msgspec.Meta(ge=0, le=300)] = 60
    operator_secret: str = ""
    environment: Annotated[
        str, msgspec.Meta(pattern="^[a-z0-9]{1,16}$", description="1 to 16 of a-z 0-9")
    ] = "live"
    open_signup: bool = False
    create_users: Annotated[
        str, msgspec.Meta(pattern=_CREATED_BY, description="never, publish, token, or publish,token")
    ] = "never"
    allowed_origins: str = ""
    allowed_hosts: str = ""
    metrics_token: Annotated[
        str, msgspec.Meta(pattern="^([!-~]{16,200})?$", description="16 to 200 visible ASCII characters")
    ] = ""
    schema: bool = True
    sockets: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    sockets_per_user: Annotated[int, msgspec.Meta(ge=0)] = 100
    drain_seconds: Annotated[int, msgspec.Meta(ge=0, le=300)] = 20
    drain_delay_seconds: Annotated[int, msgspec.Meta(ge=0, le=300)] = 0
    batch_records: Positive = 1000
    skip_unreadable: Annotated[
        str,
        msgspec.Meta(
            pattern="^([0-9]+:[0-9]+(,[0-9]+:[0-9]+)*)?$",
            description="PARTITION:OFFSET, or several of them separated by commas",
        ),
    ] = ""
    bad_records_limit: Annotated[int, msgspec.Meta(ge=0)] = 50
    stuck_seconds: Annotated[int, msgspec.Meta(ge=10)] = 90
    index_capacity: Annotated[int, msgspec.Meta(ge=100, le=5000)] = 200
    reconcile_users_per_minute: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 60
    demo: bool = False
    demo_key: Annotated[
        str, msgspec.Meta(pattern=_API_KEY, description="an API key of Bellwire, which begins with bw_")
    ] = ""
    limit_publish: str = "300000/10s"
    limit_requests: str = "6000/m"
    limit_marks: str = "3000/m"
    limit_tickets: str = "30000/5m"
    limit_openings: str = "30000/5m"
    limit_sign_ups: str = "300/h"
    limit_log_ins: str = "300/m"
    limit_failed_log_ins: str = "100/10m"
    limit_account_failures: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 10
    limit_failures: str = "6000/5m"
    limit_refused: str = "10000/h"
    trusted_proxies: str = ""
    proxy_header: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"
    access_log: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"

    def __repr__(self) -> str:
        """Hide the values: some are secrets, and a traceback may show this."""
        return f"{type(self).__name__}(…)"

    @classmethod
    def from_env(cls) -> "Settings":
        """Read the environment. Raises InvalidSettings, naming the variable."""
        return cls.read(variables())

    @classmethod
    def read(cls, found: Mapping[str, str]) -> "Settings":
        """Read variables. Raises InvalidSettings, whose message begins with the name of one."""
        values = {
            name: found[_PREFIX + name.upper()]
            for name in cls.__struct_fields__
            if _PREFIX + name.upper() in found
        }
        try:
            settings = msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            name = str(error).rpartition(" - at `$.")[2].rstrip("`")
            kind = cls.__annotations__[name]
            raise InvalidSettings(f"{_PREFIX}{name.upper()}: {refusal(kind, values[name])}") from error
        settings = msgspec.structs.replace(
            settings,
            postgres_url=_for_asyncpg(settings.postgres_url),
            migration_url=_for_asyncpg(settings.migration_url),
        )
        for name, check in _CHECKS.items():
            try:
                check(getattr(settings, name))
            except (addresses.Unusable, ValueError) as reason:
                raise InvalidSettings(f"{_PREFIX}{name.upper()}: {reason}") from None
        _check_redis(settings)
        _check_limits(settings)
        return settings

    @classmethod
    def misspelt(cls) -> list[str]:
        """Of each variable that looks like a setting but is none: that it is none, and which may be meant."""
        names = {_PREFIX + field.upper() for field in cls.__struct_fields__} | OF_OTHERS
        return [
            f"{name} is not a setting; did you mean {meant}?"
            for name, meant in misspelt(given(), names).items()
        ]

    @classmethod
    def for_serving(cls) -> "Settings":
        """Read the environment and require what a serving process needs. Raises InvalidSettings."""
        settings = cls.from_env()
        settings.check_serving()
        return settings

    def check_serving(self) -> None:
        """Raise InvalidSettings if a process with these settings must not serve."""
        self.check_secrets()
        self.check_tokens()
        self.check_files()
        if self.demo and not addresses.is_loopback(self.host):
            raise InvalidSettings(
                f"{_PREFIX}DEMO: anyone who can reach the demo can use it, so it runs only on this machine: "
                f"set {_PREFIX}HOST to 127.0.0.1 instead of {self.host}, or switch the demo off"
            )

    def check_secrets(self) -> None:
        """Raise InvalidSettings if a secret can be guessed, or serves for two purposes."""
        for name in _SECRETS:
            secret = getattr(self, name)
            if not secret and name != "token_secret":
                continue
            try:
                check_secret(secret)
            except ValueError as error:
                raise InvalidSettings(f"{_PREFIX}{name.upper()}: {error}") from None
        if self.operator_secret in {self.token_secret, self.token_secret_previous} - {""}:
            raise InvalidSettings(
                f"{_PREFIX}OPERATOR_SECRET: must not be that of users' tokens: whoever issues those could "
                "operate the service"
            )
        if self.redis_secret and self.redis_secret == self.erasure_secret:
            raise InvalidSettings(f"{_PREFIX}REDIS_SECRET: must not be {_PREFIX}ERASURE_SECRET")

    def check_tokens(self) -> None:
        """Raise InvalidSettings if no token could be valid, or the file with public keys cannot be found."""
        if self.token_seconds > self.token_max_seconds:
            raise InvalidSettings(f"{_PREFIX}TOKEN_SECONDS: is more than {_PREFIX}TOKEN_MAX_SECONDS")
        if self.token_claim in _RESERVED_CLAIMS:
            raise InvalidSettings(f"{_PREFIX}TOKEN_CLAIM: {self.token_claim} has another meaning")
        if self.token_jwks and "://" not in self.token_jwks and not os.path.isfile(self.token_jwks):  # noqa: PTH113 - pathlib takes long to import
            raise InvalidSettings(f"{_PREFIX}TOKEN_JWKS: there is no file {self.token_jwks}")

    def check_files(self) -> None:
        """Raise InvalidSettings if a file with certificates cannot be used."""
        try:
            redis_addresses.check_files(self.redis_url, self.redis_mode)
        except addresses.Unusable as reason:
            raise InvalidSettings(f"{_PREFIX}REDIS_URL: {reason}") from None

    def as_owner(self) -> "Settings":
        """These settings with the PostgreSQL role that owns the tables."""
        return msgspec.structs.replace(self, postgres_url=self.migration_url or self.postgres_url)

    @property
    def limits(self) -> Mapping[str, Rate | None]:
        """The rates, by the names of the limits; None for no limit."""
        return {
            name.removeprefix("limit_").replace("_", "-"): Rate.parse(getattr(self, name)) for name in _RATES
        }

    @property
    def proxies(self) -> Proxies:
        """The proxies that are believed about their clients. Raises ValueError."""
        return Proxies.parse(self.trusted_proxies, self.proxy_header)

    @property
    def index_secret(self) -> str:
        """The secret with which Bellwire recognises what it wrote to Redis."""
        return self.redis_secret or self.token_secret

    @property
    def origins(self) -> frozenset[str]:
        """The origins of pages, other than our own, that may open a stream."""
        return frozenset(addresses.listed(self.allowed_origins))

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts, in lower case, by which clients may address the service; none means any."""
        return frozenset(addresses.listed(self.allowed_hosts.lower()))

    @property
    def publishing_creates_users(self) -> bool:
        """Whether a notification for an unknown user creates the user."""
        return "publish" in self.create_users

    @property
    def tokens_create_users(self) -> bool:
        """Whether a token of an unknown user creates the user."""
        return "token" in self.create_users

    @property
    def skipped_batches(self) -> frozenset[tuple[int, int]]:
        """Record batches, by partition and offset, that are skipped if they cannot be unpacked."""
        pairs = (place.split(":") for place in self.skip_unreadable.split(",") if place)
        return frozenset((int(partition), int(offset)) for partition, offset in pairs)


def _for_asyncpg(url: str) -> str:
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+asyncpg://" + url.removeprefix(scheme)
    return url


def _check_redis(settings: Settings) -> None:
    """Raise InvalidSettings if the address is not one of what it is said to lead to."""
    try:
        redis_addresses.check(settings.redis_url, settings.redis_mode)
    except redis_addresses.NoMaster as reason:
        raise InvalidSettings(f"{_PREFIX}REDIS_MODE: with sentinel, {_PREFIX}REDIS_URL {reason}") from None
    except addresses.Unusable as reason:
        raise InvalidSettings(f"{_PREFIX}REDIS_URL: {reason}") from None


def _check_limits(settings: Settings) -> None:
    """Raise InvalidSettings if a rate or the proxies cannot be read."""
    for name in _RATES:
        try:
            Rate.parse(getattr(settings, name))
        except ValueError as error:
            raise InvalidSettings(f"{_PREFIX}{name.upper()}: {error}") from None
    try:
        _ = settings.proxies
    except ValueError as error:
        raise InvalidSettings(f"{_PREFIX}TRUSTED_PROXIES: {error}") from None
